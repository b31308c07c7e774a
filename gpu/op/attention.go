package op

import (
	"maps"
	"math"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// AttentionForward is causal self-attention in flash form: of the (T,T) scores only LSE, a row's log sum of exponentials,
// is kept. HS = C/NH is a multiple of 4, at most 128.
type AttentionForward struct {
	Out, LSE gpu.Tensor // (N,C) (B,NH,T) float32
	QKV      gpu.Tensor // (N,3C)
	NH       int
}

// AddTo checks shapes and appends the dispatch. B and T are LSE's.
func (op AttentionForward) AddTo(p *gpu.Program) {
	const name = "attention_forward"
	a := newAttention(p, name, op.LSE, op.QKV, op.NH)
	p.Want(name, "out", op.Out, a.b*a.t, a.c)
	a.choose(p, name, map[string]gpu.Tensor{"out": op.Out, "lse": op.LSE, "qkv": op.QKV}, "out", "lse")
	if a.tile.steps() {
		a.forwardSteps(p, op)
		return
	}
	a.add(p, name, a.tile.Forward, map[string]gpu.Tensor{"out": op.Out, "lse": op.LSE, "qkv": op.QKV}, 2, 4)
}

// AttentionBackward is the gradient of AttentionForward. D is scratch.
type AttentionBackward struct {
	DQKV                gpu.Tensor // (N,3C), overwritten
	DOut, QKV, Out, LSE gpu.Tensor // (N,C) (N,3C) (N,C) (B,NH,T) float32
	D                   gpu.Tensor // (B,NH,T) float32: sum_i DOut*Out
	NH                  int
}

// AddTo checks shapes and appends the dispatches: the queries' gradient and D, then the keys' and values'.
func (op AttentionBackward) AddTo(p *gpu.Program) {
	const name = "attention_backward"
	a := newAttention(p, name, op.LSE, op.QKV, op.NH)
	p.Want(name, "dqkv", op.DQKV, a.b*a.t, 3*a.c)
	p.Want(name, "dout", op.DOut, a.b*a.t, a.c)
	p.Want(name, "out", op.Out, a.b*a.t, a.c)
	p.Want(name, "d", op.D, a.b, a.nh, a.t)
	a.choose(p, name, map[string]gpu.Tensor{
		"dqkv": op.DQKV, "dout": op.DOut, "qkv": op.QKV, "out": op.Out, "lse": op.LSE, "d": op.D}, "dqkv", "d")
	if a.tile.steps() {
		a.backwardSteps(p, op)
		return
	}
	a.add(p, "attention_backward_dq", a.tile.DQ, map[string]gpu.Tensor{
		"dqkv": op.DQKV, "d": op.D, "dout": op.DOut, "qkv": op.QKV, "outs": op.Out, "lse": op.LSE}, 3, 6)
	a.add(p, "attention_backward_dkv", a.tile.DKV, map[string]gpu.Tensor{
		"dqkv": op.DQKV, "d": op.D, "dout": op.DOut, "qkv": op.QKV, "lse": op.LSE}, 4, 6)
}

// attention is what the forward and the backward share.
type attention struct {
	b, t, c, nh, hs int
	tile            attentionTile
}

func newAttention(p *gpu.Program, name string, lse, qkv gpu.Tensor, nh int) attention {
	a := attention{b: lse.Dim(0), t: lse.Dim(2), c: qkv.Dim(1) / 3, nh: nh}
	p.Want(name, "lse", lse, a.b, nh, a.t)
	p.Want(name, "qkv", qkv, a.b*a.t, 3*a.c)
	if nh < 1 || a.c%nh != 0 || a.c/nh%4 != 0 || a.c/nh > 128 {
		p.Fail("%s: %d channels in %d heads, want heads of a multiple of 4 channels up to 128", name, a.c, nh)
		return a
	}
	a.hs = a.c / nh
	a.tile = attentionTileFor(p.Device(), a.t, a.hs)
	return a
}

// choose takes the tile that measuring has chosen for the op on its tensors, if there is one.
func (a *attention) choose(p *gpu.Program, name string, tensors map[string]gpu.Tensor, outputs ...string) {
	if p.Err() != nil {
		return
	}
	t, ok := tuned(p.Device(), func() Use { return attentionUse(name, *a, tensors, outputs) })
	if ok && t.Attention != nil && attentionTable == nil && (!t.Attention.steps() || stepsFit(p.Device(), a.t, a.hs)) {
		a.tile = *t.Attention
	}
}

// attentionParams is the struct Params of every attention kernel.
type attentionParams struct {
	T, C, NH uint32
	SCALE    float32
}

// add appends one kernel. It makes products of (T,HS) matrices with half of the (T,T) scores, and moves floats of
// (N,C) at least.
func (a attention) add(p *gpu.Program, name string, g attentionGeometry, bind map[string]gpu.Tensor, products, floats float64) {
	if p.Err() != nil {
		return
	}
	spec := maps.Clone(g.Spec)
	spec["HS"] = a.hs
	p.Add(gpu.Dispatch{
		Source: source(p, name+a.tile.Suffix, store(bind["qkv"]), spec),
		Bind:   bind,
		Params: attentionParams{u32(a.t), u32(a.c), u32(a.nh), float32(1 / math.Sqrt(float64(a.hs)))},
		Groups: [3]uint32{u32(ceilDiv(a.t, g.Rows)), u32(a.b * a.nh), 1},
		FLOPs:  products * float64(a.b*a.nh) * float64(a.t) * float64(a.t) * float64(a.hs),
		Bytes:  width(bind["qkv"]) * floats * float64(a.b*a.t) * float64(a.c),
	})
}

// attentionGeometry is one kernel's: the queries or keys of a group, and the kernel's constants.
type attentionGeometry struct {
	Rows int
	Spec shaders.Spec
}

// attentionTile is one choice of kernels for heads up to MaxHS channels.
type attentionTile struct {
	Suffix           string
	MaxHS            int `json:"-"`
	Forward, DQ, DKV attentionGeometry
}

// steps says whether the kernels are those of attention_step.go.
func (t attentionTile) steps() bool { return t.Suffix == "_step" }

// attentionSteps has blocks of 128 queries or keys.
var attentionSteps = attentionTile{"_step", stepHS, attentionGeometry{128, shaders.Spec{"WX": 128}}, attentionGeometry{128, shaders.Spec{"WX": 128}}, attentionGeometry{128, shaders.Spec{"WX": 128}}}

// attentionSoftware suits CPUs, where only registers save loads. Measured at T=1024, HS=64 on lavapipe, of the device's 82
// GFLOP/s and with the time of the first compilation: the forward reaches 20 with 4 queries (0.4 s), 24 with 6 (0.6 s), 22
// with 8 (0.7 s), where registers spill past the 48 KiB cache and the loop past the instructions'; dq 28 with 4 (0.5 s), 27 with
// 6; dkv 19 with 2, 25 with 4 (0.7 s) and 5 (1.1 s).
var attentionSoftware = []attentionTile{
	attentionSteps,
	{"_direct", 32,
		attentionGeometry{64, shaders.Spec{"WX": 8, "TQ": 8}},
		attentionGeometry{48, shaders.Spec{"WX": 8, "TQ": 6}},
		attentionGeometry{48, shaders.Spec{"WX": 8, "TK": 6}}},
	{"_direct", 64,
		attentionGeometry{48, shaders.Spec{"WX": 8, "TQ": 6}},
		attentionGeometry{32, shaders.Spec{"WX": 8, "TQ": 4}},
		attentionGeometry{32, shaders.Spec{"WX": 8, "TK": 4}}},
	{"_direct", 128,
		attentionGeometry{24, shaders.Spec{"WX": 8, "TQ": 3}},
		attentionGeometry{16, shaders.Spec{"WX": 8, "TQ": 2}},
		attentionGeometry{16, shaders.Spec{"WX": 8, "TK": 2}}},
}

// attentionGPU suits GPUs: 16 KiB of workgroup memory, and 128 floats of rows and sums a thread in registers (96 in dq; 128, 192
// and 256 with heads of 128). Right on software Vulkan, which tests it; not timed on a GPU.
var attentionGPU = []attentionTile{
	{"_tiled", 64,
		attentionGeometry{64, shaders.Spec{"WX": 64, "TQ": 4, "BK": 16}},
		attentionGeometry{64, shaders.Spec{"WX": 128, "BK": 8}},
		attentionGeometry{64, shaders.Spec{"WX": 128, "BQ": 8}}},
	{"_tiled", 128,
		attentionGeometry{64, shaders.Spec{"WX": 128, "TQ": 2, "BK": 8}},
		attentionGeometry{64, shaders.Spec{"WX": 128, "BK": 4}},
		attentionGeometry{64, shaders.Spec{"WX": 128, "BQ": 4}}},
}

// attentionTable replaces the device's table in tests.
var attentionTable []attentionTile

func attentionTileFor(d *gpu.Device, t, hs int) attentionTile {
	table := attentionGPU
	if d.Info.Software() {
		table = attentionSoftware
	}
	if attentionTable != nil {
		table = attentionTable
	}
	for _, tile := range table {
		if hs <= tile.MaxHS && (!tile.steps() || stepsFit(d, t, hs)) {
			return tile
		}
	}
	return table[len(table)-1]
}
