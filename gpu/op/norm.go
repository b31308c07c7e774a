package op

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// GradientNorm is the Euclidean norm of all gradients as one vector, and what it means for the step: the factor that
// clips them to MaxNorm as torch.nn.utils.clip_grad_norm_ does, and whether to skip the step because a gradient is not
// finite.
type GradientNorm struct {
	// (4) float32: norm; clip scale min(1, MaxNorm/(norm+1e-6)), 0 if skipped; skip, 1 or 0; unused
	Out      gpu.Tensor
	Grads    []gpu.Tensor // flat float32 tensors, such as an arena's
	Partials gpu.Tensor   // scratch float32, at least GradientNormPartials values
	MaxNorm  float32      // 0: no clipping
}

// normChunk is the quads of one partial sum: 124M values make 7600 partials, few enough for one group to add.
const normChunk = 4096

// GradientNormPartials returns the float32 values of scratch that GradientNorm needs.
func GradientNormPartials(d *gpu.Device, grads []gpu.Tensor) (n int) {
	for _, g := range grads {
		for _, w := range Windows(d, g) {
			n += ceilDiv(ceilDiv(w.Hi-w.Lo, 4), normChunk)
		}
	}
	return n
}

// AddTo checks shapes and appends a dispatch for each window of the gradients and a last one. Lengths must be multiples
// of 4.
func (op GradientNorm) AddTo(p *Builder) {
	const name = "gradient_norm"
	want := GradientNormPartials(p.Device(), op.Grads)
	p.Want(name, "out", op.Out, 4)
	if want == 0 {
		p.Fail("%s: no gradients", name)
	}
	if op.Partials.None() || op.Partials.Len() < want {
		p.Fail("%s: partials: %v, want at least %d values (GradientNormPartials)", name, op.Partials, want)
	}
	for _, g := range op.Grads {
		checkFlat(p, name, "gradient", g, g.Dim(0))
	}
	if p.Err() != nil {
		return
	}
	partials := op.Partials.Reinterpret(op.Partials.Name(), gpu.F32, want)
	wg := p.Target.Reduce
	base := 0
	for _, g := range op.Grads {
		for _, w := range Windows(p.Device(), g) {
			quads := (w.Hi - w.Lo) / 4
			chunks := ceilDiv(quads, normChunk)
			p.Add(gpu.Dispatch{
				Source: source(p, "norm_partials", nil, shaders.Spec{"WG": wg, "TURNS": normChunk / 8 / wg}),
				Bind:   map[string]gpu.Tensor{"partials": partials, "x": g.Rows(w.Lo, w.Hi)},
				Params: struct{ COUNT, BASE uint32 }{u32(quads), u32(base)},
				Groups: p.Groups1D(chunks),
				FLOPs:  8 * float64(quads),
				Bytes:  16 * float64(quads),
			})
			base += chunks
		}
	}
	p.Add(gpu.Dispatch{
		Source: source(p, "norm_finish", nil, shaders.Spec{"WG": wg}),
		Bind:   map[string]gpu.Tensor{"out": op.Out, "partials": partials},
		Params: struct {
			P        uint32
			MAX_NORM float32
		}{u32(base), op.MaxNorm},
		Groups: [3]uint32{1, 1, 1},
		FLOPs:  float64(base),
		Bytes:  4 * float64(base),
	})
}

// checkFlat records an error unless t is one row of n values in whole quads.
func checkFlat(p *Builder, op, name string, t gpu.Tensor, n int) {
	p.Want(op, name, t, n)
	if n%4 != 0 {
		p.Fail("%s: %s: %v, want a multiple of 4 values", op, name, t)
	}
}
