package selftest

import (
	"slices"
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

// windowCol is where windows of wider rows begin in the cases that have them.
const windowCol = 8

// wideRows returns the stride and the values of N rows that have cols columns from column col on and end at a multiple
// of 4.
func wideRows(s gpu.Storage, N, col, cols int) (stride int, values []float64) {
	stride = col + (cols+3)/4*4
	return stride, Round(s, Rand(1, N*stride, 1))
}

// columns returns the columns [from,to) of rows of stride values.
func columns(values []float64, stride, from, to int) (part []float64) {
	for row := range slices.Chunk(values, stride) {
		part = append(part, row[from:to]...)
	}
	return part
}

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
	c.Run(mm)
	if epilogue == "bias_gelu" {
		c.Check(mm.Pre, pre, tol)
		want = make([]float64, N*OC)
		ref.GELUForward(want, c.Got(mm.Pre)) // of Pre as stored
	}
	c.Check(mm.Out, want, tol)
}

// MatmulForwardWindow writes the N x OC result into columns of wider rows: where OC is not a multiple of 4, a last quad
// has columns too many.
func MatmulForwardWindow(c *Case, s gpu.Storage, N, K, OC int) {
	stride, _ := wideRows(s, N, windowCol, OC)
	x, w := Round(s, Rand(1, N*K, 1)), Round(s, Rand(2, OC*K, 1))
	want := make([]float64, N*OC)
	ref.MatmulForward(want, x, w, nil, N, K, OC)
	mm := op.MatmulForward{
		Out: c.InOutAs(s, "out", make([]float64, N*stride), N, stride), X: c.InAs(s, "x", x, N, K),
		W: c.InAs(s, "w", w, OC, K), Col: windowCol,
	}
	c.Run(mm)
	window := columns(c.Got(mm.Out), stride, windowCol, windowCol+OC)
	c.CheckValues("the window of out", window, want, Tolerance{Terms: K + 2, Scale: 1, Storage: s})
	before := columns(c.Got(mm.Out), stride, 0, windowCol)
	c.CheckValues("out before the window", before, make([]float64, N*windowCol), Tolerance{})
}

// MatmulBackwardDX tries dx = dout @ w with an epilogue: dout (N,OC), from column col of wider rows on, and w (OC,K) of
// storage s.
func MatmulBackwardDX(c *Case, s gpu.Storage, epilogue string, col, N, K, OC int) {
	stride, wide := wideRows(s, N, col, OC)
	for row := range slices.Chunk(wide, stride) {
		clear(row[col+OC:])
	}
	dout, w := columns(wide, stride, col, col+OC), Round(s, Rand(2, OC*K, 1))
	mm := op.MatmulBackwardDX{DOut: c.InAs(s, "dout", wide, N, stride), W: c.InAs(s, "w", w, OC, K), Col: col}
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
		ref.GELUBackward(want, slices.Clone(want), pre)
		// GELU' near its zeros is a difference of terms of size |x| <= 8, and tanh may be off by 4 eps there
		tol.Scale *= 4
	case "add":
		base := Rand(4, N*K, 1)
		mm.DX, mm.Add = c.InOut("dx", base, N, K), true
		ref.Add(want, want, base)
	}
	c.Run(mm)
	c.Check(mm.DX, want, tol)
}

// MatmulBackwardDW tries dw += dout^T @ x: dout (N,OC), from column col of wider rows on, and x (N,K) of storage s.
func MatmulBackwardDW(c *Case, s gpu.Storage, col, N, K, OC int) {
	stride, wide := wideRows(s, N, col, OC)
	x, dw := Round(s, Rand(2, N*K, 1)), Rand(3, OC*K, 1)
	mm := op.MatmulBackwardDW{DW: c.InOut("dw", dw, OC, K), DOut: c.InAs(s, "dout", wide, N, stride),
		X: c.InAs(s, "x", x, N, K), Col: col}
	c.Run(mm)
	ref.MatmulBackwardDW(dw, columns(wide, stride, col, col+OC), x, N, K, OC)
	c.Check(mm.DW, dw, Tolerance{Terms: N + 2, Scale: 1})
}
