//go:build unix

package lock

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// TestPipe: opening a named pipe in the place of a lock would never end.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := Take(t.Context(), path, 0, nil); !errors.Is(err, plainfile.ErrKind) {
		t.Errorf("%v", err)
	}
	if _, held := Held(path); held {
		t.Error("a named pipe is held")
	}
}
