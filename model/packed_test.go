package model

import (
	"math"
	"slices"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestPacked: the bf16 copy is the matrices rounded, after the weights are loaded, before a training is made and behind
// it, and after each update, and its losses are near those of float32.
func TestPacked(t *testing.T) {
	d := gputest.Device(t)
	c := gpt2.Config{NLayer: 2, NHead: 3, NEmbd: 36, BlockSize: 24, VocabSize: 67} // wte and wpe end off the alignment
	m, err := New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Load(gpt2.Init(c, 1)); err != nil {
		t.Fatal(err)
	}
	tr, err := NewTraining(m, 2, 24, 1, Storing(gpu.BF16))
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		w, err := m.Weights()
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range gpt2.Table(c) {
			x := m.packed.operands.byParam[i]
			if !p.Matrix() {
				if x.Storage() != gpu.F32 || !x.SameBuffer(m.params.byParam[i]) {
					t.Fatalf("%s: %v is not the parameter itself", when, x)
				}
				continue
			}
			words := make([]uint32, x.Bytes()/4)
			if err := d.ReadU32(x, words); err != nil {
				t.Fatal(err)
			}
			if want := gpu.PackBF16(w.Tensors[i]); !slices.Equal(words, want) {
				t.Fatalf("%s: %s is not what its parameter packs to", when, p.Name)
			}
		}
	}
	check("a training made after the weights")
	if err := m.Load(gpt2.Init(c, 2)); err != nil {
		t.Fatal(err)
	}
	check("weights loaded after a training")

	x, y := gputest.Tokens(1, 48, 67), gputest.Tokens(2, 48, 67)
	own, err := tr.Evaluator(49)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := m.NewEvaluator(48)
	if err != nil {
		t.Fatal(err)
	}
	var losses [3][]float32
	for i, e := range []*Evaluator{tr.eval, own, plain} {
		losses[i] = make([]float32, 48)
		if err := e.Losses(2, 24, x, y, losses[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i := range x {
		shared, own, plain := losses[0][i], losses[1][i], losses[2][i]
		// logits of initial weights are below 1, and a dozen roundings of 2^-8 are before them
		if shared != own || !(math.Abs(float64(shared-plain)) < 0.02) || shared == plain {
			t.Fatalf("loss %d: %v in the training's memory, %v in another's, %v in float32", i, shared, own, plain)
		}
	}

	o, err := AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1}.New(tr)
	if err != nil {
		t.Fatal(err)
	}
	before, err := m.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for step := range 2 {
		if err := tr.Begin(); err != nil {
			t.Fatal(err)
		}
		if err := tr.Micro(x, y); err != nil {
			t.Fatal(err)
		}
		if err := o.Update(step, 1e-2); err != nil {
			t.Fatal(err)
		}
		check("an update")
	}
	after, err := m.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range gpt2.Table(c) {
		if before.Tensors[i][0] == after.Tensors[i][0] {
			t.Errorf("%s did not move", p.Name)
		}
	}
}

// TestPackedMemory: of a block's 16 N*C values 14 are halved, the stream's 2 are not; and the matrices are there once
// more.
func TestPackedMemory(t *testing.T) {
	const B, T, C, L, NH = 2, 64, 64, 3, 2
	c := gpt2.Config{NLayer: L, NHead: NH, NEmbd: C, BlockSize: T, VocabSize: 256}
	plain, _, _ := planTraining(t, "cpu", c, B, T)
	half, tr, _ := planTraining(t, "cpu", c, B, T, Storing(gpu.BF16))
	const nc = B * T * C
	// and lnf
	if got, want := plain.Bytes(gpu.Activations)-half.Bytes(gpu.Activations), uint64(L*14*nc*2+nc*2); got != want {
		t.Errorf("bf16 saves %d bytes of activations, want %d", got, want)
	}
	var matrices uint64
	for _, f := range tr.Model.params.matrices {
		matrices += f.Bytes() / 2
	}
	if got := half.Bytes(gpu.Parameters) - plain.Bytes(gpu.Parameters); got != matrices {
		t.Errorf("the packed copy takes %d bytes, want %d", got, matrices)
	}
	for _, role := range []gpu.Role{gpu.Gradients, gpu.Moments, gpu.Inputs} {
		if half.Bytes(role) != plain.Bytes(role) {
			t.Errorf("%s: %d bytes, %d in float32", role, half.Bytes(role), plain.Bytes(role))
		}
	}
}

// TestPackedWindows builds a block of GPT-2 1558M, whose tied matrix fills two bindings of 128 MiB even in bf16: the
// classifier adds up its gradient in float32.
func TestPackedWindows(t *testing.T) {
	limits := gpu.DefaultLimits()
	limits.MaxBufferSize = 1 << 30
	m, err := New(gpu.Plan(gpu.AdapterInfo{Name: "plan", Type: "cpu", Limits: limits}),
		gpt2.Config{NLayer: 1, NHead: 25, NEmbd: 1600, BlockSize: 1024, VocabSize: 50304})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := NewTraining(m, 1, 64, 1, Storing(gpu.BF16))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8}).New(tr); err != nil {
		t.Fatal(err)
	}
}
