package op_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

// classifierCase runs one shape with R rows of logits a chunk, backward or evaluation, and compares with the reference.
func classifierCase(t *testing.T, s gpu.Storage, N, C, V, R int, backward bool) {
	const sx, sw = 1, 0.25 // logits of deviation sw sqrt(C)
	Vp := (V + 63) / 64 * 64
	scale := float32(1) / float32(3*N)
	x, wte, dwte := gputest.Round(s, gputest.Rand(1, N*C, sx)), gputest.Round(s, gputest.Rand(2, V*C, sw)), gputest.Rand(3, V*C, 0.01)
	targets := gputest.Tokens(4, N, V)
	targets[N-1] = uint32(V - 1)
	losses, dx, dw := make([]float64, N), make([]float64, N*C), append([]float64(nil), dwte...)
	ref.Classifier(losses, dx, dw, x, wte, targets, float64(scale), N, C, V)

	c := gputest.New(t)
	garbage := gputest.Round(s, gputest.Rand(5, R*Vp, 100)) // what the scratch held before; finite
	cl := op.Classifier{
		Losses: c.Out("losses", N), X: c.InAs(s, "x", x, N, C), WTE: c.InAs(s, "wte", wte, V, C), Targets: c.InU32("targets", targets, N),
		Logits: c.InOutAs(s, "logits", garbage, R, Vp), Scale: scale,
	}
	if backward {
		cl.DX, cl.DWTE = c.Out("dx", N, C), c.InOut("dwte", dwte, V, C)
	}
	c.Run(func(p *gpu.Program) { cl.AddTo(p) })
	// A logit is off by C terms of size sx sw, exp by 8 eps more; a loss is a difference of two, after a sum of V exps by
	// threads and tree.
	logit := 2*float64(C)*sx*sw + 8
	rounding, relative := classifierRounding(s, x, wte, N, C, V)
	c.Check(cl.Losses, losses, gputest.Tolerance{Terms: 1, Scale: logit + float64(V)/256 + 8, Bound: rounding})
	if !backward {
		return
	}
	// A row of dlogits sums to at most 2 scale in absolute value, with logit's relative error, and meets |wte| <= 4 sw.
	rows := 2 * float64(scale) * 4 * sw
	c.Check(cl.DX, dx, gputest.Tolerance{Terms: 1, Scale: rows * (logit + 8), Bound: rows * relative})
	// A column's dlogits sum to about scale N/V, or scale in one row that is sure of it, and meet |x| <= 4 sx.
	columns := max(1, float64(N)/float64(V)) * float64(scale) * 4 * sx
	c.Check(cl.DWTE, dw, gputest.Tolerance{Terms: 1, Scale: columns * (logit + 8), Bound: columns * relative})
	got := c.Got(cl.Logits)
	last := (N-1)%R + 1
	for n := range last {
		for v := V; v < Vp; v++ {
			if got[n*Vp+v] != 0 {
				t.Fatalf("dlogits row %d: padding column %d is %v, want 0", n, v, got[n*Vp+v])
			}
		}
	}
}

// classifierRounding is what storing logits and their gradient in s may do: a loss is a difference of two logits, each off by r =
// 2^-8 of the largest in bf16; a probability is off by a factor exp(2r), and its gradient is rounded again.
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

func TestClassifier(t *testing.T) { gputest.Storages(t, classifier) }

func classifier(t *testing.T, s gpu.Storage) {
	shapes := []struct{ N, C, V, R int }{
		{1, 4, 5, 1}, {3, 8, 5, 64}, {63, 12, 64, 64}, {64, 4, 257, 64}, {65, 20, 257, 64}, {129, 8, 65, 128},
		{7, 64, 1030, 7}, {200, 16, 63, 64},
	}
	for _, d := range shapes {
		for _, backward := range []bool{true, false} {
			t.Run(fmt.Sprintf("N=%d,C=%d,V=%d,R=%d,backward=%v", d.N, d.C, d.V, d.R, backward), func(t *testing.T) {
				classifierCase(t, s, d.N, d.C, d.V, d.R, backward)
			})
		}
	}
}

// TestClassifierWindows takes the vocabulary in windows of 128, 128 and 1 rows.
func TestClassifierWindows(t *testing.T) { gputest.Storages(t, classifierWindows) }

