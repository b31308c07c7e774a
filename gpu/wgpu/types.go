package wgpu

import (
	"errors"
	"fmt"
	"strings"
)

// Limits are the numbers that programs and memory plans respect.
type Limits struct {
	MaxBufferSize     uint64 `json:"max_buffer_size"`      // bytes of one buffer
	MaxBindingSize    uint64 `json:"max_binding_size"`     // bytes of one bound window
	OffsetAlignment   uint64 `json:"offset_alignment"`     // bytes; windows start at multiples
	MaxGroups         uint32 `json:"max_groups"`           // workgroups in one dimension of a dispatch
	MaxInvocations    uint32 `json:"max_invocations"`      // threads of a workgroup
	MaxWorkgroupBytes uint32 `json:"max_workgroup_bytes"`  // workgroup memory
	MaxStorageBuffers uint32 `json:"max_storage_bindings"` // storage buffers of a kernel
}

// DefaultLimits are those that WebGPU promises on every device.
func DefaultLimits() Limits {
	return Limits{
		MaxBufferSize: 256 << 20, MaxBindingSize: 128 << 20, OffsetAlignment: 256, MaxGroups: 65535,
		MaxInvocations: 256, MaxWorkgroupBytes: 16 << 10, MaxStorageBuffers: 8,
	}
}

// AdapterInfo describes one processor that can run programs.
type AdapterInfo struct {
	Index    int      `json:"index"` // in the driver's order
	Name     string   `json:"name"`
	Backend  string   `json:"backend"` // vulkan | metal | dx12 | webgpu (a browser)
	Type     string   `json:"type"`    // discrete | integrated | cpu | other
	Driver   string   `json:"driver"`
	Limits   Limits   `json:"limits"`
	Features []string `json:"features"`

	Vendor, Device uint32 `json:"-"` // PCI ids
}

// Software says whether the adapter computes on the CPU (lavapipe, SwiftShader, WARP).
func (a AdapterInfo) Software() bool { return a.Type == "cpu" }

// DriverKnown says whether Driver has what identifies the driver. wgpu 0.19 gives no more than the device's ids.
func (a AdapterInfo) DriverKnown() bool { return !strings.HasPrefix(a.Driver, "vendor 0x") }

func (a AdapterInfo) String() string { return fmt.Sprintf("%s (%s, %s)", a.Name, a.Backend, a.Type) }

// Window is the part of a buffer that a pipeline's binding gets.
type Window struct {
	Index        uint32
	Buffer       *Buffer
	Offset, Size uint64 // bytes
}

// Dispatch is one line of a pass.
type Dispatch struct {
	Pipeline *Pipeline
	Group    *BindGroup
	Groups   [3]uint32 // workgroups
}

// The errors of waits that say nothing against what was submitted.
var (
	ErrTimeout = errors.New("the GPU did not finish in time")
	ErrLost    = errors.New("the device was lost") // only in a browser: elsewhere that aborts the process
)
