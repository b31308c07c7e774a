package train

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/bench"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
)

// TestCompiling: what is said while kernels are compiled, second by second.
func TestCompiling(t *testing.T) {
	var log bytes.Buffer
	clock := time.Unix(0, 0)
	lines := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := &compiling{log: lines, now: func() time.Time { return clock }}
	after := func(d time.Duration, says string) {
		t.Helper()
		clock = clock.Add(d)
		log.Reset()
		c.tick()
		if says == "" && log.Len() > 0 || !strings.Contains(log.String(), says) {
			t.Errorf("after %v: %q, want %q", clock.Sub(time.Unix(0, 0)), &log, says)
		}
	}
	after(time.Hour, "") // nothing is compiled
	c.note(gpu.Compilation{Kernel: "a", Done: 0, All: 3})
	after(900*time.Millisecond, "")
	c.note(gpu.Compilation{})
	after(time.Hour, "")
	c.note(gpu.Compilation{Kernel: "b", Done: 1, All: 3})
	after(100*time.Millisecond, "compiling kernels: 2 of 3 (b)") // a second in all
	after(time.Second, "")                                       // the same one
	after(4*time.Second, "compiling kernels: 2 of 3 (b)")
	c.note(gpu.Compilation{Kernel: "a", Done: 0, All: 4, FirstUse: true})
	after(time.Second, "compiling kernels at their first use: 1 of 4 (a)")
	c.note(gpu.Compilation{})
	after(time.Second, "no kernel is being compiled")
	after(time.Second, "")
}

// TestOnCompile: the device reports each kernel's pipeline once, and each kernel's first use, in order and with numbers
// that add up.
func TestOnCompile(t *testing.T) {
	gputest.Available(t)
	c := plain(t)
	c.Steps = 1
	r := newRun(c, quiet())
	defer r.close()
	d, err := gpu.Open(c.Device)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var all []gpu.Compilation
	d.OnCompile(func(c gpu.Compilation) {
		if c.Kernel != "" {
			all = append(all, c)
		}
	})
	step, err := NewStep(d, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bench.MeasureStep(step); err != nil {
		t.Fatal(err)
	}
	counts := map[bool]int{}
	for _, c := range all {
		if c.Done != counts[c.FirstUse] || c.All <= c.Done {
			t.Errorf("%+v after %d", c, counts[c.FirstUse])
		}
		counts[c.FirstUse]++
	}
	if counts[false] < 10 || counts[true] < 10 || counts[true] > counts[false] {
		t.Errorf("%d pipelines, %d first uses", counts[false], counts[true])
	}
}
