package op

import "github.com/gpt2wgpu/gpt2wgpu/gpu"

// GELUForward is GELU in the tanh form, value by value: Out = GELU(X). It gives the bits that MatmulForward's fused GELU gives
// from the Pre that it stores, so that a backward may compute the activation again.
type GELUForward struct {
	Out gpu.Tensor // X's shape and storage
	X   gpu.Tensor // any shape and storage
}

// AddTo checks shapes and appends the dispatch. The length must be a multiple of 4.
func (op GELUForward) AddTo(p *Builder) {
	params := struct{ COUNT uint32 }{u32(op.Out.Len() / 4)}
	elementwise(p, "gelu_forward", map[string]gpu.Tensor{"out": op.Out, "x": op.X}, params, 20) // a tanh of about 10
}
