package op

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

// source returns a kernel's text; a mistake in the name, the choice or the constants is recorded in the program.
func source(p *Builder, name string, choice shaders.Choice, spec shaders.Spec) wgsl.Text {
	text, err := shaders.Source(name, choice, spec)
	if err != nil {
		p.Fail("%w", err)
	}
	return text
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
