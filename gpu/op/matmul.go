package op

import (
	"maps"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// MatmulForward is PyTorch's Linear: Out = X @ W^T, with what follows fused into its end.
//
//	Bias:                 Out = X @ W^T + Bias
//	Bias, Pre:            Pre = X @ W^T + Bias, Out = GELU(Pre)
//	Bias, Residual:       Out = Residual + X @ W^T + Bias, the stream in float32
//
// X, W and what is not said to be float32 share a storage; Out alone may be float32 too where it is no more than X @ W^T.
// Col places the columns of Out at [Col, Col+OC) of wider rows, for a window of the vocabulary; Col % 4 == 0, and Out's rows
// then hold OC rounded up to 4 columns from Col on.
type MatmulForward struct {
	Out, Pre       gpu.Tensor // (N,OC) (N,OC)
	X, W           gpu.Tensor // (N,K) (OC,K)
	Bias, Residual gpu.Tensor // (OC) (N,OC) float32
	Col            int
}

// AddTo checks shapes and appends the dispatch. K % 4 == 0.
func (op MatmulForward) AddTo(p *Builder) {
	const name = "matmul_forward"
	n, k, oc := op.X.Dim(0), op.X.Dim(1), op.W.Dim(0)
	stride := op.Out.Dim(1)
	p.Want(name, "x", op.X, n, k)
	p.Want(name, "w", op.W, oc, k)
	p.Want(name, "out", op.Out, n, stride)
	m := matmul{name: name, rows: n, cols: oc, sums: k, params: matmulParams{u32(n), u32(k), u32(oc), u32(stride), u32(op.Col)}}
	m.bind = map[string]gpu.Tensor{"x": op.X, "w": op.W, "out": op.Out}
	m.epilogue = storeSums(op.Out, op.X)
	if !op.Bias.None() {
		p.Want(name, "bias", op.Bias, oc)
		m.epilogue, m.bind["bias"] = "epilogue_bias", op.Bias
	}
	if !op.Pre.None() {
		p.Want(name, "pre", op.Pre, n, oc)
		m.epilogue, m.bind["pre"] = "epilogue_bias_gelu", op.Pre
	}
	if !op.Residual.None() {
		p.Want(name, "residual", op.Residual, n, oc)
		m.epilogue, m.bind["residual"] = "epilogue_bias_residual", op.Residual
	}
	if op.Bias.None() && (!op.Pre.None() || !op.Residual.None()) || !op.Pre.None() && !op.Residual.None() {
		p.Fail("%s: want Bias with Pre or with Residual", name)
	}
	m.checkColumns(p, oc, stride, op.Col, !op.Bias.None())
	m.addTo(p)
}

// MatmulBackwardDX is the gradient of X: DX = DOut @ W.
//
//	Pre:    DX = (DOut @ W) * GELU'(Pre)
//	Add:    DX += DOut @ W, in float32
type MatmulBackwardDX struct {
	DX      gpu.Tensor // (N,K) DOut's storage, or float32 without Pre
	DOut, W gpu.Tensor // (N,OC) (OC,K)
	Pre     gpu.Tensor // (N,K)
	Col     int        // DOut's columns [Col, Col+OC) of wider rows, zero up to the next multiple of 4
	Add     bool
}

// AddTo checks shapes and appends the dispatch. K % 4 == 0.
func (op MatmulBackwardDX) AddTo(p *Builder) {
	const name = "matmul_backward_dx"
	n, stride, oc, k := op.DOut.Dim(0), op.DOut.Dim(1), op.W.Dim(0), op.W.Dim(1)
	p.Want(name, "dx", op.DX, n, k)
	p.Want(name, "dout", op.DOut, n, stride)
	p.Want(name, "w", op.W, oc, k)
	m := matmul{name: name, rows: n, cols: k, sums: oc, params: matmulParams{u32(n), u32(k), u32(oc), u32(stride), u32(op.Col)}}
	m.bind = map[string]gpu.Tensor{"dout": op.DOut, "w": op.W, "out": op.DX}
	switch {
	case op.Add && op.Pre.None():
		m.epilogue = "epilogue_add"
	case op.Add:
		p.Fail("%s: Add and Pre exclude each other", name)
	case !op.Pre.None():
		p.Want(name, "pre", op.Pre, n, k)
		m.epilogue, m.bind["pre"] = "epilogue_dgelu", op.Pre
	default:
		m.epilogue = storeSums(op.DX, op.DOut)
	}
	m.checkColumns(p, oc, stride, op.Col, false)
	m.addTo(p)
}

// MatmulBackwardDW is the gradient of W, accumulated: DW += DOut^T @ X.
type MatmulBackwardDW struct {
	DW      gpu.Tensor // (OC,K) float32
	DOut, X gpu.Tensor // (N,OC) (N,K)
	Col     int        // DOut's columns [Col, Col+OC) of wider rows
}

// AddTo checks shapes and appends the dispatch. K % 4 == 0.
func (op MatmulBackwardDW) AddTo(p *Builder) {
	const name = "matmul_backward_dw"
	n, stride, oc, k := op.DOut.Dim(0), op.DOut.Dim(1), op.DW.Dim(0), op.X.Dim(1)
	p.Want(name, "dw", op.DW, oc, k)
	p.Want(name, "dout", op.DOut, n, stride)
	p.Want(name, "x", op.X, n, k)
	m := matmul{name: name, rows: oc, cols: k, sums: n, params: matmulParams{u32(n), u32(k), u32(oc), u32(stride), u32(op.Col)}}
	m.bind = map[string]gpu.Tensor{"dout": op.DOut, "x": op.X, "out": op.DW}
	m.epilogue = "epilogue_add"
	m.checkColumns(p, oc, stride, op.Col, false)
	m.addTo(p)
}

// storeSums returns the epilogue that stores sums alone: in the operands' storage, or in float32.
func storeSums(out, operand gpu.Tensor) string {
	if out.Storage() == gpu.F32 && operand.Storage() != gpu.F32 {
		return "epilogue_store_f32"
	}
	return "epilogue_store"
}

// matmulParams is the struct Params of every matmul kernel.
type matmulParams struct{ N, K, OC, STRIDE, COL uint32 }

// matmul is what the three forms share.
type matmul struct {
	name, epilogue   string
	rows, cols, sums int // of the result; the length of each sum
	bind             map[string]gpu.Tensor
	params           matmulParams
}

func (m matmul) checkColumns(p *Builder, oc, stride, col int, exact bool) {
	switch {
	case m.params.K%4 != 0:
		p.Fail("%s: K = %d, want a multiple of 4", m.name, m.params.K)
	case stride%4 != 0 || col%4 != 0:
		p.Fail("%s: rows of %d columns from column %d, want multiples of 4", m.name, stride, col)
	case exact && (stride != oc || col != 0), col+ceilDiv(oc, 4)*4 > stride:
		p.Fail("%s: columns [%d,%d) in rows of %d", m.name, col, col+oc, stride)
	}
}

// addTo appends the product with the tile that measuring has chosen for it, or else with the target's.
func (m matmul) addTo(p *Builder) {
	if p.Err() != nil {
		return
	}
	tile := p.Target.productFor(m)
	if n := p.Target.Slice.of(m.name); n > 0 && n < m.sums && m.sliceable() && !tile.panels() {
		m.slices(n, func(part matmul) { part.addTo(p) }) // each with the tile for its own size
		return
	}
	if t := p.tuned(m.use).Matmul; t != nil {
		tile = *t
	}
	if tile.Slice > 0 && m.sliceable() {
		m.slices(tile.Slice, func(part matmul) { part.add(p, tile) })
		return
	}
	m.add(p, tile)
}

// sliceable says whether the sums may be added up slice by slice: in float32, and with nothing behind them.
func (m matmul) sliceable() bool {
	return m.name != "matmul_forward" && m.bind["out"].Storage() == gpu.F32 && m.bind["pre"].None()
}

// slices calls each with the products of n addends that the sums of m are made of, in their order.
func (m matmul) slices(n int, each func(matmul)) {
	for lo := 0; lo < m.sums; lo += n {
		hi := min(lo+n, m.sums)
		part := m
		part.bind, part.sums = maps.Clone(m.bind), hi-lo
		if m.name == "matmul_backward_dx" {
			part.bind["w"] = m.bind["w"].Rows(lo, hi)
			part.params.OC, part.params.COL = u32(hi-lo), m.params.COL+u32(lo)
		} else {
			part.bind["dout"], part.bind["x"] = m.bind["dout"].Rows(lo, hi), m.bind["x"].Rows(lo, hi)
			part.params.N = u32(hi - lo)
		}
		if lo > 0 {
			part.epilogue = "epilogue_add"
		}
		each(part)
	}
}

// add appends the product with a tile.
func (m matmul) add(p *Builder, tile MatmulTile) {
	if tile.panels() {
		m.addPanels(p, tile.Panel)
		return
	}
	data := m.bind["x"]
	if data.None() {
		data = m.bind["dout"]
	}
	choice := store(data)
	choice["epilogue"] = m.epilogue
	algorithm, spec := "_direct", shaders.Spec{"TN4": tile.TN4, "WX": tile.WX, "WY": tile.WY}
	switch {
	case tile.Split:
		algorithm, spec = "_split", shaders.Spec{"TM": tile.TM, "TN4": tile.TN4, "WG": tile.WX}
	case tile.BK > 0:
		algorithm, spec["TM"], spec["BK"] = "_tiled", tile.TM, tile.BK
	case m.name == "matmul_backward_dw":
		spec["TM4"] = tile.TM / 4
	default:
		spec["TM"] = tile.TM
	}
	bytes := width(m.bind["out"])*float64(m.rows)*float64(m.cols) + width(data)*float64(m.sums)*float64(m.rows+m.cols)
	p.Add(gpu.Dispatch{
		Source: source(p, m.name+algorithm, choice, spec),
		Bind:   m.bind,
		Params: m.params,
		Groups: [3]uint32{u32(ceilDiv(m.cols, tile.Cols())), u32(ceilDiv(m.rows, tile.Rows())), 1},
		FLOPs:  2 * float64(m.rows) * float64(m.cols) * float64(m.sums),
		Bytes:  bytes,
	})
}
