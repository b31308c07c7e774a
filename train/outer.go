package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// local reports whether ranks step by themselves between synchronisations.
func (c Config) local() bool { return c.SyncEvery > 1 }

// startOuter begins the outer steps with the present parameters; b may be nil for zeros.
func (r *run) startOuter(b [][]float32) error {
	if !r.cfg.local() {
		return nil
	}
	r.outer, r.synced = &ranks.Outer{LR: r.cfg.OuterLR, Momentum: r.cfg.OuterMomentum, Wire: ranks.Wire(r.cfg.GradDType), Momenta: b}, r.step
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
	r.spent.Add(*ranksMetric(time.Since(start), time.Since(start)-t.Comm-t.Wait, t.Comm+t.Wait, t)) // no step's, but the run's
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

// moments returns AdamW's: those of all ranks, which are the same, or the mean of the ranks' own.
func (r *run) moments() (m, v [][]float32, err error) {
	local := r.outer != nil && r.group.Size() > 1
	if r.group.Rank() > 0 && !local {
		return nil, nil, nil // rank 0 has them
	}
	if m, v, err = r.Optimizer.Moments(); err != nil || !local {
		return m, v, err
	}
	for _, moment := range [][][]float32{m, v} {
		for _, t := range moment {
			for j := range t {
				t[j] /= float32(r.group.Size())
			}
			if err := r.group.AllreduceSum(t, ranks.WireF32); err != nil {
				return nil, nil, err
			}
		}
	}
	return m, v, nil
}

const outerFile = "outer.safetensors" // b.NAME in the shapes of memory

func writeOuter(dir string, c gpt2.Config, b [][]float32) error {
	var list []gpt2.NamedTensor
	for i, p := range gpt2.Table(c) {
		list = append(list, gpt2.NamedTensor{Name: "b." + p.Name, Shape: p.Shape, Data: b[i]})
	}
	return gpt2.WriteSafetensors(filepath.Join(dir, outerFile), list, nil)
}

// readOuter returns b, or nil where the run had none.
func readOuter(dir string, c gpt2.Config) (b [][]float32, err error) {
	path := filepath.Join(dir, outerFile)
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return nil, nil
	}
	list, _, err := gpt2.ReadSafetensors(path)
	if err != nil {
		return nil, err
	}
	byName := map[string]gpt2.NamedTensor{}
	for _, t := range list {
		byName[t.Name] = t
	}
	for _, p := range gpt2.Table(c) {
		t, ok := byName["b."+p.Name]
		if !ok || len(t.Data) != p.Size() {
			return nil, fmt.Errorf("%s: b.%s: %d values, want %d; hint: the checkpoint belongs to another model", path, p.Name, len(t.Data), p.Size())
		}
		if at := gpt2.NotFinite(t.Data); at >= 0 {
			return nil, fmt.Errorf("%s: b.%s: value %d is %s, want finite numbers; %s", path, p.Name, at, gpt2.NameOf(t.Data[at]), damagedHint)
		}
		b = append(b, t.Data)
	}
	return b, nil
}
