package filemap

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/edsrzf/mmap-go"
)

func open(t *testing.T, text string) (*Map, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Seek(1, 0) // must not matter
	return Open(f)
}

func TestOpen(t *testing.T) {
	mapping := mapFile
	t.Cleanup(func() { mapFile = mapping })
	for _, refusal := range []error{nil, syscall.ENODEV, syscall.ENOTSUP} {
		if refusal != nil {
			mapFile = func(*os.File) (mmap.MMap, error) { return nil, os.NewSyscallError("mmap", refusal) }
		}
		for _, text := range []string{"some content", ""} {
			m, err := open(t, text)
			if err != nil {
				t.Fatalf("%v, %q: %v", refusal, text, err)
			}
			if got := string(m.Bytes); got != text {
				t.Errorf("%v: got %q, want %q", refusal, got, text)
			}
			for range 2 {
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
	mapFile = func(*os.File) (mmap.MMap, error) { return nil, syscall.ENOMEM }
	if _, err := open(t, "text"); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("got %v, want no memory", err)
	}
}
