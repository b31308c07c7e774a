package op_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

func TestGradientNorm(t *testing.T) { gradientNorm(t, gputest.New) }

func gradientNorm(t *testing.T, newCase maker) {
	for _, d := range []struct {
		lens    []int
		limit   int     // bytes a binding, 0: the device's
		maxNorm float32 // 1e-3 clips, 1e6 does not
	}{
		{[]int{4}, 0, 0}, {[]int{4}, 0, 1e-3}, {[]int{252, 260}, 0, 1e6},
		// chunks of 16384 values
		{[]int{16380}, 0, 1}, {[]int{16384}, 0, 1}, {[]int{16388}, 0, 1}, {[]int{2 * 16384, 4}, 0, 1},
		{[]int{644, 708}, 1024 + 256, 1}, // windows of 256 values, which with their guard words fill a binding
		{[]int{1 << 20}, 0, 1},
	} {
		t.Run(fmt.Sprintf("%v,limit=%d,max=%g", d.lens, d.limit, d.maxNorm), func(t *testing.T) {
			selftest.GradientNorm(newCase(t), d.lens, d.limit, d.maxNorm)
		})
	}
}

func TestGradientNormNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e30} { // 1e60 is not a float32
		for _, at := range []int{0, 300, 1023} {
			selftest.GradientNormNotFinite(gputest.New(t), bad, at)
		}
	}
}

// benchValues is the length of the flat tensors of benchmarks.
func benchValues(b *testing.B) int {
	if gputest.Device(b).Info.Software() {
		return 4 << 20
	}
	return 64 << 20
}

func BenchmarkGradientNorm(b *testing.B) {
	n := benchValues(b)
	c := gputest.New(b)
	p := op.NewSetup(gputest.Device(b)).NewProgram(b.Name())
	g := []gpu.Tensor{c.Out("g", n)}
	op.GradientNorm{Out: c.Out("out", 4), Grads: g, Partials: c.Out("partials",
		op.GradientNormPartials(gputest.Device(b), g)), MaxNorm: 1}.AddTo(p)
	benchmark(b, 0, 4*float64(n), p.Program)
}
