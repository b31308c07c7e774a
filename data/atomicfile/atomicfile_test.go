package atomicfile

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// names returns the names in dir.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func content(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestWriteReplacesWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	for _, text := range []string{"first", "", "a longer third one"} {
		if err := Write(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	if got := names(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("left behind: %v", got)
	}
}

func TestFailedWriteLeavesTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	full := errors.New("the disk is full")
	err := WriteFunc(path, func(w *bufio.Writer) error {
		w.WriteString("half of the n")
		return full
	})
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if got := content(t, path); got != "old" {
		t.Errorf("got %q, want the old content", got)
	}
	if got := names(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("left behind: %v", got)
	}
}

func TestCommitWithoutADirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := Create(filepath.Join(dir, "x"))
	if err != nil {
		t.Fatal(err)
	}
	if !IsTemp(filepath.Base(f.Name()), "x") || IsTemp(filepath.Base(f.Name()), "y") || IsTemp("x", "x") {
		t.Errorf("IsTemp is wrong about %s", f.Name())
	}
	if runtime.GOOS != "windows" { // an open file cannot be removed there
		os.RemoveAll(dir)
		if f.Commit() == nil {
			t.Error("no error from a directory that has gone")
		}
	}
	f.Abandon()
}

func TestModeIsKept(t *testing.T) {
	needs.Modes(t)
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o640 {
		t.Errorf("mode %o, want 640", got)
	}
}

type syncer struct{ err error }

func (s syncer) Sync() error { return s.err }

func TestFileSystemsWithoutSync(t *testing.T) {
	for _, err := range []error{nil, syscall.EINVAL, syscall.ENOTSUP, syscall.ENOSYS} {
		if got := Sync(syncer{&os.PathError{Op: "sync", Path: "d", Err: err}}); got != nil && err != nil {
			t.Errorf("%v: got %v, want none", err, got)
		}
	}
	for _, err := range []error{syscall.EIO, syscall.ENOSPC} {
		if got := Sync(syncer{&os.PathError{Op: "sync", Path: "d", Err: err}}); !errors.Is(got, err) {
			t.Errorf("%v: got %v", err, got)
		}
	}
}
