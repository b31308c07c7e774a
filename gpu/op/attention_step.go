package op

import (
	"math"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

const (
	stepKeys   = 48  // keys a step of the forward: the more, the rarer the state is loaded
	stepPairs  = 28  // keys or queries a step of the backward: its three products of more would compile for over a second
	stepBlock  = 128 // rows of a block at most
	stepPrefix = 64  // threads of the kernels at the ends
)

// steps is attention by the step kernels: the walk over keys, or queries, is a sequence of dispatches, between which a row's
// sums lie in the scratch of matmul_panels.
type steps struct {
	attention
	wx, rows  int // threads of a block; T rounded up to whole blocks
	head, n   int // heads of this round
	state, ml gpu.Tensor
}

// rounds calls each with as many heads at a time as the scratch holds.
func (a attention) rounds(p *Builder, each func(s steps)) {
	held := panelsOf(p)
	if p.Err() != nil {
		return
	}
	wx := a.tile.Forward.Rows
	s := steps{attention: a, wx: wx, rows: ceilDiv(a.t, wx) * wx}
	most := held.a.Len() / (s.rows * (a.hs + 2))
	if most == 0 {
		p.Fail("attention: %d tokens of context, the step kernels hold %d", a.t, held.a.Len()/(a.hs+2))
		return
	}
	if p.Target.Round > 0 {
		most = min(most, p.Target.Round)
	}
	for s.head = 0; s.head < a.b*a.nh; s.head += s.n {
		s.n = min(most, a.b*a.nh-s.head)
		cut := s.n * a.hs * s.rows / 256
		scratch := held.a.View(held.a.Len()/256, 256)
		s.state, s.ml = scratch.Rows(0, cut), scratch.Rows(cut, cut+ceilDiv(s.n*s.rows*2, 256))
		each(s)
	}
}

// walkState is the most floats of scratch that a head of hs channels over t tokens needs: its sums, of whole blocks.
func walkState(t, hs int) int { return (t + stepBlock) * (hs + 2) }

func (a attention) forwardSteps(p *Builder, op AttentionForward) {
	a.rounds(p, func(s steps) {
		for key := 0; key < a.t; key += stepKeys {
			s.step(p, "attention_forward_step", shaders.Spec{"KT": stepKeys, "FIRST": key == 0}, 2, stepKeys, key/s.wx, ceilDiv(a.t, s.wx)-key/s.wx,
				map[string]gpu.Tensor{"state": s.state, "ml": s.ml, "qkv": op.QKV},
				struct {
					T, C, NH               uint32
					SCALE                  float32
					ROWS, HEAD, BLOCK, KEY uint32
				}{u32(a.t), u32(a.c), u32(a.nh), s.scale(), u32(s.rows), u32(s.head), u32(key / s.wx), u32(key)})
		}
		s.end(p, "attention_forward_finish", store(op.Out), map[string]gpu.Tensor{"out": op.Out, "lse": op.LSE, "state": s.state, "ml": s.ml},
			struct{ T, C, NH, ROWS, HEAD uint32 }{u32(a.t), u32(a.c), u32(a.nh), u32(s.rows), u32(s.head)}, op.Out)
	})
}

func (a attention) backwardSteps(p *Builder, op AttentionBackward) {
	p.Add(gpu.Dispatch{
		Source: source(p, "attention_backward_d", store(op.Out), shaders.Spec{"HS": a.hs}),
		Bind:   map[string]gpu.Tensor{"d": op.D, "dout": op.DOut, "outs": op.Out},
		Params: struct{ T, C, NH uint32 }{u32(a.t), u32(a.c), u32(a.nh)},
		Groups: [3]uint32{u32(ceilDiv(a.t, stepPrefix)), u32(a.b * a.nh), 1},
		Bytes:  2 * float64(op.Out.Bytes()),
	})
	a.rounds(p, func(s steps) {
		bind := map[string]gpu.Tensor{"state": s.state, "qkv": op.QKV, "dout": op.DOut, "lse": op.LSE, "d": op.D}
		p.Clear(s.state)
		for key := 0; key < a.t; key += stepPairs {
			s.step(p, "attention_backward_dq_step", shaders.Spec{"KT": stepPairs}, 3, stepPairs, key/s.wx, ceilDiv(a.t, s.wx)-key/s.wx, bind, struct {
				T, C, NH               uint32
				SCALE                  float32
				ROWS, HEAD, BLOCK, KEY uint32
			}{u32(a.t), u32(a.c), u32(a.nh), s.scale(), u32(s.rows), u32(s.head), u32(key / s.wx), u32(key)})
		}
		s.store(p, op.DQKV, 0)
		for _, values := range []bool{false, true} {
			products, col := 3.0, a.c
			if values {
				products, col = 2, 2*a.c
			}
			p.Clear(s.state)
			for query := 0; query < a.t; query += stepPairs {
				s.step(p, "attention_backward_dkv_step", shaders.Spec{"QT": stepPairs, "VALUES": values}, products, stepPairs, 0, min(query+stepPairs-1, a.t-1)/s.wx+1, bind, struct {
					T, C, NH          uint32
					SCALE             float32
					ROWS, HEAD, QUERY uint32
				}{u32(a.t), u32(a.c), u32(a.nh), s.scale(), u32(s.rows), u32(s.head), u32(query)})
			}
			s.store(p, op.DQKV, col)
		}
	})
}

func (s steps) scale() float32 { return float32(1 / math.Sqrt(float64(s.hs))) }

// step appends one step, of n keys or queries, for blocks [block, block+blocks) of each head.
func (s steps) step(p *Builder, name string, spec shaders.Spec, products float64, n, block, blocks int, bind map[string]gpu.Tensor, params any) {
	all := shaders.Spec{"HS": s.hs, "WX": s.wx}
	for k, v := range spec {
		all[k] = v
	}
	pairs := 0.5 * float64(s.t) * float64(s.t) / float64(ceilDiv(s.t, n)) // as many a step as if all had the same
	p.Add(gpu.Dispatch{
		Source: source(p, name, store(bind["qkv"]), all),
		Bind:   bind,
		Params: params,
		Groups: [3]uint32{u32(blocks), u32(s.n), 1},
		FLOPs:  2 * products * float64(s.n) * pairs * float64(s.hs), // the state counts as no bytes: it is there for want of loops
	})
}

func (s steps) store(p *Builder, dqkv gpu.Tensor, col int) {
	s.end(p, "attention_store", store(dqkv), map[string]gpu.Tensor{"dqkv": dqkv, "state": s.state},
		struct{ T, C, NH, ROWS, HEAD, COL uint32 }{u32(s.t), u32(s.c), u32(s.nh), u32(s.rows), u32(s.head), u32(col)}, dqkv)
}

// end appends a kernel that takes the state to a tensor of the model.
func (s steps) end(p *Builder, name string, choice shaders.Choice, bind map[string]gpu.Tensor, params any, to gpu.Tensor) {
	p.Add(gpu.Dispatch{
		Source: source(p, name, choice, shaders.Spec{"HS": s.hs}),
		Bind:   bind,
		Params: params,
		Groups: [3]uint32{u32(ceilDiv(s.t, stepPrefix)), u32(s.n), 1},
		Bytes:  (4 + width(to)) * float64(s.n*s.t*s.hs),
	})
}
