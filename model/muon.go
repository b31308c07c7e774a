package model

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// Muon is the optimizer Muon on the blocks' matrices, and AdamW on embeddings, biases and layernorms. Its state is the
// momentum m.NAME of each matrix of a block, and AdamW's m.NAME and v.NAME of each other parameter.
type Muon struct {
	AdamW             // of the other parameters; GradClip is of all gradients
	PeakLR    float64 // the schedule's highest rate: Update's rate by it is the part of Rate that a step takes
	Rate      float64 // at the peak
	Momentum  float64
	RateDecay float64 // decoupled decay of the blocks' matrices, as a factor of their rate
}

// Name implements OptimizerSettings.
func (Muon) Name() string { return "muon" }

// hidden says whether Muon updates a parameter: a matrix of a block.
func hidden(p gpt2.Param) bool { return p.Layer >= 0 && p.Matrix() }

// State implements OptimizerSettings.
func (Muon) State(c gpt2.Config) (list []gpt2.Param) {
	for _, p := range gpt2.Table(c) {
		list = append(list, gpt2.Param{Name: "m." + p.Name, Shape: p.Shape})
		if !hidden(p) {
			list = append(list, gpt2.Param{Name: "v." + p.Name, Shape: p.Shape, Squares: true})
		}
	}
	return list
}

// muon is Muon on a device: norm, clip and both updates in one program.
type muon struct {
	Muon
	dev           *gpu.Device
	m, v          []gpu.Tensor // in the table's order; a block's matrix has no v
	adamW, others gpu.Tensor   // (8) and (4): the scalars of AdamW and Muon, written before each update
	update        *gpu.Program
}

// New implements OptimizerSettings.
func (s Muon) New(tr *Training) (Optimizer, error) {
	o := &muon{Muon: s, dev: tr.Model.Device}
	vectors, err := o.allocate(tr.Model.table)
	if err != nil {
		return nil, err
	}
	update, err := tr.newUpdate(s.GradClip)
	if err != nil {
		return nil, err
	}
	o.update = update.Program
	o.addEmbeddings(update, tr)
	_, plain := tr.groups()
	addAdamW(update, tr, plain, vectors[0], vectors[1], o.adamW, s.DecayAll)
	if err := o.addBlocks(update, tr); err != nil {
		return nil, err
	}
	return o, o.update.Build()
}

// allocate makes the state and returns what of it belongs to the vectors: flat, m and v.
func (o *muon) allocate(table []gpt2.Param) (vectors [2][]gpu.Tensor, err error) {
	var of [2][]gpt2.Param // AdamW's parameters, and Muon's
	for _, p := range table {
		if hidden(p) {
			of[1] = append(of[1], p)
		} else {
			of[0] = append(of[0], p)
		}
	}
	var m, v, momentum tensors
	for _, x := range []struct {
		to     *tensors
		prefix string
		of     []gpt2.Param
	}{{&m, "m.", of[0]}, {&v, "v.", of[0]}, {&momentum, "m.", of[1]}} {
		if *x.to, err = allocate(o.dev, gpu.Moments, x.prefix, x.of); err != nil {
			return vectors, err
		}
	}
	for _, p := range table {
		if hidden(p) {
			o.m, o.v = append(o.m, momentum.byParam[0]), append(o.v, gpu.Tensor{})
			momentum.byParam = momentum.byParam[1:]
			continue
		}
		o.m, o.v = append(o.m, m.byParam[0]), append(o.v, v.byParam[0])
		m.byParam, v.byParam = m.byParam[1:], v.byParam[1:]
	}
	if o.adamW, err = o.dev.NewTensor(gpu.Inputs, "adamw scalars", gpu.F32, 8); err != nil {
		return vectors, err
	}
	o.others, err = o.dev.NewTensor(gpu.Inputs, "muon scalars", gpu.F32, 4)
	return [2][]gpu.Tensor{m.vectors, v.vectors}, err
}

// addEmbeddings appends AdamW's update of the matrices outside of the blocks.
func (o *muon) addEmbeddings(update *op.Builder, tr *Training) {
	for i, p := range tr.Model.table {
		if hidden(p) || !p.Matrix() {
			continue
		}
		one := group{params: []gpu.Tensor{flat(tr.Model.params.byParam[i])},
			grads: []gpu.Tensor{flat(tr.grads.byParam[i])}}
		if packed := tr.Model.packed; packed != nil {
			one.packed = []gpu.Tensor{flat(packed.operands.byParam[i])}
		}
		addAdamW(update, tr, one, []gpu.Tensor{flat(o.m[i])}, []gpu.Tensor{flat(o.v[i])}, o.adamW, true)
	}
}

// addBlocks appends Muon's update of the blocks' matrices. Those of equal shape share dispatches, and all shapes share
// scratch.
func (o *muon) addBlocks(update *op.Builder, tr *Training) error {
	var shapes [][2]int
	parts := map[[2]int][]op.MuonPart{}
	for i, p := range tr.Model.table {
		if !hidden(p) {
			continue
		}
		part := op.MuonPart{W: tr.Model.params.byParam[i], M: o.m[i], G: tr.grads.byParam[i]}
		if packed := tr.Model.packed; packed != nil {
			part.Packed = packed.operands.byParam[i]
		}
		shape := [2]int{p.Shape[0], p.Shape[1]}
		if p.Short == "qkvw" { // the projections to queries, keys and values are three matrices
			shape[0] /= 3
		}
		if parts[shape] == nil {
			shapes = append(shapes, shape)
		}
		for ; part.First < p.Shape[0]; part.First += shape[0] {
			parts[shape] = append(parts[shape], part)
		}
	}
	values, most := 0, 0
	for _, s := range shapes {
		most = max(most, len(parts[s]))
		values = max(values, update.MuonScratchLen(len(parts[s]), s[0], s[1]))
	}
	mk := &maker{dev: o.dev}
	scratch := op.MuonScratch{X: mk.tensor(gpu.Scratch, "muon x", gpu.F32, values),
		Y: mk.tensor(gpu.Scratch, "muon y", gpu.F32, values), Z: mk.tensor(gpu.Scratch, "muon z", gpu.F32, values),
		Scale: mk.tensor(gpu.Scratch, "muon scale", gpu.F32, most)}
	for _, s := range shapes {
		op.Muon{Parts: parts[s], Rows: s[0], Cols: s[1], Scratch: scratch, Scalars: o.others, Norm: tr.norm,
			Mu: float32(o.Momentum)}.AddTo(update)
	}
	return mk.err
}

// flat returns a tensor as one row of values.
func flat(t gpu.Tensor) gpu.Tensor { return t.View(t.Len()) }

// Update implements Optimizer.
func (o *muon) Update(step int, lr float64) error {
	s := op.AdamWScalars(lr, o.Beta1, o.Beta2, o.Eps, o.WeightDecay, step+1)
	if err := o.dev.Upload(o.adamW, s[:]); err != nil {
		return err
	}
	m := op.MuonScalars(o.Rate*lr/o.PeakLR, o.RateDecay)
	if err := o.dev.Upload(o.others, m[:]); err != nil {
		return err
	}
	return o.update.Run()
}

// State implements Optimizer.
func (o *muon) State() (list []gpu.Tensor) {
	for i, m := range o.m {
		if list = append(list, m); !o.v[i].None() {
			list = append(list, o.v[i])
		}
	}
	return list
}

// Program implements Optimizer.
func (o *muon) Program() *gpu.Program { return o.update }
