package model

import (
	"math"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestTargetsAgree: the programs of every target that the device can run give the same losses and gradient norms, but
// for the order of sums. 130 tokens and 96 channels are what lavapipe has kernels of its own for.
func TestTargetsAgree(t *testing.T) {
	d := gputest.Device(t)
	own := op.TargetFor(d.Info, d.Limits)
	c := gpt2.Config{NLayer: 1, NHead: 3, NEmbd: 96, BlockSize: 130, VocabSize: 257}
	x, y := make([]uint32, 130), make([]uint32, 130)
	for i := range x {
		x[i], y[i] = uint32(i*7%257), uint32((i+1)*7%257)
	}
	run := func(target op.Target) (stats []Stats, program string) {
		m, err := New(d, c, WithTarget(target))
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", target.Name, err)
			}
		}
		check(err)
		check(m.Load(gpt2.Init(c, 1)))
		tr, err := NewTraining(m, 1, 130, 1)
		check(err)
		o, err := AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, GradClip: 1}.New(tr)
		check(err)
		for step := range 3 {
			check(tr.Begin())
			check(tr.Micro(x, y))
			check(o.Update(step, 1e-3))
			s, err := tr.Stats()
			check(err)
			stats = append(stats, s)
		}
		return stats, listing(tr, o)
	}
	want, program := run(own)
	for _, target := range op.Targets(d.Limits) {
		if target.Name == own.Name || !own.Takes(target) {
			continue
		}
		got, other := run(target)
		if other == program {
			t.Errorf("%s has the program of %s", target.Name, own.Name)
		}
		for i, w := range want {
			near := func(got, want float64) bool { return math.Abs(got-want) <= 1e-5*math.Abs(want)*float64(i+1) }
			if g := got[i]; w.Loss == 0 || !near(g.Loss, w.Loss) || !near(g.GradNorm, w.GradNorm) || g.Skipped {
				t.Errorf("step %d: %s has %+v, %s %+v", i, target.Name, g, own.Name, w)
			}
		}
	}
}
