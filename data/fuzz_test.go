package data

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/klauspost/compress/snappy"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// oneLine fails for an error of several lines, of a Go type or of a runtime fault.
func oneLine(t *testing.T, err error) {
	t.Helper()
	if err != nil && (strings.ContainsFunc(err.Error(), unicode.IsControl) || strings.Contains(err.Error(), "*data.")) {
		t.Errorf("not one line in words: %q", err)
	}
}

func FuzzParquet(f *testing.F) {
	text := plain("some text", "", "more of it")
	lz := make([]byte, 200)
	n, err := lz4.CompressBlock(bytes.Repeat(text, 9), lz, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range []crafted{
		{data: text, values: 3},
		{data: append(levels(6, 1), text...), values: 3, optional: true},
		{data: snappy.Encode(nil, text), size: int32(len(text)), values: 3, codec: format.Snappy},
		{data: zstandard(text), size: int32(len(text)), values: 3, codec: format.Zstd},
		{data: zipped(text), size: int32(len(text)), values: 3, codec: format.Gzip},
		{data: lz[:n], size: int32(9 * len(text)), values: 27, codec: format.Lz4Raw},
		{data: []byte{1, 3, 2}, values: 3, dict: plain("a", "b"), dictN: 2, encoding: format.RLEDictionary},
		{data: append(append(deltas(2, 1), 0, 0, 0, 0, 0), "ab"...), values: 2, encoding: format.DeltaLengthByteArray},
	} {
		f.Add(c.bytes())
	}
	for _, x := range parquetFaults() {
		if raw := x.file(); len(raw) < 2048 {
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		needs.Bounded(t, func() {
			in := input{path: "a.parquet", ID: inputID{Bytes: int64(len(raw))}}
			texts := 0
			oneLine(t, in.readParquet(bytes.NewReader(raw), position{}, 1<<16, func(c chunk) bool {
				for _, d := range c.docs {
					texts += len(d.text)
				}
				return texts < 1<<20 // a page of a few bytes may stand for a text many times
			}))
		})
	})
}

func FuzzTokenizerJSON(f *testing.F) {
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"Ġ":3},"merges":["a b"]},"pre_tokenizer":`+
		`{"type":"ByteLevel","add_prefix_space":true},"added_tokens":[{"id":4,"content":"<x>","lstrip":true,`+
		`"rstrip":true,"single_word":true}]}`),
		[]byte(`{"eos_token":"<x>","added_tokens_decoder":{"4":{"content":"<x>"}}}`))
	f.Add([]byte(`{"model":{"vocab":{"a":0},"merges":[["a","a"]],"unk_token":"a","ignore_merges":true},`+
		`"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"x"}},`+
		`{"type":"ByteLevel","use_regex":false}]},"normalizer":{"type":"NFC"},`+
		`"post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}}]}}`),
		[]byte(`{"tokenizer_class":"GPT2TokenizerFast","add_prefix_space":null}`))
	f.Fuzz(func(t *testing.T, tokenizer, config []byte) {
		needs.Bounded(t, func() {
			useTokenizer(t, tokenizerFiles{"tokenizer.json": tokenizer, tokenizerConfigFile: config})
		})
	})
}

func FuzzVocabMerges(f *testing.F) {
	f.Add([]byte(`{"a":0,"b":1,"ab":2,"<|endoftext|>":3}`), []byte("#version: 0.2\na b\n"), []byte(`{"<x>":4}`))
	f.Add([]byte(`{"a":70000}`), []byte("a b c\r\n"), []byte(`{"a":1,"a":2}`))
	f.Fuzz(func(t *testing.T, vocab, merges, added []byte) {
		needs.Bounded(t, func() {
			useTokenizer(t, tokenizerFiles{"vocab.json": vocab, "merges.txt": merges, "added_tokens.json": added})
		})
	})
}

// useTokenizer encodes and decodes with what the files describe.
func useTokenizer(t *testing.T, files tokenizerFiles) {
	tok := TokenizerOfFiles("some", files)
	oneLine(t, TextError(tok))
	const text = " a text, ab's <x> \xff<|endoftext|>"
	ids := tok.Encode(text)
	for _, id := range ids {
		if id < 0 || id >= tok.VocabSize() {
			t.Errorf("id %d of a vocabulary of %d", id, tok.VocabSize())
		}
	}
	tok.Decode(ids)
	if eot, ok := tok.EOT(); ok && (eot < 0 || eot >= max(1, tok.VocabSize())) {
		t.Errorf("the end of a document is %d of %d", eot, tok.VocabSize())
	}
	EncodePrompt(tok, text)
	SameTokenizer(tok, byteTokenizer{})
}

