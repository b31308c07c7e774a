package gpu

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/wgpu"
)

// Storage is how a tensor's values lie in memory.
type Storage int

// The storages. BF16 packs two values into a 32-bit word, the even one low.
const (
	F32 Storage = iota
	U32
	BF16
)

func (s Storage) String() string { return [...]string{"f32", "u32", "bf16"}[s] }

// bytesFor returns the bytes of n values, in whole 32-bit words.
func (s Storage) bytesFor(n int) uint64 {
	if s == BF16 {
		return uint64(n+1) / 2 * 4
	}
	return uint64(n) * 4
}

// Tensor is a shaped window of device memory, row-major. The zero Tensor is none.
type Tensor struct {
	name    string
	buf     *buffer
	offset  uint64 // bytes from the buffer's start
	shape   []int
	storage Storage
	slack   uint64 // bytes bound behind the values, see Overbind
}

// buffer is one allocation. In a plan raw is nil.
type buffer struct {
	raw     *wgpu.Buffer
	role    Role
	size    uint64
	uniform bool // see NewUniform
}

// maxUniform is what one uniform binding holds on every device, in bytes.
const maxUniform = 64 << 10

func (d *Device) newBuffer(role Role, name string, size uint64, uniform bool) (*buffer, error) {
	size = (size + 255) &^ 255
	if size > d.Limits.MaxBufferSize {
		return nil, fmt.Errorf("%s: %s in one buffer, the device allows %s; hint: a smaller --batch-size or "+
			"--seq-len, or --dtype bf16", name, HumanBytes(size), HumanBytes(d.Limits.MaxBufferSize))
	}
	b := &buffer{role: role, size: size, uniform: uniform}
	if !d.Planned() {
		usage := wgpu.Tensors
		if uniform {
			usage |= wgpu.Uniforms
		}
		raw, err := d.dev.NewBuffer(name, size, usage)
		if errors.Is(err, wgpu.ErrLost) {
			return nil, deviceError(fmt.Errorf("%v: %s: %w; hint: resume from the last checkpoint", d.Info, name, err))
		} else if err != nil {
			return nil, fmt.Errorf("%s: no memory for %s after %s; hint: a smaller --batch-size, --dtype bf16 or "+
				"--recompute block; --dry-run shows the plan: %w", name, HumanBytes(size), HumanBytes(d.TotalBytes()),
				err)
		}
		b.raw = raw
	}
	d.buffers[b] = true
	d.bytes[role] += size
	return b, nil
}

// NewTensor allocates a tensor of its own. Contents start as zeros.
func (d *Device) NewTensor(role Role, name string, storage Storage, shape ...int) (Tensor, error) {
	return d.newTensor(role, name, storage, false, shape)
}

// NewUniform allocates a tensor whose windows of up to 64 KiB kernels may read as uniforms too.
func (d *Device) NewUniform(role Role, name string, storage Storage, shape ...int) (Tensor, error) {
	return d.newTensor(role, name, storage, true, shape)
}

func (d *Device) newTensor(role Role, name string, storage Storage, uniform bool, shape []int) (Tensor, error) {
	t := Tensor{name: name, shape: shape, storage: storage}
	for _, n := range shape {
		if n <= 0 {
			return Tensor{}, fmt.Errorf("%s: shape %v: every dimension must be positive", name, shape)
		}
	}
	var err error
	t.buf, err = d.newBuffer(role, name, t.Bytes(), uniform)
	return t, err
}

// Free releases the memory of tensors that own their buffer, once. Everything submitted must have ended (Wait).
func (d *Device) Free(tensors ...Tensor) {
	for _, t := range tensors {
		if !d.buffers[t.buf] {
			continue
		}
		delete(d.buffers, t.buf)
		d.bytes[t.buf.role] -= t.buf.size
		if t.buf.raw != nil {
			t.buf.raw.Release()
		}
	}
}

// Arena places tensors of one role one after another in as few buffers as the device's limits allow.
type Arena struct {
	dev     *Device
	role    Role
	name    string
	pending []*Tensor
}

// NewArena returns an empty arena; Add declares tensors, Allocate makes them.
func (d *Device) NewArena(role Role, name string) *Arena {
	return &Arena{dev: d, role: role, name: name}
}

