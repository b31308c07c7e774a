package wgpu

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

// open returns the browser's device, here that of Dawn in Node (see .ci/js).
func open(t testing.TB) (*Device, AdapterInfo) {
	t.Helper()
	list := Adapters()
	if len(list) == 0 {
		if os.Getenv("GPT2WGPU_GPU") == "require" {
			t.Fatal("GPT2WGPU_GPU=require: no navigator.gpu, or no adapter")
		}
		t.Skip("no navigator.gpu, or no adapter")
	}
	info := list[0].Info()
	d, err := list[0].Open(info.Backend, info.Limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Release)
	return d, info
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestLimits: those that the adapter has are those of the device, and they are at least WebGPU's.
func TestLimits(t *testing.T) {
	d, info := open(t)
	least, has := DefaultLimits(), d.raw.Get("limits")
	if info.Name == "" || info.Backend != "webgpu" || len(info.Features) == 0 {
		t.Errorf("%+v", info)
	}
	for _, l := range []struct {
		name         string
		got, atLeast uint64
	}{
		{"maxBufferSize", info.Limits.MaxBufferSize, least.MaxBufferSize},
		{"maxStorageBufferBindingSize", info.Limits.MaxBindingSize, least.MaxBindingSize},
		{"maxComputeInvocationsPerWorkgroup", uint64(info.Limits.MaxInvocations), uint64(least.MaxInvocations)},
		{"maxComputeWorkgroupStorageSize", uint64(info.Limits.MaxWorkgroupBytes), uint64(least.MaxWorkgroupBytes)},
		{"maxStorageBuffersPerShaderStage", uint64(info.Limits.MaxStorageBuffers), uint64(least.MaxStorageBuffers)},
	} {
		if device := uint64(has.Get(l.name).Float()); l.got < l.atLeast || device < l.got {
			t.Errorf("%s: Info has %d, the device %d, want at least %d", l.name, l.got, device, l.atLeast)
		}
	}
}

// times returns a kernel that multiplies a tensor of u32 by a number.
func times(name, factor string) wgsl.Text {
	return wgsl.Text{Label: name, Threads: 64, WGSL: `
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) { out[id.x] = x[id.x] * ` + factor + `; }`,
		Bindings: []wgsl.Binding{{Index: 0, Name: "x", Access: "read"}, {Index: 1, Name: "out", Access: "read_write"}}}
}

func bytesOf(words ...uint32) (raw []byte) {
	for _, w := range words {
		raw = binary.LittleEndian.AppendUint32(raw, w)
	}
	return raw
}

// TestPass: what is written is computed with, in the order of a pass, copied, cleared and read back.
func TestPass(t *testing.T) {
	d, _ := open(t)
	const n, size = 64, 256
	buffer := func(usage Usage) *Buffer {
		b, err := d.NewBuffer("test", size, usage)
		must(t, err)
		return b
	}
	a, b, staging := buffer(Tensors), buffer(Tensors), buffer(Readback)
	if a.GetSize() != size {
		t.Errorf("%d bytes", a.GetSize())
	}
	words := make([]uint32, n)
	for i := range words {
		words[i] = uint32(i) + 1<<31
	}
	must(t, d.Write(a, 0, bytesOf(words...)))
	dispatch := func(factor string, from, to *Buffer) Dispatch {
		p, err := d.NewPipeline(times("times "+factor, factor))
		must(t, err)
		g, err := d.NewBindGroup("test", p, []Window{{0, from, 0, size}, {1, to, 0, size}})
		must(t, err)
		return Dispatch{p, g, [3]uint32{1, 1, 1}}
	}
	pass := []Dispatch{dispatch("3u", a, b), dispatch("5u", b, a)}
	enc, err := d.NewEncoder()
	must(t, err)
	must(t, enc.Pass(pass))
	must(t, enc.Copy(staging, 0, a, 0, size))
	must(t, enc.Clear(a, 8, 4))
	must(t, d.Submit(enc))
	must(t, d.Map(staging, size, time.Minute))
	got := make([]byte, size)
	must(t, d.Take(staging, got))
	for i, w := range words {
		if x := binary.LittleEndian.Uint32(got[4*i:]); x != 15*w {
			t.Fatalf("word %d is %d, want %d", i, x, 15*w)
		}
	}
	enc, err = d.NewEncoder()
	must(t, err)
	must(t, enc.Copy(staging, 0, a, 0, 12)) // a staging buffer is used again
	must(t, d.Submit(enc))
	must(t, d.Wait(time.Minute))
	must(t, d.Map(staging, 12, time.Minute))
	must(t, d.Take(staging, got[:12]))
	if x := binary.LittleEndian.Uint32(got[8:]); x != 0 {
		t.Errorf("a cleared word is %d", x)
	}

	// A place that was given back is used again, by what was made last.
	places := d.places
	pass[0].Group.Release()
	pass[0] = dispatch("7u", b, a)
	if d.places != places+1 { // a pipeline and a group, of which one has a place
		t.Errorf("%d places, want %d", d.places, places+1)
	}
}

// TestErrorsAreValues: what WebGPU refuses is an error where it is made, or of the next wait; the device goes on.
func TestErrorsAreValues(t *testing.T) {
	d, info := open(t)
	if _, err := d.NewBuffer("huge", info.Limits.MaxBufferSize*2+4, Tensors); err == nil {
		t.Error("a buffer beyond the limit: no error")
	}
	bad := times("bad", "true")
	if _, err := d.NewPipeline(bad); err == nil || !strings.Contains(err.Error(), "does not compile: ") {
		t.Errorf("a shader that is none: %v", err)
	}
	bad = times("bad", "2u")
	bad.Bindings[1].Access = "uniform"
	if _, err := d.NewPipeline(bad); err == nil || !strings.Contains(err.Error(), "pipeline: ") {
		t.Errorf("a layout of another shader: %v", err)
	}
	p, err := d.NewPipeline(times("good", "2u"))
	must(t, err)
	b, err := d.NewBuffer("test", 256, Tensors)
	must(t, err)
	if _, err = d.NewBindGroup("wrong", p, []Window{{0, b, 0, 256}}); err != nil {
		t.Logf("at once: %v", err)
	}
	first := d.Submit(nil)
	if err := errors.Join(first, d.Wait(time.Minute)); err == nil {
		t.Error("a bind group without a binding: no error at the next wait")
	}
	must(t, d.Submit(nil))
	must(t, d.Wait(time.Minute))
	if err := d.Map(b, 256, time.Minute); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("mapping a tensor: %v, want an error of one line", err)
	}
	d.err = nil
}

