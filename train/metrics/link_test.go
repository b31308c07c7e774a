package metrics

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// TestLinks: a link in the place of metrics.jsonl leads to no file outside of the run's directory, to read or to write.
// One to another file of the directory is followed.
func TestLinks(t *testing.T) {
	needs.Symlinks(t)
	const lines = `{"kind":"train","step":0}` + "\n" + `{"kind":"tra`
	dir := t.TempDir()
	outside, run := filepath.Join(dir, "outside"), filepath.Join(dir, "run")
	must(t, os.Mkdir(run, 0o777), os.WriteFile(outside, []byte(lines), 0o666),
		os.WriteFile(filepath.Join(run, "inside"), []byte(lines), 0o666))
	for target, want := range map[string]int{outside: 0, "../outside": 0, "../missing": 0, "inside": 1} {
		path := filepath.Join(run, "metrics.jsonl")
		os.Remove(path)
		must(t, os.Symlink(target, path))
		all, err := Read(path)
		if len(all) != want || (err == nil) != (want > 0) {
			t.Errorf("%s: Read: %d lines, %v", target, len(all), err)
		}
		if all, _, err := ReadWhole(path); len(all) != want || (err == nil) != (want > 0) {
			t.Errorf("%s: ReadWhole: %d lines, %v", target, len(all), err)
		}
		if p, err := Follow(path, Position{}).Next(); len(p.Lines) != want || (err == nil) != (want > 0) {
			t.Errorf("%s: Follow: %d lines, %v", target, len(p.Lines), err)
		}
		if _, ok := Newest(path); ok != (want > 0) {
			t.Errorf("%s: Newest: %v", target, ok)
		}
		m, err := Open(path, nil)
		if (err == nil) != (want > 0) {
			t.Errorf("%s: Open: %v", target, err)
		}
		if err == nil {
			must(t, m.Close())
		}
	}
	if got := readText(t, outside); got != lines {
		t.Errorf("the file outside is %q now", got)
	}
	if _, err := os.Lstat(filepath.Join(dir, "missing")); err == nil {
		t.Error("a file was made outside")
	}
}
