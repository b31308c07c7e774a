package gputest

import (
	"sync"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// fastest runs a program that is built, once to compile and then n times, and returns the shortest time of a run: cores and
// GPUs are shared with other work, which only ever adds.
func fastest(t testing.TB, p *gpu.Program, n int) time.Duration {
	t.Helper()
	best := time.Duration(0)
	for i := 0; i <= n; i++ {
		start := time.Now()
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		if err := p.Device().Wait(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); i > 0 && (best == 0 || took < best) {
			best = took
		}
	}
	return best
}

// peak runs a kernel of shaders/ over words float32 of out (and of x, if it has one) and returns cost per nanosecond.
func peak(t testing.TB, name string, choice shaders.Choice, words int, groups int, cost float64, copies bool, params any) float64 {
	t.Helper()
	dev := Device(t)
	text, err := shaders.Source(name, choice, nil)
	if err != nil {
		t.Fatal(err)
	}
	bind := map[string]gpu.Tensor{}
	for _, binding := range []string{"out", "x"} {
		if binding == "x" && !copies {
			continue
		}
		tensor, err := dev.NewTensor(gpu.Scratch, name+" "+binding, gpu.F32, words)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Free(gpu.Scratch, tensor)
		bind[binding] = tensor
	}
	p := dev.NewProgram(name)
	p.Add(gpu.Dispatch{Source: gpu.Source(text), Bind: bind, Params: params, Groups: p.Groups1D(groups), FLOPs: cost})
	if err := p.Build(); err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	return cost / float64(fastest(t, p, 5).Nanoseconds())
}

// PeakFMA measures the device's multiply-adds in GFLOP/s, the limit of every matrix product. Two operations each.
func PeakFMA(t testing.TB) float64 {
	groups := 16384
	if Device(t).Info.Software() {
		groups = 64
	}
	const perThread = 2 * 64 * 16 * 8 * 4 // ROUNDS, REPEAT, chains of vec4
	return peak(t, "peak_fma", nil, groups*64, groups, float64(groups)*64*perThread, false, struct{ SEED float32 }{0.5})
}

// PeakCopy measures a copy of 32 MiB in GB/s, bytes read and written: the limit of elementwise kernels.
func PeakCopy(t testing.TB) float64 {
	const quads = 2 << 20
	return peak(t, "peak_copy", shaders.Choice{"store": "store_f32"}, quads*4, quads/64, 2*16*quads, true, struct{ COUNT uint32 }{quads})
}

var peaks struct {
	once      sync.Once
	fma, copy float64
}

// Bench builds a program, runs it b.N times and reports the fastest run as GFLOP/s (flops) or GB/s (bytes), whichever is not
// 0, and as a fraction of the rate that a kernel of nothing but multiply-adds, or copies, reached in this process.
func Bench(b *testing.B, flops, bytes float64, p *gpu.Program) {
	b.Helper()
	peaks.once.Do(func() { peaks.fma, peaks.copy = PeakFMA(b), PeakCopy(b) })
	if err := p.Build(); err != nil {
		b.Fatal(err)
	}
	defer p.Release()
	b.ResetTimer()
	ns := float64(fastest(b, p, b.N).Nanoseconds())
	b.StopTimer()
	if flops > 0 {
		b.ReportMetric(flops/ns, "GFLOP/s")
		b.ReportMetric(flops/ns/peaks.fma, "of-FMA-rate")
	}
	if bytes > 0 {
		b.ReportMetric(bytes/ns, "GB/s")
		b.ReportMetric(bytes/ns/peaks.copy, "of-copy-rate")
	}
}
