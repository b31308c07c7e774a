package cache

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// TestAccountStaysInside: neither a name nor a link of a fetched data set leads out of its directory.
func TestAccountStaysInside(t *testing.T) {
	needs.Symlinks(t)
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	outside := filepath.Join(root, "secret")
	for _, err := range []error{
		os.Mkdir(dir, 0o777), os.WriteFile(outside, []byte("abc"), 0o666),
		os.WriteFile(filepath.Join(dir, "own"), []byte("abc"), 0o666),
		os.Symlink("own", filepath.Join(dir, "inner")), os.Symlink(outside, filepath.Join(dir, "outer")),
		os.Symlink(dir, filepath.Join(root, "moved")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]bool{"own": true, "inner": true, "outer": false, "../secret": false, "": false,
		"./own": false, ".": false, "none": false} {
		text := `{"files":[{"name":"` + name + `","bytes":3}]}`
		if err := os.WriteFile(filepath.Join(dir, AccountFile), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		for _, d := range []string{dir, filepath.Join(root, "moved")} { // a cache may itself be a link
			if _, ok := ReadAccount(d); ok != want {
				t.Errorf("%q in %s: %v, want %v", name, d, ok, want)
			}
		}
	}
}
