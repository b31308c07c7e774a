package plainfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, []byte("content"), 0o666); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(path, 7); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Read(path, 6); err == nil || !strings.Contains(err.Error(), "more than 6 bytes") {
		t.Errorf("too long: %v", err)
	}
	if _, err := Read(path+".gone", 6); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := Read(filepath.Dir(path), 1); !errors.Is(err, ErrKind) || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a directory: %v", err)
	}
}

// TestDevice: what never ends is not opened.
func TestDevice(t *testing.T) {
	needs.Paths(t, "/dev/zero")
	if _, err := Read("/dev/zero", 1); !errors.Is(err, ErrKind) || !strings.Contains(err.Error(), "device") {
		t.Errorf("/dev/zero: %v", err)
	}
}

// TestOpenIn: a link leads to other files of the directory and nowhere else.
func TestOpenIn(t *testing.T) {
	needs.Symlinks(t)
	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	outside := filepath.Join(dir, "secret")
	if err := errors.Join(os.Mkdir(run, 0o777), os.WriteFile(outside, []byte("secret"), 0o666),
		os.WriteFile(filepath.Join(run, "own"), []byte("own"), 0o666), os.Mkdir(filepath.Join(run, "folder"), 0o777),
		os.Symlink("own", filepath.Join(run, "inner")), os.Symlink(outside, filepath.Join(run, "outer")),
		os.Symlink("../secret", filepath.Join(run, "above")),
		os.Symlink(run, filepath.Join(dir, "linked"))); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{run, filepath.Join(dir, "linked")} {
		for _, name := range []string{"own", "inner"} {
			if raw, err := ReadIn(dir, name, 100); err != nil || string(raw) != "own" {
				t.Errorf("%s: %q, %v", name, raw, err)
			}
		}
		for _, name := range []string{"outer", "above", "../secret", "folder", "none"} {
			if raw, err := ReadIn(dir, name, 100); err == nil {
				t.Errorf("%s: %q", name, raw)
			}
		}
	}
}
