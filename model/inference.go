package model

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// inference is the forward of B sequences of T tokens up to the logits of one row of each.
type inference struct {
	m      *Model
	acts   *activations
	rows   gpu.Tensor // (B) u32: the rows whose logits are wanted
	hidden gpu.Tensor // (B,C)
	logits gpu.Tensor // (B,Vp)
	p      *gpu.Program
}

func newInference(m *Model, b, t int) (*inference, error) {
	acts, err := m.newActivations(b, t, keeping{})
	if err != nil {
		return nil, err
	}
	mk := &maker{dev: m.Device}
	vp := (m.Config.VocabSize + 63) / 64 * 64
	inf := &inference{m: m, acts: acts,
		rows:   mk.tensor(gpu.Inputs, "rows", gpu.U32, b),
		hidden: mk.tensor(gpu.Activations, "hidden", gpu.F32, b, m.Config.NEmbd),
		logits: mk.tensor(gpu.Activations, "logits", gpu.F32, b, vp),
		p:      m.Device.NewProgram(fmt.Sprintf("inference T=%d", t)),
	}
	if mk.err != nil {
		return nil, mk.err
	}
	m.addForward(inf.p, acts)
	op.GatherRows{Out: inf.hidden, X: acts.lnf, Rows: inf.rows}.AddTo(inf.p)
	m.addLogits(inf.p, inf.logits, inf.hidden)
	return inf, inf.p.Build()
}

// addLogits appends logits = hidden @ wte^T, in windows of the vocabulary.
func (m *Model) addLogits(p *gpu.Program, logits, hidden gpu.Tensor) {
	wte := m.named(m.params, "wte")
	for _, w := range op.Windows(m.Device, wte) {
		op.MatmulForward{Out: logits, X: hidden, W: wte.Rows(w.Lo, w.Hi), Col: w.Lo}.AddTo(p)
	}
}

// run returns the logits (B,Vp) of each sequence's row, counted within the sequence.
func (inf *inference) run(tokens []uint32, rows []uint32) ([]float32, error) {
	d := inf.m.Device
	if err := d.UploadU32(inf.acts.tokens, tokens); err != nil {
		return nil, err
	}
	at := make([]uint32, len(rows))
	for i, r := range rows {
		at[i] = uint32(i*inf.acts.T) + r
	}
	if err := d.UploadU32(inf.rows, at); err != nil {
		return nil, err
	}
	if err := inf.p.Run(); err != nil {
		return nil, err
	}
	out := make([]float32, inf.logits.Len())
	return out, d.Read(inf.logits, out)
}

// Sampler makes text, n sequences at once.
type Sampler struct {
	m       *Model
	n       int
	byWidth map[int]*inference // by padded context length
}

// NewSampler uploads weights and prepares n sequences.
func NewSampler(d *gpu.Device, w *gpt2.Weights, n int) (*Sampler, error) {
	m, err := New(d, w.Config)
	if err != nil {
		return nil, err
	}
	if err := m.Load(w); err != nil {
		return nil, err
	}
	return m.NewSampler(n)
}

// NewSampler prepares n sequences of text by the model's present parameters.
func (m *Model) NewSampler(n int) (*Sampler, error) {
	if n < 1 {
		return nil, fmt.Errorf("-n %d: want at least one sequence", n)
	}
	return &Sampler{m: m, n: n, byWidth: map[int]*inference{}}, nil
}

// width pads a context length so that few programs serve all lengths: causal attention never sees the padding.
func (s *Sampler) width(length int) int {
	w := 16
	for w < length {
		w *= 2
	}
	return min(w, s.m.Config.BlockSize)
}

// Generate continues the prompt n times and returns the new tokens of each sequence. emit, if not nil, sees each token as it
// is made. A context longer than the block size loses its oldest tokens. A cancelled ctx returns what there is with its error.
func (s *Sampler) Generate(ctx context.Context, prompt []int, o SampleOptions, emit func(seq, id int)) ([][]int, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if len(prompt) == 0 {
		return nil, fmt.Errorf("empty prompt; hint: give --prompt a text or at least one id")
	}
	for i, id := range prompt {
		if id < 0 || id >= s.m.Config.VocabSize {
			return nil, fmt.Errorf("prompt id %d at place %d is outside the vocabulary of %d", id, i, s.m.Config.VocabSize)
		}
	}
	seqs := make([][]int, s.n)
	out := make([][]int, s.n)
	done := make([]bool, s.n)
	draws := make([]*rand.Rand, s.n)
	for i := range seqs {
		seqs[i] = append([]int(nil), prompt...)
		draws[i] = rand.New(rand.NewPCG(o.Seed, uint64(i)))
	}
	for made := 0; made < o.MaxTokens; made++ {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		logits, vp, err := s.next(seqs)
		if err != nil {
			return out, err
		}
		open := false
		for i := range seqs {
			id := o.choose(logits[i*vp:i*vp+s.m.Config.VocabSize], draws[i])
			seqs[i] = append(seqs[i], id) // ended sequences go on unseen, in step with the others
			if done[i] {
				continue
			}
			if id == o.Stop {
				done[i] = true
				continue
			}
			out[i] = append(out[i], id)
			if emit != nil {
				emit(i, id)
			}
			open = true
		}
		if !open {
			break
		}
	}
	return out, nil
}

// next returns the logits after each sequence, all of one length, in rows of vp.
func (s *Sampler) next(seqs [][]int) (logits []float32, vp int, err error) {
	length := min(len(seqs[0]), s.m.Config.BlockSize)
	t := s.width(length)
	inf, err := s.inference(t)
	if err != nil {
		return nil, 0, err
	}
	tokens, rows := make([]uint32, s.n*t), make([]uint32, s.n)
	for i, seq := range seqs {
		for j, id := range seq[len(seq)-length:] {
			tokens[i*t+j] = uint32(id)
		}
		rows[i] = uint32(length - 1)
	}
	logits, err = inf.run(tokens, rows)
	return logits, inf.logits.Dim(1), err
}

// Prepare builds the programs of every context length now, so that nothing is allocated later.
func (s *Sampler) Prepare() error {
	for length := 1; ; length = s.width(length) + 1 {
		if _, err := s.inference(s.width(length)); err != nil {
			return err
		}
		if s.width(length) >= s.m.Config.BlockSize {
			return nil
		}
	}
}

// inference returns the program of contexts padded to t tokens.
func (s *Sampler) inference(t int) (*inference, error) {
	if inf, ok := s.byWidth[t]; ok {
		return inf, nil
	}
	inf, err := newInference(s.m, s.n, t)
	if err != nil {
		return nil, err
	}
	s.byWidth[t] = inf
	return inf, nil
}
