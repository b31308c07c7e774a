package op

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// LayerNormForward brings each row to mean 0 and variance 1, then scales and shifts it. The backward needs Mean and
// Rstd.
type LayerNormForward struct {
	Out, Mean, Rstd gpu.Tensor // (N,C) any storage, (N) (N) float32
	X, W, B         gpu.Tensor // (N,C) float32, the residual stream; (C) (C) float32
}

// AddTo checks shapes and appends the dispatch. C % 4 == 0.
func (op LayerNormForward) AddTo(p *Builder) {
	const name = "layernorm_forward"
	n, c := op.X.Dim(0), op.X.Dim(1)
	p.Want(name, "out", op.Out, n, c)
	p.Want(name, "mean", op.Mean, n)
	p.Want(name, "rstd", op.Rstd, n)
	p.Want(name, "x", op.X, n, c)
	p.Want(name, "w", op.W, c)
	p.Want(name, "b", op.B, c)
	g := p.Target.rowGroup(p, name, c)
	if p.Err() != nil {
		return
	}
	kernel, spec := name, shaders.Spec{"WG": g.wg, "PER": g.per, "ROWS": g.rows}
	if least := p.Target.LayerNorm.ThreadRow; least > 0 && n >= least {
		kernel, spec, g.rows = "layernorm_forward_rows", nil, 8
	}
	p.Add(gpu.Dispatch{
		Source: source(p, kernel, store(op.Out), spec),
		Bind:   map[string]gpu.Tensor{"out": op.Out, "mean": op.Mean, "rstd": op.Rstd, "x": op.X, "w": op.W, "b": op.B},
		Params: struct{ N, C uint32 }{u32(n), u32(c)},
		Groups: p.Groups1D(ceilDiv(n, g.rows)),
		FLOPs:  8 * float64(n*c),
		Bytes:  float64(op.Out.Bytes()) + 4*float64(n*c+2*n+2*c),
	})
}

// LayerNormBackward is the gradient of X, W and B. DX is the residual stream's gradient, to which its part is added.
type LayerNormBackward struct {
	DX, DW, DB gpu.Tensor // (N,C) (C) (C) float32, accumulated
	DOut, X, W gpu.Tensor // (N,C) any storage, (N,C) (C) float32
	Mean, Rstd gpu.Tensor // (N) (N), from the forward
	Partial    gpu.Tensor // scratch float32, at least 2*PartialLen(N,C) values
}

// AddTo checks shapes and appends three dispatches: rows, then the sums of DW and of DB. C % 4 == 0.
func (op LayerNormBackward) AddTo(p *Builder) {
	const name = "layernorm_backward"
	n, c := op.X.Dim(0), op.X.Dim(1)
	p.Want(name, "dx", op.DX, n, c)
	p.Want(name, "dw", op.DW, c)
	p.Want(name, "db", op.DB, c)
	p.Want(name, "dout", op.DOut, n, c)
	p.Want(name, "x", op.X, n, c)
	p.Want(name, "w", op.W, c)
	p.Want(name, "mean", op.Mean, n)
	p.Want(name, "rstd", op.Rstd, n)
	g := p.Target.rowGroup(p, name, c)
	partial := partialFor(p, name, op.Partial, n, 2*c)
	if p.Err() != nil {
		return
	}
	p.Add(gpu.Dispatch{
		Source: source(p, name, store(op.DOut), shaders.Spec{"WG": g.wg, "PER": g.per}),
		Bind: map[string]gpu.Tensor{
			"dstream": op.DX, "partial": partial, "dout": op.DOut, "x": op.X, "w": op.W, "mean": op.Mean,
			"rstd": op.Rstd,
		},
		Params: struct{ N, C, ROWS uint32 }{u32(n), u32(c), u32(stripRows(n))},
		Groups: p.Groups1D(partial.Dim(0)),
		FLOPs:  16 * float64(n*c),
		Bytes:  float64(op.DOut.Bytes()+partial.Bytes()) + 4*float64(3*n*c+2*n+c),
	})
	sumStrips(p, op.DW, partial, 0)
	sumStrips(p, op.DB, partial, c)
}

// rowGroup is the geometry of kernels with a workgroup per row: wg threads, each with per quads of it.
type rowGroup struct {
	wg, per int
	rows    int // rows per group, one after another
}

// rowGroup returns the least group of the target whose threads hold a row of c values, up to 256 threads.
func (t Target) rowGroup(p *Builder, op string, c int) rowGroup {
	if c%4 != 0 || c == 0 {
		p.Fail("%s: C = %d, want a multiple of 4", op, c)
		return rowGroup{}
	}
	g := rowGroup{wg: t.LayerNorm.Threads, rows: t.LayerNorm.Rows}
	for g.wg < 256 && g.wg*t.LayerNorm.Quads < c/4 {
		g.wg *= 2
	}
	g.per = ceilDiv(c/4, g.wg)
	return g
}
