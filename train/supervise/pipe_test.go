//go:build unix

package supervise

import (
	"path/filepath"
	"syscall"
	"testing"
)

// TestCrashPipe: writing to a named pipe in the place of crash.log would never end.
func TestCrashPipe(t *testing.T) {
	s := &Supervisor{Crash: filepath.Join(t.TempDir(), "crash.log")}
	if err := syscall.Mkfifo(s.Crash, 0o600); err != nil {
		t.Skip(err)
	}
	if name := s.keep(ended{said: "aborted"}); name != "" {
		t.Errorf("kept in %s", name)
	}
}
