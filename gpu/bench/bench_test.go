package bench_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/bench"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

func TestPeak(t *testing.T) {
	p, err := bench.MeasurePeak(gputest.Device(t))
	if err != nil {
		t.Fatal(err)
	}
	if !(p.FMA > 0.1 && p.FMA < 1e6) || !(p.Copy > 0.01 && p.Copy < 1e5) {
		t.Errorf("%v: not a device of this world", p)
	}
	t.Log(p)
}

// TestOfPeak: the rate that bounds a kernel is the one that would take longer.
func TestOfPeak(t *testing.T) {
	peak := bench.Peak{FMA: 100, Copy: 10}
	for _, x := range []struct{ flops, bytes, want float64 }{{50e9, 0, 0.5}, {0, 5e9, 0.5}, {50e9, 9e9, 0.9},
		{50e9, 1e9, 0.5}} {
		if got := peak.OfPeak(bench.Result{Time: time.Second, FLOPs: x.flops, Bytes: x.bytes}); got != x.want {
			t.Errorf("%v operations and %v bytes in a second: %v, want %v", x.flops, x.bytes, got, x.want)
		}
	}
	if got, want := peak.Max(bench.Peak{FMA: 90, Wide: 5, Copy: 11}),
		(bench.Peak{FMA: 100, Wide: 5, Copy: 11}); got != want {
		t.Errorf("Max: %v, want %v", got, want)
	}
}

