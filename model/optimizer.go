package model

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// OptimizerSettings are an optimizer before it has memory, such as AdamW and Muon. Another takes a file like theirs and
// its settings.
type OptimizerSettings interface {
	// Name is what state.json calls the optimizer.
	Name() string
	// State lists what the optimizer keeps for a model of that shape beside the parameters, such as m.wte.weight, in
	// the order of a checkpoint's file. Only Name, Shape and Squares count.
	State(c gpt2.Config) []gpt2.Param
	// New allocates the state, as zeros, and builds the update of tr's parameters.
	New(tr *Training) (Optimizer, error)
}

// Optimizer updates a Training's parameters, and their bf16 copy, on the device.
type Optimizer interface {
	// Update applies the gradients; step counts from 0. A norm that is not finite leaves parameters and state as they
	// are.
	Update(step int, lr float64) error
	// State returns the tensors that the settings' State lists, in its order.
	State() []gpu.Tensor
	// Program is the update, for listings and profiles.
	Program() *gpu.Program
}

// group is parameters that an optimizer updates alike: their buffers, flat, those of their gradients, and their copies
// in bf16.
type group struct {
	params, grads []gpu.Tensor
	packed        []gpu.Tensor // nil: none
}

// groups returns the matrices and the vectors.
func (tr *Training) groups() (matrices, vectors group) {
	m := tr.Model
	matrices = group{params: m.params.matrices, grads: tr.grads.matrices}
	if m.packed != nil {
		matrices.packed = m.packed.operands.matrices
	}
	return matrices, group{params: m.params.vectors, grads: tr.grads.vectors}
}

// newUpdate begins the program of an update with the norm of all gradients, which tr.norm then holds, clipped at clip
// (0: never).
func (tr *Training) newUpdate(clip float64) (*op.Builder, error) {
	d, grads := tr.Model.Device, tr.grads.flat()
	partials, err := d.NewTensor(gpu.Scratch, "norm partials", gpu.F32, op.GradientNormPartials(d, grads))
	if err != nil {
		return nil, err
	}
	update := tr.Model.setup.NewProgram("update")
	op.GradientNorm{Out: tr.norm, Grads: grads, Partials: partials, MaxNorm: float32(clip)}.AddTo(update)
	return update, nil
}
