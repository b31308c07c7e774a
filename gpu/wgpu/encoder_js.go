package wgpu

import (
	"encoding/binary"
	"errors"
	"syscall/js"
)

// Encoder collects the commands of one submission.
type Encoder struct {
	dev *Device
	raw js.Value
}

// NewEncoder returns an empty encoder.
func (d *Device) NewEncoder() (*Encoder, error) {
	raw, err := call(d.raw, "createCommandEncoder")
	if err != nil {
		return nil, err
	}
	return &Encoder{d, raw}, nil
}

// Release does nothing: an encoder is garbage as soon as nobody has it.
func (e *Encoder) Release() {}

// Copy copies size bytes between two buffers.
func (e *Encoder) Copy(to *Buffer, toOffset uint64, from *Buffer, fromOffset, size uint64) error {
	_, err := call(e.raw, "copyBufferToBuffer", from.raw, fromOffset, to.raw, toOffset, size)
	return err
}

// Clear zeroes size bytes.
func (e *Encoder) Clear(b *Buffer, offset, size uint64) error {
	_, err := call(e.raw, "clearBuffer", b.raw, offset, size)
	return err
}

// Pass encodes dispatches, which run one after the other, as one compute pass.
func (e *Encoder) Pass(dispatches []Dispatch) (err error) {
	d := e.dev
	d.pass = d.pass[:0]
	for _, x := range dispatches {
		for _, word := range [...]uint32{x.Pipeline.place, x.Group.place, x.Groups[0], x.Groups[1], x.Groups[2]} {
			d.pass = binary.LittleEndian.AppendUint32(d.pass, word)
		}
	}
	if d.words.IsUndefined() || d.wordsAsByte.Length() < len(d.pass) {
		d.words = js.Global().Get("Uint32Array").New(len(d.pass))
		d.wordsAsByte = js.Global().Get("Uint8Array").New(d.words.Get("buffer"))
	}
	js.CopyBytesToJS(d.wordsAsByte, d.pass)
	defer thrown(&err)
	d.replay.Invoke(e.raw, d.handles, d.words, len(dispatches))
	return nil
}

var errNoTimestamps = errors.New("a browser writes no timestamps within an encoder")

// Timer would hold timestamps, which no device has here.
type Timer struct{ Ticks *Buffer }

// NewTimer returns an error.
func (d *Device) NewTimer(uint32) (*Timer, error) { return nil, errNoTimestamps }

// Release does nothing.
func (t *Timer) Release() {}

// Stamp returns an error.
func (e *Encoder) Stamp(*Timer, int) error { return errNoTimestamps }

// Resolve returns an error.
func (e *Encoder) Resolve(*Timer) error { return errNoTimestamps }
