package model

import (
	"slices"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// matricesOnly is a second optimizer: AdamW's arithmetic on the matrices, for which only it has state. It shows what
// another optimizer takes: this much, and settings.
type matricesOnly struct{}

func (matricesOnly) Name() string { return "matrices-only" }

func (matricesOnly) State(c gpt2.Config) (list []gpt2.Param) {
	for _, p := range gpt2.Table(c) {
		if p.Matrix() {
			list = append(list, gpt2.Param{Name: "mean." + p.Name, Shape: p.Shape},
				gpt2.Param{Name: "square." + p.Name, Shape: p.Shape, Squares: true})
		}
	}
	return list
}

type matricesOnlyOnDevice struct {
	dev     *gpu.Device
	state   []gpu.Tensor
	scalars gpu.Tensor
	update  *gpu.Program
}

func (matricesOnly) New(tr *Training) (Optimizer, error) {
	o := &matricesOnlyOnDevice{dev: tr.Model.Device}
	table := slices.DeleteFunc(gpt2.Table(tr.Model.Config), func(p gpt2.Param) bool { return !p.Matrix() })
	mean, err := allocate(o.dev, gpu.Moments, "mean.", table)
	if err != nil {
		return nil, err
	}
	square, err := allocate(o.dev, gpu.Moments, "square.", table)
	if err != nil {
		return nil, err
	}
	for i := range table {
		o.state = append(o.state, mean.byParam[i], square.byParam[i])
	}
	if o.scalars, err = o.dev.NewTensor(gpu.Inputs, "scalars", gpu.F32, 8); err != nil {
		return nil, err
	}
	update, err := tr.newUpdate(1)
	if err != nil {
		return nil, err
	}
	o.update = update.Program
	matrices, _ := tr.groups()
	for i, p := range matrices.params {
		op.AdamW{P: p, G: matrices.grads[i], M: mean.matrices[i], V: square.matrices[i], Scalars: o.scalars,
			Norm: tr.norm}.AddTo(update)
	}
	return o, o.update.Build()
}

func (o *matricesOnlyOnDevice) Update(step int, lr float64) error {
	s := op.AdamWScalars(lr, 0.9, 0.95, 1e-8, 0, step+1)
	if err := o.dev.Upload(o.scalars, s[:]); err != nil {
		return err
	}
	return o.update.Run()
}

func (o *matricesOnlyOnDevice) State() []gpu.Tensor   { return o.state }
func (o *matricesOnlyOnDevice) Program() *gpu.Program { return o.update }

// TestOptimizers: an optimizer's tensors are those that its settings list, and an update changes what it should.
func TestOptimizers(t *testing.T) {
	d := gputest.Device(t)
	c := gpt2.Config{NLayer: 1, NHead: 1, NEmbd: 8, BlockSize: 8, VocabSize: 16}
	adamW := AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8}
	for _, s := range []OptimizerSettings{adamW, matricesOnly{},
		Muon{AdamW: adamW, PeakLR: 1e-2, Rate: 0.02, Momentum: 0.95}} {
		m, err := New(d, c)
		if err != nil {
			t.Fatal(err)
		}
		before := gpt2.Init(c, 1)
		if err := m.Load(before); err != nil {
			t.Fatal(err)
		}
		tr, err := NewTraining(m, 1, 8, 1)
		if err != nil {
			t.Fatal(err)
		}
		o, err := s.New(tr)
		if err != nil {
			t.Fatal(err)
		}
		list, tensors := s.State(c), o.State()
		if len(list) != len(tensors) {
			t.Fatalf("%s: %d tensors, the settings list %d", s.Name(), len(tensors), len(list))
		}
		for i, x := range list {
			if tensors[i].Len() != x.Size() {
				t.Errorf("%s: %s has %d values, the settings list %d", s.Name(), x.Name, tensors[i].Len(), x.Size())
			}
		}
		ids := []uint32{1, 2, 3, 4, 5, 6, 7, 8}
		if err := tr.Begin(); err != nil {
			t.Fatal(err)
		}
		if err := tr.Micro(ids, ids); err != nil {
			t.Fatal(err)
		}
		if err := o.Update(0, 1e-2); err != nil {
			t.Fatal(err)
		}
		after, err := m.Weights()
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range gpt2.Table(c) {
			changed := !slices.Equal(before.Tensors[i], after.Tensors[i])
			if want := p.Matrix() || s.Name() != "matrices-only"; changed != want {
				t.Errorf("%s: %s has changed: %v, want %v", s.Name(), p.Name, changed, want)
			}
		}
	}
}
