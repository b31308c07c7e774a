package op_test

import (
	"fmt"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

// TestAdamW runs with and without the bf16 copy.
func TestAdamW(t *testing.T) { storages(adamw)(t, gputest.New) }

func adamw(t *testing.T, newCase maker, storage gpu.Storage) {
	for _, d := range []struct {
		n, step, limit int
		decay          bool
		clip           float32
	}{
		// groups of 256 values on software devices, 2048 else
		{4, 1, 0, true, 1}, {4, 1, 0, false, 0.5}, {252, 2, 0, true, 1}, {256, 2, 0, true, 1}, {260, 3, 0, true, 0.25},
		// windows of 256 values, and of 192 without the copy
		{2044, 1, 0, true, 1}, {2048, 1, 0, true, 1}, {2052, 1, 0, true, 1}, {4100, 1000, 0, true, 1},
		{644, 7, 1024 + 256, true, 1}, {380, 2, 1024 + 256, true, 1},
	} {
		t.Run(fmt.Sprintf("n=%d,step=%d,limit=%d,decay=%v,clip=%g", d.n, d.step, d.limit, d.decay, d.clip),
			func(t *testing.T) {
				selftest.AdamW(newCase(t), storage, d.n, d.step, d.limit, d.decay, d.clip)
			})
	}
}

func TestAdamWSkip(t *testing.T) { selftest.AdamWSkip(gputest.New(t)) }

// 20 steps of a quadratic bowl, through GradientNorm's scale, follow the reference's path. (Many more would not: near
// its minimum AdamW oscillates and doubles any difference.)
func TestAdamWPath(t *testing.T) {
	const n, steps, maxNorm, lr = 512, 20, 1.0, 0.01
	dev := gputest.Device(t)
	p, _, _, _ := selftest.AdamWState(n)
	g, m, v := make([]float64, n), make([]float64, n), make([]float64, n)
	var P, G, M, V, scalars, norm, partials gpu.Tensor
	for _, x := range []struct {
		t *gpu.Tensor
		n int
	}{{&P, n}, {&G, n}, {&M, n}, {&V, n}, {&scalars, 8}, {&norm, 4}, {&partials, 1}} {
		var err error
		if *x.t, err = dev.NewTensor(gpu.Scratch, "x", gpu.F32, x.n); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { dev.Free(P, G, M, V, scalars, norm, partials) })
	prog := op.NewSetup(dev).NewProgram("path")
	prog.Copy(G, P) // the gradient of p^2/2
	op.GradientNorm{Out: norm, Grads: []gpu.Tensor{G}, Partials: partials, MaxNorm: maxNorm}.AddTo(prog)
	op.AdamW{P: P, G: G, M: M, V: V, Scalars: scalars, Norm: norm, Decay: true}.AddTo(prog)
	if err := prog.Build(); err != nil {
		t.Fatal(err)
	}
	defer prog.Release()
	start := make([]float32, n)
	for i := range p {
		start[i] = float32(p[i])
	}
	if err := dev.Upload(P, start); err != nil {
		t.Fatal(err)
	}
	for step := 1; step <= steps; step++ {
		s := op.AdamWScalars(lr, 0.9, 0.95, 1e-8, 0.1, step)
		if err := dev.Upload(scalars, s[:]); err != nil {
			t.Fatal(err)
		}
		if err := prog.Run(); err != nil {
			t.Fatal(err)
		}
		copy(g, p)
		ref.AdamW(p, g, m, v, lr, 0.9, 0.95, 1e-8, 0.1, ref.ClipScale(ref.GlobalNorm(g), maxNorm), step)
	}
	end := make([]float32, n)
	if err := dev.Read(P, end); err != nil {
		t.Fatal(err)
	}
	got := make([]float64, n)
	for i := range end {
		got[i] = float64(end[i])
	}
	// each step adds an error of some eps of lr and of p
	if err := gputest.Compare(got, p, gputest.Tolerance{Terms: steps, Scale: 1}); err != nil {
		t.Error(err)
	}
}

func BenchmarkAdamW(b *testing.B) {
	n := benchValues(b)
	c := gputest.New(b)
	prog := op.NewSetup(gputest.Device(b)).NewProgram(b.Name())
	op.AdamW{
		P: c.Out("p", n), G: c.Out("g", n), M: c.Out("m", n), V: c.Out("v", n),
		Scalars: c.In("scalars", make([]float64, 8), 8), Norm: c.In("norm", []float64{1, 1, 0, 0}, 4), Decay: true,
	}.AddTo(prog)
	benchmark(b, 0, 28*float64(n), prog.Program)
}
