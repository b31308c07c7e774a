package plainfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrKind is wrapped by the error of what is not a regular file.
var ErrKind = errors.New("want a file")

// Check returns an error if path is not a regular file, or a link to one. Errors: *fs.PathError.
func Check(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("a %s, %w", kind(info.Mode()), ErrKind)}
	}
	return err
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

// OpenFile is os.OpenFile for a regular file, or one that is made. Errors: *fs.PathError; as [Open].
func OpenFile(path string, flag int) (*os.File, error) {
	if err := Check(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, flag, 0o666)
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

// ReadIn is [Read] of the file name in dir, which a link may not lead out of dir: a directory of somebody else's
// discloses no other file. Errors: *fs.PathError.
func ReadIn(dir, name string, limit int64) ([]byte, error) {
	f, err := OpenIn(dir, name)
	if err != nil {
		return nil, err
	}
	return readAll(f, limit)
}

// OpenIn is [Open] of the file name in dir, as [ReadIn] opens it. Errors: *fs.PathError.
func OpenIn(dir, name string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("a %s, %w", kind(info.Mode()), ErrKind)}
	}
	if err != nil {
		return nil, err
	}
	return root.Open(name)
}
