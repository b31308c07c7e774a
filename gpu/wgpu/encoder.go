//go:build !js

package wgpu

import binding "github.com/cogentcore/webgpu/wgpu"

// Encoder collects the commands of one submission.
type Encoder struct{ raw *binding.CommandEncoder }

// NewEncoder returns an empty encoder.
func (d *Device) NewEncoder() (*Encoder, error) {
	raw, err := d.raw.CreateCommandEncoder(nil)
	if err != nil {
		return nil, err
	}
	return &Encoder{raw}, nil
}

// Release gives the encoder back, submitted or not.
func (e *Encoder) Release() { e.raw.Release() }

// Copy copies size bytes between two buffers.
func (e *Encoder) Copy(to *Buffer, toOffset uint64, from *Buffer, fromOffset, size uint64) error {
	return e.raw.CopyBufferToBuffer(from, fromOffset, to, toOffset, size)
}

// Clear zeroes size bytes.
func (e *Encoder) Clear(b *Buffer, offset, size uint64) error {
	return e.raw.ClearBuffer(b, offset, size)
}

// Pass encodes dispatches, which run one after the other, as one compute pass. A program hands over the same slice at
// every run, so that an encoder whose calls are dear may keep what it made of it.
func (e *Encoder) Pass(dispatches []Dispatch) error {
	pass := e.raw.BeginComputePass(nil)
	defer pass.Release()
	var last *Pipeline
	for i := range dispatches {
		d := &dispatches[i]
		if d.Pipeline != last {
			pass.SetPipeline(d.Pipeline.raw)
			last = d.Pipeline
		}
		pass.SetBindGroup(0, d.Group, nil)
		pass.DispatchWorkgroups(d.Groups[0], d.Groups[1], d.Groups[2])
	}
	return pass.End() // errors of dispatches surface here
}

// Timer holds timestamps of one submission.
type Timer struct {
	Ticks *Buffer // 64 bits each, once resolved and submitted

	set *binding.QuerySet
	n   uint32
}

// NewTimer makes room for n timestamps. The device must have Timestamps.
func (d *Device) NewTimer(n uint32) (*Timer, error) {
	set, err := d.raw.CreateQuerySet(&binding.QuerySetDescriptor{
		Label: "profile", Type: binding.QueryTypeTimestamp, Count: n,
	})
	if err != nil {
		return nil, err
	}
	ticks, err := d.NewBuffer("ticks", uint64(n)*8, binding.BufferUsageQueryResolve|binding.BufferUsageCopySrc)
	if err != nil {
		set.Release()
		return nil, err
	}
	return &Timer{ticks, set, n}, nil
}

// Release gives the timer back.
func (t *Timer) Release() {
	t.Ticks.Release()
	t.set.Release()
}

// Stamp writes timestamp i when everything before it has ended.
func (e *Encoder) Stamp(t *Timer, i int) error { return e.raw.WriteTimestamp(t.set, uint32(i)) }

// Resolve writes the timestamps to Ticks.
func (e *Encoder) Resolve(t *Timer) error { return e.raw.ResolveQuerySet(t.set, 0, t.n, t.Ticks, 0) }
