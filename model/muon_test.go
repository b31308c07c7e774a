package model

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestMuonStep: a step leaves gradients as they are, moves embeddings and vectors exactly as AdamW does, and begins the
// momentum of the blocks' matrices with the clipped gradients. A step whose gradients are not finite changes nothing.
// (The matrices themselves are compared with float64 in gpu/op and with PyTorch in train.)
func TestMuonStep(t *testing.T) { gputest.Storages(t, muonStep) }

func muonStep(t *testing.T, s gpu.Storage) {
	c := gpt2.Config{NLayer: 2, NHead: 2, NEmbd: 16, BlockSize: 8, VocabSize: 40}
	adamW := AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, GradClip: 0.01}
	check := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	ids := make([]uint32, 16)
	for i := range ids {
		ids[i] = uint32(i * 7 % 40)
	}
	// step takes a step, and returns how it left the model and the state.
	step := func(settings OptimizerSettings, bad bool) (tr *Training, gradients [][]float32, left [][]float32) {
		m, err := New(gputest.Device(t), c)
		check(err)
		tr, err = NewTraining(m, 2, 8, 1, Storing(s))
		check(err)
		o, err := settings.New(tr)
		check(err, m.Load(gpt2.Init(c, 1)), tr.Begin(), tr.Micro(ids, ids))
		before, err := tr.Gradients()
		check(err, o.Update(0, 1e-3))
		gradients, err = tr.Gradients()
		check(err)
		if !reflect.DeepEqual(gradients, before) {
			t.Errorf("%s has changed gradients", settings.Name())
		}
		if bad {
			nan := slices.Repeat([]float32{float32(math.NaN())}, 16)
			check(m.Device.Upload(tr.grads.byParam[4].Rows(0, 1).View(16), nan), o.Update(1, 1e-3))
		}
		w, err := m.Weights()
		check(err)
		left = w.Tensors
		for _, x := range o.State() {
			values := make([]float32, x.Len())
			check(m.Device.Read(x, values))
			left = append(left, values)
		}
		return tr, gradients, left
	}
	muon := Muon{AdamW: adamW, PeakLR: 2e-3, Rate: 0.02, Momentum: 0.95, RateDecay: 0.1}
	_, _, byAdamW := step(adamW, false)
	tr, gradients, byMuon := step(muon, false)
	stats, err := tr.Stats()
	check(err)
	scale := adamW.GradClip / (stats.GradNorm + 1e-6)
	if scale >= 1 {
		t.Fatalf("the norm %v is not clipped", stats.GradNorm)
	}
	table, state := gpt2.Table(c), muon.State(c)
	for i, p := range table {
		if same := slices.Equal(byMuon[i], byAdamW[i]); same == hidden(p) {
			t.Errorf("%s is as AdamW leaves it: %v", p.Name, same)
		}
		if !hidden(p) {
			continue
		}
		at := slices.IndexFunc(state, func(x gpt2.Param) bool { return x.Name == "m."+p.Name })
		for j, m := range byMuon[len(table)+at] {
			if want := scale * float64(gradients[i][j]); math.Abs(float64(m)-want) > 1e-6*math.Abs(want) {
				t.Fatalf("%s: momentum %v, want %v", p.Name, m, want)
			}
		}
	}
	if _, _, after := step(muon, true); !reflect.DeepEqual(after, byMuon) {
		t.Error("a step that is not finite has changed something")
	}
}
