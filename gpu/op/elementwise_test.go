package op_test

import (
	"fmt"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

func TestElementwise(t *testing.T) {
	for _, shape := range [][]int{{4}, {3, 84}, {256}, {13, 20}, {1020}, {1024}, {257, 4}} { // groups of 64 and 256 quads
		t.Run(fmt.Sprint(shape), func(t *testing.T) {
			n := 1
			for _, d := range shape {
				n *= d
			}
			a, b := gputest.Rand(1, n, 1), gputest.Rand(2, n, 1)
			filled, scaled, added := make([]float64, n), make([]float64, n), make([]float64, n)
			ref.Fill(filled, -1.5)
			ref.Scale(scaled, a, 0.375)
			ref.Add(added, a, b)
			c := gputest.New(t)
			x := c.In("x", a, shape...)
			f := op.Fill{Out: c.Out("filled", shape...), Value: -1.5}
			s := op.Scale{Out: c.Out("scaled", shape...), X: x, S: 0.375}
			d := op.Add{Out: c.Out("added", shape...), A: x, B: c.In("b", b, shape...)}
			c.Run(func(p *gpu.Program) {
				f.AddTo(p)
				s.AddTo(p)
				d.AddTo(p)
			})
			c.Check(f.Out, filled, gputest.Tolerance{})
			c.Check(s.Out, scaled, gputest.Tolerance{})
			c.Check(d.Out, added, gputest.Tolerance{})
		})
	}
}
