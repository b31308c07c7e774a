package wgpu

import (
	_ "embed"
	"errors"
	"fmt"
	"syscall/js"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

// Device is an adapter in use. An error that WebGPU reports after the call is kept, and the next wait or submission
// returns it.
type Device struct {
	Timestamps bool // never: browsers write them only at the ends of passes, and coarse ones

	raw, queue js.Value
	err, lost  error         // the first error that no call has returned yet; why the device was lost
	pending    int           // submissions that have not ended
	event      chan struct{} // something has ended or failed
	callbacks  []js.Func     // of the device's events
	done       js.Func       // ends a submission
	upload     js.Value      // a Uint8Array that data goes through

	handles            js.Value // pipelines and bind groups by their places, for replay
	places             int      // of handles
	free               []uint32 // of them
	replay             js.Value // replay.js's function
	words, wordsAsByte js.Value // a pass for replay: a Uint32Array, and the same memory as bytes
	pass               []byte   // the same, on its way
}

// replayText makes the function that encodes a pass in one call from Go; each call costs microseconds.
//
//go:embed replay.js
var replayText string

// newDevice takes a GPUDevice.
func newDevice(raw js.Value) (d *Device, err error) {
	d = &Device{raw: raw, queue: raw.Get("queue"), event: make(chan struct{}, 1),
		handles: js.Global().Get("Array").New()}
	if d.replay = js.Global().Get("gpt2wgpuReplay"); !d.replay.Truthy() { // else the page has it from the file
		defer thrown(&err)
		js.Global().Get("Function").New(replayText).Invoke()
		d.replay = js.Global().Get("gpt2wgpuReplay")
	}
	d.done = d.callback(func(js.Value) { d.pending-- })
	raw.Call("addEventListener", "uncapturederror", d.callback(func(event js.Value) {
		if e := event.Get("error"); d.err == nil {
			d.err = reason(e)
		}
	}))
	raw.Get("lost").Call("then", d.callback(func(info js.Value) {
		d.lost = fmt.Errorf("%w (%s: %s)", ErrLost, text(info, "reason"), text(info, "message"))
	}))
	return d, nil
}

// callback returns f as a function for JavaScript, after which a wait looks again. f must not block.
func (d *Device) callback(f func(arg js.Value)) js.Func {
	c := js.FuncOf(func(_ js.Value, args []js.Value) any {
		arg := js.Undefined()
		if len(args) > 0 {
			arg = args[0]
		}
		f(arg)
		d.signal()
		return nil
	})
	d.callbacks = append(d.callbacks, c)
	return c
}

// signal makes a wait look again.
func (d *Device) signal() {
	select {
	case d.event <- struct{}{}:
	default:
	}
}

// failed returns an error that was reported since the last call, and that of a lost device each time.
func (d *Device) failed() error {
	if d.lost != nil {
		return d.lost
	}
	err := d.err
	d.err = nil
	return err
}

// Release gives back the device, and waits for the last callbacks: one into a program that has ended is an error of
// the page.
func (d *Device) Release() {
	d.raw.Call("destroy")
	await(d.raw.Get("lost"))
	for over := time.After(time.Second); d.pending > 0; {
		select {
		case <-d.event:
			continue
		case <-over:
		}
		break
	}
	for _, c := range d.callbacks {
		c.Release()
	}
}

// Buffer is device memory.
type Buffer struct {
	raw  js.Value
	size uint64
}

// GetSize returns its bytes.
func (b *Buffer) GetSize() uint64 { return b.size }

// Release frees the memory once what was submitted has ended.
func (b *Buffer) Release() { b.raw.Call("destroy") }

// Usage says what a buffer is for.
type Usage uint32

// WebGPU's numbers.
const (
	mapRead Usage = 1
	copySrc Usage = 4
	copyDst Usage = 8
	uniform Usage = 0x40
	storage Usage = 0x80
)

// The usages.
const (
	Tensors  = storage | copySrc | copyDst
	Uniforms = uniform | copyDst // may be joined with Tensors
	Readback = mapRead | copyDst
)

// checked calls a method that makes an object, and waits for its validation and allocation. Errors: those of both.
func (d *Device) checked(method string, descriptor object) (js.Value, error) {
	d.raw.Call("pushErrorScope", "out-of-memory")
	d.raw.Call("pushErrorScope", "validation")
	out, err := call(d.raw, method, descriptor)
	invalid, full := start(d.raw.Call("popErrorScope")), start(d.raw.Call("popErrorScope"))
	for _, s := range []settled{<-invalid, <-full} {
		switch {
		case err != nil:
		case s.err != nil:
			err = s.err
		case s.value.Truthy():
			err = reason(s.value)
		}
	}
	if d.lost != nil {
		err = d.lost
	}
	return out, err
}

// NewBuffer allocates size bytes, zeros.
func (d *Device) NewBuffer(label string, size uint64, usage Usage) (*Buffer, error) {
	raw, err := d.checked("createBuffer", object{"label": label, "size": size, "usage": uint32(usage)})
	if err != nil {
		return nil, err
	}
	return &Buffer{raw, size}, nil
}

// Write copies data to b. It takes part in the next submission.
func (d *Device) Write(b *Buffer, offset uint64, data []byte) error {
	if d.upload.IsUndefined() || d.upload.Length() < len(data) {
		d.upload = js.Global().Get("Uint8Array").New(max(len(data), 1<<16))
	}
	js.CopyBytesToJS(d.upload, data)
	_, err := call(d.queue, "writeBuffer", b.raw, offset, d.upload, 0, len(data))
	return err
}

// Submit hands over what enc holds, and what was written; nil: only what was written.
func (d *Device) Submit(enc *Encoder) error {
	if enc != nil {
		commands, err := call(enc.raw, "finish")
		if err == nil {
			_, err = call(d.queue, "submit", []any{commands})
		}
		if err != nil {
			return err
		}
	}
	d.pending++
	d.queue.Call("onSubmittedWorkDone").Call("then", d.done, d.done)
	return d.failed()
}

// Wait returns when everything submitted has ended.
func (d *Device) Wait(limit time.Duration) error {
	return d.poll(limit, func() bool { return d.pending == 0 })
}

// poll waits until done returns true, for at most limit. Errors: ErrTimeout; those that the device has reported.
func (d *Device) poll(limit time.Duration, done func() bool) error {
	for left := limit; ; {
		if err := d.failed(); err != nil {
			return err
		}
		if done() {
			return nil
		}
		if left <= 0 {
			return fmt.Errorf("%w (%v)", ErrTimeout, limit)
		}
		turn := min(left, time.Second) // a longer gap is time in which the page was frozen, or its machine
		timer := time.NewTimer(turn)
		select {
		case <-d.event:
			timer.Stop()
		case <-timer.C:
			left -= turn
		}
	}
}

// Map waits for the copies to a Readback buffer, not for what was submitted behind them, and maps its first size bytes.
func (d *Device) Map(b *Buffer, size uint64, limit time.Duration) error {
	promise, err := call(b.raw, "mapAsync", int(mapRead), 0, size)
	if err != nil {
		return err
	}
	var mapped *settled
	when(promise, func(s settled) {
		mapped = &s
		d.signal()
	})
	if err := d.poll(limit, func() bool { return mapped != nil }); err != nil || mapped.err == nil {
		return err
	}
	// the loss of a device is reported after the failed mapping
	if err := d.poll(100*time.Millisecond, func() bool { return false }); !errors.Is(err, ErrTimeout) {
		return err
	}
	return fmt.Errorf("mapping failed: %w", mapped.err)
}

// Take copies a mapped buffer's first len(out) bytes to out and unmaps it.
func (d *Device) Take(b *Buffer, out []byte) error {
	mapped, err := call(b.raw, "getMappedRange", 0, len(out))
	if err != nil {
		return err
	}
	js.CopyBytesToGo(out, js.Global().Get("Uint8Array").New(mapped))
	b.raw.Call("unmap")
	return nil
}

// Pipeline is a compiled kernel.
type Pipeline struct {
	dev   *Device
	group js.Value
	place uint32
}

// NewPipeline compiles the entry point main of a text. The layout is explicit, so an unused binding stays.
func (d *Device) NewPipeline(text wgsl.Text) (*Pipeline, error) {
	label := text.Label
	module, err := d.checked("createShaderModule", object{"label": label, "code": text.WGSL})
	if err != nil {
		return nil, fmt.Errorf("the shader does not compile: %w", err)
	}
	entries := make([]any, len(text.Bindings))
	for i, b := range text.Bindings {
		kind := "storage"
		switch b.Access {
		case "uniform":
			kind = "uniform"
		case "read":
			kind = "read-only-storage"
		}
		const compute = 4
		entries[i] = object{"binding": b.Index, "visibility": compute, "buffer": object{"type": kind}}
	}
	p := &Pipeline{dev: d}
	if p.group, err = d.checked("createBindGroupLayout", object{"label": label, "entries": entries}); err != nil {
		return nil, fmt.Errorf("bind group layout: %w", err)
	}
	layout, err := d.checked("createPipelineLayout", object{"label": label, "bindGroupLayouts": []any{p.group}})
	if err != nil {
		return nil, fmt.Errorf("pipeline layout: %w", err)
	}
	promise, err := call(d.raw, "createComputePipelineAsync", object{"label": label, "layout": layout,
		"compute": object{"module": module, "entryPoint": "main"}})
	if err == nil {
		var raw js.Value
		if raw, err = await(promise); err == nil {
			p.place = d.keep(raw)
			return p, nil
		}
	}
	return nil, fmt.Errorf("pipeline: %w", err)
}

// Release gives the pipeline back.
func (p *Pipeline) Release() { p.dev.drop(p.place) }

// BindGroup is what a dispatch binds.
type BindGroup struct {
	dev   *Device
	place uint32
}

// NewBindGroup binds a window to each binding of a pipeline. Mistakes are errors of the next wait: there are hundreds
// of groups, and each look would be a round trip.
func (d *Device) NewBindGroup(label string, p *Pipeline, windows []Window) (*BindGroup, error) {
	entries := make([]any, len(windows))
	for i, w := range windows {
		entries[i] = object{"binding": w.Index,
			"resource": object{"buffer": w.Buffer.raw, "offset": w.Offset, "size": w.Size}}
	}
	raw, err := call(d.raw, "createBindGroup", object{"label": label, "layout": p.group, "entries": entries})
	if err != nil {
		return nil, err
	}
	return &BindGroup{d, d.keep(raw)}, nil
}

// Release gives the group back.
func (g *BindGroup) Release() { g.dev.drop(g.place) }

// keep puts a pipeline or a bind group among the handles and returns its place.
func (d *Device) keep(raw js.Value) (place uint32) {
	if n := len(d.free); n > 0 {
		place, d.free = d.free[n-1], d.free[:n-1]
	} else {
		place, d.places = uint32(d.places), d.places+1
	}
	d.handles.SetIndex(int(place), raw)
	return place
}

// drop frees the place of a handle.
func (d *Device) drop(place uint32) {
	d.handles.SetIndex(int(place), js.Null())
	d.free = append(d.free, place)
}