// fuzzFile fuzzes a reader of files with that name.
func fuzzFile(f *testing.F, name string, read func(path string) error) {
	path := filepath.Join(f.TempDir(), name)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(path, raw, 0o666); err != nil {
			t.Fatal(err)
		}
		needs.Bounded(t, func() { oneLine(t, read(path)) })
	})
}

// readShard opens a shard and reads all of it.
func readShard(path string) error {
	c, err := Open(path, nil, 256, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	l, err := NewLoader(c, 1, 2, 0, 1)
	if err != nil {
		return err
	}
	x := make([]uint32, 2)
	for range 10 {
		if err := l.Next(x, x); err != nil {
			return err
		}
	}
	_, err = Info(path)
	return err
}

func FuzzShardNPY(f *testing.F) {
	f.Add(npyFile(1, 2, 3, 4, 5, 6))
	f.Add(npyFile(60000))
	f.Add([]byte("\x93NUMPY\x02\x00\x40\x00\x00\x00{'descr': '<u2', 'fortran_order': False, 'shape': (1L,)}"))
	fuzzFile(f, "a.npy", readShard)
}

func FuzzShardBin(f *testing.F) {
	f.Add(append(binHead(3), tokenBytes(1, 2, 3)...))
	f.Add(binHead(1<<31 - 1))
	f.Add(tokenBytes(1, 2, 3, 4))
	fuzzFile(f, "a.bin", readShard)
}

func FuzzEvalBin(f *testing.F) {
	head, _ := binary.Append(nil, binary.LittleEndian, [256]uint32{binEval, 1, 1, 40})
	f.Add(append(head, tokenBytes(0xffff, 30, 0, 2, 4, 1, 7, 1, 8, 1, 9, 1, 10, 1, 11)...))
	f.Add(head)
	fuzzFile(f, "a.bin", func(path string) error { _, err := ReadHellaSwag(path, nil); return err })
}

func FuzzEvalJSONL(f *testing.F) {
	f.Add([]byte(`{"ctx":"A man","label":"1","endings":["a","b","c","d"]}`))
	f.Add([]byte("\ufeff{\"ctx\":\"A\",\"label\":2.0,\"endings\":[\"a\",null,\"c\"]}\r\n\n[]"))
	fuzzFile(f, "a.jsonl", func(path string) error { _, err := ReadHellaSwag(path, byteTokenizer{}); return err })
}

func FuzzTokenizeJSONL(f *testing.F) {
	f.Add([]byte(`{"text":"a \ud83d\ude00 b"}` + "\n" + `{"text":null}` + "\n"))
	f.Add([]byte("{\"text\":\"\\ud83d\xff\"}\r\n\r\n{\"text\":5}"))
	fuzzFile(f, "a.jsonl", readChunks)
}

func FuzzTokenizeText(f *testing.F) {
	f.Add([]byte("\ufeffone<|endoftext|>\r\ntwo's \xe2\x82"))
	f.Add([]byte("\x00a"))
	fuzzFile(f, "a.txt", readChunks)
}

// readChunks reads an input in small chunks and encodes them.
func readChunks(path string) error {
	inputs, err := identifyAll([]string{path})
	if err != nil {
		return err
	}
	tok, err := NewTokenizer("gpt2")
	if err != nil {
		return err
	}
	for c, err := range inputs[0].chunks(position{}, endOfText, tok, 64) {
		if err != nil {
			return err
		}
		j := job{chunk: c, path: path}
		if j.encode(tok); j.err != nil {
			return j.err
		}
	}
	return nil
}

func FuzzManifest(f *testing.F) {
	dir := f.TempDir()
	in := write(f, filepath.Join(dir, "text.txt"), []byte(strings.Repeat("some text ", 300)))
	o := TokenizeOptions{Out: filepath.Join(dir, "out"), Tokenizer: byteTokenizer{}, ShardTokens: 1000, Workers: 1}
	mustTokenize(f, []string{in}, o)
	path := filepath.Join(o.Out, "text.tokenize.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		f.Fatal(err)
	}
	compact, _ := json.Marshal(m)
	f.Add(compact)
	m.Done, m.Shards = false, m.Shards[:2]
	m.Shards[1].Next, m.Shards[1].Skip = position{File: 1}, 0
	lie, _ := json.Marshal(m)
	f.Add(lie)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(path, raw, 0o666); err != nil {
			t.Fatal(err)
		}
		needs.Bounded(t, func() {
			_, err := Tokenize(t.Context(), []string{in}, o)
			oneLine(t, err)
			makerOf(filepath.Join(o.Out, "text_val_000000.npy"))
		})
	})
}