// Add declares a tensor that Allocate will place into *t.
func (a *Arena) Add(t *Tensor, name string, storage Storage, shape ...int) {
	*t = Tensor{name: name, shape: shape, storage: storage}
	a.pending = append(a.pending, t)
}

// arenaBuffer bounds one buffer of an arena, in bytes: large ones fail on drivers that promise more than they hold in
// one piece. Chromium 156 gives 512 MiB in one, and of a promised GiB no more than that.
func (d *Device) arenaBuffer() uint64 {
	if d.Info.Backend == "webgpu" {
		return 512 << 20
	}
	return 1 << 30
}

// Allocate places the declared tensors in order and returns the arena as flat tensors, one a buffer, whose values are
// the declared tensors with zeros between them.
func (a *Arena) Allocate() ([]Tensor, error) {
	limit := min(a.dev.arenaBuffer(), a.dev.Limits.MaxBufferSize)
	var flats []Tensor
	for at := 0; at < len(a.pending); {
		var size uint64
		end := at
		storage := a.pending[at].storage
		// counted in values, so that a bf16 copy laid out alike is aligned as well
		align := storage.bytesFor(int(a.dev.Limits.OffsetAlignment / 2))
		for ; end < len(a.pending); end++ {
			t := a.pending[end]
			n := (t.Bytes() + align - 1) / align * align
			if end > at && (size+n > limit || t.storage != storage) {
				break
			}
			t.offset = size
			size += n
		}
		name := fmt.Sprintf("%s[%d]", a.name, len(flats))
		b, err := a.dev.newBuffer(a.role, name, size, false)
		if err != nil {
			return nil, err
		}
		for ; at < end; at++ {
			a.pending[at].buf = b
		}
		n := int(size / 4)
		if storage == BF16 {
			n *= 2
		}
		flats = append(flats, Tensor{name: name, buf: b, shape: []int{n}, storage: storage})
	}
	return flats, nil
}

// Name returns the tensor's name.
func (t Tensor) Name() string { return t.name }

// None says whether t is the zero Tensor.
func (t Tensor) None() bool { return t.buf == nil && t.shape == nil }

// Storage returns how values lie in memory.
func (t Tensor) Storage() Storage { return t.storage }

// Shape returns the dimensions.
func (t Tensor) Shape() []int { return t.shape }

// Dim returns dimension i, 0 if there is none.
func (t Tensor) Dim(i int) int {
	if i < len(t.shape) {
		return t.shape[i]
	}
	return 0
}

// Len returns the number of values.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.shape {
		n *= d
	}
	return n
}

// Bytes returns the bytes of the values.
func (t Tensor) Bytes() uint64 { return t.storage.bytesFor(t.Len()) }

// Offset returns the byte offset in the tensor's buffer.
func (t Tensor) Offset() uint64 { return t.offset }

// SameBuffer says whether two tensors lie in one buffer.
func (t Tensor) SameBuffer(o Tensor) bool { return t.buf == o.buf }

// Rows returns the window [lo,hi) of the first dimension. Its start must fall on the device's offset alignment when it
// is bound, which 64 rows of a multiple of 4 values always do.
func (t Tensor) Rows(lo, hi int) Tensor {
	row := 1
	for _, d := range t.shape[1:] {
		row *= d
	}
	w := t
	w.offset += t.storage.bytesFor(lo * row)
	w.shape = append([]int{hi - lo}, t.shape[1:]...)
	return w
}

// View returns the same values under another shape of the same length.
func (t Tensor) View(shape ...int) Tensor {
	v := t
	v.shape = shape
	if v.Len() != t.Len() {
		v.shape = append([]int{-1}, shape...) // caught by Program.Add, which knows where
	}
	return v
}

// Reinterpret returns the same memory from t's start on under another name, storage and shape.
func (t Tensor) Reinterpret(name string, storage Storage, shape ...int) Tensor {
	t.name, t.storage, t.shape = name, storage, shape
	return t
}

// Overbind returns t with words more 32-bit words behind its values bound with it, so that a kernel which writes past
// the end hits them: for tests with guard words.
func (t Tensor) Overbind(words int) Tensor {
	t.slack = uint64(words) * 4
	return t
}

func (t Tensor) String() string {
	dims := make([]string, len(t.shape))
	for i, d := range t.shape {
		dims[i] = fmt.Sprint(d)
	}
	return fmt.Sprintf("%s (%s) %v", t.name, strings.Join(dims, ","), t.storage)
}
