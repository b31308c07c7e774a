package op

import "github.com/gpt2wgpu/gpt2wgpu/shaders"

// tiled computes products through tiles of both operands in workgroup memory.
type tiled struct{}

func (tiled) possible(t MatmulTile) bool {
	return between(1, t.TM, t.TN4, t.WX, t.WY, t.BK) && t.BK%4 == 0 && t.TM%4 == 0
}

func (tiled) cols(t MatmulTile) int { return t.WX * t.TN4 * 4 }

// bytes: both tiles, each with a quad of padding per row.
func (tiled) bytes(t MatmulTile) int { return 4 * t.BK * (t.Rows() + 4 + t.Cols() + 4) }

func (tiled) longSums() bool                { return false }
func (tiled) fits(MatmulTile, product) bool { return true }

func (tiled) add(p *Builder, t MatmulTile, m product) {
	m.oneDispatch(p, "matmul_tiled", t, shaders.Choice{"a": m.a.fragment("a"), "b": m.b.fragment("b")},
		shaders.Spec{"TM": t.TM, "TN4": t.TN4, "WX": t.WX, "WY": t.WY, "BK": t.BK})
}
