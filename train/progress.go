package train

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
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
	fields, left := []any{"steps", p.steps}, ""
	if done := r.Step - p.first; done > 0 {
		eta := time.Duration(float64(now.Sub(p.began)) / float64(done) * float64(p.steps-r.Step-1)).Round(time.Second)
		fields, left = append(fields, "eta_s", eta.Seconds()), fmt.Sprintf(" | %v left", eta)
	}
	at := fmt.Sprintf("step %*d/%d | loss %.6f", len(fmt.Sprint(p.steps)), r.Step, p.steps, r.Loss)
	p.log.Info(fmt.Sprintf("%s | lr %.2e | norm %.4f | %.0f ms | %.0f tok/s%s", at, r.LR, r.GradNorm, r.MS,
		r.TokensPerS, left),
		slog.Any("event", Event{Name: "step", Short: []string{fmt.Sprintf("%s | %.0f tok/s%s", at, r.TokensPerS, left),
			at + left}, Attrs: append(stepAttrs(r), attrs(fields...)...)}))
}

// stepAttrs are the fields of metrics.jsonl.
func stepAttrs(r metrics.Step) []slog.Attr {
	return attrs("step", r.Step, "loss", r.Loss, "lr", r.LR, "grad_norm", r.GradNorm, "ms", r.MS, "tokens_per_s",
		r.TokensPerS, "tokens", r.Tokens)
}
