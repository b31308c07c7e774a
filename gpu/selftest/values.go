package selftest

import (
	"fmt"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

// count returns the values of a shape.
func count(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// GELUForward tries values around 0, and some where tanh overflows on some drivers.
func GELUForward(c *Case, s gpu.Storage, shape ...int) {
	n := count(shape)
	x, want := Round(s, Rand(1, n, 3)), make([]float64, n)
	copy(x, Round(s, []float64{-1e30, 1e30, 44}))
	ref.GELUForward(want, x)
	g := op.GELUForward{Out: c.OutAs(s, "out", shape...), X: c.InAs(s, "x", x, shape...)}
	c.Run(g)
	c.Check(g.Out, want, Tolerance{Terms: 4, Scale: 4}) // 1 + tanh cancels where x < 0, there |x| <= 4
}

// Pack wants the very bits that rounding gives.
func Pack(c *Case, s gpu.Storage, shape ...int) {
	x := Rand(1, count(shape), 1)
	k := op.Pack{Out: c.OutAs(s, "out", shape...), X: c.In("x", x, shape...)}
	c.Run(k)
	c.same(k.Out, Round(s, x))
}

// same wants values bit for bit.
func (c *Case) same(t gpu.Tensor, want []float64) {
	c.t.Helper()
	c.CheckValues(t.String(), c.Got(t), want, Tolerance{Exact: true})
}

// MeanLoss sums n losses.
func MeanLoss(c *Case, n int) {
	losses, start := Rand(1, n, 3), 0.5
	want := start
	for _, l := range losses {
		want += l / 64
	}
	ml := op.MeanLoss{Out: c.InOut("out", []float64{start}, 1), Losses: c.In("losses", losses, n), Scale: 1.0 / 64}
	c.Run(ml)
	// n/256 + 8 roundings of sums no larger than their own deviation
	c.Check(ml.Out, []float64{want}, Tolerance{Terms: n/256 + 9, Scale: 3 * 16.0 / 64})
}

// GradientNorm takes the norm of tensors of those lengths, in bindings of at most limit bytes (0: the device's), and
// clips it.
func GradientNorm(c *Case, lens []int, limit int, maxNorm float32) {
	n := op.GradientNorm{Out: c.Out("out", 4), MaxNorm: maxNorm}
	var values [][]float64
	for i, l := range lens {
		values = append(values, Rand(uint64(i), l, 1))
		n.Grads = append(n.Grads, c.In(fmt.Sprint("grad", i), values[i], l))
	}
	c.BindAtMost(limit)
	n.Partials = c.Out("partials", op.GradientNormPartials(c.dev, n.Grads))
	c.Run(n)
	norm := ref.GlobalNorm(values...)
	// 2 eps: sums of squares of a chunk err by a walk of 32 roundings, their sum averages that over the chunks, the
	// root halves it, and the root itself may be off by an eps.
	c.Check(n.Out, []float64{norm, ref.ClipScale(norm, float64(maxNorm)), 0, 0}, Tolerance{})
}

// AdamWState is a state of n values some steps into a run: second moments are squares.
func AdamWState(n int) (p, g, m, v []float64) {
	p, g, m, v = Rand(1, n, 1), Rand(2, n, 1), Rand(3, n, 1), Rand(4, n, 1)
	for i := range v {
		v[i] = float64(float32(v[i] * v[i]))
	}
	return
}

// AdamW takes a step on n values, in bindings of at most limit bytes (0: the device's); with s bf16 it writes a copy in
// it too.
func AdamW(c *Case, s gpu.Storage, n, step, limit int, decays bool, clip float32) {
	const lr, beta1, beta2, decay = 0.01, 0.9, 0.999, 0.1
	p, g, m, v := AdamWState(n)
	if step == 1 {
		clear(m)
		clear(v)
	}
	wd, eps := 0.0, []float64{1e-8, 0.5}[step%2] // a large eps shows where it stands
	if decays {
		wd = decay
	}
	scalars := make([]float64, 8)
	for i, x := range op.AdamWScalars(lr, beta1, beta2, eps, decay, step) {
		scalars[i] = float64(x)
	}
	a := op.AdamW{
		P: c.InOut("p", p, n), G: c.In("g", g, n), M: c.InOut("m", m, n), V: c.InOut("v", v, n),
		Scalars: c.In("scalars", scalars, 8), Norm: c.In("norm", []float64{3, float64(clip), 0, 0}, 4), Decay: decays,
	}
	if s == gpu.BF16 {
		a.Packed = c.OutAs(gpu.BF16, "packed", n)
	}
	c.BindAtMost(limit)
	c.Run(a)
	ref.AdamW(p, g, m, v, lr, beta1, beta2, eps, wd, float64(clip), step)
	// m is a sum of two addends of at most 4, v is all positive; the step is lr times a quotient of at most 30 whose
	// parts are off by some eps
	c.Check(a.M, m, Tolerance{Terms: 2, Scale: 1})
	c.Check(a.V, v, Tolerance{Terms: 1, Scale: 0.01})
	c.Check(a.P, p, Tolerance{Terms: 4, Scale: 30 * lr})
	if s == gpu.BF16 {
		c.same(a.Packed, Round(gpu.BF16, slices.Clone(c.Got(a.P))))
	}
}
