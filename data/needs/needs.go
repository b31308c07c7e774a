package needs

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Symlinks: Windows makes symbolic links only for administrators and developers, and Wine does not follow them.
func Symlinks(t testing.TB) {
	t.Helper()
	link := filepath.Join(t.TempDir(), "link")
	err := cmp.Or(os.WriteFile(link+".target", nil, 0o666), os.Symlink("link.target", link), exists(link))
	if err != nil {
		t.Skip("needs symbolic links: ", err)
	}
}

func exists(path string) error {
	_, err := os.Stat(path)
	return err
}

// Permissions: a directory without the right to write must refuse a new file, as it does not for root and on Windows.
func Permissions(t testing.TB) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o666); err == nil {
		t.Skip("needs a file system and a user for whom permissions hold (not root, not Windows)")
	}
}

// Modes: the file system keeps a file's permission bits.
func Modes(t testing.TB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := cmp.Or(os.WriteFile(path, nil, 0o640), os.Chmod(path, 0o400)); err != nil {
		t.Skip("needs permission bits: ", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o400 {
		t.Skip("needs a file system that keeps permission bits")
	}
}

// Signals: a process can be interrupted by another, which Windows has no call for.
func Signals(t testing.TB) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs signals between processes")
	}
}

// Programs: each of these is found in PATH.
func Programs(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("needs the program ", name)
		}
	}
}

// Paths: each of these files or devices is there, such as /dev/full and /proc/self.
func Paths(t testing.TB, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if exists(path) != nil {
			t.Skip("needs ", path)
		}
	}
}

// CaseSensitive: the file system distinguishes a.txt from A.txt.
func CaseSensitive(t testing.TB) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(dir, "A")) == nil {
		t.Skip("needs a file system that distinguishes upper and lower case")
	}
}
