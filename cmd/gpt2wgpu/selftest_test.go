package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

func TestSelftestFlags(t *testing.T) {
	wantFlags(t, "selftest", "kernel device json")
	gputest.Available(t)
	wantFailure(t, exitUsage, []string{"selftest", "--kernel", "matmulx"}, "--kernel", `"matmulx"`)
}

// TestSelftest holds the JSON of the documented interface and the table.
func TestSelftest(t *testing.T) {
	gputest.Available(t)
	code, stdout, stderr := cli(t, "selftest", "--kernel", "gather_rows", "--json")
	var got map[string]any
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 || stderr != "" {
		t.Fatalf("code %d, %v, %q", code, err, stderr)
	}
	wantKeys(t, got, "device", "passed", "failed", "kernels")
	rows := got["kernels"].([]any)
	if len(rows) != 6 || got["passed"] != 6.0 || got["failed"] != 0.0 {
		t.Errorf("%v", got)
	}
	for _, r := range rows {
		wantKeys(t, r, "name", "dtype", "shape", "max_error", "limit", "ok")
	}
	code, table, stderr := cli(t, "selftest", "--kernel", "gather_rows")
	if code != 0 || stderr != "" || !strings.HasPrefix(table, "program:  gpt2wgpu ") ||
		strings.Count(table, "\ngather_rows ") != 6 || !strings.Contains(table, "\n6 passed, 0 failed in ") {
		t.Errorf("code %d, %q\n%s", code, stderr, table)
	}
}

// zeros is an op that zeroes a tensor.
type zeros struct{ gpu.Tensor }

func (z zeros) AddTo(p *op.Builder) { p.Clear(z.Tensor) }

// TestSelftestFails: a kernel that is wrong on this device.
func TestSelftestFails(t *testing.T) {
	gputest.Available(t)
	defer func() { catalogue = selftest.Catalogue }()
	catalogue = func(*gpu.Device) []selftest.Entry {
		return []selftest.Entry{{Name: "broken", DType: "f32", Shape: "n=4", Try: func(c *selftest.Case) {
			out := c.Out("out", 4)
			c.Run(zeros{out})
			c.Check(out, []float64{0, 0, 3, 0}, selftest.Tolerance{})
		}}}
	}
	code, stdout, stderr := cli(t, "selftest")
	if code != exitFailed || !strings.Contains(stdout, "FAILED\n    out (4) f32: at 2: got 0, want 3") ||
		!strings.Contains(stderr, "1 of 1 cases failed on ") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("code %d\n%s\n%s", code, stdout, stderr)
	}
	code, stdout, stderr = cli(t, "selftest", "--json")
	if code != exitFailed || !strings.Contains(stdout, `"failed":1`) || !strings.Contains(stderr,
		"broken f32 n=4: out (4) f32: at 2: got 0, want 3") {
		t.Errorf("code %d\n%s\n%s", code, stdout, stderr)
	}
}
