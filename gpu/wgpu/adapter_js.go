package wgpu

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"syscall/js"
)

// Adapter is the processor that the browser shows.
type Adapter struct{ raw js.Value }

// Adapters returns the one processor that the browser chooses, none where it has no WebGPU.
func Adapters() []Adapter {
	gpu := js.Undefined()
	if navigator := js.Global().Get("navigator"); navigator.Truthy() {
		gpu = navigator.Get("gpu")
	}
	if !gpu.Truthy() {
		return nil
	}
	for _, wish := range []object{{"powerPreference": "high-performance"}, {"forceFallbackAdapter": true}} {
		promise, err := call(gpu, "requestAdapter", wish)
		if err != nil {
			continue
		}
		if raw, err := await(promise); err == nil && raw.Truthy() {
			return []Adapter{{raw}}
		}
	}
	return nil
}

// Release does nothing: an adapter is garbage as soon as nobody has it.
func (a Adapter) Release() {}

// vendors are the PCI ids of those that browsers name.
var vendors = map[string]uint32{"nvidia": 0x10de, "amd": 0x1002, "intel": 0x8086, "apple": 0x106b, "arm": 0x13b5,
	"qualcomm": 0x5143, "img-tec": 0x1010, "microsoft": 0x1414}

// software are parts of the names of adapters that compute on the CPU.
var software = []string{"llvmpipe", "lavapipe", "swiftshader", "basic render"}

// Info describes the adapter. Browsers give few names and no type.
func (a Adapter) Info() AdapterInfo {
	in := a.raw.Get("info")
	if !in.Truthy() {
		in = js.ValueOf(object{})
	}
	vendor, family := text(in, "vendor"), text(in, "architecture")
	info := AdapterInfo{Backend: "webgpu", Type: "other", Vendor: vendors[vendor], Features: []string{}}
	info.Driver = strings.TrimSpace(vendor + " " + family)
	info.Name = cmp.Or(text(in, "description"), text(in, "device"), info.Driver, "GPU without a name")
	named := func(s string) bool { return strings.Contains(strings.ToLower(info.Name+" "+family), s) }
	fallback := in.Get("isFallbackAdapter").Truthy() || a.raw.Get("isFallbackAdapter").Truthy()
	if fallback || slices.ContainsFunc(software, named) {
		info.Type = "cpu"
	}
	l, least := a.raw.Get("limits"), DefaultLimits()
	limit := func(name string, least uint64) uint64 {
		if v := l.Get(name); v.Type() == js.TypeNumber {
			return uint64(v.Float())
		}
		return least
	}
	threads := uint64(least.MaxInvocations)
	info.Limits = Limits{
		// as of the native half: windows beyond 4 GiB would overflow the shaders' byte arithmetic
		MaxBufferSize:   min(limit("maxBufferSize", least.MaxBufferSize), 1<<32-256),
		MaxBindingSize:  min(limit("maxStorageBufferBindingSize", least.MaxBindingSize), 1<<31-256) &^ 3,
		OffsetAlignment: least.OffsetAlignment,
		MaxGroups:       least.MaxGroups,
		MaxInvocations: uint32(min(limit("maxComputeInvocationsPerWorkgroup", threads),
			limit("maxComputeWorkgroupSizeX", threads))),
		MaxWorkgroupBytes: uint32(limit("maxComputeWorkgroupStorageSize", uint64(least.MaxWorkgroupBytes))),
		MaxStorageBuffers: uint32(min(limit("maxStorageBuffersPerShaderStage", uint64(least.MaxStorageBuffers)), 32)),
	}
	features := js.Global().Get("Array").Call("from", a.raw.Get("features"))
	for i := range features.Length() {
		info.Features = append(info.Features, features.Index(i).String())
	}
	return info
}

// Open opens the logical device with the limits of Info. Without them a browser gives WebGPU's default limits.
func (a Adapter) Open(_ string, limits Limits) (*Device, error) {
	promise, err := call(a.raw, "requestDevice", object{"label": "gpt2wgpu", "requiredLimits": object{
		"maxBufferSize":                     limits.MaxBufferSize,
		"maxStorageBufferBindingSize":       limits.MaxBindingSize,
		"maxComputeInvocationsPerWorkgroup": limits.MaxInvocations,
		"maxComputeWorkgroupSizeX":          limits.MaxInvocations,
		"maxComputeWorkgroupStorageSize":    limits.MaxWorkgroupBytes,
		"maxStorageBuffersPerShaderStage":   limits.MaxStorageBuffers,
	}})
	if err != nil {
		return nil, err
	}
	raw, err := await(promise)
	if err != nil {
		return nil, err
	}
	if !raw.Truthy() {
		return nil, errors.New("the browser gives no device; hint: reload the page")
	}
	return newDevice(raw)
}
