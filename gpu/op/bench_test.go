package op_test

import (
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/bench"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
)

var peak bench.Peak // of the test device; zero until it is measured

// benchmark builds a program, runs it b.N times or more and reports the fastest run as GFLOP/s (flops) or GB/s (bytes),
// whichever is not 0, and as a fraction of the device's peak rate.
func benchmark(b *testing.B, flops, bytes float64, p *gpu.Program) {
	b.Helper()
	if peak == (bench.Peak{}) {
		var err error
		if peak, err = bench.MeasurePeak(gputest.Device(b)); err != nil {
			b.Fatal(err)
		}
	}
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
