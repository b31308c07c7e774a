package op

import (
	"math"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// AdamW takes one step of torch.optim.AdamW, in PyTorch's order (shaders/adamw.wgsl), on flat tensors of equal length:
// whole arenas or segments of them.
type AdamW struct {
	P, G, M, V gpu.Tensor // flat float32: parameters, gradients, moments; all but G are updated
	Packed     gpu.Tensor // none, or flat bf16: takes P rounded, what Pack makes of it
	Scalars    gpu.Tensor // (8) float32, uploaded each step: AdamWScalars
	// (4) float32, GradientNorm's Out: gradients take its clip scale, and nothing changes if skip is set
	Norm  gpu.Tensor
	Decay bool // whether weight decay applies
}

// AdamWScalars returns the factors of step t (counted from 1), computed in float64 as PyTorch does:
//
//	1-lr*decay, 1-beta1, beta2, 1-beta2, lr/(1-beta1^t), 1/sqrt(1-beta2^t), eps, 0
//
// 1-beta2 in float32 would be off by 1e-5 of itself.
func AdamWScalars(lr, beta1, beta2, eps, decay float64, step int) [8]float32 {
	t := float64(step)
	return [8]float32{
		float32(1 - lr*decay), float32(1 - beta1), float32(beta2), float32(1 - beta2),
		float32(lr / (1 - math.Pow(beta1, t))), float32(1 / math.Sqrt(1-math.Pow(beta2, t))), float32(eps), 0,
	}
}

// AddTo checks shapes and appends a dispatch for each window of the tensors. Lengths must be multiples of 4.
func (op AdamW) AddTo(p *Builder) {
	const name = "adamw"
	n := op.P.Dim(0)
	checkFlat(p, name, "p", op.P, n)
	checkFlat(p, name, "g", op.G, n)
	checkFlat(p, name, "m", op.M, n)
	checkFlat(p, name, "v", op.V, n)
	p.Want(name, "scalars", op.Scalars, 8)
	p.Want(name, "norm", op.Norm, 4)
	if p.Err() != nil {
		return
	}
	wg, per := p.Target.Reduce, p.Target.AdamW
	decay := uint32(0)
	if op.Decay {
		decay = 1
	}
	windows, choice, moved := Windows(p.Device(), op.P), shaders.Choice{"copy": "copy_none"}, 28.0
	if !op.Packed.None() {
		checkFlat(p, name, "packed", op.Packed, n)
		windows, choice, moved = Windows(p.Device(), op.P, op.Packed),
			shaders.Choice{"copy": "copy_" + op.Packed.Storage().String()}, 30
	}
	for _, w := range windows {
		quads := (w.Hi - w.Lo) / 4
		bind := map[string]gpu.Tensor{
			"param": op.P.Rows(w.Lo, w.Hi), "m": op.M.Rows(w.Lo, w.Hi), "v": op.V.Rows(w.Lo, w.Hi),
			"grad":    op.G.Rows(w.Lo, w.Hi),
			"scalars": op.Scalars, "norm": op.Norm,
		}
		if !op.Packed.None() {
			bind["packed"] = op.Packed.Rows(w.Lo, w.Hi)
		}
		p.Add(gpu.Dispatch{
			Source: source(p, name, choice, shaders.Spec{"WG": wg, "PER": per}),
			Bind:   bind,
			Params: struct{ COUNT, DECAY uint32 }{u32(quads), decay},
			Groups: p.Groups1D(ceilDiv(quads, wg*per)),
			FLOPs:  14 * 4 * float64(quads),
			Bytes:  4 * moved * float64(quads),
		})
	}
}
