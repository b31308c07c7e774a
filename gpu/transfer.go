package gpu

import (
	"fmt"
	"math"
	"runtime/debug"
	"unsafe"

	"github.com/cogentcore/webgpu/wgpu"
)

// transferChunk bounds the staging memory of one transfer.
const transferChunk = 32 << 20

// Upload writes values into t. Small uploads join the next submission; large ones wait for the device.
func (d *Device) Upload(t Tensor, values []float32) error {
	if t.storage != F32 {
		return fmt.Errorf("upload %v: float32 values", t)
	}
	return d.upload(t, t.Len(), len(values), bytesOf(values))
}

// UploadU32 writes words into t, of storage U32 or BF16 (packed).
func (d *Device) UploadU32(t Tensor, words []uint32) error {
	if t.storage == F32 {
		return fmt.Errorf("upload %v: uint32 words", t)
	}
	return d.upload(t, int(t.Bytes()/4), len(words), bytesOf(words))
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
		if err := d.queue.WriteBuffer(t.buf.raw, t.offset+uint64(at), raw[at:end]); err != nil {
			return fmt.Errorf("upload %v: %w", t, err)
		}
		if len(raw) > transferChunk { // each write allocates staging memory that only a finished submission frees
			d.queue.Submit()
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
	return d.read(t, t.Len(), len(out), bytesOf(out))
}

// ReadU32 waits for the device and copies t's 32-bit words, of any storage, into out.
func (d *Device) ReadU32(t Tensor, out []uint32) error {
	return d.read(t, int(t.Bytes()/4), len(out), bytesOf(out))
}

func (d *Device) read(t Tensor, want, got int, out []byte) error {
	if got != want {
		return fmt.Errorf("read %v: room for %d values, want %d", t, got, want)
	}
	if d.Planned() {
		return fmt.Errorf("read %v: the device is a plan", t)
	}
	if d.staging == nil {
		b, err := d.dev.CreateBuffer(&wgpu.BufferDescriptor{Label: "readback", Size: transferChunk, Usage: wgpu.BufferUsageMapRead | wgpu.BufferUsageCopyDst})
		if err != nil {
			return fmt.Errorf("readback buffer: %w", err)
		}
		d.staging = b
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
	enc, err := d.dev.CreateCommandEncoder(nil)
	if err != nil {
		return err
	}
	defer enc.Release()
	size := uint64(len(out))
	if err := enc.CopyBufferToBuffer(src, offset, d.staging, 0, size); err != nil {
		return err
	}
	cmd, err := enc.Finish(nil)
	if err != nil {
		return err
	}
	d.queue.Submit(cmd)
	cmd.Release()
	if err := d.wait(); err != nil {
		return err
	}
	status, called := wgpu.BufferMapAsyncStatusUnknown, false
	// MapAsync keeps a pointer that only the collector's rest protects: drained first, then stop it, map, poll, restore.
	old := debug.SetGCPercent(-1)
	memory := debug.SetMemoryLimit(math.MaxInt64)
	err = d.staging.MapAsync(wgpu.MapModeRead, 0, size, func(s wgpu.BufferMapAsyncStatus) { status, called = s, true })
	if err == nil {
		for i := 0; !called && i < 1_000_000; i++ {
			d.dev.Poll(false, nil)
		}
	}
	debug.SetMemoryLimit(memory)
	debug.SetGCPercent(old)
	if err != nil {
		return err
	}
	if !called || status != wgpu.BufferMapAsyncStatusSuccess {
		return fmt.Errorf("mapping failed: %v", status)
	}
	copy(out, d.staging.GetMappedRange(0, uint(size)))
	return d.staging.Unmap()
}

func bytesOf[E float32 | uint32](s []E) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*4)
}
