package model

import (
	"fmt"
	"math"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// Evaluator is the forward and the loss of batches of any shape that its memory of N tokens holds. It has no gradients,
// and its activations do not grow with depth.
type Evaluator struct {
	m       *Model
	acts    *activations // of N tokens in some shape; every batch lies in its first rows
	byShape map[[2]int]*evaluation
}

// evaluation is the program of batches of one shape.
type evaluation struct {
	acts *activations
	p    *gpu.Program
}

// NewEvaluator allocates for batches of up to n tokens, in float32.
func (m *Model) NewEvaluator(n int) (*Evaluator, error) { return m.newEvaluator(n, gpu.F32) }

func (m *Model) newEvaluator(n int, s gpu.Storage) (*Evaluator, error) {
	acts, err := m.newActivations(1, n, keeping{storage: s})
	if err != nil {
		return nil, err
	}
	if err := m.newClassifier(acts); err != nil {
		return nil, err
	}
	return m.evaluatorOn(acts), nil
}

func (m *Model) evaluatorOn(acts *activations) *Evaluator {
	return &Evaluator{m: m, acts: acts, byShape: map[[2]int]*evaluation{}}
}

// Evaluator returns one for batches of up to n tokens: in the training's own activations if they hold so many, since
// those are free between two steps, else in memory of its own, stored alike. Gradients and the step's loss stay as
// they are.
func (tr *Training) Evaluator(n int) (*Evaluator, error) {
	if tr.eval.Tokens() >= n {
		return tr.eval, nil
	}
	return tr.Model.newEvaluator(n, tr.keeping.storage)
}

// Tokens returns N, the largest B*T of a batch.
func (e *Evaluator) Tokens() int { return e.acts.B * e.acts.T }

// Prepare builds the program of B sequences of T tokens, so that the first batch of that shape builds nothing.
func (e *Evaluator) Prepare(b, t int) error {
	_, err := e.evaluation(b, t)
	return err
}

func (e *Evaluator) evaluation(b, t int) (*evaluation, error) {
	if ev, ok := e.byShape[[2]int{b, t}]; ok {
		return ev, nil
	}
	m := e.m
	switch {
	case b < 1 || t < 1 || b > e.Tokens()/t:
		return nil, fmt.Errorf("evaluation of %d sequences of %d tokens, want at most %d tokens; hint: a smaller "+
			"--batch-size", b, t, e.Tokens())
	case t > m.Config.BlockSize:
		return nil, fmt.Errorf("evaluation of sequences of %d tokens, the context has %d; hint: --seq-len %d", t,
			m.Config.BlockSize, m.Config.BlockSize)
	}
	a, p := e.acts.shaped(b, t), m.setup.NewProgram(fmt.Sprintf("eval B=%d T=%d", b, t))
	m.addForward(p, a)
	op.Classifier{Losses: a.losses, X: a.lnf, WTE: m.named(m.operands(a.storage), "wte"), Targets: a.targets,
		Logits: a.logits}.AddTo(p)
	if err := p.Build(); err != nil {
		return nil, err
	}
	ev := &evaluation{a, p.Program}
	e.byShape[[2]int{b, t}] = ev
	return ev, nil
}

// Losses computes out[i], the cross-entropy in nats of target y[i] after x up to i, for B sequences of T tokens: x, y
// and out hold B*T each.
func (e *Evaluator) Losses(b, t int, x, y []uint32, out []float32) error {
	ev, err := e.evaluation(b, t)
	if err != nil {
		return err
	}
	if err := e.m.setTokens(ev.acts, x, y); err != nil {
		return err
	}
	if err := ev.p.Run(); err != nil {
		return err
	}
	return e.m.Device.Read(ev.acts.losses, out)
}

// CheckLosses reports the first of a batch's losses that is not finite. first is how many targets came before the
// batch.
func CheckLosses(losses []float32, first int) error {
	if at := gpt2.NotFinite(losses); at >= 0 {
		return &NotFiniteError{fmt.Sprintf("the loss of target %d is %v, want finite numbers (the weights are "+
			"finite: an activation overflows float32)", first+at+1, losses[at])}
	}
	return nil
}

// MeanLoss returns the mean loss over batches of B sequences of T tokens, each filled by next. No batches have none:
// NaN.
func (e *Evaluator) MeanLoss(batches, b, t int, next func(x, y []uint32) error) (float64, error) {
	x, y, losses := make([]uint32, b*t), make([]uint32, b*t), make([]float32, b*t)
	if batches == 0 {
		return math.NaN(), nil
	}
	mean := 0.0
	for range batches {
		if err := next(x, y); err != nil {
			return 0, err
		}
		if err := e.Losses(b, t, x, y, losses); err != nil {
			return 0, err
		}
		sum := 0.0
		for _, l := range losses {
			sum += float64(l)
		}
		mean += sum / float64(b*t) / float64(batches)
	}
	return mean, nil
}

// setTokens uploads a batch, x the inputs and y their targets.
func (m *Model) setTokens(a *activations, x, y []uint32) error {
	for _, list := range [][]uint32{x, y} {
		for i, id := range list {
			if int(id) >= m.Config.VocabSize {
				return fmt.Errorf("token %d at place %d of the batch is outside the vocabulary of %d; hint: is "+
					"--tokenizer the one that made the data?", id, i, m.Config.VocabSize)
			}
		}
	}
	return m.upload(ids{a.tokens, x}, ids{a.targets, y})
}
