package op

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// Sums over the N rows of a matrix run in two steps: strips of rows side by side, then the strips. What the first
// leaves lies in a scratch tensor (S,C), S = PartialLen(N,C)/C.

const (
	stripMin = 8   // rows a strip at least, so that strips are a small part of the traffic
	stripMax = 512 // strips at most, enough for the groups of a large GPU
)

// stripRows returns the rows of a strip; it depends only on n, so the order of a sum does not depend on the device.
func stripRows(n int) int { return max(stripMin, ceilDiv(n, stripMax)) }

// PartialLen returns the float32 values of scratch that the sum of (n,c) over its rows needs. LayerNormBackward has
// two.
func PartialLen(n, c int) int { return ceilDiv(n, stripRows(n)) * c }

// partialFor checks op's scratch and returns it as strips of c columns of a matrix with n rows.
func partialFor(p *Builder, op string, partial gpu.Tensor, n, c int) gpu.Tensor {
	want := PartialLen(n, c)
	if partial.None() || partial.Len() < want || partial.Storage() != gpu.F32 {
		p.Fail("%s: partial: %v, want float32 scratch of at least %d values (PartialLen)", op, partial, want)
		return partial
	}
	if c == 0 {
		return partial
	}
	return partial.Reinterpret(partial.Name(), gpu.F32, want/c, c)
}

// sumStrips appends out[c] += sum_s partial[s,col+c].
func sumStrips(p *Builder, out, partial gpu.Tensor, col int) {
	addStrips(p, out, partial, col, 8, shaders.Spec{})
}

// sumParts appends out[c] = sum_s partial[s,c], or += where add. Parts are few and results many: a group has as many
// threads for a quad as there are parts, or one less than twice as many.
func sumParts(p *Builder, out, partial gpu.Tensor, add bool) {
	spec := shaders.Spec{}
	if !add {
		spec["ADD"] = false
	}
	addStrips(p, out, partial, 0, max(1, p.Target.Reduce/class(partial.Dim(0))), spec)
}

func addStrips(p *Builder, out, partial gpu.Tensor, col, lanes int, spec shaders.Spec) {
	s, stride, c := partial.Dim(0), partial.Dim(1), out.Dim(0)
	spec["WG"], spec["LANES"] = p.Target.Reduce, lanes
	p.Add(gpu.Dispatch{
		Source: source(p, "sum_strips", nil, spec),
		Bind:   map[string]gpu.Tensor{"out": out, "partial": partial},
		Params: struct{ S, C, STRIDE, COL uint32 }{u32(s), u32(c), u32(stride), u32(col)},
		Groups: p.Groups1D(ceilDiv(c/4, lanes)),
		FLOPs:  float64(s * c),
		Bytes:  4 * float64(s*c+2*c),
	})
}
