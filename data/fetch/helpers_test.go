package fetch

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/adrg/xdg"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
)

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func dirNames(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func mustTokenizer(t testing.TB, name string) data.Tokenizer {
	t.Helper()
	tok, err := data.NewTokenizer(name)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// manyWords is English-like text of at least n bytes.
func manyWords(n int) string {
	words := strings.Fields(data.SampleText())
	r := rand.New(rand.NewPCG(5, 6))
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(words[r.IntN(len(words))])
		b.WriteByte(' ')
	}
	return b.String()
}

// shardHeader is what a shard of llm.c begins with, in bytes.
const shardHeader = 1024

// shard is a file of llm.c with n tokens: from, from+1, ...
func shard(from, n int) string {
	var b bytes.Buffer
	head := make([]int32, shardHeader/4)
	copy(head, []int32{20240520, 1, int32(n)})
	binary.Write(&b, binary.LittleEndian, head)
	for i := range n {
		binary.Write(&b, binary.LittleEndian, uint16(from+i))
	}
	return b.String()
}

// emptyCache gives the test a cache of its own.
func emptyCache(t testing.TB) {
	old := xdg.CacheHome
	t.Cleanup(func() { xdg.CacheHome = old })
	xdg.CacheHome = t.TempDir()
	if err := os.Mkdir(cache.Dir(), 0o777); err != nil {
		t.Fatal(err)
	}
}

// tokensOf opens a fetched corpus and returns the tokens of its files.
func tokensOf(t testing.TB, name string, split data.Split) (ids []int) {
	t.Helper()
	c, err := data.Open(name, nil, 50257, nil, data.WithSplit(split))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	files, err := c.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		for at := shardHeader; at < len(raw); at += 2 {
			ids = append(ids, int(binary.LittleEndian.Uint16(raw[at:])))
		}
	}
	if int64(len(ids)) != c.Len() {
		t.Fatalf("%s: the corpus has %d tokens, its files %d", name, c.Len(), len(ids))
	}
	return ids
}
