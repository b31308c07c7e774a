package op

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// Source returns a kernel's text as gpu takes it.
func Source(text shaders.Text) gpu.Source {
	src := gpu.Source{Label: text.Label, WGSL: text.WGSL, Threads: text.Threads}
	for _, b := range text.Bindings {
		src.Bindings = append(src.Bindings, gpu.Binding(b))
	}
	for _, p := range text.Params {
		src.Params = append(src.Params, gpu.Param(p))
	}
	return src
}

// source returns a kernel's text; a mistake in the name, the choice or the constants is recorded in the program.
func source(p *Builder, name string, choice shaders.Choice, spec shaders.Spec) gpu.Source {
	text, err := shaders.Source(name, choice, spec)
	if err != nil {
		p.Fail("%w", err)
	}
	return Source(text)
}

// store chooses the fragment for the storage of t's values.
func store(t gpu.Tensor) shaders.Choice {
	return shaders.Choice{"store": "store_" + t.Storage().String()}
}

// width returns the bytes of one value of t.
func width(t gpu.Tensor) float64 { return float64(t.Bytes()) / float64(t.Len()) }

// ceilDiv returns ceil(a/b).
func ceilDiv(a, b int) int { return (a + b - 1) / b }

// u32 is short for a dimension as the shaders take it.
func u32(n int) uint32 { return uint32(n) }
