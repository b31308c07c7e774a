package gpu

import (
	"fmt"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/wgpu"
)

// transferChunk bounds the staging memory of one transfer.
const transferChunk = 32 << 20

// Upload writes values into t. Small uploads join the next submission; large ones wait for the device.
func (d *Device) Upload(t Tensor, values []float32) error {
	if t.storage != F32 {
		return fmt.Errorf("upload %v: float32 values", t)
	}
	return d.upload(t, t.Len(), len(values), BytesOf(values))
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

// Read waits for the device and copies t's values into out.
func (d *Device) Read(t Tensor, out []float32) error {
	if t.storage != F32 {
		return fmt.Errorf("read %v: float32 values", t)
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
	if d.staging == nil {
		var err error
		if d.staging, err = d.newStaging(transferChunk); err != nil {
			return err
		}
	}
	for at := 0; at < len(out); at += transferChunk {
		end := min(at+transferChunk, len(out))
		if err := d.readChunk(t.buf.raw, t.offset+uint64(at), out[at:end]); err != nil {
			return fmt.Errorf("read %v: %w", t, err)
		}
	}
	return nil
}

func (d *Device) readChunk(src *wgpu.Buffer, offset uint64, out []byte) error {
	size := uint64(len(out))
	if err := d.stage(src, offset, d.staging, size); err != nil {
		return err
	}
	if err := d.wait(); err != nil {
		return err
	}
	if err := d.mapStaging(d.staging, size); err != nil {
		return err
	}
	return d.dev.Take(d.staging, out)
}

func (d *Device) newStaging(size uint64) (*wgpu.Buffer, error) {
	b, err := d.dev.NewBuffer("readback", size, wgpu.Readback)
	if err != nil {
		return nil, fmt.Errorf("readback buffer: %w", err)
	}
	return b, nil
}

// stage submits a copy to a staging buffer.
func (d *Device) stage(src *wgpu.Buffer, offset uint64, staging *wgpu.Buffer, size uint64) error {
	enc, err := d.dev.NewEncoder()
	if err != nil {
		return err
	}
	defer enc.Release()
	if err := enc.Copy(staging, 0, src, offset, size); err != nil {
		return err
	}
	return d.submit(enc)
}

// mapStaging waits for the copy to a staging buffer, not for what was submitted behind it, and maps it.
func (d *Device) mapStaging(b *wgpu.Buffer, size uint64) error {
	return d.waited(d.dev.Map(b, size, d.patience()))
}

// Pending is a read under way, see StartRead.
type Pending struct {
	dev     *Device
	t       Tensor
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
	size := t.Bytes()
	p := &Pending{dev: d, t: t}
	for i, b := range d.spare {
		if b.GetSize() >= size {
			p.staging = b
			d.spare = append(d.spare[:i], d.spare[i+1:]...)
			break
		}
	}
	if p.staging == nil {
		var err error
		if p.staging, err = d.newStaging(size); err != nil {
			return nil, fmt.Errorf("read %v: %w", t, err)
		}
	}
	if err := d.stage(t.buf.raw, t.offset, p.staging, size); err != nil {
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
	if err := p.dev.mapStaging(p.staging, p.t.Bytes()); err != nil {
		return fmt.Errorf("read %v: %w", p.t, err)
	}
	return nil
}

// Take copies the values to out, after Wait, and ends the read.
func (p *Pending) Take(out []float32) error {
	if len(out) != p.t.Len() {
		return fmt.Errorf("read %v: room for %d values, want %d", p.t, len(out), p.t.Len())
	}
	if err := p.dev.dev.Take(p.staging, BytesOf(out)); err != nil {
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
