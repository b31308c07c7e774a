package op_test

import (
	"fmt"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

// matmulShapes sit on the seams of the tile tables: one below, at and above each tile, and odd sizes.
var matmulShapes = []struct{ N, K, OC int }{
	{1, 4, 4}, {3, 8, 12}, {4, 64, 68}, {5, 12, 8}, {8, 32, 60}, {9, 20, 64}, {15, 36, 68}, {16, 128, 128}, {17, 4, 132},
	{33, 260, 100}, {64, 16, 516},
}

func TestMatmulForward(t *testing.T) {
	for _, d := range matmulShapes {
		x, w, b := gputest.Rand(1, d.N*d.K, 1), gputest.Rand(2, d.OC*d.K, 1), gputest.Rand(3, d.OC, 1)
		res := gputest.Rand(4, d.N*d.OC, 1)
		plain, biased := make([]float64, d.N*d.OC), make([]float64, d.N*d.OC)
		ref.MatmulForward(plain, x, w, nil, d.N, d.K, d.OC)
		ref.MatmulForward(biased, x, w, b, d.N, d.K, d.OC)
		act, sum := make([]float64, d.N*d.OC), make([]float64, d.N*d.OC)
		ref.GELUForward(act, biased)
		ref.Add(sum, biased, res)
		tol := gputest.Tolerance{Terms: d.K + 2, Scale: 1}
		for _, epilogue := range []string{"store", "bias", "bias_gelu", "bias_residual"} {
			t.Run(fmt.Sprintf("%s/N=%d,K=%d,OC=%d", epilogue, d.N, d.K, d.OC), func(t *testing.T) {
				c := gputest.New(t)
				mm := op.MatmulForward{Out: c.Out("out", d.N, d.OC), X: c.In("x", x, d.N, d.K), W: c.In("w", w, d.OC, d.K)}
				want := plain
				if epilogue != "store" {
					mm.Bias, want = c.In("bias", b, d.OC), biased
				}
				switch epilogue {
				case "bias_gelu":
					mm.Pre, want = c.Out("pre", d.N, d.OC), act
				case "bias_residual":
					mm.Residual, want = c.In("residual", res, d.N, d.OC), sum
				}
				c.Run(func(p *gpu.Program) { mm.AddTo(p) })
				c.Check(mm.Out, want, tol)
				if epilogue == "bias_gelu" {
					c.Check(mm.Pre, biased, tol)
				}
			})
		}
	}
}

func TestMatmulBackwardDX(t *testing.T) {
	for _, d := range matmulShapes {
		dout, w, pre := gputest.Rand(1, d.N*d.OC, 1), gputest.Rand(2, d.OC*d.K, 1), gputest.Rand(3, d.N*d.K, 2)
		base := gputest.Rand(4, d.N*d.K, 1)
		plain, gelu, sum := make([]float64, d.N*d.K), make([]float64, d.N*d.K), make([]float64, d.N*d.K)
		ref.MatmulBackwardDX(plain, dout, w, d.N, d.K, d.OC)
		ref.GELUBackward(gelu, plain, pre)
		ref.Add(sum, plain, base)
		for _, epilogue := range []string{"store", "dgelu", "add"} {
			t.Run(fmt.Sprintf("%s/N=%d,K=%d,OC=%d", epilogue, d.N, d.K, d.OC), func(t *testing.T) {
				c := gputest.New(t)
				mm := op.MatmulBackwardDX{DOut: c.In("dout", dout, d.N, d.OC), W: c.In("w", w, d.OC, d.K)}
				want := plain
				switch epilogue {
				case "store":
					mm.DX = c.Out("dx", d.N, d.K)
				case "dgelu":
					mm.DX, mm.Pre, want = c.Out("dx", d.N, d.K), c.In("pre", pre, d.N, d.K), gelu
				case "add":
					mm.DX, mm.Add, want = c.InOut("dx", base, d.N, d.K), true, sum
				}
				c.Run(func(p *gpu.Program) { mm.AddTo(p) })
				tol := gputest.Tolerance{Terms: d.OC + 2, Scale: 1}
				if epilogue == "dgelu" {
					// GELU' near its zeros is a difference of terms of size |x| <= 8, and tanh may be off by 4 eps there.
					tol.Scale *= 4
				}
				c.Check(mm.DX, want, tol)
			})
		}
	}
}

func TestMatmulBackwardDW(t *testing.T) {
	for _, d := range matmulShapes {
		dout, x := gputest.Rand(1, d.N*d.OC, 1), gputest.Rand(2, d.N*d.K, 1)
		dw := gputest.Rand(3, d.OC*d.K, 1)
		want := append([]float64(nil), dw...)
		ref.MatmulBackwardDW(want, dout, x, d.N, d.K, d.OC)
		t.Run(fmt.Sprintf("N=%d,K=%d,OC=%d", d.N, d.K, d.OC), func(t *testing.T) {
			c := gputest.New(t)
			mm := op.MatmulBackwardDW{DW: c.InOut("dw", dw, d.OC, d.K), DOut: c.In("dout", dout, d.N, d.OC), X: c.In("x", x, d.N, d.K)}
			c.Run(func(p *gpu.Program) { mm.AddTo(p) })
			c.Check(mm.DW, want, gputest.Tolerance{Terms: d.N + 2, Scale: 1})
		})
	}
}
