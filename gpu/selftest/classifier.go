package selftest

import (
	"math"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

// Classifier runs N rows of C channels and V classes with R rows of logits a chunk, backward or evaluation, in bindings
// of at most limit bytes (0: the device's).
func Classifier(c *Case, s gpu.Storage, N, C, V, R, limit int, backward bool) {
	const sx, sw = 1, 0.25 // logits of deviation sw sqrt(C)
	Vp := (V + 63) / 64 * 64
	scale := float32(1) / float32(3*N)
	x, wte, dwte := Round(s, Rand(1, N*C, sx)), Round(s, Rand(2, V*C, sw)), Rand(3, V*C, 0.01)
	targets := Tokens(4, N, V)
	targets[N-1] = uint32(V - 1)
	losses, dx, dw := make([]float64, N), make([]float64, N*C), slices.Clone(dwte)
	ref.Classifier(losses, dx, dw, x, wte, targets, float64(scale), N, C, V)

	garbage := Round(s, Rand(5, R*Vp, 100)) // what the scratch held before; finite
	cl := op.Classifier{
		Losses: c.Out("losses", N), X: c.InAs(s, "x", x, N, C), WTE: c.InAs(s, "wte", wte, V, C),
		Targets: c.InU32("targets", targets, N),
		Logits:  c.InOutAs(s, "logits", garbage, R, Vp), Scale: scale,
	}
	if backward {
		cl.DX, cl.DWTE = c.Out("dx", N, C), c.InOut("dwte", dwte, V, C)
	}
	c.BindAtMost(limit)
	c.Run(cl)
	// A logit is off by C terms of size sx sw, exp by 8 eps more; a loss is a difference of two, after a sum of V exps
	// by threads and tree.
	logit := 2*float64(C)*sx*sw + 8
	rounding, relative := classifierRounding(s, x, wte, N, C, V)
	c.Check(cl.Losses, losses, Tolerance{Terms: 1, Scale: logit + float64(V)/256 + 8, Bound: rounding})
	if !backward {
		return
	}
	// A row of dlogits sums to at most 2 scale in absolute value, with logit's relative error, and meets |wte| <= 4 sw.
	rows := 2 * float64(scale) * 4 * sw
	c.Check(cl.DX, dx, Tolerance{Terms: 1, Scale: rows * (logit + 8), Bound: rows * relative})
	// A column's dlogits sum to about scale N/V, or scale in one row that is sure of it, and meet |x| <= 4 sx.
	columns := max(1, float64(N)/float64(V)) * float64(scale) * 4 * sx
	c.Check(cl.DWTE, dw, Tolerance{Terms: 1, Scale: columns * (logit + 8), Bound: columns * relative})
	var padding []float64
	got := c.Got(cl.Logits)
	for n := range (N-1)%R + 1 {
		padding = append(padding, got[n*Vp+V:(n+1)*Vp]...)
	}
	c.CheckValues("dlogits in the padding columns", padding, make([]float64, len(padding)), Tolerance{})
}

// classifierRounding is what storing logits and their gradient in s may do: a loss is a difference of two logits, each
// off by r = 2^-8 of the largest in bf16; a probability is off by a factor exp(2r), and its gradient is rounded again.
func classifierRounding(s gpu.Storage, x, wte []float64, N, C, V int) (loss, relative float64) {
	if s != gpu.BF16 {
		return 0, 0
	}
	logits, largest := make([]float64, N*V), 0.0
	ref.MatmulForward(logits, x, wte, nil, N, C, V)
	for _, l := range logits {
		largest = max(largest, math.Abs(l))
	}
	loss = 2 * largest / 256
	return loss, math.Expm1(loss) + 1.0/256
}
