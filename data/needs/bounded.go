package needs

import (
	"flag"
	"runtime"
	"testing"
	"time"
)

const mostTime = 2 * time.Second

// Bounded runs f, the case of a fuzz test, and fails where it allocates more than [MaxPeak] in all, or takes more than
// two seconds, twice, while fuzzing. As an ordinary test, on a machine that does other things, it is not timed.
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
	if fuzzing := flag.Lookup("test.fuzz"); fuzzing == nil || fuzzing.Value.String() == "" {
		return
	}
	if took > mostTime { // perhaps because of what else the machine does
		began = time.Now()
		f()
		took = min(took, time.Since(began))
	}
	if took > mostTime {
		t.Errorf("it takes %v, want at most %v", took, mostTime)
	}
}
