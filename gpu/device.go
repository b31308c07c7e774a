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
	"sync/atomic"
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

// Roles are all roles, in the order of reports.
var Roles = []Role{Parameters, Gradients, Moments, Activations, Scratch, Inputs}

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

	pulse   pulse
	cold    bool          // kernels run for the first time
	pending float64       // cost units submitted since the last wait
	slowest time.Duration // wait so far

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
	return d.waiting(d.dev.Wait)
}

// waiting lets f wait for the device.
func (d *Device) waiting(f func(limit time.Duration) error) error {
	limit := d.patience()
	leave := d.pulse.enter(limit)
	start := time.Now()
	err := f(limit)
	d.slowest, d.pending = max(d.slowest, time.Since(start)), 0
	leave()
	if errors.Is(err, wgpu.ErrTimeout) || errors.Is(err, wgpu.ErrLost) {
		err = fmt.Errorf("%v: %w; hint: resume from the last checkpoint", d.Info, err)
	}
	return deviceError(err)
}

// patience is how long the device may take for what was submitted: twenty times what its speed so far promises for
// that, or its slowest so far, and some minutes at least. The first use of kernels includes their compilation.
func (d *Device) patience() time.Duration {
	if p, ok := askedPatience(); ok {
		return p
	}
	least := leastPatience
	switch software := d.Info.Software(); { // slow devices that share their cores
	case software && d.cold:
		least = time.Hour
	case software:
		least = 10 * time.Minute
	}
	expected := d.slowest
	if d.rate > 0 {
		expected = max(expected, time.Duration(d.pending/d.rate*float64(time.Second)))
	}
	return max(least, min(20*expected, 24*time.Hour))
}

// leastPatience is how long a GPU may take for anything.
const leastPatience = 2 * time.Minute

// Patience returns how long the process that opens a device may take to show a sign of life.
func Patience() time.Duration {
	if p, ok := askedPatience(); ok {
		return p
	}
	return leastPatience
}

// askedPatience is for GPUs that are emulated (.ci/dx12), and for tests of ones that hang.
func askedPatience() (time.Duration, bool) {
	p, err := time.ParseDuration(os.Getenv("GPT2WGPU_PATIENCE"))
	return p, err == nil
}

// DeviceError is an error of the device itself: it was lost, or does not answer. Another process may be able to use it.
type DeviceError struct{ Err error }

func (e *DeviceError) Error() string { return e.Err.Error() }
func (e *DeviceError) Unwrap() error { return e.Err }

func deviceError(err error) error {
	if err == nil {
		return nil
	}
	return &DeviceError{err}
}

// Pulse is whether a device goes on with its work.
type Pulse struct {
	Busy  bool          // a call to the driver, or a wait for the device, has not ended
	Count int64         // how many have
	Bound time.Duration // how long the newest may take
}

// Pulse returns the device's at this moment. Any goroutine may call it.
func (d *Device) Pulse() Pulse {
	p := &d.pulse
	return Pulse{p.calls.Load() > 0, p.count.Load(), time.Duration(p.bound.Load())}
}

type pulse struct {
	calls        atomic.Int32
	count, bound atomic.Int64
}

// enter begins a call that may take as long as bound; leave ends it.
func (p *pulse) enter(bound time.Duration) (leave func()) {
	p.bound.Store(int64(bound))
	p.calls.Add(1)
	return func() {
		p.count.Add(1)
		p.calls.Add(-1)
	}
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
	defer d.pulse.enter(d.patience())()
	return deviceError(d.dev.Submit(enc))
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
