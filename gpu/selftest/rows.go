package selftest

import (
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

// layerNormCase: rows with means up to 3 and deviations about 1.
func layerNormCase(N, C int) (x, w, b []float64) {
	x, w, b = Rand(1, N*C, 1), Rand(2, C, 1), Rand(3, C, 1)
	for i := range x {
		x[i] = float64(float32(x[i] + float64(i/C%4)))
	}
	return x, w, b
}

// layerNormForward runs the forward on rows x and returns it with the reference's values.
func layerNormForward(c *Case, s gpu.Storage, x, w, b []float64, N, C int) (
	l op.LayerNormForward, out, mean, rstd []float64,
) {
	out, mean, rstd = make([]float64, N*C), make([]float64, N), make([]float64, N)
	ref.LayerNormForward(out, mean, rstd, x, w, b, N, C)
	l = op.LayerNormForward{
		Out: c.OutAs(s, "out", N, C), Mean: c.Out("mean", N), Rstd: c.Out("rstd", N), X: c.In("x", x, N, C),
		W: c.In("w", w, C), B: c.In("b", b, C),
	}
	c.Run(l)
	return l, out, mean, rstd
}

// LayerNormForward tries N rows of C channels; out has storage s.
func LayerNormForward(c *Case, s gpu.Storage, N, C int) {
	x, w, b := layerNormCase(N, C)
	l, out, mean, rstd := layerNormForward(c, s, x, w, b, N, C)
	// The sums' relative errors of a few eps are those of m and, halved, of s; x-m keeps m's, which s enlarges.
	most := slices.Max(rstd)
	c.Check(l.Mean, mean, Tolerance{Terms: 4, Scale: 1})
	c.Check(l.Rstd, rstd, Tolerance{Terms: 8, Scale: most})
	c.Check(l.Out, out, Tolerance{Terms: 16, Scale: max(1, most)})
}

// LayerNormBackward is LayerNormForward's gradient; dout has storage s.
func LayerNormBackward(c *Case, s gpu.Storage, N, C int) {
	x, w, b := layerNormCase(N, C)
	dout := Round(s, Rand(4, N*C, 1))
	mean, rstd := make([]float64, N), make([]float64, N)
	ref.LayerNormForward(make([]float64, N*C), mean, rstd, x, w, b, N, C)
	Round(gpu.F32, mean)
	Round(gpu.F32, rstd)
	dx, dw, db := Rand(5, N*C, 1), Rand(6, C, 1), Rand(7, C, 1)
	l := op.LayerNormBackward{
		DX: c.InOut("dx", dx, N, C), DW: c.InOut("dw", dw, C), DB: c.InOut("db", db, C),
		DOut: c.InAs(s, "dout", dout, N, C), X: c.In("x", x, N, C), W: c.In("w", w, C), Mean: c.In("mean", mean, N),
		Rstd:    c.In("rstd", rstd, N),
		Partial: c.Out("partial", 2*op.PartialLen(N, C)),
	}
	c.Run(l)
	ref.LayerNormBackward(dx, dw, db, dout, x, w, mean, rstd, N, C)
	// xhat is off by eps of x, enlarged by rstd where a row of few values lies close together
	most := max(1, slices.Max(rstd))
	c.Check(l.DX, dx, Tolerance{Terms: 16, Scale: 4 * most * most})
	c.Check(l.DW, dw, Tolerance{Terms: N + 2, Scale: 2 * most})
	c.Check(l.DB, db, Tolerance{Terms: N + 2, Scale: 1})
}

// BiasBackward sums N rows of OC columns; dout has storage s.
func BiasBackward(c *Case, s gpu.Storage, N, OC int) {
	dout, db := Round(s, Rand(1, N*OC, 1)), Rand(2, OC, 1)
	b := op.BiasBackward{DB: c.InOut("db", db, OC), DOut: c.InAs(s, "dout", dout, N, OC), Partial: c.Out("partial",
		op.PartialLen(N, OC))}
	c.Run(b)
	ref.BiasBackward(db, dout, N, OC)
	c.Check(b.DB, db, Tolerance{Terms: N + 1, Scale: 1})
}

// GatherRows copies R of N rows of C columns, the last among them.
func GatherRows(c *Case, s gpu.Storage, R, N, C int) {
	x, rows := Round(s, Rand(1, N*C, 1)), Tokens(2, R, N)
	rows[0] = uint32(N - 1)
	want := make([]float64, R*C)
	ref.GatherRows(want, x, rows, C)
	g := op.GatherRows{Out: c.OutAs(s, "out", R, C), X: c.InAs(s, "x", x, N, C), Rows: c.InU32("rows", rows, R)}
	c.Run(g)
	c.Check(g.Out, want, Tolerance{})
}

// embeddingTokens covers the edges of the vocabulary and of windows of 64 and 128 rows, and repeats one token often.
func embeddingTokens(n, v int) []uint32 {
	tokens := Tokens(1, n, v)
	for i, e := range []int{v - 1, 0, 63, 64, 127, 128, 255, 256} {
		if i < n && e < v {
			tokens[i] = uint32(e)
		}
	}
	for i := 9; i < n; i += 3 {
		tokens[i] = uint32(v / 2)
	}
	return tokens
}

// EmbeddingForward looks up B sequences of T of V tokens, in a context that is two positions longer, in bindings of at
// most limit bytes (0: the device's).
func EmbeddingForward(c *Case, B, T, C, V, limit int) {
	c.BindAtMost(limit)
	N, block := B*T, T+2
	wte, wpe, tokens := Rand(1, V*C, 1), Rand(2, block*C, 1), embeddingTokens(N, V)
	want := make([]float64, N*C)
	ref.EmbeddingForward(want, wte, wpe, tokens, B, T, C)
	e := op.EmbeddingForward{
		Out: c.Out("out", N, C), WTE: c.In("wte", wte, V, C), WPE: c.In("wpe", wpe, block, C), Tokens: c.InU32("tokens",
			tokens, N), T: T,
	}
	c.Run(e)
	c.Check(e.Out, want, Tolerance{}) // one rounding
}

// EmbeddingBackward is EmbeddingForward's gradient.
func EmbeddingBackward(c *Case, B, T, C, V, limit int) {
	c.BindAtMost(limit)
	N, block := B*T, T+2
	dwte, dwpe, dout, tokens := Rand(1, V*C, 1), Rand(2, block*C, 1), Rand(3, N*C, 1), embeddingTokens(N, V)
	order, starts := make([]uint32, N), make([]uint32, N+1)
	op.SortTokens(tokens, order, starts)
	e := op.EmbeddingBackward{
		DWTE: c.InOut("dwte", dwte, V, C), DWPE: c.InOut("dwpe", dwpe, block, C), DOut: c.In("dout", dout, N, C),
		Order: c.InU32("order", order, N), Starts: c.InU32("starts", starts, N+1), Tokens: c.InU32("tokens", tokens, N),
		T: T,
	}
	c.Run(e)
	ref.EmbeddingBackward(dwte, dwpe, dout, tokens, B, T, C)
	c.Check(e.DWTE, dwte, Tolerance{Terms: N, Scale: 1})
	c.Check(e.DWPE, dwpe, Tolerance{Terms: B, Scale: 1})
}
