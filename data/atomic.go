package data

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// renameio isn't used here: its streaming half doesn't exist on Windows.

// publish makes f, a temporary file in path's directory, the file at path: whole and on disk, or not at all.
func publish(f *os.File, path string) error {
	err := f.Chmod(0o644) // CreateTemp makes 0600
	if runtime.GOOS == "windows" {
		err = nil // has no modes
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	return err
}

// syncDir brings a directory's entries to the disk, so that a rename survives a power cut.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory can't be synced
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// writeAtomically writes a small file: whole and on disk, or not at all.
func writeAtomically(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+tempSuffix+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = publish(f, path)
	}
	if err != nil {
		f.Close()
		os.Remove(f.Name())
	}
	return err
}
