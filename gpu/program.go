package gpu

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/wgpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

// Dispatch is one kernel with its tensors and numbers.
type Dispatch struct {
	Source wgsl.Text
	Bind   map[string]Tensor // by the names of the kernel's bindings
	Params any               // a struct whose fields are the kernel's struct Params in order (uint32, float32), or nil
	Groups [3]uint32         // workgroups, see Groups1D
	FLOPs  float64           // floating point operations, for splitting and profiles
	Bytes  float64           // bytes read and written at least
}

// entry is a checked dispatch, or a clear, or a copy.
type entry struct {
	label    string
	kernel   *kernel
	dispatch Dispatch
	binds    []wgpu.Window
	slot     int // in the parameter buffer

	copyFrom Tensor // a copy if set, else a clear if kernel is nil
	copyTo   Tensor
}

func (s *entry) cost() float64 { return s.dispatch.FLOPs + 5*s.dispatch.Bytes + 1e5 }

// Program is a list of dispatches, built once and replayed.
type Program struct {
	Name string

	dev     *Device
	entries []*entry
	err     error
	params  *wgpu.Buffer
	slots   []byte
	passes  []wgpu.Dispatch // what Build made of the entries; zero for a clear or a copy
	built   bool
	warm    bool // has run once, with its submissions timed

	timings *[]Timing                // see Record and RecordFirstUses; nil: none are taken
	observe func() ([]Timing, error) // a run that returns them
}

// NewProgram returns an empty program.
func (d *Device) NewProgram(name string) *Program { return &Program{Name: name, dev: d} }

// Device returns the device that the program runs on.
func (p *Program) Device() *Device { return p.dev }

// Err returns the first error of building.
func (p *Program) Err() error { return p.err }

// Fail records an error unless there is one already.
func (p *Program) Fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%s: %w", p.Name, fmt.Errorf(format, args...))
	}
}

// Want checks a tensor's shape and records an error naming op and tensor.
func (p *Program) Want(op, name string, t Tensor, shape ...int) {
	if t.None() {
		p.Fail("%s: %s is missing, want shape %v", op, name, shape)
	} else if !slices.Equal(t.shape, shape) {
		p.Fail("%s: %s: shape %v, want %v", op, name, t.shape, shape)
	}
}

// Groups1D folds n workgroups to two dimensions where one does not hold them. Kernels take their linear index as
// wid.y * num_workgroups.x + wid.x and return where it is past the end.
func (p *Program) Groups1D(n int) [3]uint32 {
	limit := int(p.dev.Limits.MaxGroups)
	if n <= limit {
		return [3]uint32{uint32(n), 1, 1}
	}
	y := (n + limit - 1) / limit
	return [3]uint32{uint32((n + y - 1) / y), uint32(y), 1}
}

// Add checks a dispatch and appends it.
func (p *Program) Add(d Dispatch) {
	if p.err != nil {
		return
	}
	k, err := p.dev.kernel(d.Source)
	if err != nil {
		p.Fail("%w", err)
		return
	}
	s := &entry{label: d.Source.Label, kernel: k, dispatch: d, slot: -1}
	for i, g := range d.Groups {
		if g == 0 || g > p.dev.Limits.MaxGroups {
			p.Fail("%s: %d workgroups in dimension %d, want 1 to %d", s.label, g, i, p.dev.Limits.MaxGroups)
			return
		}
	}
	p.bindAll(s)
	p.setParams(s)
	p.entries = append(p.entries, s)
}

// bindAll matches the tensors with the kernel's bindings and checks windows, storages and aliasing.
func (p *Program) bindAll(s *entry) {
	type access struct{ name, mode string }
	seen := map[*buffer]access{}
	for _, b := range s.kernel.src.Bindings {
		if b.IsParams() {
			s.binds = append(s.binds, wgpu.Window{Index: b.Index})
			continue
		}
		t, ok := s.dispatch.Bind[b.Name]
		if !ok || t.buf == nil {
			p.Fail("%s: no tensor for %s", s.label, b.Name)
			return
		}
		size := (t.Bytes() + t.slack + 3) &^ 3
		switch {
		case t.Len() <= 0:
			p.Fail("%s: %s: impossible shape %v", s.label, b.Name, t.shape)
		case t.storage.String() != b.Storage:
			p.Fail("%s: %s is %v, the kernel wants %s", s.label, b.Name, t, b.Storage)
		case b.Access == "uniform" && (!t.buf.uniform || size > maxUniform):
			p.Fail("%s: %s is %v, want at most %s of a tensor of NewUniform", s.label, b.Name, t,
				HumanBytes(maxUniform))
		case size > p.dev.Limits.MaxBindingSize:
			p.Fail("%s: %s is %v, %s, and a binding of this device holds %s; hint: a smaller --batch-size, or "+
				"--dtype bf16", s.label, b.Name, t, HumanBytes(size), HumanBytes(p.dev.Limits.MaxBindingSize))
		case t.offset%p.dev.Limits.OffsetAlignment != 0:
			p.Fail("%s: %s is %v at byte %d, want a multiple of %d", s.label, b.Name, t, t.offset,
				p.dev.Limits.OffsetAlignment)
		case t.offset+size > t.buf.size:
			p.Fail("%s: %s is %v, past the end of its buffer", s.label, b.Name, t)
		}
		if prev, ok := seen[t.buf]; ok && prev.mode != b.Access {
			p.Fail("%s: %s (%s) and %s (%s) lie in one buffer", s.label, prev.name, prev.mode, b.Name, b.Access)
		}
		seen[t.buf] = access{b.Name, b.Access}
		s.binds = append(s.binds, wgpu.Window{Index: b.Index, Buffer: t.buf.raw, Offset: t.offset, Size: size})
	}
	for name := range s.dispatch.Bind {
		if !slices.ContainsFunc(s.kernel.src.Bindings, func(b wgsl.Binding) bool { return b.Name == name }) {
			p.Fail("%s: the kernel has no binding %s", s.label, name)
		}
	}
}

