package op_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

// classifierCase runs one shape with R rows of logits a chunk, backward or evaluation, and compares with the reference.
func classifierCase(t *testing.T, s gpu.Storage, N, C, V, R int, backward bool) {
	selftest.Classifier(gputest.New(t), s, N, C, V, R, 0, backward)
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
		t.Run(fmt.Sprintf("backward=%v", backward), func(t *testing.T) {
			classifierCase(t, s, 65, 128, 257, 64,
				backward)
		})
	}
}

// TestClassifierTiles runs it on a geometry of each algorithm for products, whatever the device; V is not a multiple of
// any tile.
func TestClassifierTiles(t *testing.T) { gputest.Storages(t, classifierTiles) }

func classifierTiles(t *testing.T, s gpu.Storage) {
	done := map[string]bool{}
	for _, tile := range productTiles(ownTarget(t), false) {
		if done[tile.Algorithm] {
			continue
		}
		done[tile.Algorithm] = true
		t.Run(tile.Name(), func(t *testing.T) {
			c := gputest.New(t)
			c.Setup.Target = c.Setup.Target.WithProduct(tile)
			selftest.Classifier(c, s, 65, 20, 257, 64, 0, true)
		})
	}
}

// TestClassifierSlices takes the sums of its backward in slices, as software devices take long ones; dx stays float32.
func TestClassifierSlices(t *testing.T) {
	gputest.Storages(t, func(t *testing.T, s gpu.Storage) {
		c := gputest.New(t)
		c.Setup.Target = c.Setup.Target.WithSlice(64)
		selftest.Classifier(c, s, 130, 16, 257, 130, 0, true)
	})
}

// TestClassifierGPT2Vocabulary walks rows of GPT-2's own length: large logits, so that a single wrong column shows.
func TestClassifierGPT2Vocabulary(t *testing.T) {
	gputest.Storages(t, func(t *testing.T, s gpu.Storage) { classifierCase(t, s, 2, 4, 50257, 2, true) })
}

// TestClassifierExactLogits: rows that pick one column of WTE make logits that every storage holds exactly, so that
// losses are float32's and gradients off by one rounding.
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
		c.Run(cl)
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
	p := op.NewSetup(gputest.Device(t)).NewProgram("test")
	op.Classifier{
		Losses: c.Out("losses", 4), DX: c.OutAs(gpu.BF16, "dx", 4, 8), DWTE: c.Out("dwte", 12, 8),
		X:   c.OutAs(gpu.BF16, "x", 4, 8),
		WTE: c.OutAs(gpu.BF16, "wte", 12, 8), Targets: c.InU32("targets", make([]uint32, 4), 4),
		Logits: c.OutAs(gpu.BF16, "logits", 4, 64),
	}.AddTo(p)
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "dx (4,8) bf16, want float32") {
		t.Errorf("got %v", err)
	}
}

func TestClassifierLargeLogits(t *testing.T) { selftest.ClassifierLargeLogits(gputest.New(t)) }

func TestLogitsShape(t *testing.T) {
	small, usual, large := gpu.DefaultLimits(), gpu.DefaultLimits(), gpu.DefaultLimits()
	small.MaxBindingSize = 20 << 20
	large.MaxBindingSize, large.MaxBufferSize = 2<<30, 2<<30
	card := func(l gpu.Limits) gpu.AdapterInfo { return gpu.AdapterInfo{Type: "discrete", Limits: l} }
	cpu := gpu.AdapterInfo{Type: "cpu", Limits: usual}
	for _, c := range []struct {
		device   gpu.AdapterInfo
		tuned    int // rows
		n, v     int
		r, vp    int
		describe string
	}{
		{card(usual), 0, 1, 257, 1, 320, "one row"},
		{card(usual), 0, 100, 50257, 100, 50304, "all rows fit"},
		{card(large), 0, 16384, 50257, 1280, 50304, "256 MiB"},
		{card(large), 2560, 16384, 50257, 2432, 50304, "twice as many, in seven even chunks"},
		{card(large), 5120, 16384, 50257, 4096, 50304, "four times as many, in four even chunks"},
		{card(usual), 0, 4096, 50257, 640, 50304, "the binding that WebGPU promises"},
		{card(usual), 5120, 4096, 50257, 640, 50304, "a tile of another device"},
		{card(usual), 0, 1024, 50257, 512, 50304, "two even chunks"},
		{card(small), 0, 1024, 50257, 64, 50304, "a small binding"},
		{card(usual), 0, 100000, 64, 100000, 64, "bytes as vocabulary"},
		{cpu, 0, 4096, 50257, 320, 50304, "64 MiB"},
		{cpu, 0, 1024, 50257, 256, 50304, "four even chunks"},
		{cpu, 128, 1024, 50257, 128, 50304, "a part of them"},
	} {
		setup := op.NewSetup(gpu.Plan(c.device))
		if c.tuned > 0 {
			var tile op.Tile
			if err := json.Unmarshal([]byte(fmt.Sprintf(`{"classifier":{"Rows":%d}}`, c.tuned)), &tile); err != nil {
				t.Fatal(err)
			}
			setup.Tuning = op.Tuning{fmt.Sprintf("classifier/%dx%d", c.n, 1<<16): tile}
		}
		if r, vp := setup.LogitsShape(c.n, c.v); r != c.r || vp != c.vp {
			t.Errorf("%s: LogitsShape(%d,%d) = %d,%d, want %d,%d", c.describe, c.n, c.v, r, vp, c.r, c.vp)
		}
	}
}

func TestMeanLoss(t *testing.T) {
	for _, n := range []int{1, 255, 256, 257, 1000, 65537} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			selftest.MeanLoss(gputest.New(t), n)
		})
	}
}

// BenchmarkClassifier is a chunk of GPT-2's vocabulary, forward and backward; three products are all but a hundredth of
// its work.
func BenchmarkClassifier(b *testing.B) {
	const C, V = 768, 50257
	c := gputest.New(b)
	n, vp := c.Setup.LogitsShape(256, V)
	p := c.Setup.NewProgram(b.Name())
	op.Classifier{
		Losses: c.Out("losses", n), DX: c.Out("dx", n, C), DWTE: c.InOut("dwte", make([]float64, V*C), V, C),
		X: c.In("x", gputest.Rand(1, n*C, 1), n, C), WTE: c.In("wte", gputest.Rand(2, V*C, 0.02), V, C),
		Targets: c.InU32("targets", gputest.Tokens(3, n, V), n), Logits: c.Out("logits", n, vp), Scale: 1 / float32(n),
	}.AddTo(p)
	benchmark(b, 6*float64(n)*C*V, 0, p.Program)
}
