package op

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// GatherRows copies the rows of X that Rows names, each below N, in that order; a row may be named twice.
type GatherRows struct {
	Out  gpu.Tensor // (R,C), of X's storage
	X    gpu.Tensor // (N,C) any storage
	Rows gpu.Tensor // (R) u32
}

// AddTo checks shapes and appends the dispatch. C % 4 == 0.
func (op GatherRows) AddTo(p *Builder) {
	const name = "gather_rows"
	r, c := op.Out.Dim(0), op.Out.Dim(1)
	p.Want(name, "out", op.Out, r, c)
	p.Want(name, "x", op.X, op.X.Dim(0), c)
	p.Want(name, "rows", op.Rows, r)
	p.wantQuads(name, "C", c)
	if p.Err() != nil {
		return
	}
	g := p.Target.rowTile(c)
	p.Add(gpu.Dispatch{
		Source: source(p, name, store(op.X), shaders.Spec{"WG": g.wg, "PER": g.per}),
		Bind:   map[string]gpu.Tensor{"out": op.Out, "x": op.X, "rows": op.Rows},
		Params: struct{ R, C, COLS uint32 }{u32(r), u32(c), u32(g.cols)},
		Groups: p.Groups1D(r * g.cols),
		Bytes:  2 * float64(op.Out.Bytes()),
	})
}

// rowTile is the geometry of kernels that look up a row and copy or add it: cols groups per row, each of wg threads
// with per quads.
type rowTile struct{ wg, per, cols int }

// rowTile returns the target's tile for rows of c values.
func (t Target) rowTile(c int) rowTile {
	g := rowTile{wg: t.LookUp.Threads, per: min(t.LookUp.Quads, ceilDiv(c/4, t.LookUp.Threads))}
	g.cols = ceilDiv(c/4, g.wg*g.per)
	return g
}
