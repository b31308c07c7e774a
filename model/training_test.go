package model

import (
	"reflect"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestForwardLeavesTheStep: a Forward behind a step's update changes nothing that the step leaves, loss, norm,
// gradients and parameters, and the step that it begins is the one that comes of Begin first.
func TestForwardLeavesTheStep(t *testing.T) { gputest.Storages(t, forwardLeavesTheStep) }

func forwardLeavesTheStep(t *testing.T, s gpu.Storage) {
	c := gpt2.Config{NLayer: 2, NHead: 2, NEmbd: 16, BlockSize: 8, VocabSize: 40}
	type left struct {
		stats     Stats
		gradients [][]float32
		weights   *gpt2.Weights
	}
	steps := func(ahead bool) (out []left) {
		m, err := New(gputest.Device(t), c)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := NewTraining(m, 2, 8, 1, Storing(s), Recomputing(RecomputeBlock))
		if err != nil {
			t.Fatal(err)
		}
		o, err := AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, GradClip: 1}.New(tr)
		if err != nil {
			t.Fatal(err)
		}
		forward := func(step int) error {
			x, y := make([]uint32, 16), make([]uint32, 16)
			for i := range x {
				x[i], y[i] = uint32((i+step)*7%40), uint32((i+step)*11%40)
			}
			return tr.Forward(x, y)
		}
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		check(m.Load(gpt2.Init(c, 1)))
		for step := range 3 {
			check(tr.Begin())
			if step == 0 || !ahead {
				check(forward(step))
			}
			check(tr.Backward(nil))
			check(o.Update(step, 1e-2))
			take, err := tr.StartStats()
			check(err)
			if ahead {
				check(forward(step + 1))
			}
			var l left
			l.stats, err = take()
			check(err)
			l.gradients, err = tr.Gradients()
			check(err)
			l.weights, err = m.Weights()
			check(err)
			out = append(out, l)
		}
		return out
	}
	want, got := steps(false), steps(true)
	for i := range want {
		if want[i].stats.Loss == 0 || !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("step %d left %+v, with a forward behind it %+v; or gradients or weights differ", i, want[i].stats,
				got[i].stats)
		}
	}
}
