package train

import (
	"errors"
	"fmt"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// local reports whether ranks step by themselves between synchronisations.
func (c Config) local() bool { return c.SyncEvery > 1 }

// startOuter begins the outer steps with the present parameters; b may be nil for zeros.
func (r *run) startOuter(b [][]float32) error {
	if !r.cfg.local() {
		return nil
	}
	r.outer, r.synced = &ranks.Outer{LR: r.cfg.OuterLR, Momentum: r.cfg.OuterMomentum,
		Wire: ranks.Wire(r.cfg.GradDType), Momenta: b}, r.step
	return r.outer.Start(r.Model)
}

// syncOuter does the outer step, if any rank has stepped since the one before.
func (r *run) syncOuter() error {
	if r.outer == nil || r.synced == r.step {
		return nil
	}
	start, traffic := time.Now(), r.group.Traffic()
	if err := r.outer.Step(r.group, r.Model); err != nil {
		return err
	}
	t := r.group.Traffic().Minus(traffic)
	// no step's, but the run's
	r.spent.Add(*ranksMetric(time.Since(start), time.Since(start)-t.Comm-t.Wait, t.Comm+t.Wait, t))
	before := r.synced
	r.synced = r.step
	if c := r.cfg.CheckEvery; c > 0 && r.step/c != before/c {
		return r.checkInStep()
	}
	return nil
}

// checkInStep compares the parameters of all ranks, or brings those of unlike devices together.
func (r *run) checkInStep() error {
	if !r.mixed {
		return ranks.CheckEqual(r.group, r.Model, r.step)
	}
	drift, err := ranks.FollowRank0(r.group, r.Model, r.step)
	r.env.Log.Debug("unlike devices brought together", "step", r.step, "drift", drift)
	return err
}

// inRank puts the rank before an error, where there is more than one.
func inRank(g ranks.Group, err error) error {
	if err == nil || g.Size() == 1 || errors.Is(err, ranks.ErrElsewhere) || errors.Is(err, ErrInterrupted) {
		return err
	}
	return fmt.Errorf("rank %d of %d: %w", g.Rank(), g.Size(), err)
}
