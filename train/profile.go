package train

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/bench"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// profileAfter is how many steps of an invocation go before the one that --profile looks at: kernels are compiled and clocks
// are up by then.
const profileAfter = 3

// profiled says whether step is the one to profile: the fourth of this invocation, or the last where there are fewer.
func (r *run) profiled(step int) bool {
	last := r.cfg.Steps - 1
	if r.cfg.StopAfter > 0 {
		last = min(last, r.first+r.cfg.StopAfter-1)
	}
	return r.cfg.Profile && step == min(r.first+profileAfter, last)
}

// programs are those of a step.
func (r *run) programs() []*gpu.Program {
	return append(r.training.Programs(), r.optim.Program())
}

// profileStep does one optimizer step and keeps the times of its dispatches.
func (r *run) profileStep(ctx context.Context, progress *progress) error {
	for _, p := range r.programs() {
		p.Record(&r.timings)
		defer p.Record(nil)
	}
	return r.trainStep(ctx, progress)
}

// printProfile tells on env.Stderr where the time of the profiled step went.
func (r *run) printProfile() error {
	if len(r.timings) == 0 {
		if r.cfg.Profile {
			r.env.Log.Warn("nothing was profiled: the run ended before the step to look at")
		}
		return nil
	}
	peak, err := bench.MeasurePeak(r.dev)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.env.Stderr, "profile of one step, %d micro-steps of B=%d T=%d, on %v\npeak: %v\n\n",
		r.cfg.AccumSteps(), r.cfg.BatchSize, r.cfg.SeqLen, r.dev.Info, peak)
	return bench.WriteBreakdown(r.env.Stderr, bench.Breakdown(r.timings), peak)
}

// StepTime is what an optimizer step takes.
type StepTime struct {
	Time    time.Duration // the shortest of several
	Tokens  int
	FLOPs   float64      // the model's, by gpt2.Config.FLOPsPerToken
	Timings []gpu.Timing // of every dispatch, by a profile, which costs extra
	First   []gpu.Timing // of every kernel's first use, above all its compilation
}

// MeasureStep times steps of cfg on d with these tiles: forward, backward and update of random weights on made-up
// tokens. Data, schedules and files are left alone. Errors are those of the settings and of memory.
func MeasureStep(d *gpu.Device, tiles op.Tuning, cfg Job, log *slog.Logger) (StepTime, error) {
	cfg.SampleEvery = 0
	cfg = cfg.Resolved()
	if err := cfg.Validate(); err != nil {
		return StepTime{}, err
	}
	r := newRun(cfg, Env{Log: log})
	r.dev = d
	if err := r.build(tiles); err != nil {
		return StepTime{}, err
	}
	if err := r.model.Load(gpt2.Init(cfg.Model(), cfg.Seed)); err != nil {
		return StepTime{}, err
	}
	n := cfg.BatchSize * cfg.SeqLen
	x, y := make([]uint32, n), make([]uint32, n)
	for i := range x {
		x[i] = uint32(uint64(i) * 2654435761 % uint64(cfg.VocabSize)) // nearly all distinct, as words are not
		y[i] = uint32(uint64(i+1) * 2654435761 % uint64(cfg.VocabSize))
	}
	step := func(i int) error {
		if err := r.training.Begin(); err != nil {
			return err
		}
		for range cfg.AccumSteps() {
			if err := r.training.Micro(x, y); err != nil {
				return err
			}
		}
		if err := r.optim.Update(i, cfg.LR); err != nil {
			return err
		}
		stats, err := r.training.Stats() // waits
		if err == nil && (stats.Skipped || math.IsNaN(stats.Loss)) {
			err = fmt.Errorf("the step that is measured has the loss %v and is no step; hint: selftest", stats.Loss)
		}
		return err
	}
	const (
		warm   = 1
		least  = 3
		most   = 20
		enough = 2 * time.Second
	)
	s := StepTime{Tokens: cfg.TokensPerStep(), FLOPs: float64(cfg.TokensPerStep()) * cfg.Model().FLOPsPerToken(cfg.SeqLen)}
	for _, p := range r.programs() {
		p.RecordFirstUses(&s.First)
	}
	if err := step(0); err != nil {
		return s, err
	}
	for _, p := range r.programs() {
		p.RecordFirstUses(nil)
	}
	var total time.Duration
	for i := 0; i < warm+least || total < enough && i < most; i++ {
		start := time.Now()
		if err := step(i); err != nil {
			return s, err
		}
		took := time.Since(start)
		if i < warm {
			continue
		}
		total += took
		if s.Time == 0 || took < s.Time {
			s.Time = took
		}
	}
	for _, p := range r.programs() {
		p.Record(&s.Timings)
		defer p.Record(nil)
	}
	return s, step(most)
}