func classifierWindows(t *testing.T, s gpu.Storage) {
	dev := gputest.Device(t)
	old := dev.Limits.MaxBindingSize
	defer func() { dev.Limits.MaxBindingSize = old }()
	dev.Limits.MaxBindingSize = map[gpu.Storage]uint64{gpu.F32: 84 << 10, gpu.BF16: 42 << 10}[s]
	for _, backward := range []bool{true, false} {
		t.Run(fmt.Sprintf("backward=%v", backward), func(t *testing.T) { classifierCase(t, s, 65, 128, 257, 64, backward) })
	}
}

// TestClassifierTiles runs it on every geometry of the products, whatever the device; V is no multiple of any tile.
func TestClassifierTiles(t *testing.T) { gputest.Storages(t, classifierTiles) }

func classifierTiles(t *testing.T, s gpu.Storage) {
	for _, tile := range op.MatmulTiles() {
		t.Run(tile.Name, func(t *testing.T) {
			defer tile.Force()()
			classifierCase(t, s, 65, 20, 257, 64, true)
		})
	}
}

// TestClassifierSlices takes the sums of its backward in slices, as software devices take long ones; dx stays float32.
func TestClassifierSlices(t *testing.T) {
	gputest.Storages(t, func(t *testing.T, s gpu.Storage) {
		defer op.SliceMatmul(64)()
		classifierCase(t, s, 130, 16, 257, 130, true)
	})
}

// TestClassifierGPT2Vocabulary walks rows of GPT-2's own length: large logits, so that a single wrong column shows.
func TestClassifierGPT2Vocabulary(t *testing.T) {
	gputest.Storages(t, func(t *testing.T, s gpu.Storage) { classifierCase(t, s, 2, 4, 50257, 2, true) })
}

// TestClassifierExactLogits: rows that pick one column of WTE make logits that every storage holds exactly, so that losses are
// float32's and gradients off by one rounding.
func TestClassifierExactLogits(t *testing.T) {
	gputest.Storages(t, func(t *testing.T, s gpu.Storage) {
		const N, C, V, Vp = 9, 8, 300, 320
		x, wte, targets := make([]float64, N*C), gputest.Round(s, gputest.Rand(1, V*C, 2)), gputest.Tokens(2, N, V)
		for n := range N {
			x[n*C+n%C] = 1
		}
		losses, dx, dw := make([]float64, N), make([]float64, N*C), make([]float64, V*C)
		ref.Classifier(losses, dx, dw, x, wte, targets, 1.0/N, N, C, V)
		c := gputest.New(t)
		cl := op.Classifier{
			Losses: c.Out("losses", N), DX: c.Out("dx", N, C), DWTE: c.InOut("dwte", make([]float64, V*C), V, C),
			X: c.InAs(s, "x", x, N, C), WTE: c.InAs(s, "wte", wte, V, C), Targets: c.InU32("targets", targets, N),
			Logits: c.OutAs(s, "logits", N, Vp), Scale: 1.0 / N,
		}
		c.Run(func(p *gpu.Program) { cl.AddTo(p) })
		c.Check(cl.Losses, losses, gputest.Tolerance{Terms: 16, Scale: 1})
		last := 0.0 // one rounding of a gradient, relatively
		if s == gpu.BF16 {
			last = 1.0 / 256
		}
		// rows of dlogits sum to 2/N at most in absolute value and meet |wte| <= 8; of a column two rows meet an x of 1
		c.Check(cl.DX, dx, gputest.Tolerance{Terms: 16, Scale: 16.0 / N, Bound: 16.0 / N * last})
		c.Check(cl.DWTE, dw, gputest.Tolerance{Terms: 16, Scale: 2.0 / N, Bound: 2.0 / N * last})
	})
}

