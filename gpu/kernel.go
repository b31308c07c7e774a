package gpu

import (
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/cogentcore/webgpu/wgpu"
)

// Source is a kernel's text. The label names its pipeline, dispatches, profile rows and errors.
type Source struct {
	Label string
	WGSL  string
}

// binding is one `@group(0) @binding(i) var<…> name: type` of a kernel.
type binding struct {
	index   uint32
	name    string
	access  string // uniform | read | read_write
	storage string // the scalar in memory: f32 | u32 | bf16; Params for the numbers
}

// isParams says whether the binding takes a dispatch's Params, not a tensor.
func (b binding) isParams() bool { return b.access == "uniform" && b.storage == "Params" }

// kernel is a compiled source: what its text declares, and the pipeline once compile has run.
type kernel struct {
	src      Source
	bindings []binding
	params   []string // field names of struct Params, in order

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

var (
	bindingDecl = regexp.MustCompile(`@group\(0\)\s*@binding\((\d+)\)\s*var<(uniform|storage,\s*read_write|storage,\s*read|storage)>\s*(\w+)\s*:\s*([^;]+);`)
	paramsDecl  = regexp.MustCompile(`(?s)struct Params\s*\{(.*?)\}`)
	fieldDecl   = regexp.MustCompile(`(\w+)\s*:\s*(\w+)`)
	scalarType  = regexp.MustCompile(`\b(Quad|f32|u32|i32)\b`)
	lineComment = regexp.MustCompile(`(?m)//.*$`)
)

// parse reads a kernel's interface from its text, so that Go names tensors and never numbers bindings.
func parse(src Source) (*kernel, error) {
	k := &kernel{src: src}
	code := lineComment.ReplaceAllString(src.WGSL, "")
	for _, m := range bindingDecl.FindAllStringSubmatch(code, -1) {
		i, _ := strconv.ParseUint(m[1], 10, 32)
		access := strings.TrimSpace(strings.TrimPrefix(strings.ReplaceAll(m[2], " ", ""), "storage,"))
		if access == "storage" {
			access = "read"
		}
		elem := strings.TrimSpace(m[4])
		if m := scalarType.FindString(elem); m != "" {
			elem = m
		}
		if elem == "Quad" { // lib/store_*.wgsl: the only type that depends on the storage
			elem = map[bool]string{true: "f32", false: "bf16"}[strings.Contains(code, "alias Quad = vec4<f32>")]
		}
		k.bindings = append(k.bindings, binding{uint32(i), m[3], access, elem})
	}
	sort.Slice(k.bindings, func(i, j int) bool { return k.bindings[i].index < k.bindings[j].index })
	for i, b := range k.bindings {
		if i > 0 && b.index == k.bindings[i-1].index {
			return nil, fmt.Errorf("%s: %s and %s are both @binding(%d)", src.Label, k.bindings[i-1].name, b.name, b.index)
		}
	}
	if m := paramsDecl.FindStringSubmatch(code); m != nil {
		for _, f := range fieldDecl.FindAllStringSubmatch(m[1], -1) {
			k.params = append(k.params, f[1])
		}
	}
	return k, nil
}

// kernel returns the parsed kernel of src, from the cache if its text is known.
func (d *Device) kernel(src Source) (*kernel, error) {
	if k, ok := d.kernels[src.WGSL]; ok {
		return k, nil
	}
	k, err := parse(src)
	if err != nil {
		return nil, err
	}
	storage := 0
	for _, b := range k.bindings {
		if b.access != "uniform" {
			storage++
		}
	}
	if storage > int(d.Limits.MaxStorageBuffers) {
		return nil, fmt.Errorf("%s: %d storage buffers, the device allows %d", src.Label, storage, d.Limits.MaxStorageBuffers)
	}
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
	entries := make([]wgpu.BindGroupLayoutEntry, len(k.bindings))
	for i, b := range k.bindings {
		kind := wgpu.BufferBindingTypeStorage
		switch b.access {
		case "uniform":
			kind = wgpu.BufferBindingTypeUniform
		case "read":
			kind = wgpu.BufferBindingTypeReadOnlyStorage
		}
		entries[i] = wgpu.BindGroupLayoutEntry{Binding: b.index, Visibility: wgpu.ShaderStageCompute, Buffer: wgpu.BufferBindingLayout{Type: kind}}
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
