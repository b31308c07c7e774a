package train

import (
	"fmt"
	"log/slog"
	"time"
)

// progress tells the steps: each one if steps are slow, else one a second, and always the first and the last.
type progress struct {
	log     *slog.Logger
	steps   int
	first   int
	started time.Time
	told    time.Time
}

func newProgress(log *slog.Logger, steps, first int) *progress {
	return &progress{log: log, steps: steps, first: first, started: time.Now()}
}

func (p *progress) step(r TrainMetric) {
	now := time.Now()
	if now.Sub(p.told) < time.Second && r.Step != p.first && r.Step != p.steps-1 {
		return
	}
	p.told = now
	done := r.Step - p.first + 1
	left := time.Duration(float64(now.Sub(p.started)) / float64(done) * float64(p.steps-r.Step-1))
	eta := left.Round(time.Second)
	e := Event{Name: "step", Attrs: append(r.attrs(), attrs("steps", p.steps, "eta_s", eta.Seconds())...)}
	at := fmt.Sprintf("step %*d/%d | loss %.6f", len(fmt.Sprint(p.steps)), r.Step, p.steps, r.Loss)
	e.Short = fmt.Sprintf("%s | %.0f tok/s | %v left", at, r.TokensPerS, eta)
	p.log.Info(fmt.Sprintf("%s | lr %.2e | norm %.4f | %.0f ms | %.0f tok/s | %v left", at, r.LR, r.GradNorm, r.MS, r.TokensPerS, eta), slog.Any("event", e))
}

// attrs are the fields of metrics.jsonl.
func (r TrainMetric) attrs() []slog.Attr {
	return attrs("step", r.Step, "loss", r.Loss, "lr", r.LR, "grad_norm", r.GradNorm, "ms", r.MS, "tokens_per_s", r.TokensPerS, "tokens", r.Tokens)
}
