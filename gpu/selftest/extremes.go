package selftest

import (
	"math"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

// The cases of this file are where drivers that take liberties with floating point go wrong.

// LayerNormForwardExtremes: a constant row has variance 0, and a row far from 0 loses the bits of its mean but no more.
func LayerNormForwardExtremes(c *Case, N int) {
	const C = 64
	x, w, b := Rand(1, N*C, 1), Rand(2, C, 1), Rand(3, C, 1)
	for i := range x {
		if i/C%2 == 0 {
			x[i] = 7
		} else {
			x[i] = float64(float32(x[i] + 1000))
		}
	}
	l, out, _, rstd := layerNormForward(c, gpu.F32, x, w, b, N, C)
	c.Check(l.Out, out, Tolerance{Terms: 4, Scale: 1000})
	c.Check(l.Rstd, rstd, Tolerance{Terms: 4, Scale: 1})
}

// ClassifierLargeLogits: exp of the raw logits would overflow.
func ClassifierLargeLogits(c *Case) {
	const N, C, V = 2, 4, 300
	x, wte := make([]float64, N*C), make([]float64, V*C)
	for i := range x {
		x[i] = 100
	}
	for v := range V {
		wte[v*C] = float64(v - 150) // logits 100 (v-150)
	}
	targets := []uint32{299, 0}
	losses, dx, dw := make([]float64, N), make([]float64, N*C), make([]float64, V*C)
	ref.Classifier(losses, dx, dw, x, wte, targets, 0.5, N, C, V)
	cl := op.Classifier{
		Losses: c.Out("losses", N), DX: c.Out("dx", N, C), DWTE: c.InOut("dwte", make([]float64, V*C), V, C),
		X: c.In("x", x, N, C), WTE: c.In("wte", wte, V, C), Targets: c.InU32("targets", targets, N),
		Logits: c.Out("logits", N, 320), Scale: 0.5,
	}
	c.Run(cl)
	c.Check(cl.Losses, losses, Tolerance{Terms: 1, Scale: 1})
	c.Check(cl.DX, dx, Tolerance{Terms: 1, Scale: 150})
	c.Check(cl.DWTE, dw, Tolerance{Terms: 1, Scale: 100})
}

// GradientNormNotFinite: a gradient that is not finite, or whose square is not, asks for the step to be skipped.
func GradientNormNotFinite(c *Case, bad float64, at int) {
	g := Rand(1, 1024, 1)
	g[at] = bad
	n := op.GradientNorm{Out: c.Out("out", 4), Grads: []gpu.Tensor{c.In("grad", g, 1024)}, Partials: c.Out("partials",
		1), MaxNorm: 1}
	c.Run(n)
	c.CheckValues("clip scale and skip", c.Got(n.Out)[1:3], []float64{0, 1}, Tolerance{Exact: true})
}

// AdamWSkip: a step whose norm is not finite changes nothing, though gradients are NaN.
func AdamWSkip(c *Case) {
	const n = 1028
	p, g, m, v := AdamWState(n)
	g[5] = math.NaN()
	packed := Round(gpu.BF16, slices.Clone(p))
	a := op.AdamW{
		P: c.InOut("p", p, n), G: c.In("g", g, n), M: c.InOut("m", m, n), V: c.InOut("v", v, n),
		Packed:  c.InOutAs(gpu.BF16, "packed", packed, n),
		Scalars: c.In("scalars", []float64{0.999, 0.1, 0.999, 0.001, 0.1, 30, 1e-8, 0}, 8),
		Norm:    c.In("norm", []float64{math.NaN(), 0, 1, 0}, 4),
		Decay:   true,
	}
	c.Run(a)
	c.same(a.P, p)
	c.same(a.M, m)
	c.same(a.V, v)
	c.same(a.Packed, packed)
}

// PackEdges: ties, carries into the exponent and into infinity, zeros, denormals, infinities, NaNs; then back to
// float32.
func PackEdges(c *Case) {
	edges := []uint32{
		0x3f800000, 0x3f808000, 0x3f818000, 0x3f808001, 0x3f817fff, // 1, a tie down, a tie up, just above, just below
		0x3fffffff, 0x3fff8000, 0x3fff7fff, // to 2 by a carry, by a tie; not
		0x7f7fffff, 0x7f7f8000, 0x7f7f7fff, 0x7f7f0000, // the largest float32, a tie, just below it, the largest bf16
		// zero and denormals
		0x00000000, 0x00000001, 0x00007fff, 0x00008000, 0x00008001, 0x00018000, 0x007fffff, 0x00800000,
		0x7f800000,                                                 // infinity
		0x7fc00000, 0x7f800001, 0x7f80ffff, 0x7fffffff, 0x7fc0ffff, // NaNs, some of which have only low bits
	}
	var words []uint32
	for _, e := range edges {
		words = append(words, e, e|0x80000000)
	}
	for len(words)%4 != 0 {
		words = append(words, 0)
	}
	x := c.InU32("x", words, len(words)).Reinterpret("x", gpu.F32, len(words))
	k := op.Pack{Out: c.OutAs(gpu.BF16, "out", len(words)), X: x}
	back := op.BiasBackward{ // of one row: what it reads of bf16
		DB: c.InOut("back", make([]float64, len(words)), len(words)), DOut: k.Out.View(1, len(words)),
		Partial: c.Out("partial", op.PartialLen(1, len(words))),
	}
	c.Run(k, back)
	for i, w := range words {
		v := math.Float32frombits(w)
		want := float64(floats(gpu.BF16, []float64{float64(v)})[0])
		for _, o := range []gpu.Tensor{k.Out, back.DB} {
			got := c.Got(o)[i]
			if denormal := w&0x7f800000 == 0; denormal && got == 0 {
				continue // devices may take denormals for zero
			}
			if got != want && !(math.IsNaN(got) && math.IsNaN(want)) || math.IsNaN(want) != math.IsNaN(float64(v)) {
				c.t.Errorf("%s of %#08x: got %v, want %v", o.Name(), w, got, want)
			}
		}
	}
}
