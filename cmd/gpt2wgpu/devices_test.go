package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

func TestPrintDevices(t *testing.T) {
	var b strings.Builder
	err := printDevices(&b, []gpu.AdapterInfo{
		{Index: 0, Name: "llvmpipe (LLVM 15)", Backend: "vulkan", Type: "cpu", Driver: "Mesa",
			Limits: gpu.DefaultLimits()},
		{Index: 1, Name: "Some GPU", Vendor: 0x10de, Backend: "dx12", Type: "discrete", Driver: "535",
			Limits: gpu.DefaultLimits()},
	}, 1)
	want := `
  #  NAME                BACKEND  TYPE      TARGET       LARGEST BUFFER  LARGEST BINDING  WORKGROUP              DRIVER
  0  llvmpipe (LLVM 15)  vulkan   cpu       lavapipe     256.0 MiB       128.0 MiB        256 threads, 16.0 KiB  Mesa
* 1  Some GPU            dx12     discrete  nvidia-dx12  256.0 MiB       128.0 MiB        256 threads, 16.0 KiB  535
`
	if got := "\n" + b.String(); err != nil || got != want {
		t.Errorf("%v%s\nwant%s", err, got, want)
	}
}

func TestDevicesFlags(t *testing.T) { wantFlags(t, "devices", "json") }

// TestDevices runs the command on whatever this machine has, nothing included.
func TestDevices(t *testing.T) {
	code, stdout, stderr := cli(t, "devices", "--json")
	if code == exitFailed {
		if stdout != "" || !strings.Contains(stderr, "no GPU found; hint: ") {
			t.Errorf("without a GPU: %q, %q", stdout, stderr)
		}
		gputest.Available(t) // skips, or fails where a GPU is required
	}
	var list []struct {
		Index    *int           `json:"index"`
		Name     string         `json:"name"`
		Backend  string         `json:"backend"`
		Type     string         `json:"type"`
		Driver   *string        `json:"driver"`
		Target   string         `json:"target"`
		Limits   map[string]any `json:"limits"`
		Features []string       `json:"features"`
	}
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || code != 0 || stderr != "" || len(list) == 0 {
		t.Fatalf("code %d, %v, %q, %q", code, err, stdout, stderr)
	}
	for i, d := range list {
		if d.Index == nil || *d.Index != i || d.Name == "" || d.Backend == "" || d.Type == "" || d.Driver == nil ||
			d.Target == "" || len(d.Limits) == 0 || d.Features == nil {
			t.Errorf("device %d: %+v", i, d)
		}
	}
	if code, table, _ := cli(t, "devices"); code != 0 || !strings.Contains(table, list[0].Name) {
		t.Errorf("the table, code %d, lacks %s:\n%s", code, list[0].Name, table)
	}
}
