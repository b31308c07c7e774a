package op_test

import (
	"fmt"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

func TestElementwise(t *testing.T) { gputest.Storages(t, elementwise) }

func elementwise(t *testing.T, s gpu.Storage) {
	for _, shape := range [][]int{{4}, {3, 84}, {256}, {13, 20}, {1020}, {1024}, {257, 4}} { // groups of 64 and 256 quads
		t.Run(fmt.Sprint(shape), func(t *testing.T) {
			n := 1
			for _, d := range shape {
				n *= d
			}
			a, b := gputest.Round(s, gputest.Rand(1, n, 1)), gputest.Round(s, gputest.Rand(2, n, 1))
			filled, scaled, added := make([]float64, n), make([]float64, n), make([]float64, n)
			ref.Fill(filled, -1.5)
			ref.Scale(scaled, a, 0.375)
			ref.Add(added, a, b)
			c := gputest.New(t)
			x := c.InAs(s, "x", a, shape...)
			f := op.Fill{Out: c.OutAs(s, "filled", shape...), Value: -1.5}
			k := op.Scale{Out: c.OutAs(s, "scaled", shape...), X: x, S: 0.375}
			d := op.Add{Out: c.OutAs(s, "added", shape...), A: x, B: c.InAs(s, "b", b, shape...)}
			c.Run(func(p *gpu.Program) {
				f.AddTo(p)
				k.AddTo(p)
				d.AddTo(p)
			})
			c.Check(f.Out, filled, gputest.Tolerance{})
			c.Check(k.Out, scaled, gputest.Tolerance{})
			c.Check(d.Out, added, gputest.Tolerance{})
		})
	}
}
