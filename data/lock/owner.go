package lock

import (
	"errors"
	"fmt"
)

// Owner is who holds a lock: the content of PATH.json. Windows keeps others from reading the lock file itself.
type Owner struct {
	PID  int    `json:"pid"`
	Host string `json:"host"`
}

func (o Owner) String() string {
	if o.PID == 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d on %s", o.PID, o.Host)
}

// HeldError is the error of a lock that another process holds.
type HeldError struct {
	Path  string // of the lock file
	Owner Owner  // zero if unknown
}

func (e *HeldError) Error() string { return fmt.Sprintf("%s: in use by %v", e.Path, e.Owner) }

// ErrUnsupported is wrapped by the error of a file system without locks. The caller warns and continues without one.
var ErrUnsupported = errors.New("this file system has no locks")
