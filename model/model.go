package model

import (
	"fmt"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// Model is a GPT-2's parameters on a device.
type Model struct {
	Config gpt2.Config
	Device *gpu.Device

	setup  *op.Setup // of its programs
	table  []gpt2.Param
	params tensors
	packed *packed // nil until a training that stores bf16 asks for it
}

// tensors is one value per parameter: the parameters themselves, their gradients or a moment of them.
type tensors struct {
	byParam  []gpu.Tensor // in the table's order
	matrices []gpu.Tensor // flat: the arena's buffers with the two-dimensional tensors
	vectors  []gpu.Tensor // flat: biases and layernorms
}

// layer is the twelve tensors of one block, by llm.c's short names.
type layer struct {
	ln1w, ln1b, qkvw, qkvb, attprojw, attprojb gpu.Tensor // (C) (C) (3C,C) (3C) (C,C) (C)
	ln2w, ln2b, fcw, fcb, fcprojw, fcprojb     gpu.Tensor // (C) (C) (4C,C) (4C) (C,4C) (C)
}

// Option adjusts the programs of a model.
type Option func(*op.Setup)

// WithTuning makes the programs take the tiles that measuring has chosen.
func WithTuning(t op.Tuning) Option { return func(s *op.Setup) { s.Tuning = t } }

// WithTarget makes the programs for another target than the device's own.
func WithTarget(t op.Target) Option { return func(s *op.Setup) { s.Target = t } }

// OnUse calls f with every use of a tuned op in the programs.
func OnUse(f func(op.Use)) Option { return func(s *op.Setup) { s.OnUse = f } }

// New allocates the parameters of a model; Load fills them.
func New(d *gpu.Device, c gpt2.Config, opts ...Option) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m := &Model{Config: c, Device: d, setup: op.NewSetup(d), table: gpt2.Table(c)}
	for _, f := range opts {
		f(m.setup)
	}
	var err error
	m.params, err = allocate(d, gpu.Parameters, "", m.table)
	return m, err
}

// allocate places one float32 tensor per parameter, matrices and vectors in arenas of their own.
func allocate(d *gpu.Device, role gpu.Role, prefix string, table []gpt2.Param) (tensors, error) {
	ts := tensors{byParam: make([]gpu.Tensor, len(table))}
	matrices, vectors := d.NewArena(role, prefix+"matrices"), d.NewArena(role, prefix+"vectors")
	for i, p := range table {
		arena := vectors
		if p.Matrix() {
			arena = matrices
		}
		arena.Add(&ts.byParam[i], prefix+p.Name, gpu.F32, p.Shape...)
	}
	var err error
	if ts.matrices, err = matrices.Allocate(); err != nil {
		return ts, err
	}
	ts.vectors, err = vectors.Allocate()
	return ts, err
}

// flat returns the arenas' buffers, matrices first.
func (ts tensors) flat() []gpu.Tensor {
	return append(append([]gpu.Tensor(nil), ts.matrices...), ts.vectors...)
}

// named returns the tensors of the table's entries outside the blocks.
func (m *Model) named(ts tensors, short string) gpu.Tensor {
	for i, p := range m.table {
		if p.Short == short && p.Layer < 0 {
			return ts.byParam[i]
		}
	}
	return gpu.Tensor{}
}

// layer returns block l's tensors.
func (m *Model) layer(ts tensors, l int) (out layer) {
	slots := map[string]*gpu.Tensor{
		"ln1w": &out.ln1w, "ln1b": &out.ln1b, "qkvw": &out.qkvw, "qkvb": &out.qkvb, "attprojw": &out.attprojw,
		"attprojb": &out.attprojb,
		"ln2w":     &out.ln2w, "ln2b": &out.ln2b, "fcw": &out.fcw, "fcb": &out.fcb, "fcprojw": &out.fcprojw,
		"fcprojb": &out.fcprojb,
	}
	for i, p := range m.table {
		if p.Layer == l {
			*slots[p.Short] = ts.byParam[i]
		}
	}
	return out
}

// Load uploads weights; their shape must be the model's.
func (m *Model) Load(w *gpt2.Weights) error {
	if w.Config != m.Config || len(w.Tensors) != len(m.table) {
		return fmt.Errorf("weights: %d tensors of the shape %+v, want %d of %+v", len(w.Tensors), w.Config,
			len(m.table), m.Config)
	}
	for i, t := range m.params.byParam {
		if err := m.Device.Upload(t, w.Tensors[i]); err != nil {
			return err
		}
	}
	if err := m.Device.Wait(); err != nil {
		return err
	}
	return m.repack()
}

// Weights reads the parameters back.
func (m *Model) Weights() (*gpt2.Weights, error) {
	values, err := m.download(m.params)
	return &gpt2.Weights{Config: m.Config, Tensors: values}, err
}

// Parameters returns the parameters in the table's order.
func (m *Model) Parameters() []gpu.Tensor { return m.params.byParam }

// ids are a tensor's values to be.
type ids struct {
	to     gpu.Tensor
	values []uint32
}

func (m *Model) upload(list ...ids) error {
	for _, x := range list {
		if err := m.Device.UploadU32(x.to, x.values); err != nil {
			return err
		}
	}
	return nil
}

func (m *Model) download(ts tensors) ([][]float32, error) {
	values := make([][]float32, len(ts.byParam))
	for i, t := range ts.byParam {
		values[i] = make([]float32, t.Len())
		if err := m.Device.Read(t, values[i]); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// packed is the matrices again in bf16, for the products of a training that stores bf16. Each float32 buffer has one of
// half its bytes, laid out alike: so the optimizer writes both in one pass.
type packed struct {
	operands tensors      // of every parameter: matrices in bf16, vectors the float32 ones
	refresh  *gpu.Program // packs the parameters, where others than the optimizer have changed them
}

// pack makes the model's bf16 copy, if it has none.
func (m *Model) pack() error {
	if m.packed != nil {
		return nil
	}
	d := m.Device
	refresh := m.setup.NewProgram("pack")
	c := &packed{refresh: refresh.Program}
	c.operands.byParam = append([]gpu.Tensor(nil), m.params.byParam...)
	c.operands.vectors = m.params.vectors
	for _, flat := range m.params.matrices {
		half, err := d.NewTensor(gpu.Parameters, "packed "+flat.Name(), gpu.BF16, flat.Len())
		if err != nil {
			return err
		}
		c.operands.matrices = append(c.operands.matrices, half)
		for _, w := range op.Windows(d, flat, half) {
			op.Pack{Out: half.Rows(w.Lo, w.Hi), X: flat.Rows(w.Lo, w.Hi)}.AddTo(refresh)
		}
		for i, t := range m.params.byParam {
			if t.SameBuffer(flat) {
				at := int(t.Offset() / 4)
				c.operands.byParam[i] = half.Rows(at, at+t.Len()).Reinterpret(t.Name(), gpu.BF16, t.Shape()...)
			}
		}
	}
	if err := c.refresh.Build(); err != nil {
		return err
	}
	m.packed = c
	return m.repack()
}

// repack brings the bf16 copy, if there is one, up to date.
func (m *Model) repack() error {
	if m.packed == nil || m.Device.Planned() {
		return nil
	}
	return m.packed.refresh.Run()
}

// operands returns what products read of the parameters: the parameters, or their bf16 copy.
func (m *Model) operands(s gpu.Storage) tensors {
	if s == gpu.BF16 {
		return m.packed.operands
	}
	return m.params
}
