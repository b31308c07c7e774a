package op

import (
	"maps"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// tiled computes products through tiles of both operands in workgroup memory.
type tiled struct{}

func (tiled) possible(t MatmulTile) bool {
	return between(1, t.TM, t.TN4, t.WX, t.WY, t.BK) && t.BK%4 == 0 && t.TM%4 == 0 && (t.Slice == 0 || t.Parts < 2)
}

func (tiled) cols(t MatmulTile) int { return t.WX * t.TN4 * 4 }

// bytes: both tiles.
func (tiled) bytes(t MatmulTile) int { return 4 * t.BK * (t.Rows() + t.Cols() + 8*tilePad(t)) }

// tilePad returns the quads by which a row of a tile is longer than needed. Where a matrix has the addends side by
// side, eight neighbouring threads store into BK/4 rows of a tile, and with 8/(BK/4) more quads a row they meet eight
// different banks of memory. A tile whose four variables have at most 32 quads has no more: FXC's time for the clearing
// that wgpu adds on DX12 grows with the square of a variable's length (32 quads: about 0.1 s, 64: 0.3 s, 128: 1.2 s).
func tilePad(t MatmulTile) int {
	rows := t.BK / 4
	if rows == 1 || rows*max(t.Rows(), t.Cols()) <= 4*32 {
		return 0
	}
	return max(1, 8/rows)
}

func (tiled) longSums() bool                { return false }
func (tiled) batches() bool                 { return true }
func (tiled) fits(MatmulTile, product) bool { return true }

// add: products of a batch are parts of one long sum, each with a result of its own.
func (tiled) add(p *Builder, t MatmulTile, m product) {
	part, sums := m.partOf(t), m.sums
	parts := ceilDiv(m.sums, part)
	if m.batch > 0 {
		part, parts, sums = m.sums, m.batch, m.batch*m.sums
	}
	out, epilogue := m.out.Tensor, m.epilogue
	if parts > 1 && m.batch == 0 {
		out, epilogue = p.partialSums(parts, m.rows*m.cols), "epilogue_store_f32"
	}
	bind := maps.Clone(m.more)
	bind["a"], bind["b"], bind["out"] = m.a.Tensor, m.b.Tensor, out
	p.Add(gpu.Dispatch{
		Source: m.source(p, "matmul_tiled", shaders.Choice{
			"tile_a": m.a.fragment("tile_a"), "tile_b": m.b.fragment("tile_b"), "epilogue": epilogue,
		}, shaders.Spec{"TM": t.TM, "TN4": t.TN4, "WX": t.WX, "WY": t.WY, "BK": t.BK, "PAD": tilePad(t)}),
		Bind: bind,
		Params: struct{ ROWS, COLS, SUMS, ASTRIDE, ACOL, STRIDE, COL, PART uint32 }{
			u32(m.rows), u32(m.cols), u32(sums), u32(m.a.stride), u32(m.a.col), u32(m.out.stride), u32(m.out.col),
			u32(part),
		},
		Groups: [3]uint32{u32(ceilDiv(m.cols, t.Cols())), u32(ceilDiv(m.rows, t.Rows())), u32(parts)},
		FLOPs:  m.flops(),
		Bytes:  m.bytes(),
	})
	if parts > 1 && m.batch == 0 {
		sumParts(p, m.out.Reinterpret(m.out.Name(), gpu.F32, m.rows*m.cols), out, m.epilogue == "epilogue_add")
	}
}

// partialBytes is the scratch for the sums of parts: 8 parts of 1280 x 768 sums.
const partialBytes = 32 << 20

// partOf returns the addends of a part of the product's sums, a multiple of a tile's: all where the tile does not split
// them, where they may not be split, or where the scratch does not hold the sums of two parts.
func (m product) partOf(t MatmulTile) int {
	parts := min(t.Parts, partialBytes/(4*m.rows*m.cols))
	if parts < 2 || !m.sliceable() {
		parts = 1
	}
	return ceilDiv(ceilDiv(m.sums, parts), t.BK) * t.BK
}

// partialSums returns scratch for n sums of each of the parts.
func (p *Builder) partialSums(parts, n int) gpu.Tensor {
	all := p.shared("matmul parts", p.dev.NewTensor, partialBytes/4)
	return all.Reinterpret(all.Name(), gpu.F32, parts, n)
}
