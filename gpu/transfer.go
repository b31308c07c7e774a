package gpu

import (
	"fmt"
	"slices"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/wgpu"
)

// transferChunk bounds the staging memory of one transfer.
const transferChunk = 32 << 20

// Upload writes values into t, of storage F32 or BF16, which rounds them. Small uploads join the next submission; large
// ones wait for the device.
func (d *Device) Upload(t Tensor, values []float32) error {
	raw := BytesOf(values)
	switch t.storage {
	case U32:
		return fmt.Errorf("upload %v: float32 values", t)
	case BF16:
		raw = BytesOf(PackBF16(values))
	}
	return d.upload(t, t.Len(), len(values), raw)
}

// UploadU32 writes words into t, of storage U32 or BF16 (packed).
func (d *Device) UploadU32(t Tensor, words []uint32) error {
	if t.storage == F32 {
		return fmt.Errorf("upload %v: uint32 words", t)
	}
	return d.upload(t, int(t.Bytes()/4), len(words), BytesOf(words))
}

func (d *Device) upload(t Tensor, want, got int, raw []byte) error {
	if got != want {
		return fmt.Errorf("upload %v: got %d values, want %d", t, got, want)
	}
	if d.Planned() {
		return nil
	}
	for at := 0; at < len(raw); at += transferChunk {
		end := min(at+transferChunk, len(raw))
		if err := d.dev.Write(t.buf.raw, t.offset+uint64(at), raw[at:end]); err != nil {
			return fmt.Errorf("upload %v: %w", t, err)
		}
		if len(raw) > transferChunk { // each write allocates staging memory that only a finished submission frees
			if err := d.submit(nil); err != nil {
				return err
			}
			if err := d.wait(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Read waits for the device and copies t's values, of storage F32 or BF16, into out.
func (d *Device) Read(t Tensor, out []float32) error {
	switch t.storage {
	case U32:
		return fmt.Errorf("read %v: float32 values", t)
	case BF16:
		words := make([]uint32, (len(out)+1)/2)
		err := d.ReadU32(t, words)
		copy(out, UnpackBF16(words, len(out)))
		return err
	}
	return d.read(t, t.Len(), len(out), BytesOf(out))
}

// ReadU32 waits for the device and copies t's 32-bit words, of any storage, into out.
func (d *Device) ReadU32(t Tensor, out []uint32) error {
	return d.read(t, int(t.Bytes()/4), len(out), BytesOf(out))
}

func (d *Device) read(t Tensor, want, got int, out []byte) error {
	if got != want {
		return fmt.Errorf("read %v: room for %d values, want %d", t, got, want)
	}
	if d.Planned() {
		return fmt.Errorf("read %v: the device is a plan", t)
	}
	for at := 0; at < len(out); at += transferChunk {
		part := out[at:min(at+transferChunk, len(out))]
		p, err := d.startRead(t, uint64(at), uint64(len(part)), transferChunk)
		if err != nil {
			return err
		}
		if err := d.waiting(d.dev.Wait); err != nil {
			return fmt.Errorf("read %v: %w", t, err)
		}
		if err := p.Wait(); err != nil {
			return err
		}
		if err := p.take(part); err != nil {
			return err
		}
	}
	return nil
}

// Pending is a read under way, see StartRead.
type Pending struct {
	dev     *Device
	t       Tensor
	size    uint64 // bytes
	staging *wgpu.Buffer
	after   int // of the device's submissions
}

// StartRead submits the read of t, float32 and at most 32 MiB, behind everything submitted so far, and returns at once.
// Each Pending holds a staging buffer until its Take.
func (d *Device) StartRead(t Tensor) (*Pending, error) {
	if t.storage != F32 || t.Bytes() > transferChunk || d.Planned() {
		return nil, fmt.Errorf("read %v: want float32, at most %s, on a real device, not a plan", t,
			HumanBytes(transferChunk))
	}
	return d.startRead(t, 0, t.Bytes(), t.Bytes())
}

// startRead submits the read of size bytes of t, from a byte on, into a staging buffer that has room bytes at least.
func (d *Device) startRead(t Tensor, from, size, room uint64) (*Pending, error) {
	p := &Pending{dev: d, t: t, size: size}
	best := -1 // the smallest that suffices
	for i, b := range d.spare {
		if n := b.GetSize(); n >= room && (best < 0 || n < d.spare[best].GetSize()) {
			best = i
		}
	}
	var err error
	if best >= 0 {
		p.staging = d.spare[best]
		d.spare = slices.Delete(d.spare, best, best+1)
	} else if p.staging, err = d.dev.NewBuffer("readback", room, wgpu.Readback); err != nil {
		return nil, fmt.Errorf("read %v: readback buffer: %w", t, err)
	}
	err = d.submit(func(enc *wgpu.Encoder) error { return enc.Copy(p.staging, 0, t.buf.raw, t.offset+from, size) })
	if err != nil {
		return nil, fmt.Errorf("read %v: %w", t, err)
	}
	p.after = d.submitted
	return p, nil
}

// Wait returns when the values have come; work submitted after StartRead may still run.
func (p *Pending) Wait() error {
	if p.dev.submitted > p.after {
		p.dev.busy++
	} else {
		p.dev.idle++
	}
	err := p.dev.waiting(func(limit time.Duration) error { return p.dev.dev.Map(p.staging, p.size, limit) })
	if err != nil {
		return fmt.Errorf("read %v: %w", p.t, err)
	}
	return nil
}

// Take copies the values to out, after Wait, and ends the read.
func (p *Pending) Take(out []float32) error {
	if len(out) != p.t.Len() {
		return fmt.Errorf("read %v: room for %d values, want %d", p.t, len(out), p.t.Len())
	}
	return p.take(BytesOf(out))
}

func (p *Pending) take(out []byte) error {
	if err := p.dev.dev.Take(p.staging, out); err != nil {
		return fmt.Errorf("read %v: %w", p.t, err)
	}
	p.dev.spare = append(p.dev.spare, p.staging)
	p.staging = nil
	return nil
}

// Flush submits uploads that wait for the next submission, so that their staging memory is freed once they are done.
func (d *Device) Flush() error {
	if d.Planned() {
		return nil
	}
	return d.submit(nil)
}
