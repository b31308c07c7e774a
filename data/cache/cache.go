package cache

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adrg/xdg"

	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// Dir is where fetched datasets are kept: gpt2wgpu in the user's cache directory (XDG_CACHE_HOME, by default
// ~/.cache on Linux, ~/Library/Caches on macOS, %LOCALAPPDATA%\cache on Windows).
func Dir() string { return filepath.Join(xdg.CacheHome, "gpt2wgpu") }

// Dataset is something that can be fetched by name, into a directory of that name.
type Dataset struct {
	About  string // for people: what and how much
	Corpus bool   // can be trained on
	File   string // the one file it consists of; "" for a directory of several

	// Where it comes from: a path on GitHub's raw file host, or a repository on the Hugging Face hub (of kind
	// "datasets" or "models") and names in it, of which * stands for several.
	Raw        string
	Kind, Repo string
	Names      []string
	SHA256     string // of the one file, where it never changes
	Separator  string // between documents: texts are then tokenized, the one with "valid" in its name as validation
	Examples   int    // HellaSwag: questions that must be in it
	Sharded    bool   // the files are shards
	Largest    int64  // bytes that no file of it exceeds
}

// Datasets has every Dataset by its name.
var Datasets = map[string]Dataset{
	"shakespeare": {About: "Tiny Shakespeare, 1.1 MB", Corpus: true, File: "tinyshakespeare.txt", Largest: 4e6,
		Raw:    "karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
		SHA256: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
	"tinystories": {About: "TinyStories V2, 2.2 GB of text made into 1.1 GB of tokens", Corpus: true,
		Largest: 4e9, Kind: "datasets", Repo: "roneneldan/TinyStories", Separator: "<|endoftext|>",
		Names: []string{"TinyStoriesV2-GPT4-valid.txt", "TinyStoriesV2-GPT4-train.txt"}},
	"fineweb-edu": {About: "FineWeb-Edu sample-10BT as GPT-2 tokens, 100 shards, 20 GB", Corpus: true, Sharded: true,
		Largest: 1e9, Kind: "datasets", Repo: "kjj0/finewebedu10B-gpt2",
		Names: []string{"finewebedu_val_*.bin", "finewebedu_train_*.bin"}},
	"hellaswag": {About: "HellaSwag validation set, 10,042 questions, 12 MB", File: "hellaswag_val.jsonl",
		Examples: 10042, Largest: 64e6,
		Raw: "rowanz/hellaswag/master/data/hellaswag_val.jsonl"},
	"gpt2":        gpt2Weights("gpt2", "124M parameters, 0.5 GB", 1e9),
	"gpt2-medium": gpt2Weights("gpt2-medium", "355M parameters, 1.5 GB", 3e9),
	"gpt2-large":  gpt2Weights("gpt2-large", "774M parameters, 3.2 GB", 6e9),
	"gpt2-xl":     gpt2Weights("gpt2-xl", "1558M parameters, 6.4 GB", 12e9),
}

func gpt2Weights(name, size string, largest int64) Dataset {
	return Dataset{About: "OpenAI's weights, " + size, Largest: largest, Kind: "models",
		Repo: "openai-community/" + name, Names: []string{"config.json", "model.safetensors"}}
}

// Names returns the names in alphabetical order.
func Names() []string { return slices.Sorted(maps.Keys(Datasets)) }

// Find returns the data set of a name. Error: there is none; the hint names them.
func Find(name string) (Dataset, error) {
	d, ok := Datasets[name]
	if !ok {
		return d, fmt.Errorf("%q: no such dataset; hint: %s", name, strings.Join(Names(), ", "))
	}
	return d, nil
}

// AccountFile is written into a data set's directory when all of it is there.
const AccountFile = "complete.json"

// Account lists what was fetched.
type Account struct {
	Shards int    `json:"shards,omitempty"` // training shards asked for; 0: all
	Commit string `json:"commit,omitempty"` // of the hub's repository
	Files  []File `json:"files"`
}

// File is one file of an Account.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"`
}

// ReadAccount returns the account of a fetched data set if all its files are there, in their sizes. A name or a link
// that leads out of the directory is not a file of it.
func ReadAccount(dir string) (a Account, ok bool) {
	raw, err := plainfile.Read(filepath.Join(dir, AccountFile), maxAccount)
	if err != nil || exactjson.Unmarshal(raw, &a) != nil || len(a.Files) == 0 || a.Shards < 0 {
		return Account{}, false
	}
	for _, f := range a.Files {
		path := filepath.Join(dir, f.Name)
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() != f.Bytes || !isName(f.Name) || !within(dir, path) {
			return a, false
		}
	}
	return a, true
}

const maxAccount = 4 << 20 // bytes

// isName reports whether a name is that of a file in a directory, and leads nowhere else.
func isName(name string) bool {
	return name == filepath.Base(name) && filepath.IsLocal(name) && name != "."
}

// within reports whether a file lies below a directory, links followed.
func within(dir, path string) bool {
	root, err1 := filepath.EvalSymlinks(dir)
	real, err2 := filepath.EvalSymlinks(path)
	if err1 != nil || err2 != nil {
		return false
	}
	rel, err := filepath.Rel(root, real)
	return err == nil && filepath.IsLocal(rel)
}

// Open returns where something that was fetched before lies: the file of shakespeare and hellaswag, the directory of
// the others; and the files that its account names, not those that a larger fetch has begun to add. If it isn't
// there, or not all of it, the error's hint is the command that fetches it.
func Open(name string) (path string, files []string, err error) {
	d, err := Find(name)
	if err != nil {
		return "", nil, err
	}
	dir := filepath.Join(Dir(), name)
	account, ok := ReadAccount(dir)
	if !ok {
		what := "isn't in the cache yet"
		if _, err := os.Stat(dir); err == nil {
			what = "is in the cache only in part"
		}
		return "", nil, fmt.Errorf("%s: %s; hint: gpt2wgpu data fetch %s", name, what, name)
	}
	for _, f := range account.Files {
		files = append(files, filepath.Join(dir, f.Name))
	}
	slices.Sort(files)
	return filepath.Join(dir, d.File), files, nil
}
