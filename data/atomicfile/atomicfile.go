package atomicfile

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

const tempMark = ".tmp-" // between a temporary file's name and its random end

// IsTemp reports whether a file's name is that of an unfinished file of this package for base: what a killed process
// leaves.
func IsTemp(name, base string) bool { return strings.HasPrefix(name, "."+base+tempMark) }

// File is a temporary file that Commit gives its name.
type File struct {
	*os.File
	path string
	done bool
}

// Create returns an empty temporary file beside path. The umask applies; a file that path replaces passes on its mode.
func Create(path string) (*File, error) {
	for try := 0; ; try++ {
		temp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s%s%08x", filepath.Base(path), tempMark,
			rand.Uint32()))
		f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) && try < 100 {
			continue
		}
		if err != nil {
			return nil, err
		}
		if old, err := os.Stat(path); err == nil && old.Mode().IsRegular() {
			f.Chmod(old.Mode().Perm()) // where this fails the new file has the default mode
		}
		return &File{File: f, path: path}, nil
	}
}

// Commit brings the file to the disk and gives it its name. With an error the temporary file is removed.
func (f *File) Commit() error {
	err := Publish(f.File, f.path)
	if err != nil {
		os.Remove(f.Name())
	}
	f.done = true
	return err
}

// Abandon removes the temporary file. It does nothing after Commit, or on nil.
func (f *File) Abandon() {
	if f != nil && !f.done {
		f.done = true
		f.Close()
		os.Remove(f.Name())
	}
}

// Write replaces path by content.
func Write(path string, content []byte) error {
	return WriteFunc(path, func(w *bufio.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// WriteFunc replaces path by what write writes, unless write fails.
func WriteFunc(path string, write func(*bufio.Writer) error) error {
	f, err := Create(path)
	if err != nil {
		return err
	}
	defer f.Abandon()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := cmp.Or(write(w), w.Flush()); err != nil {
		return err
	}
	return f.Commit()
}

// Publish syncs and closes f and renames it to path, which must be on the same file system.
func Publish(f *os.File, path string) error {
	if err := cmp.Or(Sync(f), f.Close()); err != nil {
		return err
	}
	return Rename(f.Name(), path)
}

// Rename renames a file or directory and syncs the directory of the new name, so that the rename survives a power cut.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// SyncDir brings a directory's entries to the disk.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory cannot be synced there
	}
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil // may be written but not read: there is no other way to sync it
	}
	if err != nil {
		return err
	}
	return errors.Join(Sync(d), d.Close())
}

// Sync brings f to the disk, as far as its file system can.
func Sync(f interface{ Sync() error }) error {
	err := f.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}

// Reason returns what the operating system says of a failure, without the path.
func Reason(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	if errors.As(err, &path) {
		return path.Err
	} else if errors.As(err, &link) {
		return link.Err
	}
	return err
}
