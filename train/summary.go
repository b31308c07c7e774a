package train

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

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
	out, program := shellWord(r.cfg.Out), shellWord(cmp.Or(r.env.Program, "gpt2wgpu"))
	for _, next := range [][2]string{
		{"to write text:", program + " sample --model " + out},
		{"to train on:", fmt.Sprintf("%s train --out %s --resume --steps %d", program, out, 2*r.cfg.Steps)},
	} {
		r.env.Log.Info(next[0]+" "+next[1], NewEvent("next", "command", next[1]))
	}
}

// roundTime drops digits that nobody reads.
func roundTime(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

var plainWord = regexp.MustCompile(`^[\w./:+,@%=-]+$`)

// shellWord quotes a path for a shell, where that is needed.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
