package data

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
)

// ShardInfo is what one file of data holds: tokens, or text that is not tokenized yet.
type ShardInfo struct {
	Path string `json:"path"`
	// "npy" (NumPy uint16), "llm.c" (token shard), "llm.c eval" (HellaSwag); "text", "jsonl", "parquet"
	Format string `json:"format"`
	Bytes  int64  `json:"bytes"`
	Tokens int64  `json:"tokens"`
	// how often the tokenizer's end of a document occurs; of an eval file: its examples; of texts: lines or rows
	Documents int64 `json:"documents"`
	MinID     int   `json:"min_id"`
	MaxID     int   `json:"max_id"`
	// that decoded Text: the manifest's, else a guess, "bytes" if every id is below 256
	Tokenizer string `json:"tokenizer"`
	First     []int  `json:"first"` // the first ids, at most 64
	Text      string `json:"text"`  // the text of First
}

// InfoFiles returns paths with the files of every directory in place of it. Files that the program keeps beside shards
// (NAME.tokenize.json, complete.json and other .json), hidden ones and those of no known kind are left out where a
// directory or several files were named; left names them, but not the .json. Error: no file of data among them.
func InfoFiles(paths []string) (files, left []string, err error) {
	candidates := paths
	if len(paths) == 1 {
		info, err := os.Stat(paths[0])
		if err != nil || !info.IsDir() {
			return paths, nil, nil // Info reports what is wrong with it
		}
		entries, err := os.ReadDir(paths[0])
		if err != nil {
			return nil, nil, fmt.Errorf("data: %w; hint: check the directory's permissions", err)
		}
		candidates = nil
		for _, e := range entries {
			if !e.IsDir() {
				candidates = append(candidates, filepath.Join(paths[0], e.Name()))
			}
		}
	}
	for _, p := range candidates {
		info, err := os.Stat(p)
		known := isShard(p) || isText(p)
		switch {
		case err != nil && len(paths) > 1, known && (err != nil || !info.IsDir()):
			files = append(files, p)
		case err == nil && info.IsDir() || extension(p) != ".json" && !strings.HasPrefix(filepath.Base(p), "."):
			left = append(left, p)
		}
	}
	if len(files) == 0 {
		return nil, nil, fmt.Errorf("%s: no file of data here; hint: give .npy or .bin shards, or texts", paths[0])
	}
	return files, left, nil
}

// Info reads a file of data to its end. Errors are those of [Open] and [Tokenize].
func Info(path string) (ShardInfo, error) {
	if _, err := os.Stat(path); err != nil {
		return ShardInfo{}, fmt.Errorf("%s: %w; hint: check the path", path, atomicfile.Reason(err))
	}
	if isText(path) {
		return textInfo(path)
	}
	if n, _ := magicOf(readHead(path)); n == binEval && extension(path) == ".bin" {
		return evalInfo(path)
	}
	if !isShard(path) {
		return ShardInfo{}, fmt.Errorf("%s: extension %q, want .npy, .bin or %s; hint: give it a shard of tokens", path,
			extension(path), wantInputs)
	}
	s, err := openShard(path)
	if err != nil {
		return ShardInfo{}, err
	}
	defer s.close()
	info := ShardInfo{Path: path, Format: "llm.c", Bytes: int64(len(s.file.Bytes)), MinID: maxVocab}
	if extension(path) == ".npy" {
		info.Format = "npy"
	}
	count := make([]int64, maxVocab)
	err = guard(path, func() {
		for i := range s.len() {
			info.add(int(s.token(i)))
			count[s.token(i)]++
		}
	})
	if err != nil {
		return ShardInfo{}, err
	}
	tok, err := info.decode()
	if err != nil {
		return ShardInfo{}, err
	}
	if eot, ok := tok.EOT(); ok {
		info.Documents = count[eot]
	}
	return info, nil
}

// add counts a token.
func (info *ShardInfo) add(id int) {
	info.Tokens++
	info.MinID, info.MaxID = min(info.MinID, id), max(info.MaxID, id)
	if len(info.First) < 64 {
		info.First = append(info.First, id)
	}
}

// textInfo counts the documents of a text and shows where it begins.
func textInfo(path string) (ShardInfo, error) {
	inputs, err := identifyAll([]string{path})
	if err != nil {
		return ShardInfo{}, err
	}
	info := ShardInfo{Path: path, Format: "text", Bytes: inputs[0].ID.Bytes, First: []int{}}
	if !isPlain(path) {
		info.Format = extension(path)[1:]
	}
	for c, err := range inputs[0].chunks(position{}, "", byteTokenizer{}, encodeChunk) {
		if err != nil {
			return ShardInfo{}, err
		}
		for _, d := range c.docs {
			if d.begin {
				info.Documents++
			}
			if info.Text != "" {
				continue
			}
			if d.json != nil {
				if _, err := d.decode(); err != nil {
					return ShardInfo{}, fmt.Errorf("%s: byte %d: %w", path, d.at, err)
				}
			}
			info.Text = strings.ToValidUTF8(d.text[:min(len(d.text), 200)], "")
		}
	}
	return info, nil
}

// decode fills in Tokenizer and Text.
func (info *ShardInfo) decode() (tok Tokenizer, err error) {
	if m := makerOf(info.Path); m != nil {
		info.Tokenizer = m.spec
		tok, err = NewTokenizer(m.spec)
	}
	if tok == nil || err != nil {
		switch {
		case info.MaxID < 256:
			info.Tokenizer = "bytes"
		case info.MaxID < paddedVocab:
			info.Tokenizer = "gpt2"
		default:
			info.Tokenizer = "ids"
		}
		if tok, err = NewTokenizer(info.Tokenizer); err != nil {
			return nil, err
		}
	}
	info.Text = tok.Decode(info.First)
	return tok, nil
}

func evalInfo(path string) (ShardInfo, error) {
	examples, err := ReadHellaSwag(path, nil)
	if err != nil {
		return ShardInfo{}, err
	}
	info := ShardInfo{Path: path, Format: "llm.c eval", Documents: int64(len(examples)), MinID: maxVocab}
	if st, err := os.Stat(path); err == nil {
		info.Bytes = st.Size()
	}
	for _, e := range examples {
		for _, ids := range append([][]int{e.Context}, e.Endings[:]...) {
			for _, id := range ids {
				info.add(id)
			}
		}
	}
	info.First = examples[0].Context[:min(64, len(examples[0].Context))]
	_, err = info.decode()
	return info, err
}
