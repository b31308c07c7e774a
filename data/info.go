package data

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
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
	// what Text was decoded with: as the manifest says, else a guess, "bytes" if every id is below 256
	Tokenizer string `json:"tokenizer"`
	First     []int  `json:"first"` // the first ids, at most 64
	Text      string `json:"text"`  // and what they say
}

// InfoFiles returns paths with the files of every directory in place of it. Files that the program keeps beside shards
// (NAME.tokenize.json, complete.json and other .json), hidden ones and those of no known kind are left out where a
// directory or several files were named; left says which, but for the .json. Errors: a path that is missing, no file of
// data among them.
func InfoFiles(paths []string) (files, left []string, err error) {
	known := func(p string) bool { return isShard(filepath.Base(p)) || isText(p) }
	take := func(p string) {
		switch base := filepath.Base(p); {
		case known(p):
			files = append(files, p)
		case extension(p) != ".json" && !strings.HasPrefix(base, "."):
			left = append(left, p)
		}
	}
	for _, p := range paths {
		info, err := os.Stat(p)
		switch {
		case err == nil && info.IsDir() && len(paths) > 1:
			left = append(left, p)
		case err == nil && info.IsDir():
			entries, err := os.ReadDir(p)
			if err != nil {
				return nil, nil, fmt.Errorf("data: %w; hint: check the directory's permissions", err)
			}
			for _, e := range entries {
				if !e.IsDir() {
					take(filepath.Join(p, e.Name()))
				}
			}
		case err != nil || len(paths) == 1:
			files = append(files, p) // whatever is wrong, Info reports it
		default:
			take(p)
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
		return ShardInfo{}, fmt.Errorf("%s: %w; hint: check the path", path, cause(err))
	}
	if isText(path) {
		return textInfo(path)
	}
	if magic(path) == binEval {
		return evalInfo(path)
	}
	if !isShard(filepath.Base(path)) {
		return ShardInfo{}, fmt.Errorf("%s: extension %q, want .npy or .bin, or a text's; hint: give it a shard of "+
			"tokens", path, extension(path))
	}
	s, err := openShard(path)
	if err != nil {
		return ShardInfo{}, err
	}
	defer s.close()
	info := ShardInfo{Path: path, Format: "llm.c", Bytes: int64(len(s.file.Bytes)), Tokens: s.len(), MinID: 1 << 16}
	if extension(path) == ".npy" {
		info.Format = "npy"
	}
	count := make([]int64, maxVocab)
	err = guard(path, func() {
		for i := range s.len() {
			id := int(s.token(i))
			info.MinID, info.MaxID = min(info.MinID, id), max(info.MaxID, id)
			count[id]++
		}
		for i := range min(64, s.len()) {
			info.First = append(info.First, int(s.token(i)))
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
func (info *ShardInfo) decode() (Tokenizer, error) {
	if m := makerOf(info.Path); m != nil {
		if tok, err := NewTokenizer(m.spec); err == nil {
			info.Tokenizer, info.Text = m.spec, tok.Decode(info.First)
			return tok, nil
		}
	}
	switch {
	case info.MaxID < 256:
		info.Tokenizer = "bytes"
	case info.MaxID < paddedVocab:
		info.Tokenizer = "gpt2"
	default:
		info.Tokenizer = "ids"
	}
	tok, err := NewTokenizer(info.Tokenizer)
	if err == nil {
		info.Text = tok.Decode(info.First)
	}
	return tok, err
}

// magic returns the first four bytes of a .bin file as a number, 0 if there are none.
func magic(path string) int64 {
	if extension(path) != ".bin" {
		return 0
	}
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	var b [4]byte
	if _, err := io.ReadFull(f, b[:]); err != nil {
		return 0
	}
	return int64(binary.LittleEndian.Uint32(b[:]))
}

func evalInfo(path string) (ShardInfo, error) {
	tok, err := NewTokenizer("gpt2")
	if err != nil {
		return ShardInfo{}, err
	}
	examples, err := ReadHellaSwag(path, tok)
	if err != nil {
		return ShardInfo{}, err
	}
	info := ShardInfo{Path: path, Format: "llm.c eval", Documents: int64(len(examples)), MinID: 1 << 16}
	if st, err := os.Stat(path); err == nil {
		info.Bytes = st.Size()
	}
	for _, e := range examples {
		for _, ids := range [][]int{e.Context, e.Endings[0], e.Endings[1], e.Endings[2], e.Endings[3]} {
			info.Tokens += int64(len(ids))
			for _, id := range ids {
				info.MinID, info.MaxID = min(info.MinID, id), max(info.MaxID, id)
			}
		}
	}
	info.First = examples[0].Context
	info.First = info.First[:min(64, len(info.First))]
	_, err = info.decode()
	return info, err
}
