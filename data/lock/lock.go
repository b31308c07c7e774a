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

	"github.com/gofrs/flock"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// Lock is a lock that this process holds.
type Lock struct {
	f     *flock.Flock
	owner string
}

const retry = 50 * time.Millisecond

// Take takes the lock path, a file that is made if it is missing and stays, and writes PATH.json. It waits for at most
// wait; a negative wait has no end but ctx's. waiting, if not nil, is called once if another process holds the lock
// now. Errors: *HeldError; ErrUnsupported; ctx's; those of the operating system.
func Take(ctx context.Context, path string, wait time.Duration, waiting func(Owner)) (*Lock, error) {
	return take(ctx, flock.New(path), wait, waiting)
}

func take(ctx context.Context, f *flock.Flock, wait time.Duration, waiting func(Owner)) (l *Lock, err error) {
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := check(f.Path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for began := time.Now(); ; {
		ok, err := f.TryLock()
		switch {
		case unsupported(err):
			return nil, fmt.Errorf("%s: %w (%w)", f.Path(), ErrUnsupported, err)
		case err != nil:
			return nil, err
		case ok:
			return hold(f)
		}
		owner := readOwner(f.Path())
		if waiting != nil {
			waiting(owner)
			waiting = nil
		}
		if wait >= 0 && time.Since(began) >= wait {
			return nil, &HeldError{f.Path(), owner}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(retry):
		}
	}
}

func unsupported(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.ENOLCK) || errors.Is(err, syscall.EINVAL)
}

func hold(f *flock.Flock) (*Lock, error) {
	host, _ := os.Hostname()
	raw, _ := json.Marshal(Owner{os.Getpid(), host})
	l := &Lock{f, f.Path() + ".json"}
	if err := atomicfile.Write(l.owner, append(raw, '\n')); err != nil {
		return nil, err
	}
	return l, nil
}

func readOwner(path string) (o Owner) {
	raw, _ := plainfile.ReadIn(filepath.Dir(path), filepath.Base(path)+".json", 1<<10)
	json.Unmarshal(raw, &o)
	return o
}

// check refuses what a lock cannot be: a named pipe, which would block, and a link to a file of another directory.
func check(path string) error { return plainfile.CheckIn(filepath.Dir(path), filepath.Base(path)) }

// Release gives the lock back. It does nothing on nil. The lock file stays, because a waiting process has it open.
func (l *Lock) Release() error {
	if l == nil {
		return nil
	}
	os.Remove(l.owner) // before the next owner writes its own
	return l.f.Close()
}

// Held reports whether a process holds the lock path, and which. It changes nothing; a file system without locks holds
// none.
func Held(path string) (o Owner, held bool) {
	if err := check(path); err != nil {
		return o, false
	}
	f := flock.New(path)
	defer f.Close()
	if ok, err := f.TryRLock(); ok || err != nil {
		return o, false
	}
	return readOwner(path), true
}
