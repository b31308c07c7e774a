package selftest

import (
	"math"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

// attentionTolerance: a score, HS products of deviation 1.5*1.5/sqrt(HS), may be off by 4.5 eps sqrt(HS), and exp by 8
// eps of itself (measured on lavapipe): so is every weight, relatively, and what is linear in weights, times its scale.
// Sums over T run along with it.
func attentionTolerance(T, HS int, scale float64) Tolerance {
	return Tolerance{Terms: 4 + int(2.25*math.Sqrt(float64(HS))+math.Sqrt(float64(T))), Scale: scale}
}

// attentionCase is a forward and its gradient in float64; scores of deviation 2.25 make some rows of the softmax sharp.
// stored is out as the forward leaves it for the backward.
type attentionCase struct{ qkv, out, stored, lse, dout, d, dqkv []float64 }

func newAttentionCase(s gpu.Storage, B, T, NH, HS int) attentionCase {
	C := NH * HS
	a := attentionCase{qkv: Round(s, Rand(1, B*T*3*C, 1.5)), dout: Round(s, Rand(2, B*T*C, 1))}
	a.out, a.lse, a.dqkv = make([]float64, B*T*C), make([]float64, B*NH*T), make([]float64, B*T*3*C)
	ref.AttentionForward(a.out, a.lse, a.qkv, B, T, C, NH)
	a.stored = Round(s, slices.Clone(a.out))
	ref.AttentionBackward(a.dqkv, a.dout, a.qkv, a.stored, a.lse, B, T, C, NH)
	a.d = make([]float64, B*NH*T)
	for n := range B * T {
		for i := range C {
			a.d[(n/T*NH+i/HS)*T+n%T] += a.dout[n*C+i] * a.stored[n*C+i]
		}
	}
	return a
}

// AttentionForward tries B sequences of T tokens in NH heads of HS channels.
func AttentionForward(c *Case, s gpu.Storage, B, T, NH, HS int) {
	C, N := NH*HS, B*T
	a := newAttentionCase(s, B, T, NH, HS)
	at := op.AttentionForward{Out: c.OutAs(s, "out", N, C), LSE: c.Out("lse", B, NH, T), QKV: c.InAs(s, "qkv", a.qkv, N,
		3*C), NH: NH}
	c.Run(at)
	c.Check(at.LSE, a.lse, attentionTolerance(T, HS, 1))
	c.Check(at.Out, a.out, attentionTolerance(T, HS, 1.5))
}

// AttentionBackward is AttentionForward's gradient.
func AttentionBackward(c *Case, s gpu.Storage, B, T, NH, HS int) {
	C, N := NH*HS, B*T
	a := newAttentionCase(s, B, T, NH, HS)
	at := op.AttentionBackward{
		DQKV: c.OutAs(s, "dqkv", N, 3*C), DOut: c.InAs(s, "dout", a.dout, N, C), QKV: c.InAs(s, "qkv", a.qkv, N, 3*C),
		Out: c.InAs(s, "out", a.stored, N, C), LSE: c.In("lse", a.lse, B, NH, T), D: c.Out("d", B, NH, T), NH: NH,
	}
	c.Run(at)
	// dp - d has deviation 1.5 sqrt(2 HS); times a query or key of 1.5, over sqrt(HS): 3.2
	c.Check(at.DQKV, a.dqkv, attentionTolerance(T, HS, 4))
	c.Check(at.D, a.d, Tolerance{Terms: HS, Scale: 1.5})
}

// CacheAppend writes T rows of each of len(first) sequences, or with shared of one for all, into caches of S rows.
func CacheAppend(c *Case, s gpu.Storage, S, T, C int, first []uint32, shared bool) {
	B := len(first)
	rows := B * T
	if shared {
		rows = T
	}
	qkv, cache := Round(s, Rand(1, rows*3*C, 1)), Round(s, Rand(2, B*S*2*C, 1))
	a := op.CacheAppend{
		Cache: c.InOutAs(s, "cache", cache, B, S, 2*C), QKV: c.InAs(s, "qkv", qkv, rows, 3*C), First: c.InU32("first",
			first, B), T: T,
	}
	c.Run(a)
	ref.CacheAppend(cache, qkv, first, S, T, C)
	c.Check(a.Cache, cache, Tolerance{})
}

// AttentionDecode attends from the rows at positions of caches of S rows, whose later rows hold NaN; values have
// deviation scale.
func AttentionDecode(c *Case, s gpu.Storage, S, NH, HS int, scale float64, positions []uint32) {
	B, C := len(positions), NH*HS
	qkv, cache := Round(s, Rand(1, B*3*C, scale)), Round(s, Rand(2, B*S*2*C, scale))
	want := make([]float64, B*C)
	ref.AttentionDecode(want, qkv, cache, positions, S, C, NH)
	for b, at := range positions {
		for i := (b*S + int(at) + 1) * 2 * C; i < (b+1)*S*2*C; i++ {
			cache[i] = math.NaN()
		}
	}
	a := op.AttentionDecode{
		Out: c.OutAs(s, "out", B, C), QKV: c.InAs(s, "qkv", qkv, B, 3*C), Cache: c.InAs(s, "cache", cache, B, S, 2*C),
		Positions: c.InU32("positions", positions, B), NH: NH,
	}
	c.Run(a)
	// The scores' errors, and so the weights', grow with their size, scale^2.
	tol := attentionTolerance(S, HS, scale)
	tol.Terms += int(scale * scale * math.Sqrt(float64(HS)))
	c.Check(a.Out, want, tol)
}
