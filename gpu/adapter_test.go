package gpu_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
)

func TestChoose(t *testing.T) {
	laptop := []gpu.AdapterInfo{
		gpu.AdapterForTest(0, "llvmpipe (LLVM 15.0.6, 256 bits)", "vulkan", "cpu", false),
		gpu.AdapterForTest(1, "Intel(R) Graphics (RPL-P)", "vulkan", "integrated", false),
		gpu.AdapterForTest(2, "NVIDIA GeForce RTX 4060", "dx12", "discrete", true),
		gpu.AdapterForTest(3, "NVIDIA GeForce RTX 4060", "vulkan", "discrete", true),
		gpu.AdapterForTest(4, "Virtual GPU", "vulkan", "other", false),
	}
	mac := []gpu.AdapterInfo{gpu.AdapterForTest(0, "Apple M2", "metal", "integrated", false)}
	software := laptop[:1]
	for _, c := range []struct {
		list   []gpu.AdapterInfo
		device string
		want   int // index, or -1: refused
	}{
		{laptop, "", 3}, {laptop, "auto", 3}, {laptop, " AUTO ", 3}, {laptop, "vulkan", 3}, {laptop, "dx12", 2},
		{laptop, "metal", -1},
		{laptop, "cuda", 3}, {laptop, "mps", -1}, {laptop, "cpu", 0}, {laptop, "0", 0}, {laptop, "1", 1},
		{laptop, "4", 4}, {laptop, "5", -1},
		{laptop, "-1", -1}, {laptop, "intel", 1}, {laptop, "RTX 4060", 3}, {laptop, "llvmpipe", 0},
		{laptop, "virtual", 4}, {laptop, "radeon", -1},
		{laptop[:2], "auto", 1}, {[]gpu.AdapterInfo{laptop[0], laptop[4]}, "auto", 4},
		{mac, "auto", 0}, {mac, "mps", 0}, {mac, "metal", 0}, {mac, "vulkan", -1}, {mac, "cuda", -1}, {mac, "cpu", -1},
		{mac, "m2", 0},
		{software, "auto", 0}, {software, "cpu", 0}, {software, "cuda", -1},
	} {
		got, err := gpu.Choose(c.list, c.device)
		switch {
		case c.want < 0 && err == nil:
			t.Errorf("--device %q of %v: got %v, want an error", c.device, c.list, got)
		case c.want < 0:
			if !strings.Contains(err.Error(), "--device "+c.device+": no such GPU here") ||
				!strings.Contains(err.Error(), c.list[0].Name) {
				t.Errorf("--device %q: the error must name the flag and offer what there is: %v", c.device, err)
			}
		case err != nil:
			t.Errorf("--device %q of %v: %v", c.device, c.list, err)
		case got.Index != c.want:
			t.Errorf("--device %q of %v: got %v, want index %d", c.device, c.list, got, c.want)
		}
	}
}

// TestChooseLocal: processes that share a machine spread over its hardware, and over software devices only without any.
func TestChooseLocal(t *testing.T) {
	var node []gpu.AdapterInfo
	for i, typ := range []string{"cpu", "integrated", "discrete", "discrete"} {
		node = append(node, gpu.AdapterForTest(i, typ, "vulkan", typ, false))
	}
	node = append(node, gpu.AdapterForTest(4, "discrete", "dx12", "discrete", false)) // one of them again
	software := []gpu.AdapterInfo{node[0], gpu.AdapterForTest(1, "SwiftShader", "vulkan", "cpu", false)}
	for _, c := range []struct {
		list   []gpu.AdapterInfo
		device string
		want   []int // by local rank
	}{
		{node, "auto", []int{2, 3, 1, 2}}, {node, "", []int{2, 3}}, {node, "cpu", []int{0, 0}},
		{node, "3", []int{3, 3}},
		{software, "auto", []int{0, 1, 0}}, {node[:1], "auto", []int{0, 0}},
	} {
		for local, want := range c.want {
			if got, err := gpu.ChooseLocal(c.list, c.device, local); err != nil || got.Index != want {
				t.Errorf("--device %q, local rank %d: got %v, %v, want index %d", c.device, local, got, err, want)
			}
		}
	}
	if _, err := gpu.ChooseLocal(nil, "auto", 0); err == nil {
		t.Error("no adapters: no error")
	}
}

