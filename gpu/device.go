package gpu

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/wgpu"
)

// Role says what a tensor's memory is for; the memory plan is reported by role.
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

	dev     *wgpu.Device       // nil: a plan
	kernels map[string]*kernel // by WGSL text
	spare   []*wgpu.Buffer     // for reads
	buffers map[*buffer]bool   // that are allocated
	bytes   map[Role]uint64

	submitted  int      // command buffers so far
	host       HostTime // of submissions so far
	idle, busy int      // see Waits

	onCompile func(Compilation) // nil: nobody looks
	compilers int               // pipelines that are made at once
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
	d := Plan(info)
	if d.dev, err = refs[info.Index].Open(info.Backend, info.Limits); err != nil {
		refs[info.Index].Release()
		return nil, fmt.Errorf("%v: cannot open the device: %w; hint: another --device, see `gpt2wgpu devices`", info,
			err)
	}
	d.timestamps = d.dev.Timestamps
	if !info.Software() { // which compiles at the first dispatch
		d.compilers = runtime.NumCPU()
	}
	return d, nil
}

// Plan returns a device that accounts and checks within limits but allocates and runs nothing.
func Plan(info AdapterInfo) *Device {
	return &Device{Info: info, Limits: info.Limits, kernels: map[string]*kernel{}, buffers: map[*buffer]bool{},
		bytes: map[Role]uint64{}}
}

// Planned says whether the device is a plan.
func (d *Device) Planned() bool { return d.dev == nil }

// wait returns when everything submitted has ended.
func (d *Device) wait() error {
	d.idle++
	return d.waited(d.dev.Wait(d.patience()))
}

// patience is how long the device may take for what was submitted.
func (d *Device) patience() time.Duration {
	if p, err := time.ParseDuration(os.Getenv("GPT2WGPU_PATIENCE")); err == nil {
		return p // .ci/dx12: a GPU that is emulated
	}
	if d.Info.Software() {
		return time.Hour // software devices are slow and share their cores
	}
	return 2 * time.Minute
}

// waited adds to an error of waiting what helps.
func (d *Device) waited(err error) error {
	if errors.Is(err, wgpu.ErrTimeout) {
		return fmt.Errorf("%v: %w; hint: resume from the last checkpoint", d.Info, err)
	}
	return err
}

// submit hands over what encode encodes, and uploads; nil: only uploads.
func (d *Device) submit(encode func(enc *wgpu.Encoder) error) error {
	var enc *wgpu.Encoder
	if encode != nil {
		var err error
		if enc, err = d.dev.NewEncoder(); err != nil {
			return err
		}
		defer enc.Release()
		if err := encode(enc); err != nil {
			return err
		}
	}
	d.submitted++
	return d.dev.Submit(enc)
}

// HostTime is what the host takes for a program's work on the device.
type HostTime struct {
	Encoding   time.Duration // commands
	Submitting time.Duration // them; some software devices compute meanwhile
}

// HostTime returns what the host has taken for all programs so far, and the number of all submissions.
func (d *Device) HostTime() (HostTime, int) { return d.host, d.submitted }

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
		if k.pipeline != nil {
			k.pipeline.Release()
			k.pipeline = nil
		}
	}
	for _, b := range d.spare {
		b.Release()
	}
	for b := range d.buffers {
		b.raw.Release()
	}
	d.dev.Release()
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

// MemoryReport lists the bytes by role, largest first, in one line.
func (d *Device) MemoryReport() string {
	roles := slices.SortedFunc(maps.Keys(d.bytes), func(a, b Role) int {
		return cmp.Or(cmp.Compare(d.bytes[b], d.bytes[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, r := range roles {
		parts = append(parts, fmt.Sprintf("%s %s", r, HumanBytes(d.bytes[r])))
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
