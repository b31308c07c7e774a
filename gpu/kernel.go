package gpu

import (
	"fmt"
	"time"

	"github.com/cogentcore/webgpu/wgpu"
)

// Source is a kernel's text and what it declares. The label names its pipeline, dispatches, profile rows and errors.
type Source struct {
	Label    string
	WGSL     string
	Bindings []Binding
	Params   []Param // the fields of its struct Params, in order
	Threads  int     // of a workgroup
}

// Binding is one binding of a kernel, in group 0.
type Binding struct {
	Index   uint32
	Name    string
	Access  string // uniform | read | read_write
	Storage string // a Storage's name; Params for the numbers
}

// Param is a field of a kernel's struct Params.
type Param struct {
	Name string
	Type string // u32 | f32
}

func (p Param) String() string { return p.Name + ": " + p.Type }

// isParams says whether the binding takes a dispatch's Params, not a tensor.
func (b Binding) isParams() bool { return b.Access == "uniform" && b.Storage == "Params" }

// kernel is a source and, once compile has run, its pipeline.
type kernel struct {
	src Source

	layout         *wgpu.BindGroupLayout
	pipelineLayout *wgpu.PipelineLayout
	pipeline       *wgpu.ComputePipeline

	made time.Duration // what making the pipeline took
	used bool          // RecordFirstUses has told it
	ran  bool          // a submission with it has ended
}

// Compilation is a kernel that is being compiled. Some drivers compile when the pipeline is made, others at its first use.
type Compilation struct {
	Kernel    string
	Done, All int  // kernels that this has been done for, and those that the device's programs have so far
	FirstUse  bool // its first use, not its pipeline
}

// OnCompile makes the device call f before it compiles a kernel, and with an empty name once it has.
func (d *Device) OnCompile(f func(Compilation)) { d.onCompile = f }

func (d *Device) compiling(c Compilation) {
	if d.onCompile != nil {
		c.All = len(d.kernels)
		d.onCompile(c)
	}
}

// kernel returns the kernel of src, from the cache if its text is known.
func (d *Device) kernel(src Source) (*kernel, error) {
	if k, ok := d.kernels[src.WGSL]; ok {
		return k, nil
	}
	storage := 0
	for _, b := range src.Bindings {
		if b.Access != "uniform" {
			storage++
		}
	}
	if storage > int(d.Limits.MaxStorageBuffers) {
		return nil, fmt.Errorf("%s: %d storage buffers, the device allows %d", src.Label, storage, d.Limits.MaxStorageBuffers)
	}
	if src.Threads > int(d.Limits.MaxInvocations) {
		return nil, fmt.Errorf("%s: %d threads a workgroup, the device allows %d", src.Label, src.Threads, d.Limits.MaxInvocations)
	}
	k := &kernel{src: src}
	d.kernels[src.WGSL] = k
	return k, nil
}

// compile makes the pipeline. The layout is explicit, so an unused binding stays; the module is labelled, which DX12 needs.
func (d *Device) compile(k *kernel) (err error) {
	if k.pipeline != nil || d.Planned() {
		return nil
	}
	d.compiling(Compilation{Kernel: k.src.Label, Done: d.made})
	defer d.compiling(Compilation{})
	start := time.Now()
	module, err := d.dev.CreateShaderModule(&wgpu.ShaderModuleDescriptor{
		Label: k.src.Label, WGSLDescriptor: &wgpu.ShaderModuleWGSLDescriptor{Code: k.src.WGSL},
	})
	if err != nil {
		return fmt.Errorf("%s: the shader does not compile: %w%s", k.src.Label, err, pipelineHint(d.Info.Backend))
	}
	defer module.Release()
	entries := make([]wgpu.BindGroupLayoutEntry, len(k.src.Bindings))
	for i, b := range k.src.Bindings {
		kind := wgpu.BufferBindingTypeStorage
		switch b.Access {
		case "uniform":
			kind = wgpu.BufferBindingTypeUniform
		case "read":
			kind = wgpu.BufferBindingTypeReadOnlyStorage
		}
		entries[i] = wgpu.BindGroupLayoutEntry{Binding: b.Index, Visibility: wgpu.ShaderStageCompute, Buffer: wgpu.BufferBindingLayout{Type: kind}}
	}
	if k.layout, err = d.dev.CreateBindGroupLayout(&wgpu.BindGroupLayoutDescriptor{Label: k.src.Label, Entries: entries}); err != nil {
		return fmt.Errorf("%s: bind group layout: %w", k.src.Label, err)
	}
	if k.pipelineLayout, err = d.dev.CreatePipelineLayout(&wgpu.PipelineLayoutDescriptor{Label: k.src.Label, BindGroupLayouts: []*wgpu.BindGroupLayout{k.layout}}); err != nil {
		return fmt.Errorf("%s: pipeline layout: %w", k.src.Label, err)
	}
	if k.pipeline, err = d.dev.CreateComputePipeline(&wgpu.ComputePipelineDescriptor{
		Label: k.src.Label, Layout: k.pipelineLayout, Compute: wgpu.ProgrammableStageDescriptor{Module: module, EntryPoint: "main"},
	}); err != nil {
		return fmt.Errorf("%s: pipeline: %w%s", k.src.Label, err, pipelineHint(d.Info.Backend))
	}
	k.made = time.Since(start)
	d.made++
	return nil
}

// pipelineHint is the hint about a kernel that a backend's compiler refuses. Vulkan takes the same kernels another way.
func pipelineHint(backend string) string {
	if backend == "dx12" {
		return "; hint: --device vulkan"
	}
	return ""
}

func (k *kernel) release() {
	if k.pipeline != nil {
		k.pipeline.Release()
	}
	if k.pipelineLayout != nil {
		k.pipelineLayout.Release()
	}
	if k.layout != nil {
		k.layout.Release()
	}
	k.pipeline, k.pipelineLayout, k.layout = nil, nil, nil
}