// TestVulkanBeforeDX12: of one card's two backends Vulkan is taken, whatever the two call the card and its type, and
// another card that has only DX12 stays.
func TestVulkanBeforeDX12(t *testing.T) {
	adapter := gpu.AdapterForTest
	list := []gpu.AdapterInfo{
		withIDs(adapter(0, "AMD Radeon(TM) RX 6800", "dx12", "discrete", false), 0x1002, 0x73bf),
		withIDs(adapter(1, "AMD Radeon RX 6800", "vulkan", "other", false), 0x1002, 0x73bf),
		withIDs(adapter(2, "NVIDIA GeForce RTX 4060", "dx12", "discrete", true), 0x10de, 0x2882),
		withIDs(adapter(3, "Intel(R) UHD Graphics", "dx12", "integrated", false), 0x8086, 0x9a49),
		adapter(4, "Intel(R) UHD Graphics", "vulkan", "integrated", false),
		withIDs(adapter(5, "Microsoft Basic Render Driver", "dx12", "cpu", false), 0x1414, 0x8c),
	}
	for device, want := range map[string]int{
		"auto": 1, "radeon": 1, "radeon(tm)": 1, "uhd": 4, "nvidia": 2, "cuda": 2, "dx12": 0, "vulkan": 4, "0": 0,
		"3": 3, "cpu": 5,
	} {
		if got, err := gpu.Choose(list, device); err != nil || got.Index != want {
			t.Errorf("--device %s: got %v, %v, want index %d", device, got, err, want)
		}
	}
	for local, want := range []int{2, 4, 1, 2} {
		if got, err := gpu.ChooseLocal(list, "auto", local); err != nil || got.Index != want {
			t.Errorf("local rank %d: got %v, %v, want index %d", local, got, err, want)
		}
	}
}

// TestHintsByOS: a hint names what the system at hand has.
func TestHintsByOS(t *testing.T) {
	for goos, want := range map[string]string{"linux": "apt-get install", "windows": "maker", "darwin": "Metal",
		"freebsd": "Vulkan driver"} {
		hint := gpu.DriverHint(goos)
		if !strings.Contains(hint, want) || goos != "linux" && strings.Contains(hint, "apt") {
			t.Errorf("%s: %q, want %q in it", goos, hint, want)
		}
	}
	for backend, want := range map[string]string{"dx12": "; hint: --device vulkan", "vulkan": "", "metal": ""} {
		if got := gpu.PipelineHint(backend); got != want {
			t.Errorf("%s: %q, want %q", backend, got, want)
		}
	}
}

// TestVendorStaysInside: the vendor is for programs, not for `devices --json` and the tuning cache, which hold
// AdapterInfo as JSON.
func TestVendorStaysInside(t *testing.T) {
	info := gpu.AdapterInfo{Name: "some"}
	plain, err := json.Marshal(info)
	info.Vendor = 0x10de
	if with, err2 := json.Marshal(info); err != nil || err2 != nil || string(with) != string(plain) {
		t.Errorf("%s, %v; without it %s, %v", with, err2, plain, err)
	}
}

func TestAdaptersAreDescribed(t *testing.T) {
	gputest.Available(t)
	list, err := gpu.Adapters()
	if err != nil {
		t.Fatal(err)
	}
	least := gpu.DefaultLimits()
	for i, a := range list {
		if a.Index != i || a.Name == "" || a.Backend == "" || a.Type == "" {
			t.Errorf("adapter %d: %+v", i, a)
		}
		if l := a.Limits; l.MaxBufferSize < least.MaxBufferSize || l.MaxBindingSize < least.MaxBindingSize ||
			l.MaxInvocations < least.MaxInvocations {
			t.Errorf("%v: limits %+v below WebGPU's promise", a, l)
		}
	}
}

func withIDs(a gpu.AdapterInfo, vendor, device uint32) gpu.AdapterInfo {
	a.Vendor, a.Device = vendor, device
	return a
}