const paramSlot = 256 // bytes, the uniform offset alignment

func (p *Program) setParams(s *entry) {
	want := s.kernel.src.Params
	if s.dispatch.Params == nil {
		if len(want) > 0 {
			p.Fail("%s: no Params, want %v", s.label, want)
		}
		return
	}
	v := reflect.ValueOf(s.dispatch.Params)
	if v.NumField() != len(want) {
		p.Fail("%s: Params has %d fields, want %v", s.label, v.NumField(), want)
		return
	}
	slot := make([]byte, paramSlot)
	for i := range want {
		got := wgsl.Param{Name: v.Type().Field(i).Name, Type: v.Field(i).Kind().String()}
		switch x := v.Field(i).Interface().(type) {
		case uint32:
			got.Type = "u32"
			binary.LittleEndian.PutUint32(slot[4*i:], x)
		case float32:
			got.Type = "f32"
			binary.LittleEndian.PutUint32(slot[4*i:], math.Float32bits(x))
		}
		if got != want[i] {
			p.Fail("%s: Params field %d is %v, want %v", s.label, i, got, want[i])
			return
		}
	}
	s.slot = len(p.slots) / paramSlot
	p.slots = append(p.slots, slot...)
}

// Clear appends the zeroing of t.
func (p *Program) Clear(t Tensor) {
	p.move(Tensor{}, t, "clear "+t.name)
}

// Copy appends a copy of from's values to to; they must lie in different buffers.
func (p *Program) Copy(to, from Tensor) {
	if from.None() || from.Bytes() != to.Bytes() || from.SameBuffer(to) {
		p.Fail("copy %v to %v: want equal sizes in different buffers", from, to)
		return
	}
	p.move(from, to, "copy "+to.name)
}

func (p *Program) move(from, to Tensor, label string) {
	if p.err != nil {
		return
	}
	if to.None() || to.offset%4 != 0 {
		p.Fail("%s: no tensor", label)
		return
	}
	s := &entry{label: label, slot: -1, copyFrom: from, copyTo: to}
	s.dispatch.Bytes = float64(to.Bytes())
	p.entries = append(p.entries, s)
}

// Build compiles the kernels and binds the tensors. It returns the first error of building.
func (p *Program) Build() error {
	if p.err != nil || p.built || p.dev.Planned() {
		return p.err
	}
	d := p.dev
	if len(p.slots) > 0 {
		buf, err := d.dev.NewBuffer(p.Name+" params", uint64(len(p.slots)), wgpu.Uniforms)
		if err == nil {
			p.params, err = buf, d.dev.Write(buf, 0, p.slots)
		}
		if err != nil {
			return fmt.Errorf("%s: parameters: %w", p.Name, err)
		}
	}
	var kernels []*kernel
	for _, s := range p.entries {
		if s.kernel != nil {
			kernels = append(kernels, s.kernel)
		}
	}
	if err := d.compile(kernels); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	p.passes = make([]wgpu.Dispatch, len(p.entries))
	for i, s := range p.entries {
		if s.kernel == nil {
			continue
		}
		for j, b := range s.kernel.src.Bindings {
			if b.IsParams() {
				s.binds[j].Buffer, s.binds[j].Offset, s.binds[j].Size = p.params, uint64(s.slot*paramSlot), paramSlot
			}
		}
		group, err := d.dev.NewBindGroup(s.label, s.kernel.pipeline, s.binds)
		if err != nil {
			return fmt.Errorf("%s: %s: bind group: %w", p.Name, s.label, err)
		}
		p.passes[i] = wgpu.Dispatch{Pipeline: s.kernel.pipeline, Group: group, Groups: s.dispatch.Groups}
	}
	p.built = true
	return nil
}

// Release frees what Build made. Tensors and kernels belong to the device.
func (p *Program) Release() {
	for _, pass := range p.passes {
		if pass.Group != nil {
			pass.Group.Release()
		}
	}
	p.passes = nil
	if p.params != nil {
		p.params.Release()
		p.params = nil
	}
	p.built = false
}

// Dispatches returns the number of kernel dispatches.
func (p *Program) Dispatches() (n int) {
	for _, s := range p.entries {
		if s.kernel != nil {
			n++
		}
	}
	return n
}

// Each calls f with each dispatch in turn; clears and copies are none.
func (p *Program) Each(f func(Dispatch)) {
	for _, s := range p.entries {
		if s.kernel != nil {
			f(s.dispatch)
		}
	}
}

// Cost returns the floating point operations and the bytes of one run, as the dispatches say.
func (p *Program) Cost() (flops, bytes float64) {
	for _, s := range p.entries {
		flops += s.dispatch.FLOPs
		bytes += s.dispatch.Bytes
	}
	return flops, bytes
}

// String lists the program, a line a dispatch: label, workgroups, tensors.
func (p *Program) String() string {
	var b strings.Builder
	for i, s := range p.entries {
		fmt.Fprintf(&b, "%4d %s", i, s.label)
		if s.kernel != nil {
			fmt.Fprintf(&b, " %d", s.dispatch.Groups)
			for _, name := range slices.Sorted(maps.Keys(s.dispatch.Bind)) {
				fmt.Fprintf(&b, " %s=%v", name, s.dispatch.Bind[name])
			}
			if params := s.dispatch.Params; params != nil {
				fmt.Fprintf(&b, " %+v", params)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