// TestMeasure: the time and the bytes are those of one run, however often it is repeated.
func TestMeasure(t *testing.T) {
	d := gputest.Device(t)
	x, err := d.NewTensor(gpu.Scratch, "x", gpu.F32, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Free(x)
	calls := 0
	r, err := bench.Measure(d, "clear", func(p *gpu.Program) { calls++; p.Clear(x) })
	if err != nil || r.Time <= 0 || r.Bytes != 16 || calls < 2 {
		t.Errorf("%+v after %d calls, %v; want 16 bytes, repeated", r, calls, err)
	}
	if _, err := bench.Measure(d, "broken", func(p *gpu.Program) { p.Fail("as asked") }); err == nil ||
		err.Error() != "broken: as asked" {
		t.Errorf("got %v", err)
	}
}

// TestKernels runs every row at a small shape.
func TestKernels(t *testing.T) {
	defer bench.Hurry()()
	gputest.Storages(t, kernelRows)
}

func kernelRows(t *testing.T, s gpu.Storage) {
	d := gputest.Device(t)
	before := d.TotalBytes()
	shape := bench.Shape{B: 2, T: 20, C: 64, NH: 4, V: 300, Params: 1000, Data: s}
	var seen []bench.Row
	rows, err := bench.Kernels(d, nil, shape, "", func(r bench.Row) error { seen = append(seen, r); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(seen) || d.TotalBytes() != before {
		t.Errorf("%d rows, %d reported; %d bytes before, %d after", len(rows), len(seen), before, d.TotalBytes())
	}
	names := map[string]bool{}
	for _, r := range rows {
		if r.MS <= 0 || r.FLOPs+r.Bytes <= 0 || r.DType != s.String() || r.Shape == "" || names[r.Name] {
			t.Errorf("%+v", r)
		}
		names[r.Name] = true
	}
	none := func(bench.Row) error { return nil }
	if some, err := bench.Kernels(d, nil, shape, "layernorm", none); err != nil || len(some) != 2 {
		t.Errorf("kernels with layernorm in their names: %v, %v; want 2", some, err)
	}
	if _, err := bench.Kernels(d, nil, shape, "laiernorm", none); err == nil {
		t.Error("no error for a filter that nothing matches")
	}
	enough := errors.New("enough")
	if some, err := bench.Kernels(d, nil, shape, "", func(bench.Row) error { return enough }); err != enough ||
		len(some) != 1 {
		t.Errorf("stopped: %v, %v", some, err)
	}
}

// TestEveryKernelIsMeasured walks shaders/, so that a new kernel can't be left out.
func TestEveryKernelIsMeasured(t *testing.T) {
	text := ""
	limits := gpu.DefaultLimits()
	limits.MaxInvocations, limits.MaxWorkgroupBytes = 1024, 32<<10
	d := gpu.Plan(gpu.AdapterInfo{Limits: limits})
	for _, target := range op.Targets(limits) {
		for _, s := range []bench.Shape{{B: 1, T: 64, C: 64, NH: 4, V: 300, Params: 1024}, {B: 1, T: 128, C: 128, NH: 4,
			V: 300, Params: 1024}} {
			text += strings.Join(bench.Labels(d, target, s), "\n") + "\n"
		}
	}
	for _, name := range shaders.Names() {
		if strings.HasPrefix(name, "peak_") {
			continue
		}
		if !regexp.MustCompile(`(?m)^` + name + `(/|$)`).MatchString(text) {
			t.Errorf("shaders/%s.wgsl: no row of Kernels runs it; hint: add one to kernels()", name)
		}
	}
}

func TestBreakdown(t *testing.T) {
	ms := time.Millisecond
	shares := bench.Breakdown([]gpu.Timing{
		{Label: "clear wte", Duration: 1 * ms, Bytes: 1e6},
		{Label: "matmul/store_f32/TM=4", Duration: 2 * ms, FLOPs: 2e6, Bytes: 1e3},
		{Label: "clear wpe", Duration: 2 * ms, Bytes: 2e6},
		{Label: "matmul/store_f32/TM=8", Duration: 4 * ms, FLOPs: 8e6, Bytes: 2e3},
	})
	var b strings.Builder
	if err := bench.WriteBreakdown(&b, shares, bench.Peak{FMA: 10, Copy: 2}); err != nil {
		t.Fatal(err)
	}
	want := `kernel            count     ms   share  GFLOP/s   GB/s  of peak
matmul/store_f32      2  6.000   66.7%    1.667  0.001     0.17
clear                 2  3.000   33.3%    0.000  1.000     0.50
all                   4  9.000  100.0%    1.111  0.334     0.28
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	b.Reset()
	if err := bench.WriteBreakdown(&b, nil, bench.Peak{}); err != nil || b.String() != "the profile is empty\n" {
		t.Errorf("nothing: %q, %v", b.String(), err)
	}
}

func TestBest(t *testing.T) {
	row := func(ms time.Duration) bench.Row { return bench.Row{Result: bench.Result{Time: ms}} }
	a, b := []bench.Row{row(1), row(4)}, []bench.Row{row(2), row(3)}
	if got := bench.Best(a, b); got[0].Time != 1 || got[1].Time != 3 || a[1].Time != 4 {
		t.Errorf("%v of %v and %v", got, a, b)
	}
}

func TestReport(t *testing.T) {
	row := bench.Row{Name: "add", Shape: "N=2 C=4", DType: "f32", MS: 1000, GFLOPs: 5, GBs: 1,
		Result: bench.Result{Time: time.Second, FLOPs: 5e9, Bytes: 1e9}}
	r := bench.Report{Device: "Some GPU (vulkan, discrete)", Kernels: []bench.Row{row}, Step: &bench.Step{
		Preset: "tiny", MS: 500, TokensPerS: 1000,
		Breakdown: bench.Breakdown([]gpu.Timing{{Label: "add", Duration: time.Second, FLOPs: 5e9, Bytes: 1e9}}),
		Describe:  "B=1 T=500", FLOPsPerToken: 2e6, EncodeMS: 1.5, SubmitMS: 0.25, Dispatches: 3, Submits: 2,
		FirstUses: []gpu.Timing{{Label: "scale", Duration: 20 * time.Millisecond},
			{Label: "add/WG=8", Duration: 200 * time.Millisecond}},
	}}
	r.SetPeak(bench.Peak{FMA: 10, Wide: 6, Copy: 4})
	var b strings.Builder
	if err := r.Write(&b, gpu.AdapterInfo{Driver: "driver 1"}); err != nil {
		t.Fatal(err)
	}
	want := `device: Some GPU (vulkan, discrete), driver 1
peak:   10 GFLOP/s of multiply-adds (float32; 6 with 32 sums a thread), 4 GB/s of copies (read and written)

kernel  shape    dtype    ms  GFLOP/s   GB/s  of peak
add     N=2 C=4  f32    1000    5.000  1.000     0.50

step: tiny, B=1 T=500
500.0 ms, 1000 tokens/s, MFU 0.200: 2e+06 FLOPs a token, 6 N + 6 L C T, at 10 GFLOP/s
the host encodes it in 1.500 ms and submits it in 0.250 ms: 3 dispatches, 2 submissions

first use of 2 kernels: 220.0 ms, the slowest 200.0 ms (add/WG=8)

kernel  count    ms   share  GFLOP/s   GB/s  of peak
add         1  1000  100.0%    5.000  1.000     0.50
all         1  1000  100.0%    5.000  1.000     0.50
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	raw, err := json.Marshal(r)
	wantJSON := `{"device":"Some GPU (vulkan, discrete)","peak":{"fma_gflops":10,"copy_gb_s":4},` +
		`"kernels":[{"name":"add","shape":"N=2 C=4","dtype":"f32","ms":1000,"gflops":5,"gb_s":1,"of_peak":0.5}],` +
		`"step":{"preset":"tiny","ms":500,"tokens_per_s":1000,"mfu":0.2,"encode_ms":1.5,"submit_ms":0.25,` +
		`"breakdown":[{"name":"add","ms":1000}]}}`
	if err != nil || string(raw) != wantJSON {
		t.Errorf("%v\ngot  %s\nwant %s", err, raw, wantJSON)
	}
}
