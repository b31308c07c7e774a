package plainfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrKind is wrapped by the error of what is not a regular file.
var ErrKind = errors.New("want a file")

// Check returns an error if path is not a regular file, or a link to one. Errors: *fs.PathError.
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return regular(path, info)
}

func regular(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("a %s, %w", kind(info.Mode()), ErrKind)}
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// Open is os.Open for regular files. Errors: *fs.PathError; of another kind of file it wraps [ErrKind].
func Open(path string) (*os.File, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// Read returns the content of a regular file of at most limit bytes. Errors: *fs.PathError.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	return readAll(f, limit)
}

// readAll returns the content of at most limit bytes, and closes the file.
func readAll(f *os.File, limit int64) ([]byte, error) {
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	large := &fs.PathError{Op: "read", Path: f.Name(), Err: fmt.Errorf("more than %d bytes", limit)}
	if info.Size() > limit {
		return nil, large
	}
	content := make([]byte, 0, info.Size()+1) // one byte of room, so that a file that has grown is noticed
	for {
		n, err := f.Read(content[len(content):cap(content)])
		content = content[:len(content)+n]
		switch {
		case errors.Is(err, io.EOF):
			return content, nil
		case err != nil:
			return nil, err
		case int64(len(content)) > limit:
			return nil, large
		case len(content) == cap(content): // it grows
			content = append(content, 0)[:len(content)]
		}
	}
}

// Head returns the first n bytes of a file; fewer where it is shorter, none where it can't be read.
func Head(path string, n int) []byte {
	f, err := Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, n)
	n, _ = io.ReadFull(f, head)
	return head[:n]
}

// The functions below take a file name in a directory, which may be somebody else's: a link in it leads to no file
// outside of it, to read or to write.

// ReadIn is [Read] of the file name in dir. Errors: *fs.PathError.
func ReadIn(dir, name string, limit int64) ([]byte, error) {
	f, err := OpenIn(dir, name)
	if err != nil {
		return nil, err
	}
	return readAll(f, limit)
}

// OpenIn is [Open] of the file name in dir. Errors: *fs.PathError.
func OpenIn(dir, name string) (*os.File, error) { return OpenFileIn(dir, name, os.O_RDONLY) }

// OpenFileIn is os.OpenFile of the regular file name in dir, or one that is made. Errors: *fs.PathError; of another
// kind of file it wraps [ErrKind].
func OpenFileIn(dir, name string, flag int) (*os.File, error) {
	return in(dir, name, func(root *os.Root) (*os.File, error) {
		info, err := root.Stat(name)
		if err == nil {
			err = regular(name, info)
		}
		if err != nil && !(flag&os.O_CREATE != 0 && errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
		return root.OpenFile(name, flag, 0o666)
	})
}

// StatIn is os.Stat of name in dir. Errors: *fs.PathError.
func StatIn(dir, name string) (fs.FileInfo, error) {
	return in(dir, name, func(root *os.Root) (fs.FileInfo, error) { return root.Stat(name) })
}

// in calls f with dir as a root. An error of name in it gets the whole path.
func in[T any](dir, name string, f func(*os.Root) (T, error)) (v T, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return v, err
	}
	defer root.Close()
	v, err = f(root)
	var of *fs.PathError
	if errors.As(err, &of) {
		err = &fs.PathError{Op: "open", Path: filepath.Join(dir, name), Err: of.Err}
	}
	return v, err
}
