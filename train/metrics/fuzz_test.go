package metrics

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

func FuzzRead(f *testing.F) {
	path := filepath.Join(f.TempDir(), "metrics.jsonl")
	f.Add([]byte("{\"kind\":\"train\",\"step\":0,\"loss\":null}\n{\"kind\":\"val\",\"step\":1,\"loss\":2}\n{\"ki"))
	f.Add([]byte("{\"step\":-1}\n\x00\xff\n{\"step\":1e99}\n[]\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(path, raw, 0o666); err != nil {
			t.Fatal(err)
		}
		needs.Bounded(t, func() {
			if _, err := Read(path); err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q", err)
			}
			whole, bad, err := ReadWhole(path)
			if p := all(t, Follow(path, Position{})); err == nil && (len(p.Lines) != len(whole) || p.Bad != len(bad)) {
				t.Errorf("followed: %d lines, %d bad; read: %d, %d", len(p.Lines), p.Bad, len(whole), len(bad))
			}
			m, err := Open(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.TruncateFrom(1); err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q", err)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}
