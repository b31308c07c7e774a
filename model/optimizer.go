package model

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

// AdamW is the optimizer's settings, as PyTorch names them.
type AdamW struct {
	Beta1, Beta2, Eps, WeightDecay float64
	DecayAll                       bool    // decay vectors too, not matrices alone
	GradClip                       float64 // largest gradient norm; 0: no clipping
}

// Optimizer updates a Training's parameters, and their bf16 copy: norm, clip and AdamW, all on the device.
type Optimizer struct {
	tr       *Training
	settings AdamW
	m, v     tensors
	scalars  gpu.Tensor // (8), written before each update
	update   *gpu.Program
}

// NewOptimizer allocates the moments, as zeros, and builds the update.
func NewOptimizer(tr *Training, s AdamW) (*Optimizer, error) {
	mdl, d := tr.Model, tr.Model.Device
	o := &Optimizer{tr: tr, settings: s}
	var err error
	if o.m, err = allocate(d, gpu.Moments, "m.", mdl.table); err != nil {
		return nil, err
	}
	if o.v, err = allocate(d, gpu.Moments, "v.", mdl.table); err != nil {
		return nil, err
	}
	grads := tr.grads.flat()
	mk := &maker{dev: d}
	o.scalars = mk.tensor(gpu.Inputs, "adamw scalars", gpu.F32, 8)
	partials := mk.tensor(gpu.Scratch, "norm partials", gpu.F32, op.GradientNormPartials(d, grads))
	if mk.err != nil {
		return nil, mk.err
	}
	update := mdl.setup.NewProgram("update")
	o.update = update.Program
	op.GradientNorm{Out: tr.norm, Grads: grads, Partials: partials, MaxNorm: float32(s.GradClip)}.AddTo(update)
	add := func(p, g, m, v, packed []gpu.Tensor, decay bool) {
		for i := range p {
			a := op.AdamW{P: p[i], G: g[i], M: m[i], V: v[i], Scalars: o.scalars, Norm: tr.norm, Decay: decay}
			if packed != nil {
				a.Packed = packed[i]
			}
			a.AddTo(update)
		}
	}
	var packed []gpu.Tensor
	if mdl.packed != nil {
		packed = mdl.packed.operands.matrices
	}
	add(mdl.params.matrices, tr.grads.matrices, o.m.matrices, o.v.matrices, packed, true)
	add(mdl.params.vectors, tr.grads.vectors, o.m.vectors, o.v.vectors, nil, s.DecayAll)
	return o, o.update.Build()
}

// Update applies the gradients; step counts from 0. A norm that is not finite leaves parameters and moments as they are.
func (o *Optimizer) Update(step int, lr float64) error {
	s := op.AdamWScalars(lr, o.settings.Beta1, o.settings.Beta2, o.settings.Eps, o.settings.WeightDecay, step+1)
	if err := o.tr.Model.Device.Upload(o.scalars, s[:]); err != nil {
		return err
	}
	return o.update.Run()
}

// Moments reads m and v back, each in the table's order.
func (o *Optimizer) Moments() (m, v [][]float32, err error) {
	if m, err = o.tr.Model.download(o.m); err != nil {
		return nil, nil, err
	}
	v, err = o.tr.Model.download(o.v)
	return m, v, err
}

// LoadMoments uploads m and v, each in the table's order.
func (o *Optimizer) LoadMoments(m, v [][]float32) error {
	if err := o.tr.Model.upload(o.m, m); err != nil {
		return err
	}
	return o.tr.Model.upload(o.v, v)
}

// Program returns the update, for listings and profiles.
func (o *Optimizer) Program() *gpu.Program { return o.update }
