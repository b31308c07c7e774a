package train

import (
	"cmp"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
	"github.com/gpt2wgpu/gpt2wgpu/train/shell"
)

// progress logs the steps: each one if steps are slow, else one per second, and always the first and the last.
type progress struct {
	log     *slog.Logger
	steps   int
	first   int
	printed time.Time
	// the end of the first step: compiling kernels is part of that one, and says nothing about the others
	began time.Time
}

func newProgress(log *slog.Logger, steps, first int) *progress {
	return &progress{log: log, steps: steps, first: first}
}

func (p *progress) step(r metrics.Step, now time.Time) {
	if r.Step == p.first {
		p.began = now
	}
	if now.Sub(p.printed) < time.Second && r.Step != p.first && r.Step != p.steps-1 {
		return
	}
	p.printed = now
	fields, left := []any{"step", r.Step, "loss", r.Loss, "lr", r.LR, "grad_norm", r.GradNorm, "ms", r.MS,
		"tokens_per_s", r.TokensPerS, "tokens", r.Tokens, "steps", p.steps}, "" // as in metrics.jsonl
	if done := r.Step - p.first; done > 0 {
		eta := time.Duration(float64(now.Sub(p.began)) / float64(done) * float64(p.steps-r.Step-1)).Round(time.Second)
		fields, left = append(fields, "eta_s", eta.Seconds()), fmt.Sprintf(" | %v left", eta)
	}
	at := fmt.Sprintf("step %*d/%d | loss %.6f", len(fmt.Sprint(p.steps)), r.Step, p.steps, r.Loss)
	p.log.Info(fmt.Sprintf("%s | lr %.2e | norm %.4f | %.0f ms | %.0f tok/s%s", at, r.LR, r.GradNorm, r.MS,
		r.TokensPerS, left), newEvent("step", []string{fmt.Sprintf("%s | %.0f tok/s%s", at, r.TokensPerS, left),
		at + left}, fields))
}

// Event is what happened, for programs that read the log: the attribute of a line whose message says the same for
// people. A handler that knows it writes either (--log-format).
type Event struct {
	Name  string      // step, validation, checkpoint, …
	Short []string    // shorter messages for narrow terminals, the longest first
	Attrs []slog.Attr // numbers in full precision, under the names of metrics.jsonl
}

// LogValue is what other handlers write.
func (e Event) LogValue() slog.Value { return slog.GroupValue(e.Attrs...) }

// NewEvent makes the attribute; fields are keys and values in turns.
func NewEvent(name string, fields ...any) slog.Attr { return newEvent(name, nil, fields) }

func newEvent(name string, short []string, fields []any) slog.Attr {
	e := Event{Name: name, Short: short}
	for i := 0; i+1 < len(fields); i += 2 {
		e.Attrs = append(e.Attrs, slog.Any(fields[i].(string), fields[i+1]))
	}
	return slog.Any("event", e)
}

// summary is what is said at the end of an invocation.
type summary struct {
	begun       time.Time
	first, last metrics.Float // losses of the run's first step and of its newest; NaN: not known
	best        metrics.Validation
	checkpoint  string // the newest of this invocation
}

// beginSummary starts the clock, and takes what a resumed run has done before from its metrics.
func (r *run) beginSummary() {
	nan := metrics.Float(math.NaN())
	r.ends = summary{begun: r.now(), first: nan, last: nan, best: metrics.Validation{Loss: nan}}
	if r.step == 0 || r.cfg.Out == "" || r.group.Rank() > 0 {
		return
	}
	lines, _ := metrics.Read(filepath.Join(r.cfg.Out, metricsFile)) // what is missing is not reported
	for _, m := range lines {
		switch m.Kind {
		case metrics.KindTrain:
			r.ends.step(metrics.Step{Step: m.Step, Loss: m.Loss})
		case metrics.KindVal:
			r.ends.validation(metrics.Validation{Step: m.Step, Loss: m.Loss})
		}
	}
}

func (s *summary) step(m metrics.Step) {
	if m.Step == 0 {
		s.first = m.Loss
	}
	s.last = m.Loss
}

func (s *summary) validation(m metrics.Validation) {
	if !(s.best.Loss <= m.Loss) { // NaN is the worst
		s.best = m
	}
}

// logSummary logs the summary, and after the last step the commands that a user may want next.
func (r *run) logSummary() {
	if r.step == r.first {
		return
	}
	s, done := r.ends, r.step == r.cfg.Steps
	took := r.now().Sub(s.begun)
	fields := []any{"step", r.step, "steps", r.cfg.Steps, "seconds", took.Seconds(), "first_loss", s.first, "loss",
		s.last}
	text := map[bool]string{true: "done", false: "stopped"}[done] + fmt.Sprintf(": %d of %d steps", r.step, r.cfg.Steps)
	if r.first > 0 {
		text += fmt.Sprintf(", the last %d", r.step-r.first)
	}
	text += fmt.Sprintf(" in %v | loss ", roundTime(took))
	if !math.IsNaN(float64(s.first)) {
		text += fmt.Sprintf("%.4f -> ", s.first)
	}
	text += fmt.Sprintf("%.4f", s.last)
	if !math.IsNaN(float64(s.best.Loss)) {
		text += fmt.Sprintf(" | best validation loss %.4f (step %d)", s.best.Loss, s.best.Step)
		fields = append(fields, "best_val_loss", s.best.Loss, "best_val_step", s.best.Step)
	}
	if s.checkpoint != "" {
		text += " | checkpoint " + s.checkpoint
		fields = append(fields, "checkpoint", s.checkpoint)
	}
	r.env.Log.Info(text, NewEvent("summary", fields...))
	if r.cfg.Out == "" || !done {
		return // what goes on is in the error of an interrupt
	}
	out, program := shell.Word(r.cfg.Out), shell.Word(cmp.Or(r.env.Program, "gpt2wgpu"))
	for _, next := range [][2]string{
		{"to write text:", program + " sample --model " + out},
		{"to train on:", fmt.Sprintf("%s train --out %s --resume --steps %d", program, out, 2*r.cfg.Steps)},
	} {
		r.env.Log.Info(next[0]+" "+next[1], NewEvent("next", "command", next[1]))
	}
}

// roundTime drops digits that do not matter.
func roundTime(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

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
	if c.at.Kernel == "" && c.logged.Kernel != "" {
		c.logged = gpu.Compilation{}
		c.log.Debug("no kernel is being compiled", NewEvent("compiled"))
	}
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
