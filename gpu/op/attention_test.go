package op_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

// attentionShapes sit on the seams: T at 1 and one below, at and above the groups' rows (64, 48, 32, 24, 16), odd B and NH.
var attentionShapes = []struct{ B, T, NH, HS int }{
	{1, 1, 1, 4}, {2, 3, 3, 4}, {3, 31, 1, 4}, {1, 47, 3, 16}, {2, 48, 1, 20}, {1, 49, 2, 16}, {1, 63, 1, 20}, {2, 64, 3, 16},
	{1, 65, 1, 4}, {1, 130, 3, 20}, {1, 1, 3, 64}, {2, 31, 1, 64}, {1, 32, 2, 64}, {1, 33, 1, 64}, {1, 47, 1, 64}, {1, 48, 1, 64},
	{1, 49, 1, 64}, {2, 65, 3, 64}, {2, 130, 1, 64}, {1, 15, 1, 128}, {1, 16, 2, 128}, {2, 25, 1, 128}, {1, 65, 1, 128},
}

// attentionTolerance: a score, HS products of deviation 1.5*1.5/sqrt(HS), may be off by 4.5 eps sqrt(HS), and exp by 8 eps
// of itself (measured on lavapipe): so is every weight, relatively, and what is linear in weights, times its scale. Sums over
// T run along with it.
func attentionTolerance(T, HS int, scale float64) gputest.Tolerance {
	return gputest.Tolerance{Terms: 4 + int(2.25*math.Sqrt(float64(HS))+math.Sqrt(float64(T))), Scale: scale}
}

// attentionCase is a forward and its gradient in float64; scores of deviation 2.25 make some rows of the softmax sharp.
// stored is out as the forward leaves it for the backward.
type attentionCase struct{ qkv, out, stored, lse, dout, d, dqkv []float64 }

func newAttentionCase(s gpu.Storage, B, T, NH, HS int) attentionCase {
	C := NH * HS
	a := attentionCase{qkv: gputest.Round(s, gputest.Rand(1, B*T*3*C, 1.5)), dout: gputest.Round(s, gputest.Rand(2, B*T*C, 1))}
	a.out, a.lse, a.dqkv = make([]float64, B*T*C), make([]float64, B*NH*T), make([]float64, B*T*3*C)
	ref.AttentionForward(a.out, a.lse, a.qkv, B, T, C, NH)
	a.stored = gputest.Round(s, append([]float64(nil), a.out...))
	ref.AttentionBackward(a.dqkv, a.dout, a.qkv, a.stored, a.lse, B, T, C, NH)
	a.d = make([]float64, B*NH*T)
	for n := range B * T {
		for i := range C {
			a.d[(n/T*NH+i/HS)*T+n%T] += a.dout[n*C+i] * a.stored[n*C+i]
		}
	}
	return a
}

// eachAttention runs test at every shape, in both storages, with the kernels for CPUs and with those for GPUs.
func eachAttention(t *testing.T, test func(t *testing.T, s gpu.Storage, B, T, NH, HS int)) {
	for _, kernels := range []string{"direct", "tiled"} {
		t.Run(kernels, func(t *testing.T) {
			defer op.ForceAttention(kernels)()
			gputest.Storages(t, func(t *testing.T, s gpu.Storage) {
				for _, d := range attentionShapes {
					t.Run(fmt.Sprintf("B=%d,T=%d,NH=%d,HS=%d", d.B, d.T, d.NH, d.HS), func(t *testing.T) { test(t, s, d.B, d.T, d.NH, d.HS) })
				}
			})
		})
	}
}

func TestAttentionForward(t *testing.T) {
	eachAttention(t, func(t *testing.T, s gpu.Storage, B, T, NH, HS int) {
		C, N := NH*HS, B*T
		a := newAttentionCase(s, B, T, NH, HS)
		c := gputest.New(t)
		at := op.AttentionForward{Out: c.OutAs(s, "out", N, C), LSE: c.Out("lse", B, NH, T), QKV: c.InAs(s, "qkv", a.qkv, N, 3*C), NH: NH}
		c.Run(func(p *gpu.Program) { at.AddTo(p) })
		c.Check(at.LSE, a.lse, attentionTolerance(T, HS, 1))
		c.Check(at.Out, a.out, attentionTolerance(T, HS, 1.5))
	})
}

func TestAttentionBackward(t *testing.T) {
	eachAttention(t, func(t *testing.T, s gpu.Storage, B, T, NH, HS int) {
		C, N := NH*HS, B*T
		a := newAttentionCase(s, B, T, NH, HS)
		c := gputest.New(t)
		at := op.AttentionBackward{
			DQKV: c.OutAs(s, "dqkv", N, 3*C), DOut: c.InAs(s, "dout", a.dout, N, C), QKV: c.InAs(s, "qkv", a.qkv, N, 3*C),
			Out: c.InAs(s, "out", a.stored, N, C), LSE: c.In("lse", a.lse, B, NH, T), D: c.Out("d", B, NH, T), NH: NH,
		}
		c.Run(func(p *gpu.Program) { at.AddTo(p) })
		// dp - d has deviation 1.5 sqrt(2 HS); times a query or key of 1.5, over sqrt(HS): 3.2
		c.Check(at.DQKV, a.dqkv, attentionTolerance(T, HS, 4))
		c.Check(at.D, a.d, gputest.Tolerance{Terms: HS, Scale: 1.5})
	})
}

// attentionBench is GPT-2 124M's shape.
var attentionBench = struct{ B, T, NH, HS int }{1, 1024, 12, 64}

// BenchmarkAttentionForward counts the two products with the causal half of the scores.
func BenchmarkAttentionForward(b *testing.B) {
	d := attentionBench
	C, N := d.NH*d.HS, d.B*d.T
	c := gputest.New(b)
	p := gputest.Device(b).NewProgram(b.Name())
	op.AttentionForward{Out: c.Out("out", N, C), LSE: c.Out("lse", d.B, d.NH, d.T), QKV: c.In("qkv", gputest.Rand(1, N*3*C, 1), N, 3*C), NH: d.NH}.AddTo(p)
	gputest.Bench(b, 2*float64(d.B*d.NH)*float64(d.T)*float64(d.T)*float64(d.HS), 0, p)
}

// BenchmarkAttentionBackward counts five products; two of the seven that the kernels make are made twice.
func BenchmarkAttentionBackward(b *testing.B) {
	d := attentionBench
	C, N := d.NH*d.HS, d.B*d.T
	c := gputest.New(b)
	p := gputest.Device(b).NewProgram(b.Name())
	op.AttentionBackward{
		DQKV: c.Out("dqkv", N, 3*C), DOut: c.In("dout", gputest.Rand(1, N*C, 1), N, C), QKV: c.In("qkv", gputest.Rand(2, N*3*C, 1), N, 3*C),
		Out: c.In("out", gputest.Rand(3, N*C, 0.1), N, C), LSE: c.In("lse", gputest.Rand(4, N*d.NH, 1), d.B, d.NH, d.T), D: c.Out("d", d.B, d.NH, d.T), NH: d.NH,
	}.AddTo(p)
	gputest.Bench(b, 5*float64(d.B*d.NH)*float64(d.T)*float64(d.T)*float64(d.HS), 0, p)
}
