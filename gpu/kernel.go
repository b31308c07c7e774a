package gpu

import (
	"fmt"
	"slices"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/wgpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

// kernel is a text and its pipeline.
type kernel struct {
	src      wgsl.Text
	pipeline *wgpu.Pipeline // nil until compile

	made time.Duration // what making the pipeline took
	used bool          // RecordFirstUses has recorded it
	ran  bool          // a submission with it has ended
}

// Compilation is a kernel that is being compiled. Some drivers compile when the pipeline is made, others at its first
// use.
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
func (d *Device) kernel(src wgsl.Text) (*kernel, error) {
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
		return nil, fmt.Errorf("%s: %d storage buffers, the device allows %d", src.Label, storage,
			d.Limits.MaxStorageBuffers)
	}
	if src.Bytes > int(d.Limits.MaxWorkgroupBytes) { // the driver does not check it
		return nil, fmt.Errorf("%s: %d bytes of workgroup memory, the device allows %d", src.Label, src.Bytes,
			d.Limits.MaxWorkgroupBytes)
	}
	if src.Threads > int(d.Limits.MaxInvocations) {
		return nil, fmt.Errorf("%s: %d threads per workgroup, the device allows %d", src.Label, src.Threads,
			d.Limits.MaxInvocations)
	}
	k := &kernel{src: src}
	d.kernels[src.WGSL] = k
	return k, nil
}

// compile makes the pipelines of the kernels that have none, several at once where the device's compiler runs then.
func (d *Device) compile(kernels []*kernel) error {
	var todo []*kernel
	for _, k := range kernels {
		if k.pipeline == nil && !slices.Contains(todo, k) {
			todo = append(todo, k)
		}
	}
	defer d.compiling(Compilation{})
	if d.compilers > 1 && len(todo) > 1 && d.compileAtOnce(todo) {
		return nil
	}
	for _, k := range todo {
		d.compiling(Compilation{Kernel: k.src.Label, Done: d.made})
		if err := k.compile(d.dev); err != nil {
			return fmt.Errorf("%s: %w%s", k.src.Label, err, pipelineHint(d.Info.Backend))
		}
		d.made++
	}
	return nil
}

// compileAtOnce makes the pipelines of todo in d.compilers goroutines. It returns false, and makes none, if there was
// an error: the binding may report it to another call than the one at fault.
func (d *Device) compileAtOnce(todo []*kernel) bool {
	type result struct {
		k   *kernel
		err error
	}
	work, results := make(chan *kernel, len(todo)), make(chan result)
	for _, k := range todo {
		work <- k
	}
	close(work)
	for range min(d.compilers, len(todo)) {
		go func() {
			for k := range work {
				results <- result{k, k.compile(d.dev)}
			}
		}()
	}
	ok := true
	for left := slices.Clone(todo); len(left) > 0; {
		d.compiling(Compilation{Kernel: left[0].src.Label, Done: d.made + len(todo) - len(left)})
		r := <-results
		ok = ok && r.err == nil
		left = slices.DeleteFunc(left, func(k *kernel) bool { return k == r.k })
	}
	if ok {
		d.made += len(todo)
		return true
	}
	for _, k := range todo {
		if k.pipeline != nil {
			k.pipeline.Release()
			k.pipeline = nil
		}
	}
	return false
}

// compile makes the kernel's pipeline.
func (k *kernel) compile(dev *wgpu.Device) (err error) {
	start := time.Now()
	k.pipeline, err = dev.NewPipeline(k.src)
	k.made = time.Since(start)
	return err
}

// pipelineHint is the hint about a kernel that a backend's compiler refuses. Vulkan takes the same kernels another way.
func pipelineHint(backend string) string {
	if backend == "dx12" {
		return "; hint: --device vulkan"
	}
	return ""
}
