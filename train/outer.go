package train

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// outer is the outer optimizer of --sync-every H, for ranks between which gradients travel too slowly: DiLoCo (Douillard et
// al., arXiv:2311.08105, algorithm 1). Every rank k of n takes H steps of AdamW by itself, on its own windows of the data,
// from the common parameters θ to θ_k. Then, with lr = --outer-lr and μ = --outer-momentum, for all ranks alike:
//
//	Δ = 1/n Σ_k (θ - θ_k)     the outer gradient, summed over the ranks
//	b ← μ b + Δ               Nesterov momentum, as PyTorch's SGD(nesterov=True) has it
//	θ ← θ - lr (Δ + μ b)
//
// and all go on from θ. AdamW's moments stay each rank's own. lr = 1 and μ = 0 average the parameters.
type outer struct {
	theta, b [][]float32 // in the table's order
	synced   int         // step of the newest θ
}

// local reports whether ranks step by themselves between synchronisations.
func (c Config) local() bool { return c.SyncEvery > 1 }

// startOuter makes θ the present parameters; b may be nil for zeros.
func (r *run) startOuter(b [][]float32) error {
	if !r.cfg.local() {
		return nil
	}
	w, err := r.model.Weights()
	if err != nil {
		return err
	}
	if b == nil {
		b = r.emptyTensors()
	}
	r.outer = &outer{theta: w.Tensors, b: b, synced: r.step}
	return nil
}

// syncOuter does the outer step, if any rank has stepped since the one before.
func (r *run) syncOuter() error {
	if r.outer == nil || r.outer.synced == r.step {
		return nil
	}
	start, traffic := time.Now(), r.group.Traffic()
	w, err := r.model.Weights()
	if err != nil {
		return err
	}
	n := float32(r.group.Size())
	lr, mu := float32(r.cfg.OuterLR), float32(r.cfg.OuterMomentum)
	for i, theta := range r.outer.theta {
		delta, b := w.Tensors[i], r.outer.b[i]
		for j, local := range delta {
			delta[j] = (theta[j] - local) / n
		}
		if err := r.group.AllreduceSum(delta, Wire(r.cfg.GradDType)); err != nil {
			return err
		}
		// The conversions keep compilers from fusing multiply-adds, so that hosts of all kinds compute the same.
		for j, d := range delta {
			b[j] = float32(mu*b[j]) + d
			theta[j] -= float32(lr * (d + float32(mu*b[j])))
		}
	}
	if err := r.model.Load(&gpt2.Weights{Config: r.model.Config, Tensors: r.outer.theta}); err != nil {
		return err
	}
	t := r.group.Traffic().minus(traffic)
	r.spent.Add(*ranksMetric(time.Since(start), time.Since(start)-t.Comm-t.Wait, t.Comm+t.Wait, t)) // no step's, but the run's
	before := r.outer.synced
	r.outer.synced = r.step
	if c := r.cfg.CheckEvery; c > 0 && r.step/c != before/c {
		return r.checkInStep()
	}
	return nil
}

// moments returns AdamW's: those of all ranks, which are the same, or the mean of the ranks' own.
func (r *run) moments() (m, v [][]float32, err error) {
	local := r.outer != nil && r.group.Size() > 1
	if r.group.Rank() > 0 && !local {
		return nil, nil, nil // rank 0 has them
	}
	if m, v, err = r.optim.Moments(); err != nil || !local {
		return m, v, err
	}
	for _, moment := range [][][]float32{m, v} {
		for _, t := range moment {
			for j := range t {
				t[j] /= float32(r.group.Size())
			}
			if err := r.group.AllreduceSum(t, WireF32); err != nil {
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
