package op_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

// layerNormShapes: one quad a row; one quad below, at and above groups of 8 and 64 threads and their 24 and 4 quads a thread; row
// counts below, at and above the rows of a group and of a strip.
var layerNormShapes = []struct{ N, C int }{
	{1, 4}, {3, 20}, {7, 28}, {8, 32}, {9, 36}, {15, 252}, {16, 256}, {17, 260}, {65, 764}, {33, 768}, {5, 772}, {5, 1020}, {2, 1024}, {3, 1028},
	{1030, 12}, {5000, 4},
}

// layerNormCase: rows with means up to 3 and deviations about 1.
func layerNormCase(N, C int) (x, w, b []float64) {
	x, w, b = gputest.Rand(1, N*C, 1), gputest.Rand(2, C, 1), gputest.Rand(3, C, 1)
	for i := range x {
		x[i] = float64(float32(x[i] + float64(i/C%4)))
	}
	return x, w, b
}

func TestLayerNormForward(t *testing.T) { gputest.Storages(t, layerNormForward) }

func layerNormForward(t *testing.T, s gpu.Storage) {
	for _, d := range layerNormShapes {
		t.Run(fmt.Sprintf("N=%d,C=%d", d.N, d.C), func(t *testing.T) {
			x, w, b := layerNormCase(d.N, d.C)
			out, mean, rstd := make([]float64, d.N*d.C), make([]float64, d.N), make([]float64, d.N)
			ref.LayerNormForward(out, mean, rstd, x, w, b, d.N, d.C)
			c := gputest.New(t)
			l := op.LayerNormForward{
				Out: c.OutAs(s, "out", d.N, d.C), Mean: c.Out("mean", d.N), Rstd: c.Out("rstd", d.N),
				X: c.In("x", x, d.N, d.C), W: c.In("w", w, d.C), B: c.In("b", b, d.C),
			}
			c.Run(func(p *gpu.Program) { l.AddTo(p) })
			// The sums' relative errors of a few eps are those of m and, halved, of s; x-m keeps m's, which s enlarges.
			worst := slices.Max(rstd)
			c.Check(l.Mean, mean, gputest.Tolerance{Terms: 4, Scale: 1})
			c.Check(l.Rstd, rstd, gputest.Tolerance{Terms: 8, Scale: worst})
			c.Check(l.Out, out, gputest.Tolerance{Terms: 16, Scale: max(1, worst)})
		})
	}
}

// A constant row has variance 0, and a row far from 0 loses the bits of its mean but no more.
func TestLayerNormForwardExtremes(t *testing.T) {
	const N, C = 2, 64
	x, w, b := gputest.Rand(1, N*C, 1), gputest.Rand(2, C, 1), gputest.Rand(3, C, 1)
	for i := range C {
		x[i] = 7
		x[C+i] = float64(float32(x[C+i] + 1000))
	}
	out, mean, rstd := make([]float64, N*C), make([]float64, N), make([]float64, N)
	ref.LayerNormForward(out, mean, rstd, x, w, b, N, C)
	c := gputest.New(t)
	l := op.LayerNormForward{
		Out: c.Out("out", N, C), Mean: c.Out("mean", N), Rstd: c.Out("rstd", N), X: c.In("x", x, N, C), W: c.In("w", w, C), B: c.In("b", b, C),
	}
	c.Run(func(p *gpu.Program) { l.AddTo(p) })
	c.Check(l.Out, out, gputest.Tolerance{Terms: 4, Scale: 1000})
	c.Check(l.Rstd, rstd, gputest.Tolerance{Terms: 4, Scale: 1})
}

func TestLayerNormBackward(t *testing.T) { gputest.Storages(t, layerNormBackward) }

func layerNormBackward(t *testing.T, s gpu.Storage) {
	for _, d := range layerNormShapes {
		t.Run(fmt.Sprintf("N=%d,C=%d", d.N, d.C), func(t *testing.T) {
			x, w, b := layerNormCase(d.N, d.C)
			dout := gputest.Round(s, gputest.Rand(4, d.N*d.C, 1))
			mean, rstd := make([]float64, d.N), make([]float64, d.N)
			ref.LayerNormForward(make([]float64, d.N*d.C), mean, rstd, x, w, b, d.N, d.C)
			for i := range mean {
				mean[i], rstd[i] = float64(float32(mean[i])), float64(float32(rstd[i]))
			}
			dx, dw, db := gputest.Rand(5, d.N*d.C, 1), gputest.Rand(6, d.C, 1), gputest.Rand(7, d.C, 1)
			c := gputest.New(t)
			l := op.LayerNormBackward{
				DX: c.InOut("dx", dx, d.N, d.C), DW: c.InOut("dw", dw, d.C), DB: c.InOut("db", db, d.C),
				DOut: c.InAs(s, "dout", dout, d.N, d.C), X: c.In("x", x, d.N, d.C), W: c.In("w", w, d.C),
				Mean: c.In("mean", mean, d.N), Rstd: c.In("rstd", rstd, d.N),
				Partial: c.Out("partial", 2*op.PartialLen(d.N, d.C)),
			}
			c.Run(func(p *gpu.Program) { l.AddTo(p) })
			ref.LayerNormBackward(dx, dw, db, dout, x, w, mean, rstd, d.N, d.C)
			// xhat is off by eps of x, enlarged by rstd where a row of few values lies close together
			worst := max(1, slices.Max(rstd))
			c.Check(l.DX, dx, gputest.Tolerance{Terms: 16, Scale: 4 * worst * worst})
			c.Check(l.DW, dw, gputest.Tolerance{Terms: d.N + 2, Scale: 2 * worst})
			c.Check(l.DB, db, gputest.Tolerance{Terms: d.N + 2, Scale: 1})
		})
	}
}

func BenchmarkLayerNormForward(b *testing.B) {
	N, C := benchRows(b)
	c := gputest.New(b)
	p := gputest.Device(b).NewProgram(b.Name())
	op.LayerNormForward{
		Out: c.Out("out", N, C), Mean: c.Out("mean", N), Rstd: c.Out("rstd", N),
		X: c.In("x", gputest.Rand(1, N*C, 1), N, C), W: c.In("w", gputest.Rand(2, C, 1), C), B: c.In("b", gputest.Rand(3, C, 1), C),
	}.AddTo(p)
	gputest.Bench(b, 0, 8*float64(N*C), p)
}

// BenchmarkLayerNormBackward counts dout, x and dx, not the strips.
func BenchmarkLayerNormBackward(b *testing.B) {
	N, C := benchRows(b)
	c := gputest.New(b)
	p := gputest.Device(b).NewProgram(b.Name())
	op.LayerNormBackward{
		DX: c.Out("dx", N, C), DW: c.Out("dw", C), DB: c.Out("db", C),
		DOut: c.In("dout", gputest.Rand(1, N*C, 1), N, C), X: c.In("x", gputest.Rand(2, N*C, 1), N, C), W: c.In("w", gputest.Rand(3, C, 1), C),
		Mean: c.In("mean", gputest.Rand(4, N, 0.1), N), Rstd: c.In("rstd", gputest.Rand(5, N, 1), N), Partial: c.Out("partial", 2*op.PartialLen(N, C)),
	}.AddTo(p)
	gputest.Bench(b, 0, 16*float64(N*C), p)
}
