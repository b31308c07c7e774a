package gpu

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/wgpu"
)

// Limits are the numbers that programs and memory plans respect.
type Limits = wgpu.Limits

// DefaultLimits are those that WebGPU promises on every device.
func DefaultLimits() Limits { return wgpu.DefaultLimits() }

// AdapterInfo describes one processor that can run programs.
type AdapterInfo = wgpu.AdapterInfo

const vendorNVIDIA = 0x10de

// Adapters lists the processors of this machine in the driver's order.
// Error: none, with the hint how to get a software one.
func Adapters() ([]AdapterInfo, error) {
	list, refs, err := adapters()
	for _, r := range refs {
		r.Release()
	}
	return list, err
}

func adapters() ([]AdapterInfo, []wgpu.Adapter, error) {
	refs := wgpu.Adapters()
	if len(refs) == 0 {
		return nil, nil, fmt.Errorf("no GPU found; hint: %s", driverHint(runtime.GOOS))
	}
	list := make([]AdapterInfo, len(refs))
	for i, r := range refs {
		list[i] = r.Info()
		list[i].Index = i
	}
	return list, refs, nil
}

// driverHint says what a machine of an operating system lacks that shows no GPU.
func driverHint(goos string) string {
	return cmp.Or(map[string]string{
		"windows": "install the driver of the graphics card's maker, which brings Vulkan and DX12",
		"darwin":  "Metal is part of macOS; a virtual machine needs a virtual GPU, and an old Mac macOS 10.15 or later",
		"linux": "install a Vulkan driver, or software Vulkan: on Debian and Ubuntu `apt-get install libvulkan1 " +
			"mesa-vulkan-drivers`",
		"js": "a page has WebGPU in Chrome and Edge 113, Safari 26 and Firefox 141 or later, over https or on " +
			"localhost; on Linux start Chrome with --enable-unsafe-webgpu --enable-features=Vulkan",
	}[goos], "install a Vulkan driver")
}

// Choose picks an adapter by the words of --device: auto (or ""), an index, vulkan | metal | dx12, cpu, PyTorch's cuda
// and mps, or a part of a name. Among several it prefers discrete, then integrated, then software ones, and of one
// card's two backends Vulkan: DX12's compiler takes seconds to a minute for a kernel and keeps nothing for the next
// start.
func Choose(list []AdapterInfo, device string) (AdapterInfo, error) {
	want := strings.ToLower(strings.TrimSpace(device))
	match := func(AdapterInfo) bool { return true }
	exact := false // whether want says which of a card's backends
	switch want {
	case "", "auto":
	case "vulkan", "metal", "dx12":
		match, exact = func(a AdapterInfo) bool { return a.Backend == want }, true
	case "cpu":
		match = AdapterInfo.Software
	case "cuda":
		match = func(a AdapterInfo) bool { return a.Vendor == vendorNVIDIA }
	case "mps":
		match = func(a AdapterInfo) bool { return a.Backend == "metal" }
	default:
		if i, err := strconv.Atoi(want); err == nil {
			match, exact = func(a AdapterInfo) bool { return a.Index == i }, true
		} else {
			match = func(a AdapterInfo) bool { return strings.Contains(strings.ToLower(a.Name), want) }
		}
	}
	best := -1
	for i, a := range list {
		if match(a) && (best < 0 || preference(a) < preference(list[best])) {
			best = i
		}
	}
	if best < 0 {
		var names []string
		for _, a := range list {
			names = append(names, fmt.Sprintf("%d: %v", a.Index, a))
		}
		return AdapterInfo{}, fmt.Errorf("--device %s: no such GPU here; hint: this machine offers %s", device,
			strings.Join(names, "; "))
	}
	if i := onVulkan(list, list[best]); i >= 0 && !exact {
		best = i
	}
	return list[best], nil
}

// Find returns the adapter of this machine that device names (see Choose).
func Find(device string) (AdapterInfo, error) {
	list, err := Adapters()
	if err != nil {
		return AdapterInfo{}, err
	}
	return Choose(list, device)
}

// onVulkan returns the index of the Vulkan adapter that drives the same card as a DX12 one, or -1. The two may call the
// card and its type differently.
func onVulkan(list []AdapterInfo, a AdapterInfo) int {
	if a.Backend != "dx12" {
		return -1
	}
	return slices.IndexFunc(list, func(b AdapterInfo) bool {
		sameIDs := a.Vendor != 0 && a.Vendor == b.Vendor && a.Device == b.Device
		return b.Backend == "vulkan" && a.Software() == b.Software() && (sameIDs || a.Name == b.Name)
	})
}

// preference orders adapters, the most welcome first.
func preference(a AdapterInfo) int {
	order := map[string]int{"discrete": 0, "integrated": 1, "other": 2, "cpu": 3}[a.Type] * 10
	return order + map[string]int{"vulkan": 0, "metal": 0, "dx12": 1}[a.Backend]
}

// ChooseLocal picks an adapter for the local-th of the processes that share this machine, from 0. A device that is
// named is the same for all; with auto (or "") they take the hardware GPUs in the order of Choose, and software ones
// only where there is no other; beyond their number it starts over.
func ChooseLocal(list []AdapterInfo, device string, local int) (AdapterInfo, error) {
	if want := strings.ToLower(strings.TrimSpace(device)); want != "" && want != "auto" || len(list) == 0 {
		return Choose(list, device)
	}
	order := slices.Clone(list)
	slices.SortStableFunc(order, func(a, b AdapterInfo) int { return preference(a) - preference(b) })
	order = slices.DeleteFunc(order, func(a AdapterInfo) bool { return onVulkan(list, a) >= 0 })
	best := order[0]
	order = slices.DeleteFunc(order, func(a AdapterInfo) bool { return a.Software() != best.Software() })
	return order[local%len(order)], nil
}
