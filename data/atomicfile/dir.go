package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// MakeDir makes dir and the directories above it that are missing. undo removes those of them that are empty. With an
// error they are removed already.
func MakeDir(dir string) (undo func(), err error) {
	var made []string // the innermost first
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		if _, err := os.Lstat(d); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, d)
		if filepath.Dir(d) == d {
			break // a volume that is missing
		}
	}
	undo = func() {
		for _, d := range made {
			if err := os.Remove(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return
			}
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		undo()
		return func() {}, err
	}
	return undo, nil
}
