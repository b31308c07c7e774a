package selftest

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

// device is gputest's, which imports this package.
func device(t *testing.T) *gpu.Device {
	t.Helper()
	d, err := gpu.Open(os.Getenv("GPT2WGPU_DEVICE"))
	if err != nil {
		if os.Getenv("GPT2WGPU_GPU") == "require" {
			t.Fatalf("GPT2WGPU_GPU=require: %v", err)
		}
		t.Skipf("no GPU: %v", err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// wrong is a case that fails as how says.
func wrong(how string) Entry {
	return Entry{"wrong/" + how, "f32", "n=8", func(c *Case) {
		x := c.In("x", []float64{1, 2, 3, 4, 5, 6, 7, 8}, 2, 4)
		out := c.Out("out", 2, 4)
		k := op.GatherRows{Out: out, X: x, Rows: c.InU32("rows", []uint32{0, 1}, 2)}
		want := []float64{1, 2, 3, 4, 5, 6, 7, 8}
		switch how {
		case "value":
			want[6] = 7.5
		case "poison":
			k.Out = c.Out("other", 2, 4)
		case "input":
			k.Out = x
			k.X = c.In("zeros", make([]float64, 8), 2, 4)
		case "guard":
			k.Out = out.Reinterpret("out", gpu.F32, 3, 4)
			k.X, k.Rows = c.In("long", make([]float64, 12), 3, 4), c.InU32("all", []uint32{0, 1, 2}, 3)
		case "shape":
			k.Rows = c.InU32("short", []uint32{0}, 1)
		}
		c.Run(k)
		c.Check(out, want, Tolerance{})
	}}
}

// TestFailures: each kind of failure is a row that says so, and the next case still runs.
func TestFailures(t *testing.T) {
	d := device(t)
	for _, x := range []struct {
		how, says  string
		err, limit float64
	}{
		{"value", "at 6: got 7, want 7.5, error", 0.5, 2 * eps * 7.5},
		{"poison", "at 0: got NaN, want 1", math.NaN(), 2 * eps},
		{"input", "x (2,4) f32: input changed at 0", math.NaN(), math.NaN()},
		{"guard", "guard word 0 behind it was overwritten", math.NaN(), math.NaN()},
		{"shape", "wrong/shape: gather_rows: rows: shape [1], want [2]", math.NaN(), math.NaN()},
	} {
		r, err := Run(context.Background(), d, []Entry{wrong(x.how), wrong("nothing")}, func(Row) {})
		if err != nil || r.Failed != 1 || r.Passed != 1 || r.Kernels[0].OK || !r.Kernels[1].OK {
			t.Fatalf("%s: %+v, %v", x.how, r, err)
		}
		row := r.Kernels[0]
		if text := strings.Join(row.Failures, "\n"); !strings.Contains(text, x.says) || strings.Contains(text, "\n") {
			t.Errorf("%s: reported %q, want %q", x.how, text, x.says)
		}
		if !equal(float64(row.MaxError), x.err) || !equal(float64(row.Limit), x.limit) {
			t.Errorf("%s: error %v, limit %v; want %v, %v", x.how, row.MaxError, row.Limit, x.err, x.limit)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if r, err := Run(ctx, d, []Entry{wrong("nothing")}, func(Row) {}); err == nil || len(r.Kernels) != 0 {
		t.Errorf("cancelled: %+v, %v", r, err)
	}
}

func equal(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func TestJSON(t *testing.T) {
	r := Report{Device: "Some GPU (vulkan, discrete)", Passed: 1, Failed: 1, Kernels: []Row{
		{Name: "add", DType: "f32", Shape: "N=2", MaxError: 0.5, Limit: 1, OK: true},
		{Name: "scale", DType: "bf16", Shape: "N=2", MaxError: number(math.NaN()), Limit: 1, Failures: []string{"why"}},
	}}
	raw, err := json.Marshal(r)
	want := `{"device":"Some GPU (vulkan, discrete)","passed":1,"failed":1,"kernels":[` +
		`{"name":"add","dtype":"f32","shape":"N=2","max_error":0.5,"limit":1,"ok":true},` +
		`{"name":"scale","dtype":"bf16","shape":"N=2","max_error":null,"limit":1,"ok":false}]}`
	if err != nil || string(raw) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, raw, want)
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	info := gpu.AdapterInfo{Name: "Some GPU", Backend: "vulkan", Type: "discrete", Driver: "driver 1",
		Limits: gpu.DefaultLimits(), Features: []string{"a", "b"}}
	table := NewTable(&b, info, []Entry{{Name: "layernorm", Shape: "N=2 C=4"}})
	table.Row(Row{Name: "layernorm", DType: "f32", Shape: "N=2 C=4", MaxError: 1e-7, Limit: 2.5e-6, OK: true})
	table.Row(Row{Name: "add", DType: "bf16", Shape: "N=2", MaxError: number(math.NaN()),
		Failures: []string{"at 3: got NaN, want 1"}})
	want := `device:   Some GPU (vulkan, discrete), driver 1
limits:   buffer 256.0 MiB, binding 128.0 MiB, workgroup 256 threads and 16.0 KiB, 8 storage buffers, ` +
		`65535 groups a dimension
features: a b

kernel     dtype  shape    max error      limit
layernorm  f32    N=2 C=4   1.00e-07   2.50e-06  ok
add        bf16   N=2              -          0  FAILED
    at 3: got NaN, want 1
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// TestTablesOfCPUs: a GPU's self-test leaves out the tiles of CPUs, and a CPU's has those of GPUs.
func TestTablesOfCPUs(t *testing.T) {
	l := gpu.DefaultLimits()
	cases := map[string]int{}
	for _, target := range op.Targets(l) {
		for _, e := range CatalogueFor(target, l) {
			if strings.Contains(e.Name, "/direct16x96") { // of CPUs only
				cases[target.Name]++
			}
		}
	}
	if cases["cpu"] == 0 || cases["lavapipe"] == 0 || len(cases) != 2 {
		t.Errorf("cases with a CPU's tile: %v", cases)
	}
}
