package op_test

import (
	"fmt"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

func TestGELUForward(t *testing.T) { storages(geluForward)(t, gputest.New) }

func geluForward(t *testing.T, newCase maker, s gpu.Storage) {
	// groups of 64 and 256 quads
	for _, shape := range [][]int{{4}, {3, 84}, {256}, {13, 20}, {1020}, {1024}, {257, 4}} {
		t.Run(fmt.Sprint(shape), func(t *testing.T) {
			selftest.GELUForward(newCase(t), s, shape...)
		})
	}
}

// TestGELUAgain: from the pre-activation that the fused form stores, GELUForward gives the fused form's bits.
func TestGELUAgain(t *testing.T) { gputest.Storages(t, geluAgain) }

func geluAgain(t *testing.T, s gpu.Storage) {
	for _, d := range matmulShapes {
		c := gputest.New(t)
		mm := op.MatmulForward{
			Out: c.OutAs(s, "act", d.N, d.OC), Pre: c.OutAs(s, "pre", d.N, d.OC),
			X:    c.InAs(s, "x", gputest.Round(s, gputest.Rand(1, d.N*d.K, 1)), d.N, d.K),
			W:    c.InAs(s, "w", gputest.Round(s, gputest.Rand(2, d.OC*d.K, 1)), d.OC, d.K),
			Bias: c.In("bias", gputest.Rand(3, d.OC, 1), d.OC),
		}
		g := op.GELUForward{Out: c.OutAs(s, "again", d.N, d.OC), X: mm.Pre}
		c.Run(mm, g)
		for i, want := range c.Got(mm.Out) {
			if got := c.Got(g.Out)[i]; got != want {
				t.Fatalf("N=%d,K=%d,OC=%d at %d: %v, then %v", d.N, d.K, d.OC, i, want, got)
			}
		}
	}
}
