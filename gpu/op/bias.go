package op

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// BiasBackward is the gradient of a bias that was added to every row: DB += the sum of DOut's rows.
type BiasBackward struct {
	DB            gpu.Tensor // (OC) float32, accumulated
	DOut, Partial gpu.Tensor // (N,OC) any storage; scratch float32, at least PartialLen(N,OC) values
}

// AddTo checks shapes and appends two dispatches. OC % 4 == 0.
func (op BiasBackward) AddTo(p *Builder) {
	const name = "bias_backward"
	n, oc := op.DOut.Dim(0), op.DOut.Dim(1)
	p.Want(name, "db", op.DB, oc)
	p.Want(name, "dout", op.DOut, n, oc)
	p.wantQuads(name, "OC", oc)
	partial := partialFor(p, name, op.Partial, n, oc)
	if p.Err() != nil {
		return
	}
	wg := p.Target.Threads
	p.Add(gpu.Dispatch{
		Source: source(p, "bias_backward_strips", store(op.DOut), shaders.Spec{"WG": wg}),
		Bind:   map[string]gpu.Tensor{"partial": partial, "dout": op.DOut},
		Params: struct{ N, C, ROWS uint32 }{u32(n), u32(oc), u32(stripRows(n))},
		Groups: p.Groups1D(ceilDiv(partial.Len()/4, wg)),
		FLOPs:  float64(n * oc),
		Bytes:  float64(op.DOut.Bytes() + partial.Bytes()),
	})
	sumStrips(p, op.DB, partial, 0)
}
