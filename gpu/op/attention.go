package op

import (
	"cmp"
	"math"
	"math/bits"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// AttentionForward is causal self-attention in flash form: of the (T,T) scores only LSE, a row's log sum of
// exponentials, is kept. HS = C/NH is a multiple of 4, at most 128.
type AttentionForward struct {
	Out, LSE gpu.Tensor // (N,C) (B,NH,T) float32
	QKV      gpu.Tensor // (N,3C)
	NH       int
}

// AddTo checks shapes and appends the dispatch. B and T are LSE's.
func (op AttentionForward) AddTo(p *Builder) {
	const name = "attention_forward"
	a := newAttention(p, name, op.LSE, op.QKV, op.NH)
	p.Want(name, "out", op.Out, a.b*a.t, a.c)
	a.choose(p, name, map[string]gpu.Tensor{"out": op.Out, "lse": op.LSE, "qkv": op.QKV}, "out", "lse")
	if p.Err() == nil {
		a.tile.algorithm().forward(p, a, op)
	}
}

// AttentionBackward is the gradient of AttentionForward. D is scratch.
type AttentionBackward struct {
	DQKV                gpu.Tensor // (N,3C), overwritten
	DOut, QKV, Out, LSE gpu.Tensor // (N,C) (N,3C) (N,C) (B,NH,T) float32
	D                   gpu.Tensor // (B,NH,T) float32: sum_i DOut*Out
	NH                  int
}

// AddTo checks shapes and appends the dispatches: D, then the gradients.
func (op AttentionBackward) AddTo(p *Builder) {
	const name = "attention_backward"
	a := newAttention(p, name, op.LSE, op.QKV, op.NH)
	p.Want(name, "dqkv", op.DQKV, a.b*a.t, 3*a.c)
	p.Want(name, "dout", op.DOut, a.b*a.t, a.c)
	p.Want(name, "out", op.Out, a.b*a.t, a.c)
	p.Want(name, "d", op.D, a.b, a.nh, a.t)
	a.choose(p, name, map[string]gpu.Tensor{
		"dqkv": op.DQKV, "dout": op.DOut, "qkv": op.QKV, "out": op.Out, "lse": op.LSE, "d": op.D}, "dqkv", "d")
	if p.Err() != nil {
		return
	}
	const threads = 64 // of attention_backward_d
	p.Add(gpu.Dispatch{
		Source: source(p, "attention_backward_d", store(op.Out), shaders.Spec{"HS": a.hs}),
		Bind:   map[string]gpu.Tensor{"d": op.D, "dout": op.DOut, "outs": op.Out},
		Params: struct{ T, C, NH uint32 }{u32(a.t), u32(a.c), u32(a.nh)},
		Groups: [3]uint32{u32(ceilDiv(a.t, threads)), u32(a.b * a.nh), 1},
		Bytes:  2 * float64(op.Out.Bytes()),
	})
	a.tile.algorithm().backward(p, a, op)
}

// attention is what the forward and the backward share.
type attention struct {
	b, t, c, nh, hs int
	tile            AttentionTile
}

func newAttention(p *Builder, name string, lse, qkv gpu.Tensor, nh int) attention {
	a := attention{b: lse.Dim(0), t: lse.Dim(2), c: qkv.Dim(1) / 3, nh: nh}
	p.Want(name, "lse", lse, a.b, nh, a.t)
	p.Want(name, "qkv", qkv, a.b*a.t, 3*a.c)
	if a.hs = p.headSize(name, a.c, nh); a.hs > 0 {
		a.tile = p.Target.attentionFor(a)
	}
	return a
}

// headSize returns the channels of a head. It records an error, and returns 0, where the kernels have no such heads.
func (p *Builder) headSize(op string, c, nh int) int {
	if nh < 1 || c%nh != 0 || c/nh%4 != 0 || c/nh > 128 {
		p.Fail("%s: %d channels in %d heads, want heads of a multiple of 4 channels up to 128", op, c, nh)
		return 0
	}
	return c / nh
}

// choose takes the tile that measuring has chosen for the op on its tensors, if there is one.
func (a *attention) choose(p *Builder, name string, tensors map[string]gpu.Tensor, outputs ...string) {
	if p.Err() != nil {
		return
	}
	t := p.tuned(func() Use { return attentionUse(name, *a, tensors, outputs) }).Attention
	if t != nil && t.algorithm().fits(*a) {
		a.tile = *t
	}
}

// scale is what scores are multiplied with.
func (a attention) scale() float32 { return float32(1 / math.Sqrt(float64(a.hs))) }

// attentionAlgorithm is a way to compute attention with kernels of its own. The backward finds D computed.
type attentionAlgorithm interface {
	possible(t AttentionTile) bool
	bytes(t AttentionTile, hs int) int // of workgroup memory, at most, with heads of this many channels
	fits(a attention) bool
	forward(p *Builder, a attention, op AttentionForward)
	backward(p *Builder, a attention, op AttentionBackward)
}

// attentionAlgorithms are those of AttentionTile by name. Files for one device only add theirs.
var attentionAlgorithms = map[string]attentionAlgorithm{
	"direct": groups{team: [3]int{1, 1, 1}}, "tiled": groups{team: [3]int{4, 8, 8}}}

// groups has a workgroup for some queries, or keys, of a head: attention_*_direct and attention_*_tiled.
type groups struct {
	team [3]int // threads of the forward, dq and dkv that share rows, where the tile says no other
}

// possible: a group's rows are those of its teams. A team of several threads has one for each row, or pairs of rows,
// of a turn, and stages a row of the tile.
func (g groups) possible(t AttentionTile) bool {
	for i, k := range []attentionGeometry{t.Forward, t.DQ, t.DKV} {
		rows, tile, team := k.Spec.TQ+k.Spec.TK, k.Spec.BK+k.Spec.BQ, g.team[i]
		if n := k.Spec.TEAM; n > 0 && (team == 1 || !k.Spec.direct() && (i == 0 || n != 4 && n != 8)) {
			return false
		} else if n > 0 {
			team = n
		}
		if rows < 1 || k.Rows != k.Spec.WX/team*rows || team == 1 && tile > 0 {
			return false
		}
		turn := 4
		if i > 0 {
			turn = 2 * team / rows
		}
		if team > 1 && (rows < 2 || team%rows != 0 || bits.OnesCount(uint(k.Spec.WX)) != 1 || tile < turn ||
			tile%turn != 0 || tile > k.Spec.WX/team) {
			return false
		}
	}
	return true
}

// bytes: tiles of both operands, of whole quads of each thread of a team, and what the threads of a team exchange.
func (g groups) bytes(t AttentionTile, hs int) (most int) {
	const forward, dq, dkv = 0, 1, 2
	for i, k := range []attentionGeometry{t.Forward, t.DQ, t.DKV} {
		team := cmp.Or(k.Spec.TEAM, g.team[i])
		if team == 1 {
			continue
		}
		tiles := 2 * (k.Spec.BK + k.Spec.BQ) * ceilDiv(hs/4, team) * team * 16
		exchanged := (team - 1) * 16 // of a thread
		exchanged += map[int]int{forward: 16 + 4, dq: 8, dkv: 16}[i]
		most = max(most, tiles+exchanged*k.Spec.WX)
	}
	return most
}

func (groups) fits(attention) bool { return true }

func (groups) forward(p *Builder, a attention, op AttentionForward) {
	bind := map[string]gpu.Tensor{"out": op.Out, "lse": op.LSE, "qkv": op.QKV}
	a.add(p, "attention_forward", a.tile.Forward, bind, 2, 4)
}

func (groups) backward(p *Builder, a attention, op AttentionBackward) {
	bind := map[string]gpu.Tensor{"dqkv": op.DQKV, "d": op.D, "dout": op.DOut, "qkv": op.QKV, "lse": op.LSE}
	a.add(p, "attention_backward_dq", a.tile.DQ, bind, 3, 5)
	a.add(p, "attention_backward_dkv", a.tile.DKV, bind, 4, 6)
}

// add appends one kernel. It makes products of (T,HS) matrices with half of the (T,T) scores, and moves floats of
// (N,C) at least.
func (a attention) add(
	p *Builder, name string, g attentionGeometry, bind map[string]gpu.Tensor, products, floats float64,
) {
	spec := g.Spec.constants()
	spec["HS"] = a.hs
	algorithm := a.tile.Algorithm
	if g.Spec.direct() {
		algorithm = "direct"
	}
	p.Add(gpu.Dispatch{
		Source: source(p, name+"_"+algorithm, store(bind["qkv"]), spec),
		Bind:   bind,
		Params: struct {
			T, C, NH uint32
			SCALE    float32
		}{u32(a.t), u32(a.c), u32(a.nh), a.scale()},
		Groups: [3]uint32{u32(ceilDiv(a.t, g.Rows)), u32(a.b * a.nh), 1},
		FLOPs:  products * float64(a.b*a.nh) * float64(a.t) * float64(a.t) * float64(a.hs),
		Bytes:  width(bind["qkv"]) * floats * float64(a.b*a.t) * float64(a.c),
	})
}