// TestClassifierWantsFloat32: DX is a sum over windows of the vocabulary.
func TestClassifierWantsFloat32(t *testing.T) {
	c := gputest.New(t)
	p := gputest.Device(t).NewProgram("test")
	op.Classifier{
		Losses: c.Out("losses", 4), DX: c.OutAs(gpu.BF16, "dx", 4, 8), DWTE: c.Out("dwte", 12, 8), X: c.OutAs(gpu.BF16, "x", 4, 8),
		WTE: c.OutAs(gpu.BF16, "wte", 12, 8), Targets: c.InU32("targets", make([]uint32, 4), 4), Logits: c.OutAs(gpu.BF16, "logits", 4, 64),
	}.AddTo(p)
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "dx (4,8) bf16, want float32") {
		t.Errorf("got %v", err)
	}
}

// TestClassifierLargeLogits: exp of the raw logits would overflow.
func TestClassifierLargeLogits(t *testing.T) {
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
	c := gputest.New(t)
	cl := op.Classifier{
		Losses: c.Out("losses", N), DX: c.Out("dx", N, C), DWTE: c.InOut("dwte", make([]float64, V*C), V, C),
		X: c.In("x", x, N, C), WTE: c.In("wte", wte, V, C), Targets: c.InU32("targets", targets, N),
		Logits: c.Out("logits", N, 320), Scale: 0.5,
	}
	c.Run(func(p *gpu.Program) { cl.AddTo(p) })
	c.Check(cl.Losses, losses, gputest.Tolerance{Terms: 1, Scale: 1})
	c.Check(cl.DX, dx, gputest.Tolerance{Terms: 1, Scale: 150})
	c.Check(cl.DWTE, dw, gputest.Tolerance{Terms: 1, Scale: 100})
}

func TestLogitsShape(t *testing.T) {
	small, large := gpu.DefaultLimits(), gpu.DefaultLimits()
	small.MaxBindingSize = 20 << 20
	for _, c := range []struct {
		limits   gpu.Limits
		n, v     int
		r, vp    int
		describe string
	}{
		{large, 1, 257, 1, 320, "one row"},
		{large, 100, 50257, 100, 50304, "all rows fit"},
		{large, 4096, 50257, 320, 50304, "64 MiB"},
		{large, 1024, 50257, 256, 50304, "four even chunks"},
		{small, 1024, 50257, 64, 50304, "the binding limit"},
		{large, 100000, 64, 100000, 64, "bytes as vocabulary"},
	} {
		d := gpu.Plan(gpu.AdapterInfo{Limits: c.limits})
		if r, vp := op.LogitsShape(d, c.n, c.v); r != c.r || vp != c.vp {
			t.Errorf("%s: LogitsShape(%d,%d) = %d,%d, want %d,%d", c.describe, c.n, c.v, r, vp, c.r, c.vp)
		}
	}
}

func TestMeanLoss(t *testing.T) {
	for _, n := range []int{1, 255, 256, 257, 1000, 65537} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			losses, start := gputest.Rand(1, n, 3), 0.5
			want := start
			for _, l := range losses {
				want += l / 64
			}
			c := gputest.New(t)
			ml := op.MeanLoss{Out: c.InOut("out", []float64{start}, 1), Losses: c.In("losses", losses, n), Scale: 1.0 / 64}
			c.Run(func(p *gpu.Program) { ml.AddTo(p) })
			// n/256 + 8 roundings of sums no larger than their own deviation
			c.Check(ml.Out, []float64{want}, gputest.Tolerance{Terms: n/256 + 9, Scale: 3 * math.Sqrt(256) / 64})
		})
	}
}

// BenchmarkClassifier is a chunk of GPT-2's vocabulary, forward and backward; three products are all but a hundredth of its work.
func BenchmarkClassifier(b *testing.B) {
	const C, V = 768, 50257
	d := gputest.Device(b)
	n, vp := op.LogitsShape(d, 256, V)
	c := gputest.New(b)
	p := d.NewProgram(b.Name())
	op.Classifier{
		Losses: c.Out("losses", n), DX: c.Out("dx", n, C), DWTE: c.InOut("dwte", make([]float64, V*C), V, C),
		X: c.In("x", gputest.Rand(1, n*C, 1), n, C), WTE: c.In("wte", gputest.Rand(2, V*C, 0.02), V, C),
		Targets: c.InU32("targets", gputest.Tokens(3, n, V), n), Logits: c.Out("logits", n, vp), Scale: 1 / float32(n),
	}.AddTo(p)
	gputest.Bench(b, 6*float64(n)*C*V, 0, p)
}
