package selftest

import (
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

// The ends of the matmul kernels.
var (
	ForwardEpilogues    = []string{"store", "store_f32", "bias", "bias_gelu", "bias_residual"}
	BackwardDXEpilogues = []string{"store", "store_f32", "dgelu", "add"}
)

// MatmulForward tries out = x @ w^T with an epilogue: x (N,K), w (OC,K) of storage s.
func MatmulForward(c *Case, s gpu.Storage, epilogue string, N, K, OC int) {
	x, w, b := Round(s, Rand(1, N*K, 1)), Round(s, Rand(2, OC*K, 1)), Rand(3, OC, 1)
	tol := Tolerance{Terms: K + 2, Scale: 1}
	out := s // of the result
	if epilogue == "store_f32" || epilogue == "bias_residual" {
		out = gpu.F32
	}
	mm := op.MatmulForward{Out: c.OutAs(out, "out", N, OC), X: c.InAs(s, "x", x, N, K), W: c.InAs(s, "w", w, OC, K)}
	want := make([]float64, N*OC)
	if !strings.HasPrefix(epilogue, "bias") {
		b = nil
	} else {
		mm.Bias = c.In("bias", b, OC)
	}
	ref.MatmulForward(want, x, w, b, N, K, OC)
	pre := want
	switch epilogue {
	case "bias_gelu":
		mm.Pre = c.OutAs(s, "pre", N, OC)
	case "bias_residual":
		res := Rand(4, N*OC, 1)
		mm.Residual = c.In("residual", res, N, OC)
		ref.Add(want, want, res)
	}
	c.Run(func(p *op.Builder) { mm.AddTo(p) })
	if epilogue == "bias_gelu" {
		c.Check(mm.Pre, pre, tol)
		want = make([]float64, N*OC)
		ref.GELUForward(want, c.Got(mm.Pre)) // of Pre as stored
	}
	c.Check(mm.Out, want, tol)
}

// matmulCol is where windows of wider rows begin in the cases of them.
const matmulCol = 8

// MatmulForwardWindow writes the N x (OC-1) result into columns of wider rows: a last quad has a column too many.
func MatmulForwardWindow(c *Case, s gpu.Storage, N, K, OC int) {
	oc, stride := OC-1, matmulCol+OC
	x, w := Round(s, Rand(1, N*K, 1)), Round(s, Rand(2, oc*K, 1))
	want := make([]float64, N*oc)
	ref.MatmulForward(want, x, w, nil, N, K, oc)
	mm := op.MatmulForward{
		Out: c.InOutAs(s, "out", make([]float64, N*stride), N, stride), X: c.InAs(s, "x", x, N, K),
		W: c.InAs(s, "w", w, oc, K), Col: matmulCol,
	}
	c.Run(func(p *op.Builder) { mm.AddTo(p) })
	got, window, before := c.Got(mm.Out), make([]float64, 0, N*oc), make([]float64, 0, N*matmulCol)
	for n := range N {
		row := got[n*stride : (n+1)*stride]
		before = append(before, row[:matmulCol]...)
		window = append(window, row[matmulCol:matmulCol+oc]...)
	}
	c.CheckValues("the window of out", window, want, Tolerance{Terms: K + 2, Scale: 1, Storage: s})
	c.CheckValues("out before the window", before, make([]float64, N*matmulCol), Tolerance{})
}

// MatmulBackwardDX tries dx = dout @ w with an epilogue: dout (N,OC), w (OC,K) of storage s.
func MatmulBackwardDX(c *Case, s gpu.Storage, epilogue string, N, K, OC int) {
	dout, w := Round(s, Rand(1, N*OC, 1)), Round(s, Rand(2, OC*K, 1))
	mm := op.MatmulBackwardDX{DOut: c.InAs(s, "dout", dout, N, OC), W: c.InAs(s, "w", w, OC, K)}
	want := make([]float64, N*K)
	ref.MatmulBackwardDX(want, dout, w, N, K, OC)
	tol := Tolerance{Terms: OC + 2, Scale: 1}
	switch epilogue {
	case "store":
		mm.DX = c.OutAs(s, "dx", N, K)
	case "store_f32":
		mm.DX = c.Out("dx", N, K)
	case "dgelu":
		pre := Round(s, Rand(3, N*K, 2))
		mm.DX, mm.Pre = c.OutAs(s, "dx", N, K), c.InAs(s, "pre", pre, N, K)
		ref.GELUBackward(want, append([]float64(nil), want...), pre)
		// GELU' near its zeros is a difference of terms of size |x| <= 8, and tanh may be off by 4 eps there
		tol.Scale *= 4
	case "add":
		base := Rand(4, N*K, 1)
		mm.DX, mm.Add = c.InOut("dx", base, N, K), true
		ref.Add(want, want, base)
	}
	c.Run(func(p *op.Builder) { mm.AddTo(p) })
	c.Check(mm.DX, want, tol)
}

// MatmulBackwardDXWindow reads the N x (OC-1) dout from columns of wider rows, and stores or adds.
func MatmulBackwardDXWindow(c *Case, s gpu.Storage, add bool, N, K, OC int) {
	oc, stride := OC-1, matmulCol+OC
	wide, dout := Round(s, Rand(1, N*stride, 1)), make([]float64, N*oc)
	for n := range N {
		copy(dout[n*oc:(n+1)*oc], wide[n*stride+matmulCol:])
		wide[n*stride+matmulCol+oc] = 0
	}
	w, want := Round(s, Rand(2, oc*K, 1)), make([]float64, N*K)
	ref.MatmulBackwardDX(want, dout, w, N, K, oc)
	mm := op.MatmulBackwardDX{DOut: c.InAs(s, "dout", wide, N, stride), W: c.InAs(s, "w", w, oc, K), Col: matmulCol,
		Add: add}
	if add {
		base := Rand(3, N*K, 1)
		mm.DX = c.InOut("dx", base, N, K)
		ref.Add(want, want, base)
	} else {
		mm.DX = c.OutAs(s, "dx", N, K)
	}
	c.Run(func(p *op.Builder) { mm.AddTo(p) })
	c.Check(mm.DX, want, Tolerance{Terms: OC + 2, Scale: 1})
}

// MatmulBackwardDW tries dw += dout^T @ x: dout (N,OC), x (N,K) of storage s.
func MatmulBackwardDW(c *Case, s gpu.Storage, N, K, OC int) {
	dout, x, dw := Round(s, Rand(1, N*OC, 1)), Round(s, Rand(2, N*K, 1)), Rand(3, OC*K, 1)
	mm := op.MatmulBackwardDW{DW: c.InOut("dw", dw, OC, K), DOut: c.InAs(s, "dout", dout, N, OC),
		X: c.InAs(s, "x", x, N, K)}
	c.Run(func(p *op.Builder) { mm.AddTo(p) })
	ref.MatmulBackwardDW(dw, dout, x, N, K, OC)
	c.Check(mm.DW, dw, Tolerance{Terms: N + 2, Scale: 1})
}

// MatmulBackwardDWWindow reads dout from columns of wider rows.
func MatmulBackwardDWWindow(c *Case, s gpu.Storage, N, K, OC int) {
	stride := matmulCol + (OC+3)/4*4
	wide, dout := Round(s, Rand(1, N*stride, 1)), make([]float64, N*OC)
	for n := range N {
		copy(dout[n*OC:(n+1)*OC], wide[n*stride+matmulCol:])
	}
	x, dw := Round(s, Rand(2, N*K, 1)), Rand(3, OC*K, 1)
	mm := op.MatmulBackwardDW{DW: c.InOut("dw", dw, OC, K), DOut: c.InAs(s, "dout", wide, N, stride),
		X: c.InAs(s, "x", x, N, K), Col: matmulCol}
	c.Run(func(p *op.Builder) { mm.AddTo(p) })
	ref.MatmulBackwardDW(dw, dout, x, N, K, OC)
	c.Check(mm.DW, dw, Tolerance{Terms: N + 2, Scale: 1})
}
