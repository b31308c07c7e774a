package model

import (
	"math"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestEvaluator computes the same losses in several shapes of batch: causal attention and rows of their own make a loss
// a function only of its sequence's beginning.
func TestEvaluator(t *testing.T) {
	d := gputest.Device(t)
	c := gpt2.Config{NLayer: 2, NHead: 2, NEmbd: 16, BlockSize: 24, VocabSize: 67}
	m, err := New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Load(gpt2.Init(c, 1)); err != nil {
		t.Fatal(err)
	}
	e, err := m.NewEvaluator(50)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := NewTraining(m, 2, 24, 1)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := tr.Evaluator(48)
	if err != nil || shared != tr.eval {
		t.Fatalf("the training's memory is not used: %v", err)
	}
	ids := make([]uint32, 49)
	for i := range ids {
		ids[i] = uint32(i*i+3*i) % 67
	}
	x, y := ids[:48], ids[1:]
	want := make([]float32, 48)
	if err := e.Losses(2, 24, x, y, want); err != nil {
		t.Fatal(err)
	}
	mean := 0.0
	for _, l := range want {
		mean += float64(l) / 48
	}
	if math.Abs(mean-math.Log(67)) > 0.2 {
		t.Errorf("mean loss of initial weights %v, ln 67 is %v", mean, math.Log(67))
	}
	near := func(what string, got, want []float32) {
		t.Helper()
		for i := range got {
			if !(math.Abs(float64(got[i]-want[i])) < 1e-5) {
				t.Fatalf("%s: loss %d is %v, want %v", what, i, got[i], want[i])
			}
		}
	}
	got := make([]float32, 48)
	if err := shared.Losses(2, 24, x, y, got); err != nil {
		t.Fatal(err)
	}
	near("in a training's memory", got, want)
	for _, n := range []int{1, 7, 24} { // the first tokens of both sequences
		x2, y2 := append(append([]uint32(nil), x[:n]...), x[24:24+n]...), append(append([]uint32(nil), y[:n]...),
			y[24:24+n]...)
		got := make([]float32, 2*n)
		if err := e.Losses(2, n, x2, y2, got); err != nil {
			t.Fatal(err)
		}
		near("prefixes", got, append(append([]float32(nil), want[:n]...), want[24:24+n]...))
	}
	loss, err := tr.EvalLoss(1, func(a, b []uint32) error { copy(a, x); copy(b, y); return nil })
	if err != nil || math.Abs(loss-mean) > 1e-6 {
		t.Errorf("mean loss %v, %v, want %v", loss, err, mean)
	}
	for _, s := range [][2]int{{3, 24}, {1, 25}, {0, 1}, {1 << 40, 1 << 40}} {
		if err := e.Prepare(s[0], s[1]); err == nil {
			t.Errorf("%d sequences of %d tokens were accepted", s[0], s[1])
		}
	}
	x[5] = 67
	if err := e.Losses(2, 24, x, y, want); err == nil {
		t.Error("a token outside the vocabulary was accepted")
	}
}

// TestEvaluatorMemory: an evaluation's memory does not grow with depth, beside the parameters.
func TestEvaluatorMemory(t *testing.T) {
	bytes := func(layers int) uint64 {
		d := plan("discrete")
		m, err := New(d, gpt2.Config{NLayer: layers, NHead: 12, NEmbd: 768, BlockSize: 1024, VocabSize: 50304})
		if err != nil {
			t.Fatal(err)
		}
		e, err := m.NewEvaluator(4096)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Prepare(4, 1024); err != nil {
			t.Fatal(err)
		}
		return d.TotalBytes() - d.Bytes(gpu.Parameters)
	}
	if a, b := bytes(2), bytes(12); a != b {
		t.Errorf("2 layers take %d bytes, 12 take %d", a, b)
	}
}
