package model

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// AdamW is the optimizer's settings, as PyTorch names them. Its state are the running means of the gradients and of
// their squares, m.NAME and v.NAME for each parameter.
type AdamW struct {
	Beta1, Beta2, Eps, WeightDecay float64
	DecayAll                       bool    // decay vectors too, not matrices only
	GradClip                       float64 // largest gradient norm; 0: no clipping
}

// Name implements OptimizerSettings.
func (AdamW) Name() string { return "adamw" }

// State implements OptimizerSettings.
func (AdamW) State(c gpt2.Config) (list []gpt2.Param) {
	for _, p := range gpt2.Table(c) {
		list = append(list, gpt2.Param{Name: "m." + p.Name, Shape: p.Shape},
			gpt2.Param{Name: "v." + p.Name, Shape: p.Shape, Squares: true})
	}
	return list
}

// adamW is AdamW on a device: norm, clip and update in one program.
type adamW struct {
	AdamW
	dev     *gpu.Device
	m, v    tensors
	scalars gpu.Tensor // (8), written before each update
	update  *gpu.Program
}

// New implements OptimizerSettings.
func (s AdamW) New(tr *Training) (Optimizer, error) {
	o := &adamW{AdamW: s, dev: tr.Model.Device}
	var err error
	if o.m, err = allocate(o.dev, gpu.Moments, "m.", tr.Model.table); err != nil {
		return nil, err
	}
	if o.v, err = allocate(o.dev, gpu.Moments, "v.", tr.Model.table); err != nil {
		return nil, err
	}
	if o.scalars, err = o.dev.NewTensor(gpu.Inputs, "adamw scalars", gpu.F32, 8); err != nil {
		return nil, err
	}
	update, err := tr.newUpdate(s.GradClip)
	if err != nil {
		return nil, err
	}
	o.update = update.Program
	matrices, vectors := tr.groups()
	addAdamW(update, tr, matrices, o.m.matrices, o.v.matrices, o.scalars, true)
	addAdamW(update, tr, vectors, o.m.vectors, o.v.vectors, o.scalars, s.DecayAll)
	return o, o.update.Build()
}

// addAdamW appends AdamW's update of a group, whose state is m and v.
func addAdamW(update *op.Builder, tr *Training, g group, m, v []gpu.Tensor, scalars gpu.Tensor, decay bool) {
	for i := range g.params {
		a := op.AdamW{P: g.params[i], G: g.grads[i], M: m[i], V: v[i], Scalars: scalars, Norm: tr.norm, Decay: decay}
		if g.packed != nil {
			a.Packed = g.packed[i]
		}
		a.AddTo(update)
	}
}

// Update implements Optimizer.
func (o *adamW) Update(step int, lr float64) error {
	s := op.AdamWScalars(lr, o.Beta1, o.Beta2, o.Eps, o.WeightDecay, step+1)
	if err := o.dev.Upload(o.scalars, s[:]); err != nil {
		return err
	}
	return o.update.Run()
}

// State implements Optimizer.
func (o *adamW) State() (list []gpu.Tensor) {
	for i := range o.m.byParam {
		list = append(list, o.m.byParam[i], o.v.byParam[i])
	}
	return list
}

// Program implements Optimizer.
func (o *adamW) Program() *gpu.Program { return o.update }
