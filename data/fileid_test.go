package data

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestIdentify: a digest sees every byte of a small file, and the header, the end and the length of a large one.
func TestIdentify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	id := func(content []byte) FileID {
		t.Helper()
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := Identify(path)
		if err != nil || f.Bytes != int64(len(content)) || f.Path != path {
			t.Fatalf("%+v, %v", f, err)
		}
		return f
	}
	for _, size := range []int{0, 1, 5000, digestWhole, digestWhole + 1, digestWhole + 12345} {
		content := bytes.Repeat([]byte{7}, size)
		was := id(content)
		if !was.Same(id(content)) {
			t.Errorf("%d bytes: the same content has two digests", size)
		}
		places := []int{0, size / 2, size - 1}
		if size > digestWhole {
			places = []int{0, size - 1}
		}
		for _, at := range places {
			if size == 0 {
				continue
			}
			content[at]++
			if was.Same(id(content)) {
				t.Errorf("%d bytes: a change at byte %d is not seen", size, at)
			}
			content[at]--
		}
		if was.Same(id(append(content, 7))) {
			t.Errorf("%d bytes: a byte more is not seen", size)
		}
	}
	if _, err := Identify(filepath.Join(t.TempDir(), "no")); err == nil {
		t.Error("a missing file has an identity")
	}
}

func TestCorpusFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.npy", "b.npy"} {
		if err := os.WriteFile(filepath.Join(dir, name), append(npyHead(3), 1, 0, 2, 0, 3, 0), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := NewTokenizer("bytes")
	if err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]int{dir: 2, filepath.Join(dir, "b.npy"): 1, "sample": 0} {
		c, err := Open(spec, tok, 256, nil)
		if err != nil {
			t.Fatal(err)
		}
		files, err := c.Files()
		if err != nil || len(files) != want {
			t.Errorf("%s: files %v, %v; want %d", spec, files, err, want)
		}
		c.Close()
	}
}
