package op

import "github.com/gpt2wgpu/gpt2wgpu/gpu"

// GELUForward is GELU in the tanh form, value by value: Out = GELU(X). It gives the bits that MatmulForward's fused
// GELU gives from the Pre that it stores, so that a backward may compute the activation again.
type GELUForward struct {
	Out gpu.Tensor // X's shape and storage
	X   gpu.Tensor // any shape and storage
}

// AddTo checks shapes and appends the dispatch. The length must be a multiple of 4.
func (op GELUForward) AddTo(p *Builder) {
	elementwise(p, "gelu_forward", op.Out, op.X, 20) // a tanh of about 10
}
