//go:build !js

package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// What a process has left behind.

const (
	mostSaid  = 512 << 10 // bytes that are kept of what one process prints
	mostCrash = 4 << 20   // bytes of the file, which begins anew then
)

// head keeps the beginning and the end of what is written to it.
type head struct {
	mu         sync.Mutex
	begin, end []byte
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(len(p), mostSaid/2-len(h.begin))
	h.begin = append(h.begin, p[:n]...)
	if h.end = append(h.end, p[n:]...); len(h.end) > mostSaid {
		h.end = append([]byte("\n…\n"), h.end[len(h.end)-mostSaid/2:]...)
	}
	return len(p), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.begin) + string(h.end)
}

// keep adds what a crashed process has printed to the file, and returns its name; empty: nothing, or it failed.
func (s *Supervisor) keep(e ended) string {
	if strings.TrimSpace(e.said) == "" {
		return ""
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	dir, name := filepath.Dir(s.Crash), filepath.Base(s.Crash)
	if info, err := plainfile.StatIn(dir, name); err == nil && info.Size() > mostCrash {
		flags |= os.O_TRUNC
	}
	f, err := plainfile.OpenFileIn(dir, name, flags)
	if err != nil {
		return ""
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "=== %s, process %d: %s\n%s\n", time.Now().Format(time.RFC3339), e.pid, e.reason,
		strings.TrimRight(e.said, "\n"))
	if err != nil {
		return ""
	}
	return filepath.ToSlash(s.Crash)
}

// What crashing code says: Rust's panics, the Go runtime's.
var (
	lostDevice = regexp.MustCompile(`(?i)device (is |was )?lost|devicelost|DXGI_ERROR_DEVICE_(REMOVED|HUNG|RESET)`)
	rustPanic  = regexp.MustCompile(`(?m)panicked at [^\n]*\n([^\n]+)`)
	goPanic    = regexp.MustCompile(`(?m)^(?:panic|fatal error|runtime): ([^\n]+)`)
	goSignal   = regexp.MustCompile(`(?m)^(SIG[A-Z]+): `)
)

// reason says in a few words why a process ended.
func reason(state *os.ProcessState, said string) string {
	how := signalOf(state)
	if m := goSignal.FindStringSubmatch(said); how == "" && m != nil {
		how = m[1]
	}
	switch {
	case how == "SIGKILL":
		how = "killed by SIGKILL, by a person or where memory ran out"
	case how != "":
		how = "ended by " + how
	case uint32(state.ExitCode()) >= 0x80000000: // Windows
		how = fmt.Sprintf("exit code %#x", uint32(state.ExitCode()))
	default:
		how = fmt.Sprintf("exit code %d", state.ExitCode())
	}
	switch rust, panicked := rustPanic.FindStringSubmatch(said), goPanic.FindStringSubmatch(said); {
	case lostDevice.MatchString(said):
		return "the device was lost (" + how + ")"
	case rust != nil:
		return fmt.Sprintf("%s (%s)", how, short(rust[1]))
	case panicked != nil:
		return fmt.Sprintf("%s (%s)", how, short(panicked[1]))
	}
	return how
}

func short(s string) string {
	if r := []rune(strings.TrimSpace(s)); len(r) > 100 {
		return string(r[:100]) + "…"
	}
	return strings.TrimSpace(s)
}
