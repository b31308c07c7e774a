package model

import (
	"math"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestTargetsAgree: the programs of every target that the device can run give the same losses and gradient norms, but
// for the order of sums; those that several share run once. 130 tokens and 100 channels are what lavapipe has kernels
// of its own for, and heads of 20 what the tests of gpu/op compile too.
func TestTargetsAgree(t *testing.T) {
	d := gputest.Device(t)
	own := op.TargetFor(d.Info, d.Limits)
	c := gpt2.Config{NLayer: 1, NHead: 5, NEmbd: 100, BlockSize: 130, VocabSize: 257}
	x, y := make([]uint32, 130), make([]uint32, 130)
	for i := range x {
		x[i], y[i] = uint32(i*7%257), uint32((i+1)*7%257)
	}
	build := func(d *gpu.Device, target op.Target) (*Model, *Training, Optimizer) {
		m, err := New(d, c, WithTarget(target))
		if err != nil {
			t.Fatalf("%s: %v", target.Name, err)
		}
		tr, o := trainingOf(t, m, 1, 130)
		return m, tr, o
	}
	run := func(target op.Target) (stats []Stats) {
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", target.Name, err)
			}
		}
		m, tr, o := build(d, target)
		check(m.Load(gpt2.Init(c, 1)))
		for step := range 3 {
			check(tr.Begin())
			check(tr.Micro(x, y))
			check(o.Update(step, 1e-3))
			s, err := tr.Stats()
			check(err)
			stats = append(stats, s)
		}
		return stats
	}
	want, seen := run(own), map[string]string{}
	for _, target := range append([]op.Target{own}, op.Targets(d.Limits)...) {
		if !own.Takes(target) {
			continue
		}
		_, tr, o := build(gpu.Plan(d.Info), target)
		program := listing(tr, o)
		if seen[program] != "" {
			continue
		}
		if seen[program] = target.Name; target.Name == own.Name {
			continue
		}
		got := run(target)
		for i, w := range want {
			near := func(got, want float64) bool { return math.Abs(got-want) <= 1e-5*math.Abs(want)*float64(i+1) }
			if g := got[i]; w.Loss == 0 || !near(g.Loss, w.Loss) || !near(g.GradNorm, w.GradNorm) || g.Skipped {
				t.Errorf("step %d: %s has %+v, %s %+v", i, target.Name, g, own.Name, w)
			}
		}
	}
	if len(seen) < 3 {
		t.Errorf("%d programs: %v", len(seen), seen)
	}
}
