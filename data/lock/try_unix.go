//go:build unix

package lock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// try takes the lock on f, or a share of it, without waiting.
func try(f *os.File, share bool) (ok bool, err error) {
	how := unix.LOCK_EX
	if share {
		how = unix.LOCK_SH
	}
	for {
		switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, err
		}
	}
}

// unlock closes f. The lock ends when what child processes have inherited of f is closed too.
func unlock(f *os.File) error { return f.Close() }
