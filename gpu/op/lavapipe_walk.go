package op

import (
	"maps"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

func init() { attentionAlgorithms["walk"] = walk{} }

// walk computes attention by attention_*_walk: the walk over keys, or queries, is a sequence of dispatches, between
// which the sums of each row lie in scratch. As many heads share them as the scratch holds.
type walk struct{}

const (
	walkBlock    = 128     // rows of a block, a thread each
	walkChannels = 64      // of a head at most
	walkKeys     = 48      // per dispatch of the forward: the more, the rarer the state is loaded
	walkPairs    = 28      // keys or queries per dispatch of the backward: more would compile for over a second
	walkFloats   = 1 << 20 // of scratch
	walkEnds     = 64      // threads of the kernels that leave the scratch
)

// walkTile is the geometry of walks.
func walkTile() AttentionTile {
	g := attentionGeometry{walkBlock, attentionSpec{WX: walkBlock}}
	return AttentionTile{"walk", 0, g, g, g}
}

func (walk) possible(AttentionTile) bool { return true }

// bytes: both rows of each key of the forward; the backward has fewer keys, and two numbers of each.
func (walk) bytes(_ AttentionTile, hs int) int { return max(walkKeys*8*hs, walkPairs*(8*hs+8)) }

// fits: the context fills a block, and the scratch holds the sums of one head, of whole blocks.
func (walk) fits(a attention) bool {
	return a.hs <= walkChannels && a.t >= walkBlock && (a.t+walkBlock)*(a.hs+2) <= walkFloats
}

// round is attention of some heads.
type round struct {
	attention
	wx, rows  int        // threads of a block; T rounded up to whole blocks
	head, n   int        // the heads
	state, ml gpu.Tensor // quads of their sums; maxima and sums of exponentials
}

// rounds calls each with as many heads at a time as the scratch holds.
func (a attention) rounds(p *Builder, each func(r round)) {
	all := p.shared("attention walk", p.dev.NewTensor, walkFloats/256, 256)
	if p.Err() != nil {
		return
	}
	wx := a.tile.Forward.Rows
	r := round{attention: a, wx: wx, rows: ceilDiv(a.t, wx) * wx}
	most := walkFloats / (r.rows * (a.hs + 2))
	if a.tile.Heads > 0 {
		most = min(most, a.tile.Heads)
	}
	for r.head = 0; r.head < a.b*a.nh; r.head += r.n {
		r.n = min(most, a.b*a.nh-r.head)
		cut := r.n * a.hs * r.rows / 256
		r.state, r.ml = all.Rows(0, cut), all.Rows(cut, cut+ceilDiv(r.n*r.rows*2, 256))
		each(r)
	}
}

func (walk) forward(p *Builder, a attention, op AttentionForward) {
	a.rounds(p, func(r round) {
		bind := map[string]gpu.Tensor{"state": r.state, "ml": r.ml, "qkv": op.QKV}
		for key := 0; key < a.t; key += walkKeys {
			r.keys(p, "attention_forward_walk", shaders.Spec{"KT": walkKeys, "FIRST": key == 0}, 2, walkKeys, key, bind)
		}
		r.end(p, "attention_forward_walk_finish", map[string]gpu.Tensor{
			"out": op.Out, "lse": op.LSE, "state": r.state, "ml": r.ml,
		}, struct{ T, C, NH, ROWS, HEAD uint32 }{u32(a.t), u32(a.c), u32(a.nh), u32(r.rows), u32(r.head)}, op.Out)
	})
}

func (walk) backward(p *Builder, a attention, op AttentionBackward) {
	a.rounds(p, func(r round) {
		bind := map[string]gpu.Tensor{"state": r.state, "qkv": op.QKV, "dout": op.DOut, "lse": op.LSE, "d": op.D}
		p.Clear(r.state)
		for key := 0; key < a.t; key += walkPairs {
			r.keys(p, "attention_backward_dq_walk", shaders.Spec{"KT": walkPairs}, 3, walkPairs, key, bind)
		}
		r.store(p, op.DQKV, 0)
		for _, values := range []bool{false, true} {
			products, col := 3.0, a.c
			if values {
				products, col = 2, 2*a.c
			}
			p.Clear(r.state)
			for query := 0; query < a.t; query += walkPairs {
				blocks := min(query+walkPairs-1, a.t-1)/r.wx + 1
				spec := shaders.Spec{"QT": walkPairs, "VALUES": values}
				r.add(p, "attention_backward_dkv_walk", spec, products, walkPairs, blocks, bind, struct {
					T, C, NH          uint32
					SCALE             float32
					ROWS, HEAD, QUERY uint32
				}{u32(a.t), u32(a.c), u32(a.nh), a.scale(), u32(r.rows), u32(r.head), u32(query)})
			}
			r.store(p, op.DQKV, col)
		}
	})
}

// keys appends a dispatch for n keys from key on and all queries that see them.
func (r round) keys(
	p *Builder, name string, spec shaders.Spec, products float64, n, key int, bind map[string]gpu.Tensor,
) {
	block := key / r.wx
	r.add(p, name, spec, products, n, ceilDiv(r.t, r.wx)-block, bind, struct {
		T, C, NH               uint32
		SCALE                  float32
		ROWS, HEAD, BLOCK, KEY uint32
	}{u32(r.t), u32(r.c), u32(r.nh), r.scale(), u32(r.rows), u32(r.head), u32(block), u32(key)})
}

// add appends a dispatch for n keys or queries and the blocks of each head. The state counts as no bytes: it is
// there for want of loops.
func (r round) add(
	p *Builder, name string, spec shaders.Spec, products float64, n, blocks int, bind map[string]gpu.Tensor, params any,
) {
	all := shaders.Spec{"HS": r.hs, "WX": r.wx}
	maps.Copy(all, spec)
	pairs := 0.5 * float64(r.t) * float64(r.t) / float64(ceilDiv(r.t, n)) // as if all dispatches had as many
	p.Add(gpu.Dispatch{
		Source: source(p, name, store(bind["qkv"]), all),
		Bind:   bind,
		Params: params,
		Groups: [3]uint32{u32(blocks), u32(r.n), 1},
		FLOPs:  2 * products * float64(r.n) * pairs * float64(r.hs),
	})
}

// store appends the copy of the state to columns of dqkv from col on.
func (r round) store(p *Builder, dqkv gpu.Tensor, col int) {
	r.end(p, "attention_backward_walk_store", map[string]gpu.Tensor{"dqkv": dqkv, "state": r.state},
		struct{ T, C, NH, ROWS, HEAD, COL uint32 }{
			u32(r.t), u32(r.c), u32(r.nh), u32(r.rows), u32(r.head), u32(col),
		}, dqkv)
}

// end appends a kernel that copies the state to a tensor of the model.
func (r round) end(p *Builder, name string, bind map[string]gpu.Tensor, params any, to gpu.Tensor) {
	p.Add(gpu.Dispatch{
		Source: source(p, name, store(to), shaders.Spec{"HS": r.hs}),
		Bind:   bind,
		Params: params,
		Groups: [3]uint32{u32(ceilDiv(r.t, walkEnds)), u32(r.n), 1},
		Bytes:  (4 + width(to)) * float64(r.n*r.t*r.hs),
	})
}
