package gputest

import (
	"sync"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/bench"
)

var peaks struct {
	once sync.Once
	peak bench.Peak
	err  error
}

// Peak returns the test device's peak rates, measured once in this process.
func Peak(t testing.TB) bench.Peak {
	t.Helper()
	dev := Device(t)
	peaks.once.Do(func() { peaks.peak, peaks.err = bench.MeasurePeak(dev) })
	if peaks.err != nil {
		t.Fatal(peaks.err)
	}
	return peaks.peak
}

// Bench builds a program, runs it b.N times or more and reports the fastest run as GFLOP/s (flops) or GB/s (bytes),
// whichever is not 0, and as a fraction of the device's peak rate.
func Bench(b *testing.B, flops, bytes float64, p *gpu.Program) {
	b.Helper()
	peak := Peak(b)
	if err := p.Build(); err != nil {
		b.Fatal(err)
	}
	defer p.Release()
	b.ResetTimer()
	took, err := bench.Fastest(p, b.N)
	if err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(took.Nanoseconds()), "ns/op")
	r := bench.Result{Time: took, FLOPs: flops, Bytes: bytes}
	if flops > 0 {
		b.ReportMetric(r.GFLOPs(), "GFLOP/s")
		b.ReportMetric(r.GFLOPs()/peak.FMA, "of-FMA-rate")
	}
	if bytes > 0 {
		b.ReportMetric(r.GBs(), "GB/s")
		b.ReportMetric(r.GBs()/peak.Copy, "of-copy-rate")
	}
}
