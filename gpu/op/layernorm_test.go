package op_test

import (
	"fmt"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

// layerNormShapes: one quad a row; one quad below, at and above groups of 8 and 64 threads and their 24 and 4 quads a
// thread; row counts below, at and above the rows of a group and of a strip.
var layerNormShapes = []struct{ N, C int }{
	{1, 4}, {3, 20}, {7, 28}, {8, 32}, {9, 36}, {15, 252}, {16, 256}, {17, 260}, {65, 764}, {33, 768}, {5, 772},
	{5, 1020}, {2, 1024}, {3, 1028},
	{63, 28}, {64, 764}, {71, 1028}, {1030, 12}, {5000, 4},
}

func TestLayerNormForward(t *testing.T) { storages(layerNormForward)(t, gputest.New) }

func layerNormForward(t *testing.T, newCase maker, s gpu.Storage) {
	for _, d := range layerNormShapes {
		t.Run(fmt.Sprintf("N=%d,C=%d", d.N, d.C), func(t *testing.T) {
			selftest.LayerNormForward(newCase(t), s, d.N, d.C)
		})
	}
}

func TestLayerNormForwardExtremes(t *testing.T) {
	for _, n := range []int{2, 66} { // a group a row, and on CPUs a thread a row
		selftest.LayerNormForwardExtremes(gputest.New(t), n)
	}
}

func TestLayerNormBackward(t *testing.T) { storages(layerNormBackward)(t, gputest.New) }

func layerNormBackward(t *testing.T, newCase maker, s gpu.Storage) {
	for _, d := range layerNormShapes {
		t.Run(fmt.Sprintf("N=%d,C=%d", d.N, d.C), func(t *testing.T) {
			selftest.LayerNormBackward(newCase(t), s, d.N, d.C)
		})
	}
}

func BenchmarkLayerNormForward(b *testing.B) {
	N, C := benchRows(b)
	c := gputest.New(b)
	p := op.NewSetup(gputest.Device(b)).NewProgram(b.Name())
	op.LayerNormForward{
		Out: c.Out("out", N, C), Mean: c.Out("mean", N), Rstd: c.Out("rstd", N),
		X: c.In("x", gputest.Rand(1, N*C, 1), N, C), W: c.In("w", gputest.Rand(2, C, 1), C),
		B: c.In("b", gputest.Rand(3, C, 1), C),
	}.AddTo(p)
	benchmark(b, 0, 8*float64(N*C), p.Program)
}

// BenchmarkLayerNormBackward counts dout, x and dx, not the strips.
func BenchmarkLayerNormBackward(b *testing.B) {
	N, C := benchRows(b)
	c := gputest.New(b)
	p := op.NewSetup(gputest.Device(b)).NewProgram(b.Name())
	op.LayerNormBackward{
		DX: c.Out("dx", N, C), DW: c.Out("dw", C), DB: c.Out("db", C),
		DOut: c.In("dout", gputest.Rand(1, N*C, 1), N, C), X: c.In("x", gputest.Rand(2, N*C, 1), N, C),
		W:    c.In("w", gputest.Rand(3, C, 1), C),
		Mean: c.In("mean", gputest.Rand(4, N, 0.1), N), Rstd: c.In("rstd", gputest.Rand(5, N, 1), N),
		Partial: c.Out("partial", 2*op.PartialLen(N, C)),
	}.AddTo(p)
	benchmark(b, 0, 16*float64(N*C), p.Program)
}
