package needs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// MaxPeak is the memory that a process may take for a file that it refuses, in bytes.
const MaxPeak = 300 << 20

const faultPath, faultMessage = "GPT2WGPU_FAULT_PATH", "GPT2WGPU_FAULT_MESSAGE"

// Fault checks that read refuses the file that create makes: by an error of one line with a hint and the words, in a
// process of its own that takes less than [MaxPeak]. It logs time and memory. The test must be in a function that does
// little before; the process runs the same test again.
func Fault(t *testing.T, create func(dir string) (path string), read func(path string) error, words ...string) {
	t.Helper()
	if path := os.Getenv(faultPath); path != "" {
		message := "no error"
		if err := read(path); err != nil {
			message = err.Error()
		}
		os.WriteFile(os.Getenv(faultMessage), fmt.Appendf(nil, "%d %s", peak(), message), 0o666)
		os.Exit(0)
	}
	dir := t.TempDir()
	path, message := create(dir), dir+"-message"
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // only against a test that never ends
	defer cancel()
	var name []string
	for _, part := range strings.Split(t.Name(), "/") {
		name = append(name, "^"+regexp.QuoteMeta(part)+"$")
	}
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run="+strings.Join(name, "/"), "-test.count=1")
	cmd.Env = append(os.Environ(), faultPath+"="+path, faultMessage+"="+message)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	got, readErr := os.ReadFile(message)
	os.Remove(message)
	if err != nil || readErr != nil {
		t.Fatalf("the process that reads it failed: %v\n%.2000s", err, out)
	}
	memory, text, _ := strings.Cut(string(got), " ")
	most, _ := strconv.ParseInt(memory, 10, 64)
	for _, w := range append(words, "hint: ") {
		if !strings.Contains(text, w) {
			t.Errorf("%s\nlacks %q", text, w)
		}
	}
	if strings.Contains(text, "\n") || len(text) > 2000 {
		t.Errorf("%d bytes, want one line: %.2000q", len(text), text)
	}
	t.Logf("%.2f s, %d MiB: %.300s", took.Seconds(), most>>20, text)
	if most > MaxPeak {
		t.Errorf("it takes %d MiB, want at most %d", most>>20, MaxPeak>>20)
	}
}

// peak returns the most memory that this process had, in bytes; 0 where /proc does not say. (The system's own count for
// a child, ru_maxrss, begins with that of its parent.)
func peak() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	fmt.Sscanf(rest, "%d", &kib)
	return kib << 10
}
