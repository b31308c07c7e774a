package model

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

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