// TestTimeout: a wait ends when its time is over, and the next one does not inherit that.
func TestTimeout(t *testing.T) {
	d, _ := open(t)
	d.pending++
	if err := d.Wait(time.Millisecond); !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v, want %v", err, ErrTimeout)
	}
	d.pending--
	must(t, d.Wait(time.Minute))
}

// TestLost: a device that goes away is an error of everything that waits for it, and of what is made of it.
func TestLost(t *testing.T) {
	d, _ := open(t)
	b, err := d.NewBuffer("test", 256, Readback)
	must(t, err)
	d.raw.Call("destroy")
	for _, wait := range []func() error{
		func() error { return d.poll(time.Minute, func() bool { return false }) },
		func() error { return d.Wait(time.Minute) },
		func() error { return d.Map(b, 256, time.Minute) },
		func() error { return d.Submit(nil) },
		func() error { _, err := d.NewBuffer("test", 256, Tensors); return err },
	} {
		if err := wait(); !errors.Is(err, ErrLost) {
			t.Errorf("got %v, want %v", err, ErrLost)
		}
	}
}

// BenchmarkPass encodes as many dispatches as a micro-step of GPT-2 124M has.
func BenchmarkPass(b *testing.B) {
	d, _ := open(b)
	p, err := d.NewPipeline(times("times", "3u"))
	must(b, err)
	from, err := d.NewBuffer("from", 256, Tensors)
	must(b, err)
	to, err := d.NewBuffer("to", 256, Tensors)
	must(b, err)
	var pass []Dispatch
	for range 506 {
		g, err := d.NewBindGroup("test", p, []Window{{0, from, 0, 256}, {1, to, 0, 256}})
		must(b, err)
		pass = append(pass, Dispatch{p, g, [3]uint32{1, 1, 1}})
	}
	for b.Loop() {
		enc, err := d.NewEncoder()
		must(b, err)
		must(b, enc.Pass(pass))
	}
	must(b, d.Submit(nil))
	must(b, d.Wait(time.Duration(math.MaxInt64)))
}
