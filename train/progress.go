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
	p.log.Info(fmt.Sprintf("step %*d/%d | loss %.6f | lr %.2e | norm %.4f | %.0f ms | %.0f tok/s | %v left",
		len(fmt.Sprint(p.steps)), r.Step, p.steps, r.Loss, r.LR, r.GradNorm, r.MS, r.TokensPerS, left.Round(time.Second)))
}
