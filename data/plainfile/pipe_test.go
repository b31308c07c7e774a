//go:build unix

package plainfile

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestPipe: a named pipe without a writer would block for ever.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrKind) || !strings.Contains(err.Error(), "named pipe") {
		t.Errorf("%v", err)
	}
}
