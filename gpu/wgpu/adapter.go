//go:build !js

package wgpu

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"sync"

	binding "github.com/cogentcore/webgpu/wgpu"
)

// Adapter is one processor that the driver offers.
type Adapter struct{ raw *binding.Adapter }

var instance = sync.OnceValue(func() *binding.Instance {
	// Mesa complains on stderr when this is unset.
	if os.Getenv("XDG_RUNTIME_DIR") == "" {
		os.Setenv("XDG_RUNTIME_DIR", os.TempDir())
	}
	binding.SetLogLevel(binding.LogLevelOff) // errors come back as values
	return binding.CreateInstance(nil)       // a descriptor, which could ask for DXC on DX12, has uninitialised fields
})

// Adapters returns the processors of this machine in the driver's order.
func Adapters() []Adapter {
	var list []Adapter
	primary := &binding.InstanceEnumerateAdapterOptons{Backends: binding.InstanceBackendPrimary}
	for _, raw := range instance().EnumerateAdapters(primary) {
		list = append(list, Adapter{raw})
	}
	return list
}

// Release gives the adapter back, unless Open has taken it.
func (a Adapter) Release() { a.raw.Release() }

var hexID = regexp.MustCompile(`^(0x)?[0-9a-fA-F]+$`)

var (
	kinds = map[binding.AdapterType]string{binding.AdapterTypeDiscreteGPU: "discrete",
		binding.AdapterTypeIntegratedGPU: "integrated", binding.AdapterTypeCPU: "cpu"}
	backends = map[binding.BackendType]string{binding.BackendTypeVulkan: "vulkan", binding.BackendTypeMetal: "metal",
		binding.BackendTypeD3D12: "dx12"}
)

// Info describes the adapter, but for its index.
func (a Adapter) Info() AdapterInfo {
	in := a.raw.GetInfo()
	info := AdapterInfo{Vendor: in.VendorId, Device: in.DeviceId, Features: []string{}}
	// wgpu 0.19 puts the name into the driver's field and hexadecimal ids into the others; 22 uses them as named.
	info.Name, info.Driver = in.Name, in.DriverDescription
	if hexID.MatchString(in.Name) || in.Name == "" {
		info.Name, info.Driver = in.DriverDescription, fmt.Sprintf("vendor %#x device %#x", in.VendorId, in.DeviceId)
	}
	info.Type = cmp.Or(kinds[in.AdapterType], "other")
	info.Backend = cmp.Or(backends[in.BackendType], in.BackendType.String())
	if info.Backend == "dx12" {
		info.Limits = DefaultLimits() // see Open
	} else {
		l := a.raw.GetLimits().Limits
		info.Limits = Limits{
			// Windows beyond 4 GiB would overflow the shaders' byte arithmetic; 2 GiB is enough for any tensor here.
			MaxBufferSize:     min(l.MaxBufferSize, 1<<32-256),
			MaxBindingSize:    min(l.MaxStorageBufferBindingSize, 1<<31-256),
			OffsetAlignment:   256,
			MaxGroups:         l.MaxComputeWorkgroupsPerDimension,
			MaxInvocations:    l.MaxComputeInvocationsPerWorkgroup,
			MaxWorkgroupBytes: l.MaxComputeWorkgroupStorageSize,
			MaxStorageBuffers: min(l.MaxStorageBuffersPerShaderStage, 32),
		}
	}
	for _, f := range a.raw.EnumerateFeatures() {
		if s := f.String(); s != "" {
			info.Features = append(info.Features, s)
		}
	}
	return info
}

// encoderTimestamps: wgpu 0.19 writes timestamps between passes wherever TimestampQuery is offered. The linux and
// windows arm64 libraries are wgpu 22, which needs a feature that the binding can't name.
const encoderTimestamps = runtime.GOARCH != "arm64" || runtime.GOOS == "darwin"

// Open opens the logical device with the limits of Info: the defaults stop at 128 MiB a binding. The device takes the
// adapter.
func (a Adapter) Open(backend string, limits Limits) (*Device, error) {
	desc := &binding.DeviceDescriptor{Label: "gpt2wgpu"}
	// On DX12 a limits request would size a descriptor heap from a field that the binding leaves uninitialised.
	if backend != "dx12" {
		l := binding.DefaultLimits() // GetLimits' MaxPushConstantSize is garbage, so nothing is copied whole
		l.MaxStorageBufferBindingSize = limits.MaxBindingSize
		l.MaxBufferSize = limits.MaxBufferSize
		l.MaxComputeWorkgroupStorageSize = limits.MaxWorkgroupBytes
		l.MaxComputeInvocationsPerWorkgroup = limits.MaxInvocations
		l.MaxComputeWorkgroupSizeX = limits.MaxInvocations
		l.MaxStorageBuffersPerShaderStage = limits.MaxStorageBuffers
		desc.RequiredLimits = &binding.RequiredLimits{Limits: l}
	}
	timestamps := encoderTimestamps && a.raw.HasFeature(binding.FeatureNameTimestampQuery)
	if timestamps {
		desc.RequiredFeatures = []binding.FeatureName{binding.FeatureNameTimestampQuery}
	}
	raw, err := a.raw.RequestDevice(desc)
	if err != nil {
		return nil, err
	}
	return &Device{Timestamps: timestamps, adapter: a, raw: raw, queue: raw.GetQueue()}, nil
}
