package train

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

// compiling logs which kernel is being compiled, where that takes long: nothing for the first second of it all, and
// then at most a line a second, or one every five seconds while it is the same kernel.
type compiling struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	at     gpu.Compilation // Kernel is empty between kernels
	since  time.Time       // when at began
	spent  time.Duration   // on the kernels before it
	logged gpu.Compilation
	when   time.Time // of logging
}

// ReportCompiling logs the progress of compiling kernels on d until stop is called.
func ReportCompiling(d *gpu.Device, log *slog.Logger) (stop func()) {
	c := &compiling{log: log, now: time.Now}
	d.OnCompile(c.note)
	ticker, end, ended := time.NewTicker(time.Second), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ticker.C:
				c.tick()
			case <-end:
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(end)
		<-ended
		d.OnCompile(nil)
	}
}

// note takes what the device reports.
func (c *compiling) note(at gpu.Compilation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.at.Kernel != "" {
		c.spent += now.Sub(c.since)
	}
	c.at, c.since = at, now
}

// tick logs a line if it is time for one.
func (c *compiling) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.at.Kernel == "" || c.spent+now.Sub(c.since) < time.Second || c.at == c.logged &&
		now.Sub(c.when) < 5*time.Second {
		return
	}
	c.logged, c.when = c.at, now
	what := "compiling kernels"
	if c.at.FirstUse {
		what = "compiling kernels at their first use"
	}
	c.log.Info(fmt.Sprintf("%s: %d of %d (%s)", what, c.at.Done+1, c.at.All, shortKernel(c.at.Kernel)),
		NewEvent("compiling", "kernel", c.at.Kernel, "done", c.at.Done, "all", c.at.All))
}

// shortKernel is a kernel's label without its numbers and storages: "matmul_panels/matmul_forward".
func shortKernel(label string) string {
	var parts []string
	for _, p := range strings.Split(label, "/") {
		if len(parts) < 2 && !strings.Contains(p, "=") && !strings.HasPrefix(p, "store_") {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, "/")
}
