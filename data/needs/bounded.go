package needs

import (
	"flag"
	"runtime"
	"testing"
	"time"
)

// Bounded runs f, the case of a fuzz test, and fails where it allocates more than [MaxPeak] in all, or takes more than
// two seconds while fuzzing. As an ordinary test, on a machine that does other things, it is not timed.
func Bounded(t testing.TB, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	f()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > MaxPeak {
		t.Errorf("it allocates %d MiB, want at most %d", n>>20, MaxPeak>>20)
	}
	if fuzzing := flag.Lookup("test.fuzz"); fuzzing != nil && fuzzing.Value.String() != "" && took > 2*time.Second {
		t.Errorf("it takes %v, want at most 2 s", took)
	}
}
