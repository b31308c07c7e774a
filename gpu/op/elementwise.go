package op

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// elementwise checks that x has out's shape and appends the dispatch of a kernel with a thread per quad.
func elementwise(p *Builder, name string, out, x gpu.Tensor, flops float64) {
	p.Want(name, "out", out, out.Shape()...)
	p.Want(name, "x", x, out.Shape()...)
	if out.Len()%4 != 0 {
		p.Fail("%s: out: %v, want a multiple of 4 values", name, out)
	}
	if p.Err() != nil {
		return
	}
	wg := p.Target.Threads
	p.Add(gpu.Dispatch{
		Source: source(p, name, store(out), shaders.Spec{"WG": wg}),
		Bind:   map[string]gpu.Tensor{"out": out, "x": x},
		Params: struct{ COUNT uint32 }{u32(out.Len() / 4)},
		Groups: p.Groups1D(ceilDiv(out.Len()/4, wg)),
		FLOPs:  flops * float64(out.Len()),
		Bytes:  float64(out.Bytes() + x.Bytes()),
	})
}
