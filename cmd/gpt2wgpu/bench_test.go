package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

func TestBenchFlags(t *testing.T) {
	wantFlags(t, "bench", "preset batch-size seq-len dtype passes kernels kernel step device no-autotune json")
	wantFailure(t, exitUsage, []string{"bench", "--preset", "huge"}, "--preset", `"huge"`, "tiny, first-steps")
	wantFailure(t, exitUsage, []string{"bench", "--passes", "0"}, "--passes is 0")
	wantFailure(t, exitUsage, []string{"bench", "--preset", "tiny", "--seq-len", "256"}, "--seq-len is 256",
		fmt.Sprintf("--block-size %d", train.DefaultConfig().BlockSize))
}

// TestBench holds the JSON of the documented interface.
func TestBench(t *testing.T) {
	gputest.Available(t)
	for _, x := range []struct {
		args    []string
		kernels int
		step    bool
	}{
		{[]string{"--kernel", "layernorm"}, 2, false},
		{[]string{"--kernels=false", "--batch-size", "2", "--seq-len", "16"}, 0, true},
	} {
		code, stdout, stderr := cli(t, append([]string{"bench", "--preset", "tiny", "--json"}, x.args...)...)
		var got map[string]any
		if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 {
			t.Fatalf("%v: code %d, %v, %s", x.args, code, err, stderr)
		}
		wantKeys(t, got, "device", "peak", "kernels", "step")
		wantKeys(t, got["peak"], "fma_gflops", "copy_gb_s")
		if rows := got["kernels"].([]any); len(rows) != x.kernels {
			t.Errorf("%v: %d kernels, want %d", x.args, len(rows), x.kernels)
		} else {
			for _, r := range rows {
				wantKeys(t, r, "name", "shape", "dtype", "ms", "gflops", "gb_s", "of_peak")
			}
		}
		if step := got["step"]; x.step != (step != nil) {
			t.Errorf("%v: step %v", x.args, step)
		} else if x.step {
			wantKeys(t, step, "preset", "ms", "tokens_per_s", "mfu", "encode_ms", "submit_ms", "breakdown")
			s := step.(map[string]any)
			if ms, all := s["encode_ms"].(float64), s["ms"].(float64); ms <= 0 || ms > all {
				t.Errorf("%v: %v of %v ms to encode a step", x.args, ms, all)
			}
			for _, r := range step.(map[string]any)["breakdown"].([]any) {
				wantKeys(t, r, "name", "ms")
			}
		}
	}
	code, table, _ := cli(t, "bench", "--preset", "tiny", "--kernel", "bias", "--passes", "2")
	if code != 0 || !strings.HasPrefix(table, "device: ") || strings.Count(table, "bias_backward/") != 4 {
		t.Errorf("code %d:\n%s", code, table)
	}
}

// wantKeys checks that an object has these fields, none of them null but step, and no others.
func wantKeys(t *testing.T, v any, keys ...string) {
	t.Helper()
	m, _ := v.(map[string]any)
	for _, k := range keys {
		if value, ok := m[k]; !ok || value == nil && k != "step" {
			t.Errorf("no %s in %v", k, v)
		}
	}
	if len(m) != len(keys) {
		t.Errorf("%v has other fields than %v", v, keys)
	}
}
