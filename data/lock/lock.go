//go:build !js

package lock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// Lock is a lock that this process holds.
type Lock struct {
	f    *os.File
	path string
}

const retry = 50 * time.Millisecond

// Take takes the lock path, a file that is made if it is missing and stays, and writes PATH.json. It waits for at most
// wait; a negative wait has no end but ctx's. waiting, if not nil, is called once if another process holds the lock
// now. Errors: *HeldError; ErrUnsupported; ctx's; those of the operating system; a named pipe, or a link to another
// directory, in the place of the file.
func Take(ctx context.Context, path string, wait time.Duration, waiting func(Owner)) (l *Lock, err error) {
	f, err := open(path, os.O_CREATE)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	for began := time.Now(); ; {
		ok, err := try(f, false)
		switch {
		case unsupported(err):
			os.Remove(path) // it locks nothing
			return nil, fmt.Errorf("%s: %w (%w)", path, ErrUnsupported, err)
		case err != nil:
			return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
		case ok && !still(f, path): // it was removed by the process that held it
			again, err := open(path, os.O_CREATE)
			if err != nil {
				return nil, err
			}
			f.Close()
			f = again
			continue
		case ok:
			return hold(f, path)
		}
		owner := readOwner(path)
		if waiting != nil {
			waiting(owner)
			waiting = nil
		}
		if wait >= 0 && time.Since(began) >= wait {
			return nil, &HeldError{path, owner}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(retry):
		}
	}
}

// still reports whether f is the file at path.
func still(f *os.File, path string) bool {
	own, err := f.Stat()
	now, gone := os.Stat(path)
	return err == nil && gone == nil && os.SameFile(own, now)
}

// open opens the file of a lock, to write where that is possible: NFS locks nothing else.
func open(path string, flag int) (*os.File, error) {
	dir, name := filepath.Dir(path), filepath.Base(path)
	f, err := plainfile.OpenFileIn(dir, name, os.O_RDWR|flag)
	if err == nil {
		return f, nil
	}
	if f, readErr := plainfile.OpenIn(dir, name); readErr == nil {
		return f, nil
	}
	return nil, err
}

func unsupported(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.ENOLCK) || errors.Is(err, syscall.EINVAL)
}

func hold(f *os.File, path string) (*Lock, error) {
	host, _ := os.Hostname()
	raw, _ := json.Marshal(Owner{os.Getpid(), host})
	if err := atomicfile.Write(path+".json", append(raw, '\n')); err != nil {
		return nil, err
	}
	return &Lock{f, path}, nil
}

func readOwner(path string) (o Owner) {
	raw, _ := plainfile.ReadIn(filepath.Dir(path), filepath.Base(path)+".json", 1<<10)
	json.Unmarshal(raw, &o)
	return o
}

// File returns the file that the lock is on; nil on nil. A process that inherits it keeps the lock until that process
// has ended too, or has closed it. On Windows it does not.
func (l *Lock) File() *os.File {
	if l == nil {
		return nil
	}
	return l.f
}

// Release gives the lock back. It does nothing on nil. The lock file stays.
func (l *Lock) Release() error {
	if l == nil {
		return nil
	}
	os.Remove(l.path + ".json") // before the next owner writes its own
	return unlock(l.f)
}

// Remove is Release for a lock that leaves no file. It does nothing on nil.
func (l *Lock) Remove() {
	if l == nil {
		return
	}
	os.Remove(l.path) // while it is held: who waits for it makes another
	l.Release()
}

// Held reports whether a process holds the lock path, and which. It changes nothing; a file system without locks holds
// none.
func Held(path string) (o Owner, held bool) {
	f, err := open(path, 0)
	if err != nil {
		return o, false
	}
	defer unlock(f)
	if ok, err := try(f, true); ok || err != nil {
		return o, false
	}
	return readOwner(path), true
}
