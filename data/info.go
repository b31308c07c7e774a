package data

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ShardInfo is what one token file holds.
type ShardInfo struct {
	Path      string `json:"path"`
	Format    string `json:"format"` // "npy" (NumPy uint16), "llm.c" (token shard) or "llm.c eval" (HellaSwag)
	Bytes     int64  `json:"bytes"`
	Tokens    int64  `json:"tokens"`
	Documents int64  `json:"documents"` // how often GPT-2's <|endoftext|> occurs; of an eval file: its examples
	MinID     int    `json:"min_id"`
	MaxID     int    `json:"max_id"`
	Tokenizer string `json:"tokenizer"` // what Text was decoded with, a guess: "bytes" if every id is below 256
	First     []int  `json:"first"`     // the first ids, at most 64
	Text      string `json:"text"`      // and what they say
}

// Info reads a token file to its end. Errors are those of [Open].
func Info(path string) (ShardInfo, error) {
	if magic(path) == binEval {
		return evalInfo(path)
	}
	if !isShard(filepath.Base(path)) {
		return ShardInfo{}, fmt.Errorf("%s: extension %q, want .npy or .bin; hint: give it a shard of tokens", path, filepath.Ext(path))
	}
	s, err := openShard(path)
	if err != nil {
		return ShardInfo{}, err
	}
	defer s.close()
	info := ShardInfo{Path: path, Format: "llm.c", Bytes: int64(len(s.file.Bytes)), Tokens: s.len(), MinID: 1 << 16}
	if filepath.Ext(path) == ".npy" {
		info.Format = "npy"
	}
	err = guard(path, func() {
		for i := range s.len() {
			id := int(s.token(i))
			info.MinID, info.MaxID = min(info.MinID, id), max(info.MaxID, id)
			if id == gpt2EOT {
				info.Documents++
			}
		}
		for i := range min(64, s.len()) {
			info.First = append(info.First, int(s.token(i)))
		}
	})
	if err != nil {
		return ShardInfo{}, err
	}
	return info, info.decode()
}

func (info *ShardInfo) decode() error {
	info.Tokenizer = "gpt2"
	if info.MaxID < 256 {
		info.Tokenizer = "bytes"
	}
	tok, err := NewTokenizer(info.Tokenizer)
	if err != nil {
		return err
	}
	info.Text = tok.Decode(info.First)
	return nil
}

// magic returns the first four bytes of a .bin file as a number, 0 if there are none.
func magic(path string) int64 {
	if filepath.Ext(path) != ".bin" {
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
	return info, info.decode()
}
