package op_test

import (
	"fmt"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

func TestBiasBackward(t *testing.T) { storages(biasBackward)(t, gputest.New) }

func biasBackward(t *testing.T, newCase maker, s gpu.Storage) {
	for _, d := range []struct{ N, OC int }{
		// one quad; one below, at and above a strip, 8 strips, 512 strips; widths around 8 quads and a group
		{1, 4}, {7, 20}, {8, 28}, {9, 32}, {63, 36}, {64, 252}, {65, 260}, {33, 2304}, {4095, 4}, {4096, 4}, {4097, 4},
		{4105, 36},
	} {
		t.Run(fmt.Sprintf("N=%d,OC=%d", d.N, d.OC), func(t *testing.T) {
			selftest.BiasBackward(newCase(t), s, d.N, d.OC)
		})
	}
}

func BenchmarkBiasBackward(b *testing.B) {
	N, C := benchRows(b)
	OC := 4 * C
	c := gputest.New(b)
	p := op.NewSetup(gputest.Device(b)).NewProgram(b.Name())
	op.BiasBackward{DB: c.Out("db", OC), DOut: c.In("dout", gputest.Rand(1, N*OC, 1), N, OC), Partial: c.Out("partial",
		op.PartialLen(N, OC))}.AddTo(p)
	benchmark(b, 0, 4*float64(N*OC), p.Program)
}
