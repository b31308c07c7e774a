package op

import "github.com/gpt2wgpu/gpt2wgpu/shaders"

// direct computes products without workgroup memory.
type direct struct{}

func (direct) possible(t MatmulTile) bool {
	return between(1, t.TM, t.TN4, t.WX, t.WY) && t.BK == 0 && (t.TM < 4 || t.TM%4 == 0)
}

func (direct) cols(t MatmulTile) int { return t.WX * t.TN4 * 4 }
func (direct) bytes(MatmulTile) int  { return 0 }
func (direct) longSums() bool        { return false }
func (direct) batches() bool         { return false }

// fits: a's columns are loaded four at a time.
func (direct) fits(t MatmulTile, m product) bool { return !m.a.byColumns || t.TM%4 == 0 }

func (direct) add(p *Builder, t MatmulTile, m product) {
	m.oneDispatch(p, "matmul_direct", t, shaders.Choice{"a": m.a.fragment("a"), "b": m.b.fragment("b")},
		shaders.Spec{"TM": t.TM, "TN4": t.TN4, "WX": t.WX, "WY": t.WY})
}
