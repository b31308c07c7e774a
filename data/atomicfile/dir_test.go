package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMakeDir: what undo removes is what was made, as far as it is empty.
func TestMakeDir(t *testing.T) {
	there := func(path string) bool {
		_, err := os.Lstat(path)
		return err == nil
	}
	top := t.TempDir()
	made := func(path ...string) (dir string, undo func()) {
		dir = filepath.Join(append([]string{top}, path...)...)
		undo, err := MakeDir(dir)
		if err != nil || !there(dir) {
			t.Fatal(path, err)
		}
		return dir, undo
	}
	_, undo := made()
	undo()
	if !there(top) {
		t.Error("a directory that was there is gone")
	}
	dir, undo := made("a", "b", "c")
	undo()
	if there(filepath.Join(top, "a")) {
		t.Error("a directory was left")
	}
	dir, undo = made("a", "b", "c")
	other, _ := made("a", "other")
	if undo(); there(filepath.Dir(dir)) || !there(other) {
		t.Error("undo removed too little, or what another has made")
	}
	file := filepath.Join(top, "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if undo, err := MakeDir(filepath.Join(file, "below")); err == nil {
		t.Error("a directory below a file")
	} else if undo(); !there(file) {
		t.Error("the file is gone")
	}
}
