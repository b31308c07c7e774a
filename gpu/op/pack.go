package op

import "github.com/gpt2wgpu/gpt2wgpu/gpu"

// Pack copies float32 values into another storage: Out = X, rounded to bf16 to the nearest, ties to even.
type Pack struct {
	Out gpu.Tensor // X's shape, any storage
	X   gpu.Tensor // any shape, float32
}

// AddTo checks shapes and appends the dispatch. The length must be a multiple of 4.
func (op Pack) AddTo(p *Builder) {
	elementwise(p, "pack", op.Out, op.X, 0)
}
