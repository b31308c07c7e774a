package data

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adrg/xdg"

	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
)

// CacheDir is where fetched datasets are kept: gpt2wgpu in the user's cache directory (XDG_CACHE_HOME, by default
// ~/.cache on Linux, ~/Library/Caches on macOS, %LOCALAPPDATA%\cache on Windows).
func CacheDir() string { return filepath.Join(xdg.CacheHome, "gpt2wgpu") }

// dataset is something that can be fetched by name, into a directory of that name.
type dataset struct {
	about  string // for people: what and how much
	corpus bool   // can be trained on
	file   string // the one file it consists of; "" for a directory of several

	// Where it comes from: a path on GitHub's raw file host, or a repository on the Hugging Face hub (of kind "datasets"
	// or "models") and names in it, of which * stands for several.
	raw         string
	kind, repo  string
	names       []string
	sha256      string // of the one file, where it never changes
	separator   string // between documents: texts are then tokenized, the one with "valid" in its name as validation
	examples    int    // HellaSwag: questions that must be in it
	shardedData bool   // the files are shards, each checked when it has come
}

var datasets = map[string]dataset{
	"shakespeare": {about: "Tiny Shakespeare, 1.1 MB", corpus: true, file: "tinyshakespeare.txt",
		raw:    "karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
		sha256: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
	"tinystories": {about: "TinyStories V2, 2.2 GB of text made into 1.1 GB of tokens", corpus: true,
		kind: "datasets", repo: "roneneldan/TinyStories", separator: "<|endoftext|>",
		names: []string{"TinyStoriesV2-GPT4-valid.txt", "TinyStoriesV2-GPT4-train.txt"}},
	"fineweb-edu": {about: "FineWeb-Edu sample-10BT as GPT-2 tokens, 100 shards, 20 GB", corpus: true, shardedData: true,
		kind: "datasets", repo: "kjj0/finewebedu10B-gpt2",
		names: []string{"finewebedu_val_*.bin", "finewebedu_train_*.bin"}},
	"hellaswag": {about: "HellaSwag validation set, 10,042 questions, 12 MB", file: "hellaswag_val.jsonl", examples: 10042,
		raw: "rowanz/hellaswag/master/data/hellaswag_val.jsonl"},
	"gpt2":        gpt2Weights("gpt2", "124M parameters, 0.5 GB"),
	"gpt2-medium": gpt2Weights("gpt2-medium", "355M parameters, 1.5 GB"),
	"gpt2-large":  gpt2Weights("gpt2-large", "774M parameters, 3.2 GB"),
	"gpt2-xl":     gpt2Weights("gpt2-xl", "1558M parameters, 6.4 GB"),
}

func gpt2Weights(name, size string) dataset {
	return dataset{about: "OpenAI's weights, " + size, kind: "models", repo: "openai-community/" + name, names: []string{"config.json", "model.safetensors"}}
}

// Datasets returns the names that [Fetch] knows, each with a line about it, in alphabetical order.
func Datasets() (names, about []string) {
	for name := range datasets {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, n := range names {
		about = append(about, datasets[n].about)
	}
	return names, about
}

func unknownDataset(name string) error {
	names, _ := Datasets()
	return fmt.Errorf("%q: no such dataset; hint: %s", name, strings.Join(names, ", "))
}

// completeFile is written into a dataset's directory when all of it is there.
const completeFile = "complete.json"

// complete is what it says.
type complete struct {
	Shards int            `json:"shards,omitempty"` // training shards asked for; 0: all
	Commit string         `json:"commit,omitempty"` // of the hub's repository
	Files  []completePart `json:"files"`
}

type completePart struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"`
}

// readComplete returns the account of a fetched dataset if all its files are there, in their sizes.
func readComplete(dir string) (c complete, ok bool) {
	raw, err := os.ReadFile(filepath.Join(dir, completeFile))
	if err != nil || exactjson.Unmarshal(raw, &c) != nil || len(c.Files) == 0 {
		return c, false
	}
	for _, f := range c.Files {
		if info, err := os.Stat(filepath.Join(dir, f.Name)); err != nil || info.Size() != f.Bytes {
			return c, false
		}
	}
	return c, true
}

// Cached returns where something that was fetched before lies: the file of shakespeare and hellaswag, the directory of
// the others. cacheDir "" is [CacheDir]. If it isn't there, or not all of it, the error's hint is the command that
// fetches it.
func Cached(name, cacheDir string) (string, error) {
	d, ok := datasets[name]
	if !ok {
		return "", unknownDataset(name)
	}
	if cacheDir == "" {
		cacheDir = CacheDir()
	}
	dir := filepath.Join(cacheDir, name)
	if _, ok := readComplete(dir); !ok {
		what := "isn't in the cache yet"
		if _, err := os.Stat(dir); err == nil {
			what = "is in the cache only in part"
		}
		return "", fmt.Errorf("%s: %s; hint: gpt2wgpu data fetch %s", name, what, name)
	}
	return filepath.Join(dir, d.file), nil
}

// cached returns the files of a corpus fetched before.
func (d dataset) cached(name string, o openOptions) (Parts, error) {
	path, err := Cached(name, o.cache)
	if err != nil {
		return Parts{}, err
	}
	if d.file != "" {
		return Parts{Train: []string{path}, Named: true}, nil
	}
	account, _ := readComplete(path) // the files it tells, and not those that a larger fetch has begun to add
	var shards []string
	for _, f := range account.Files {
		shards = append(shards, filepath.Join(path, f.Name))
	}
	slices.Sort(shards)
	p := partition(shards, namesBelow(path, shards))
	if p.Train == nil || p.Val == nil {
		return Parts{}, fmt.Errorf("%s: no shards to train on, or none to validate on, in %s; hint: gpt2wgpu data fetch %s", name, path, name)
	}
	p.Named = true
	return p, nil
}
