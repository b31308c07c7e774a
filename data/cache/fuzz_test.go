package cache

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

func FuzzAccount(f *testing.F) {
	dir := f.TempDir()
	for name, text := range map[string]string{"a.bin": "abc", "../outside": "abc"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			f.Fatal(err)
		}
	}
	f.Add([]byte(`{"shards":2,"commit":"x","files":[{"name":"a.bin","bytes":3,"sha256":"y"}]}`))
	f.Add([]byte(`{"files":[{"name":"../outside","bytes":3}]}`))
	f.Add([]byte(`{"files":[{"name":"a.bin","bytes":-1}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(filepath.Join(dir, AccountFile), raw, 0o666); err != nil {
			t.Fatal(err)
		}
		needs.Bounded(t, func() {
			a, ok := ReadAccount(dir)
			for _, file := range a.Files {
				if ok && file.Name != "a.bin" && file.Name != AccountFile {
					t.Errorf("%q is taken for a file of the directory", file.Name)
				}
			}
		})
	})
}
