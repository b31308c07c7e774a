//go:build !js

package wgpu

import (
	"fmt"
	"math"
	"runtime/debug"
	"time"

	binding "github.com/cogentcore/webgpu/wgpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

// Device is an adapter in use. One goroutine owns it and all that was made from it.
type Device struct {
	Timestamps bool // encoders can write them

	adapter Adapter
	raw     *binding.Device
	queue   *binding.Queue
}

// Release gives back the device and its adapter. Nothing may be running.
func (d *Device) Release() {
	d.queue.Release()
	d.raw.Release()
	d.adapter.Release()
}

// Buffer is device memory.
type Buffer = binding.Buffer

// Usage says what a buffer is for.
type Usage = binding.BufferUsage

// The usages.
const (
	Tensors  = binding.BufferUsageStorage | binding.BufferUsageCopySrc | binding.BufferUsageCopyDst
	Uniforms = binding.BufferUsageUniform | binding.BufferUsageCopyDst // may be joined with Tensors
	Readback = binding.BufferUsageMapRead | binding.BufferUsageCopyDst
)

// NewBuffer allocates size bytes, zeros.
func (d *Device) NewBuffer(label string, size uint64, usage Usage) (*Buffer, error) {
	return d.raw.CreateBuffer(&binding.BufferDescriptor{Label: label, Size: size, Usage: usage})
}

// Write copies data to b. It takes part in the next submission.
func (d *Device) Write(b *Buffer, offset uint64, data []byte) error {
	return d.queue.WriteBuffer(b, offset, data)
}

// Submit hands over what enc holds, and what was written; nil: only what was written.
func (d *Device) Submit(enc *Encoder) error {
	if enc == nil {
		d.queue.Submit()
		return nil
	}
	commands, err := enc.raw.Finish(nil) // the last place where an error is a value: Submit aborts
	if err != nil {
		return err
	}
	d.queue.Submit(commands)
	commands.Release()
	return nil
}

// Wait returns when everything submitted has ended.
func (d *Device) Wait(limit time.Duration) error { return d.poll(limit, nil) }

// poll polls until done says so; nil: until the queue is empty. Poll(true) is never used: it reports success after 5 s
// of unfinished work.
func (d *Device) poll(limit time.Duration, done func() bool) error {
	waited := time.Duration(0) // a gap between two looks is time in which this process was stopped, or its machine
	for n, last := 0, time.Now(); ; n++ {
		if empty := d.raw.Poll(false, nil); done == nil && empty || done != nil && done() {
			return nil
		}
		now := time.Now()
		waited += min(now.Sub(last), time.Second)
		last = now
		if waited > limit {
			return fmt.Errorf("%w (%v)", ErrTimeout, limit)
		}
		if n > 50 {
			time.Sleep(50 * time.Microsecond)
		}
	}
}

// Map waits for the copies to a Readback buffer, not for what was submitted behind them, and maps its first size bytes.
func (d *Device) Map(b *Buffer, size uint64, limit time.Duration) error {
	status, called := binding.BufferMapAsyncStatusUnknown, false
	// MapAsync keeps a pointer that only the collector's rest protects: stop it, map, poll, restore.
	old := debug.SetGCPercent(-1)
	memory := debug.SetMemoryLimit(math.MaxInt64)
	err := b.MapAsync(binding.MapModeRead, 0, size, func(s binding.BufferMapAsyncStatus) { status, called = s, true })
	if err == nil {
		err = d.poll(limit, func() bool { return called })
	}
	debug.SetMemoryLimit(memory)
	debug.SetGCPercent(old)
	if err != nil {
		return err
	}
	if !called || status != binding.BufferMapAsyncStatusSuccess {
		return fmt.Errorf("mapping failed: %v", status)
	}
	return nil
}

// Take copies a mapped buffer's first bytes to out and unmaps it.
func (d *Device) Take(b *Buffer, out []byte) error {
	copy(out, b.GetMappedRange(0, uint(len(out))))
	return b.Unmap()
}

// Pipeline is a compiled kernel.
type Pipeline struct {
	group  *binding.BindGroupLayout
	layout *binding.PipelineLayout
	raw    *binding.ComputePipeline
}

// NewPipeline compiles the entry point main of a text. The layout is explicit, so an unused binding stays; the module
// is labelled, which DX12 needs. Several goroutines may compile at once: an error may then be returned to any of them,
// since the binding keeps one stack of error scopes for all, and a pipeline without an error may be broken.
func (d *Device) NewPipeline(text wgsl.Text) (*Pipeline, error) {
	label := text.Label
	module, err := d.raw.CreateShaderModule(&binding.ShaderModuleDescriptor{
		Label: label, WGSLDescriptor: &binding.ShaderModuleWGSLDescriptor{Code: text.WGSL},
	})
	if err != nil {
		return nil, fmt.Errorf("the shader does not compile: %w", err)
	}
	defer module.Release()
	entries := make([]binding.BindGroupLayoutEntry, len(text.Bindings))
	for i, b := range text.Bindings {
		kind := binding.BufferBindingTypeStorage
		switch b.Access {
		case "uniform":
			kind = binding.BufferBindingTypeUniform
		case "read":
			kind = binding.BufferBindingTypeReadOnlyStorage
		}
		entries[i] = binding.BindGroupLayoutEntry{
			Binding: b.Index, Visibility: binding.ShaderStageCompute, Buffer: binding.BufferBindingLayout{Type: kind},
		}
	}
	p := &Pipeline{}
	p.group, err = d.raw.CreateBindGroupLayout(&binding.BindGroupLayoutDescriptor{Label: label, Entries: entries})
	if err != nil {
		return nil, fmt.Errorf("bind group layout: %w", err)
	}
	p.layout, err = d.raw.CreatePipelineLayout(&binding.PipelineLayoutDescriptor{
		Label: label, BindGroupLayouts: []*binding.BindGroupLayout{p.group},
	})
	if err != nil {
		p.Release()
		return nil, fmt.Errorf("pipeline layout: %w", err)
	}
	p.raw, err = d.raw.CreateComputePipeline(&binding.ComputePipelineDescriptor{
		Label: label, Layout: p.layout,
		Compute: binding.ProgrammableStageDescriptor{Module: module, EntryPoint: "main"},
	})
	if err != nil {
		p.Release()
		return nil, fmt.Errorf("pipeline: %w", err)
	}
	return p, nil
}

// Release gives the pipeline back.
func (p *Pipeline) Release() {
	if p.raw != nil {
		p.raw.Release()
	}
	if p.layout != nil {
		p.layout.Release()
	}
	p.group.Release()
}

// BindGroup is what a dispatch binds.
type BindGroup = binding.BindGroup

// NewBindGroup binds a window to each binding of a pipeline.
func (d *Device) NewBindGroup(label string, p *Pipeline, windows []Window) (*BindGroup, error) {
	entries := make([]binding.BindGroupEntry, len(windows))
	for i, w := range windows {
		entries[i] = binding.BindGroupEntry{Binding: w.Index, Buffer: w.Buffer, Offset: w.Offset, Size: w.Size}
	}
	return d.raw.CreateBindGroup(&binding.BindGroupDescriptor{Label: label, Layout: p.group, Entries: entries})
}
