package op

import "github.com/gpt2wgpu/gpt2wgpu/shaders"

// split computes products of few rows: the WX threads of a group share TM x 4*TN4 results and split their sums.
type split struct{}

func (split) possible(t MatmulTile) bool {
	return between(1, t.TM, t.TN4, t.WX) && t.WY == 1 && t.BK == 0 && t.WX > 1 && t.WX&(t.WX-1) == 0 &&
		t.TM*t.TN4 <= t.WX
}

func (split) cols(t MatmulTile) int { return t.TN4 * 4 }

// bytes: the sums of half of the threads.
func (split) bytes(t MatmulTile) int { return 2 * t.WX * t.Rows() * t.Cols() }

func (split) longSums() bool { return false }
func (split) batches() bool  { return false }

// fits: both operands have the addends side by side.
func (split) fits(_ MatmulTile, m product) bool { return !m.a.byColumns && m.b.byColumns }

func (split) add(p *Builder, t MatmulTile, m product) {
	m.oneDispatch(p, "matmul_split", t, shaders.Choice{}, shaders.Spec{"TM": t.TM, "TN4": t.TN4, "WG": t.WX})
}
