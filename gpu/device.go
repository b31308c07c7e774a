package gpu

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/cogentcore/webgpu/wgpu"
)

// Role says what a tensor's memory is for; the memory plan is told by role.
type Role string

// The roles of device memory.
const (
	Parameters  Role = "parameters"
	Gradients   Role = "gradients"
	Moments     Role = "moments"
	Activations Role = "activations"
	Scratch     Role = "scratch"
	Inputs      Role = "inputs"
)

// Device is one processor in use, or the plan of one (see Plan).
type Device struct {
	Info   AdapterInfo
	Limits Limits

	adapter *wgpu.Adapter
	dev     *wgpu.Device // nil: a plan
	queue   *wgpu.Queue
	kernels map[string]*kernel // by WGSL text
	staging *wgpu.Buffer       // for Read
	spare   []*wgpu.Buffer     // for StartRead
	buffers []*wgpu.Buffer
	bytes   map[Role]uint64

	submitted  int // command buffers so far
	idle, busy int // see Waits

	onCompile func(Compilation) // nil: nobody looks
	made      int               // pipelines
	used      int               // kernels that have run

	timestamps bool
	rate       float64 // cost units per second that submissions have shown, see Program.Run
}

// Open opens the adapter that device names (see Choose).
func Open(device string) (*Device, error) { return OpenLocal(device, 0) }

// OpenLocal opens the adapter for the local-th process of this machine (see ChooseLocal).
func OpenLocal(device string, local int) (*Device, error) {
	list, refs, err := adapters()
	if err != nil {
		return nil, err
	}
	info, err := ChooseLocal(list, device, local)
	for i, r := range refs {
		if err != nil || i != info.Index {
			r.Release()
		}
	}
	if err != nil {
		return nil, err
	}
	d := &Device{Info: info, Limits: info.Limits, adapter: refs[info.Index], kernels: map[string]*kernel{}, bytes: map[Role]uint64{}}
	if err := d.request(); err != nil {
		d.adapter.Release()
		return nil, err
	}
	return d, nil
}

// Plan returns a device that accounts and checks within limits but allocates and runs nothing.
func Plan(info AdapterInfo) *Device {
	return &Device{Info: info, Limits: info.Limits, kernels: map[string]*kernel{}, bytes: map[Role]uint64{}}
}

// Planned says whether the device is a plan.
func (d *Device) Planned() bool { return d.dev == nil }

// request opens the logical device with the adapter's own limits: the defaults stop at 128 MiB a binding.
func (d *Device) request() error {
	desc := &wgpu.DeviceDescriptor{Label: "gpt2wgpu"}
	// On DX12 a limits request would size a descriptor heap from a field that the binding leaves uninitialised.
	if d.Info.Backend != "dx12" {
		l := wgpu.DefaultLimits() // GetLimits' MaxPushConstantSize is garbage, so nothing is copied whole
		l.MaxStorageBufferBindingSize = d.Limits.MaxBindingSize
		l.MaxBufferSize = d.Limits.MaxBufferSize
		l.MaxComputeWorkgroupStorageSize = d.Limits.MaxWorkgroupBytes
		l.MaxComputeInvocationsPerWorkgroup = d.Limits.MaxInvocations
		l.MaxComputeWorkgroupSizeX = d.Limits.MaxInvocations
		l.MaxStorageBuffersPerShaderStage = d.Limits.MaxStorageBuffers
		desc.RequiredLimits = &wgpu.RequiredLimits{Limits: l}
	}
	// Encoder timestamps fail in the arm64 libraries (wgpu 22): Profile falls back to the wall clock there.
	if d.adapter.HasFeature(wgpu.FeatureNameTimestampQuery) && encoderTimestamps {
		desc.RequiredFeatures = []wgpu.FeatureName{wgpu.FeatureNameTimestampQuery}
		d.timestamps = true
	}
	dev, err := d.adapter.RequestDevice(desc)
	if err != nil {
		return fmt.Errorf("%v: cannot open the device: %w; hint: another --device, see `gpt2wgpu devices`", d.Info, err)
	}
	d.dev, d.queue = dev, dev.GetQueue()
	return nil
}

var errStuck = errors.New("the GPU did not finish in time")

// wait polls until the queue is empty. Poll(true) is never used: it reports success after 5 s of unfinished work.
func (d *Device) wait() error {
	d.idle++
	return d.pollUntil(nil)
}

// pollUntil polls until done says so; nil: until the queue is empty.
func (d *Device) pollUntil(done func() bool) error {
	limit := 2 * time.Minute
	if d.Info.Software() {
		limit = time.Hour // software devices are slow and share their cores
	}
	start := time.Now()
	for n := 0; ; n++ {
		if empty := d.dev.Poll(false, nil); done == nil && empty || done != nil && done() {
			return nil
		}
		if time.Since(start) > limit {
			return fmt.Errorf("%v: %w (%v); hint: resume from the last checkpoint", d.Info, errStuck, limit)
		}
		if n > 50 {
			time.Sleep(50 * time.Microsecond)
		}
	}
}

// submit hands over a command buffer, or uploads alone.
func (d *Device) submit(commands ...*wgpu.CommandBuffer) {
	d.queue.Submit(commands...)
	d.submitted++
}

// Waits returns how often the program has waited for the device: with nothing more for it to do, so that it stood idle
// until the next submission, and for a read behind which it had work.
func (d *Device) Waits() (idle, busy int) { return d.idle, d.busy }

// Wait returns when everything submitted so far has ended.
func (d *Device) Wait() error {
	if d.Planned() {
		return nil
	}
	return d.wait()
}

// Close waits for the device and releases it and everything made from it.
func (d *Device) Close() error {
	if d.Planned() {
		return nil
	}
	err := d.wait()
	for _, k := range d.kernels {
		k.release()
	}
	if d.staging != nil {
		d.staging.Release()
	}
	for _, b := range d.spare {
		b.Release()
	}
	for _, b := range d.buffers {
		if b != nil {
			b.Release()
		}
	}
	d.queue.Release()
	d.dev.Release()
	d.adapter.Release()
	d.dev = nil
	return err
}

// Bytes returns the bytes allocated (or planned) for role.
func (d *Device) Bytes(role Role) uint64 { return d.bytes[role] }

// TotalBytes returns the bytes allocated (or planned) in all.
func (d *Device) TotalBytes() (n uint64) {
	for _, b := range d.bytes {
		n += b
	}
	return n
}

// MemoryReport tells the bytes by role, largest first, in one line.
func (d *Device) MemoryReport() string {
	type row struct {
		role  Role
		bytes uint64
	}
	var rows []row
	for r, b := range d.bytes {
		rows = append(rows, row{r, b})
	}
	sort.Slice(rows, func(i, j int) bool {
		return rows[i].bytes > rows[j].bytes || rows[i].bytes == rows[j].bytes && rows[i].role < rows[j].role
	})
	var parts []string
	for _, r := range rows {
		parts = append(parts, fmt.Sprintf("%s %s", r.role, HumanBytes(r.bytes)))
	}
	return fmt.Sprintf("%s (%s)", HumanBytes(d.TotalBytes()), strings.Join(parts, ", "))
}

// HumanBytes writes n in MiB or the unit that suits it.
func HumanBytes(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
}
