package model

import (
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

// block is what one block's forward leaves for its backward. The residual stream and the statistics are float32, the
// others float32 or bf16.
type block struct {
	ln1, mean1, rstd1 gpu.Tensor // (N,C) (N) (N)
	qkv, lse, att     gpu.Tensor // (N,3C) (B,NH,T) (N,C)
	mid               gpu.Tensor // (N,C) the stream after attention
	ln2, mean2, rstd2 gpu.Tensor // (N,C) (N) (N)
	pre, act          gpu.Tensor // (N,4C) before and after GELU
	out               gpu.Tensor // (N,C) the stream after the block
}

// activations is the forward of B sequences of T tokens.
type activations struct {
	B, T            int
	storage         gpu.Storage // of what products read and write, and of the matrices they read
	tokens          gpu.Tensor  // (N) u32
	embedded        gpu.Tensor  // (N,C)
	blocks          []block
	lnf, mean, rstd gpu.Tensor // (N,C) (N) (N)

	targets, losses, logits gpu.Tensor // (N) u32 (N) (R,Vp): the classifier's, see newClassifier

	cache  *cache     // where keys and values go; nil: nowhere
	places gpu.Tensor // (N,C) the vectors of the tokens' positions in a step; else none
}

// maker allocates tensors and keeps the first error.
type maker struct {
	dev *gpu.Device
	err error
}

func (m *maker) tensor(role gpu.Role, name string, storage gpu.Storage, shape ...int) gpu.Tensor {
	if m.err != nil {
		return gpu.Tensor{}
	}
	t, err := m.dev.NewTensor(role, name, storage, shape...)
	m.err = err
	return t
}

// keeping is how activations are stored, and which outlive their block's forward. The zero value is float32 and none:
// all blocks share one set, and memory does not grow with depth. For a backward every block has its own, but for what
// is computed again.
type keeping struct {
	storage   gpu.Storage
	backward  bool
	recompute Recompute
}

// newActivations allocates a forward's tensors; with bf16 storage the model has its packed copy.
func (m *Model) newActivations(b, t int, keep keeping) (*activations, error) {
	c, mk := m.Config, &maker{dev: m.Device}
	n, ch := b*t, c.NEmbd
	f32 := func(name string, shape ...int) gpu.Tensor {
		return mk.tensor(gpu.Activations, name, gpu.F32, shape...)
	}
	data := func(name string, shape ...int) gpu.Tensor {
		return mk.tensor(gpu.Activations, name, keep.storage, shape...)
	}
	a := &activations{B: b, T: t, storage: keep.storage}
	a.tokens = mk.tensor(gpu.Inputs, "tokens", gpu.U32, n)
	a.embedded = f32("embedded", n, ch)
	var k block
	for l := 0; l < c.NLayer; l++ {
		if l == 0 || keep.backward && keep.recompute != RecomputeBlock {
			act := k.act
			if l == 0 || keep.recompute != RecomputeGELU {
				act = data("act", n, 4*ch)
			}
			k = block{
				ln1: data("ln1", n, ch), mean1: f32("mean1", n), rstd1: f32("rstd1", n),
				qkv: data("qkv", n, 3*ch), lse: f32("lse", b, c.NHead, t), att: data("att", n, ch),
				mid: f32("mid", n, ch),
				ln2: data("ln2", n, ch), mean2: f32("mean2", n), rstd2: f32("rstd2", n),
				pre: data("pre", n, 4*ch), act: act,
				out: a.embedded, // without a backward the stream goes embedded, mid, embedded, mid, …
			}
		}
		if keep.backward {
			k.out = f32("out", n, ch)
		}
		a.blocks = append(a.blocks, k)
	}
	a.lnf, a.mean, a.rstd = data("lnf", n, ch), f32("mean", n), f32("rstd", n)
	return a, mk.err
}

// newClassifier allocates what the loss needs behind the forward.
func (m *Model) newClassifier(a *activations) error {
	mk, n := &maker{dev: m.Device}, a.B*a.T
	r, vp := m.setup.LogitsShape(n, m.Config.VocabSize)
	a.targets = mk.tensor(gpu.Inputs, "targets", gpu.U32, n)
	a.losses = mk.tensor(gpu.Activations, "losses", gpu.F32, n)
	a.logits = mk.tensor(gpu.Scratch, "logits", a.storage, r, vp)
	return mk.err
}

// shaped returns activations of B sequences of T tokens in the first B*T rows of a's memory, without the classifier's
// if a has none.
func (a *activations) shaped(b, t int) *activations {
	n, out := b*t, *a
	rows := func(list ...*gpu.Tensor) {
		for _, x := range list {
			if !x.None() {
				*x = x.Rows(0, min(n, x.Dim(0))) // the logits have fewer rows, see newClassifier
			}
		}
	}
	out.B, out.T, out.blocks = b, t, slices.Clone(a.blocks)
	rows(&out.tokens, &out.embedded, &out.places, &out.lnf, &out.mean, &out.rstd)
	rows(&out.targets, &out.losses, &out.logits)
	for l := range out.blocks {
		k := &out.blocks[l]
		rows(&k.ln1, &k.mean1, &k.rstd1, &k.qkv, &k.att, &k.mid, &k.ln2, &k.mean2, &k.rstd2, &k.pre, &k.act, &k.out)
		nh := k.lse.Dim(1)
		k.lse = k.lse.View(k.lse.Len()).Rows(0, n*nh).View(b, nh, t)
	}
	return &out
}

// stream returns the residual stream that enters block l; l = L gives the one that leaves the last.
func (a *activations) stream(l int) gpu.Tensor {
	if l == 0 {
		return a.embedded
	}
	return a.blocks[l-1].out
}

// addForward appends the forward up to the last layernorm.
func (m *Model) addForward(p *op.Builder, a *activations) {
	m.addEmbedding(p, a)
	for l, k := range a.blocks {
		m.addBlock(p, a, l)
		w := m.layer(m.operands(a.storage), l)
		op.MatmulForward{Out: k.out, X: k.act, W: w.fcprojw, Bias: w.fcprojb, Residual: k.mid}.AddTo(p)
	}
	last := a.stream(m.Config.NLayer)
	op.LayerNormForward{Out: a.lnf, Mean: a.mean, Rstd: a.rstd, X: last, W: m.named(m.params, "lnfw"),
		B: m.named(m.params, "lnfb")}.AddTo(p)
}

// addBlock appends block l's forward up to act, all that its backward needs.
func (m *Model) addBlock(p *op.Builder, a *activations, l int) {
	k, w, x := a.blocks[l], m.layer(m.operands(a.storage), l), a.stream(l)
	op.LayerNormForward{Out: k.ln1, Mean: k.mean1, Rstd: k.rstd1, X: x, W: w.ln1w, B: w.ln1b}.AddTo(p)
	op.MatmulForward{Out: k.qkv, X: k.ln1, W: w.qkvw, Bias: w.qkvb}.AddTo(p)
	m.addAttention(p, a, l)
	op.MatmulForward{Out: k.mid, X: k.att, W: w.attprojw, Bias: w.attprojb, Residual: x}.AddTo(p)
	op.LayerNormForward{Out: k.ln2, Mean: k.mean2, Rstd: k.rstd2, X: k.mid, W: w.ln2w, B: w.ln2b}.AddTo(p)
	op.MatmulForward{Out: k.act, Pre: k.pre, X: k.ln2, W: w.fcw, Bias: w.fcb}.AddTo(p)
}
