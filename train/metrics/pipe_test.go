//go:build unix

package metrics

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// TestPipe: reading a named pipe in the place of metrics.jsonl would never end.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := Open(path, nil); !errors.Is(err, plainfile.ErrKind) {
		t.Errorf("Open: %v", err)
	}
	if _, _, err := ReadWhole(path); !errors.Is(err, plainfile.ErrKind) {
		t.Errorf("ReadWhole: %v", err)
	}
	if step, ok := Newest(path); ok {
		t.Errorf("Newest: %d", step)
	}
}
