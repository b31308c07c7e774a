package op

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// Fill sets every value: Out = Value.
type Fill struct {
	Out   gpu.Tensor // any shape and storage
	Value float32
}

// AddTo appends the dispatch. Out's length must be a multiple of 4.
func (op Fill) AddTo(p *Builder) {
	params := struct {
		COUNT uint32
		VALUE float32
	}{u32(op.Out.Len() / 4), op.Value}
	elementwise(p, "fill", map[string]gpu.Tensor{"out": op.Out}, params, 0)
}

// Scale multiplies every value: Out = X * S.
type Scale struct {
	Out gpu.Tensor // X's shape and storage
	X   gpu.Tensor // any shape and storage
	S   float32
}

// AddTo checks shapes and appends the dispatch. The length must be a multiple of 4.
func (op Scale) AddTo(p *Builder) {
	params := struct {
		COUNT uint32
		S     float32
	}{u32(op.Out.Len() / 4), op.S}
	elementwise(p, "scale", map[string]gpu.Tensor{"out": op.Out, "x": op.X}, params, 1)
}

// Add adds value by value: Out = A + B.
type Add struct {
	Out  gpu.Tensor // A's shape and storage
	A, B gpu.Tensor // any shape and storage, the same
}

// AddTo checks shapes and appends the dispatch. The length must be a multiple of 4.
func (op Add) AddTo(p *Builder) {
	params := struct{ COUNT uint32 }{u32(op.Out.Len() / 4)}
	elementwise(p, "add", map[string]gpu.Tensor{"out": op.Out, "a": op.A, "b": op.B}, params, 1)
}

// elementwise checks that all tensors are alike and appends the dispatch of a kernel with a thread a quad.
func elementwise(p *Builder, name string, bind map[string]gpu.Tensor, params any, flops float64) {
	out := bind["out"]
	var bytes float64
	for _, key := range []string{"out", "x", "a", "b"} {
		if t, ok := bind[key]; ok {
			p.Want(name, key, t, out.Shape()...)
			bytes += float64(t.Bytes())
		}
	}
	if out.Len()%4 != 0 {
		p.Fail("%s: out: %v, want a multiple of 4 values", name, out)
	}
	if p.Err() != nil {
		return
	}
	wg := p.Target.Threads
	p.Add(gpu.Dispatch{
		Source: source(p, name, store(out), shaders.Spec{"WG": wg}),
		Bind:   bind,
		Params: params,
		Groups: p.Groups1D(ceilDiv(out.Len()/4, wg)),
		FLOPs:  flops * float64(out.Len()),
		Bytes:  bytes,
	})
}
