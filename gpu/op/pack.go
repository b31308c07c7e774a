package op

import "github.com/gpt2wgpu/gpt2wgpu/gpu"

// Pack copies float32 values into another storage: Out = X, rounded to bf16 to the nearest, ties to even.
type Pack struct {
	Out gpu.Tensor // X's shape, any storage
	X   gpu.Tensor // any shape, float32
}

// AddTo checks shapes and appends the dispatch. The length must be a multiple of 4.
func (op Pack) AddTo(p *Builder) {
	params := struct{ COUNT uint32 }{u32(op.Out.Len() / 4)}
	elementwise(p, "pack", map[string]gpu.Tensor{"out": op.Out, "x": op.X}, params, 0)
}
