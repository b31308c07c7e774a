package model

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// inference is the forward of B sequences of T tokens up to the logits of one row of each, with a cache or without.
type inference struct {
	m      *Model
	acts   *activations
	rows   gpu.Tensor // (B) u32: the rows whose logits are wanted
	hidden gpu.Tensor // (B,C)
	logits gpu.Tensor // (B,Vp)
	p      *gpu.Program
}

// newInference builds the program of acts.
func newInference(m *Model, acts *activations) (*inference, error) {
	mk, b := &maker{dev: m.Device}, acts.B
	vp := (m.Config.VocabSize + 63) / 64 * 64
	inf := &inference{m: m, acts: acts,
		rows:   mk.tensor(gpu.Inputs, "rows", gpu.U32, b),
		hidden: mk.tensor(gpu.Activations, "hidden", acts.lnf.Storage(), b, m.Config.NEmbd),
		logits: mk.tensor(gpu.Activations, "logits", gpu.F32, b, vp),
	}
	if mk.err != nil {
		return nil, mk.err
	}
	p := m.setup.NewProgram(fmt.Sprintf("inference B=%d T=%d", b, acts.T))
	m.addForward(p, acts)
	op.GatherRows{Out: inf.hidden, X: acts.lnf, Rows: inf.rows}.AddTo(p)
	m.addLogits(p, inf.logits, inf.hidden)
	inf.p = p.Program
	return inf, p.Build()
}

// addLogits appends logits = hidden @ wte^T, in windows of the vocabulary.
func (m *Model) addLogits(p *op.Builder, logits, hidden gpu.Tensor) {
	wte := m.named(m.params, "wte")
	for _, w := range op.Windows(m.Device, wte) {
		op.MatmulForward{Out: logits, X: hidden, W: wte.Rows(w.Lo, w.Hi), Col: w.Lo}.AddTo(p)
	}
}

// run returns the logits of row row of each of the B sequences of T tokens. Their first token is at position first of
// the cache.
func (inf *inference) run(tokens []uint32, row, first int) ([][]float32, error) {
	d, a := inf.m.Device, inf.acts
	rows := make([]uint32, a.B)
	for i := range rows {
		rows[i] = uint32(i*a.T + row)
	}
	inputs := []ids{{a.tokens, tokens}, {inf.rows, rows}}
	if a.cache != nil {
		inputs = append(inputs, ids{a.cache.first, slices.Repeat([]uint32{uint32(first)}, a.cache.first.Len())})
	}
	if err := inf.m.upload(inputs...); err != nil {
		return nil, err
	}
	if err := inf.p.Run(); err != nil {
		return nil, err
	}
	flat, vp := make([]float32, inf.logits.Len()), inf.logits.Dim(1)
	if err := d.Read(inf.logits, flat); err != nil {
		return nil, err
	}
	logits := make([][]float32, a.B)
	for i := range logits {
		logits[i] = flat[i*vp : i*vp+inf.m.Config.VocabSize]
	}
	return logits, nil
}

// Sampler makes text, n sequences at once. The prompt goes through the model in one pass, which fills a cache of keys
// and values for all sequences; then each token costs a pass over one row a sequence, and only its attention grows with
// the context.
//
// A text that outgrows the block size is continued from its last block-size tokens, at positions from 0 on. Each new
// token then moves all others, and with them every key and value, so that from there on each costs a pass over the
// whole window.
type Sampler struct {
	m        *Model
	n        int
	cache    *cache
	step     *inference         // n sequences of one token
	windows  map[int]*inference // one sequence, by padded length
	widest   *activations       // of windows
	cached   int                // tokens in the cache
	uncached bool               // every token costs a window: for tests
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
	return &Sampler{m: m, n: n, windows: map[int]*inference{}}, nil
}

// widths are the lengths that windows are padded to, so that few programs serve all: causal attention never sees the
// padding.
func (s *Sampler) widths() (list []int) {
	for t := 16; t < s.m.Config.BlockSize; t *= 2 {
		list = append(list, t)
	}
	return append(list, s.m.Config.BlockSize)
}

// Generate continues the prompt n times and returns the new tokens of each sequence. emit, if not nil, sees each token
// as it is made. The parameters are those of the call; they must not change during it. A cancelled ctx returns what
// there is with its error.
func (s *Sampler) Generate(ctx context.Context, prompt []int, o SampleOptions, emit func(seq, id int)) ([][]int,
	error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if len(prompt) == 0 {
		return nil, fmt.Errorf("empty prompt; hint: give --prompt a text or at least one id")
	}
	for i, id := range prompt {
		if id < 0 || id >= s.m.Config.VocabSize {
			return nil, fmt.Errorf("prompt id %d at place %d is outside the vocabulary of %d", id, i,
				s.m.Config.VocabSize)
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
	s.cached = 0
	for made := 0; made < o.MaxTokens; made++ {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		logits, err := s.next(seqs)
		if err != nil {
			return out, err
		}
		if err := checkLogits(logits, made, done); err != nil {
			return out, err
		}
		open := false
		for i := range seqs {
			id := o.choose(logits[i], draws[i])
			seqs[i] = append(seqs[i], id) // ended sequences go on unseen, in step with the others
			if done[i] {
				continue
			}
			if slices.Contains(o.Stop, id) {
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

// NotFiniteError reports a number that the model computed and that is not finite.
type NotFiniteError struct{ what string }

func (e *NotFiniteError) Error() string {
	return e.what + "; hint: take an earlier checkpoint; gpt2wgpu selftest checks this device"
}

// checkLogits refuses logits that no token can be drawn by, those of sequences that have ended apart. made is how many
// tokens there are.
func checkLogits(logits [][]float32, made int, done []bool) error {
	for i, row := range logits {
		if done[i] {
			continue
		}
		if at := gpt2.NotFinite(row); at >= 0 {
			return &NotFiniteError{fmt.Sprintf("text %d, new token %d: the logit of token %d is %v, want finite "+
				"numbers (the weights are finite: an activation overflows float32)", i+1, made+1, at, row[at])}
		}
	}
	return nil
}

// next returns the logits after each sequence; all have one length, and differ in nothing while the cache is empty.
func (s *Sampler) next(seqs [][]int) ([][]float32, error) {
	length, block := len(seqs[0]), s.m.Config.BlockSize
	if err := s.prepareStep(); err != nil {
		return nil, err
	}
	switch {
	case s.uncached || length > block:
		logits := make([][]float32, s.n)
		for i, seq := range seqs {
			var err error
			if logits[i], err = s.window(seq[max(0, length-block):]); err != nil {
				return nil, err
			}
		}
		return logits, nil
	case s.cached == 0:
		row, err := s.window(seqs[0])
		if err != nil {
			return nil, err
		}
		s.cached = length
		return slices.Repeat([][]float32{row}, s.n), nil
	}
	tokens := make([]uint32, s.n)
	for i, seq := range seqs {
		tokens[i] = uint32(seq[length-1])
	}
	s.cached = length
	return s.step.run(tokens, 0, length-1)
}

// window returns the logits after a sequence and leaves its keys and values in every sequence's cache.
func (s *Sampler) window(seq []int) ([]float32, error) {
	widths := s.widths()
	t := widths[sort.SearchInts(widths, len(seq))]
	inf, err := s.prepareWindow(t)
	if err != nil {
		return nil, err
	}
	tokens := make([]uint32, t)
	for i, id := range seq {
		tokens[i] = uint32(id)
	}
	logits, err := inf.run(tokens, len(seq)-1, 0)
	if err != nil {
		return nil, err
	}
	return logits[0], nil
}

// Prepare builds the programs of every context length now, so that nothing is allocated later.
func (s *Sampler) Prepare() error {
	if err := s.prepareStep(); err != nil {
		return err
	}
	for _, t := range slices.Backward(s.widths()) { // the narrower ones share the widest one's memory
		if _, err := s.prepareWindow(t); err != nil {
			return err
		}
	}
	return nil
}

// prepareStep makes the cache and the program of a step, once.
func (s *Sampler) prepareStep() error {
	if s.step != nil {
		return nil
	}
	acts, err := s.m.newActivations(s.n, 1, keeping{})
	if err != nil {
		return err
	}
	if s.cache, err = s.m.newCache(s.n, acts.blocks[0].qkv.Storage()); err != nil {
		return err
	}
	mk := &maker{dev: s.m.Device}
	acts.cache, acts.places = s.cache, mk.tensor(gpu.Activations, "places", gpu.F32, s.n, s.m.Config.NEmbd)
	if mk.err != nil {
		return mk.err
	}
	s.step, err = newInference(s.m, acts)
	return err
}

// prepareWindow returns the program of a window padded to t tokens. prepareStep has been called.
func (s *Sampler) prepareWindow(t int) (*inference, error) {
	if inf, ok := s.windows[t]; ok {
		return inf, nil
	}
	if s.widest == nil || s.widest.T < t {
		acts, err := s.m.newActivations(1, t, keeping{})
		if err != nil {
			return nil, err
		}
		acts.cache, s.widest = s.cache, acts
	}
	inf, err := newInference(s.m, s.widest.shaped(1, t))
	if err != nil {
		return nil, err
	}
	s.windows[t] = inf
	return inf, nil
}

// cache is the keys and values of B sequences' tokens so far. A forward with a cache either fills it with a prompt, the
// same for all sequences, from position 0 on; or it is a step: one token a sequence, which attends to all before it.
type cache struct {
	kv    []gpu.Tensor // a block's: (B,S,2C), S the block size
	first gpu.Tensor   // (B) u32 the position of a forward's first token in each sequence
}

// newCache allocates the caches of b sequences.
func (m *Model) newCache(b int, storage gpu.Storage) (*cache, error) {
	c, mk := m.Config, &maker{dev: m.Device}
	k := &cache{first: mk.tensor(gpu.Inputs, "first", gpu.U32, b)}
	for l := 0; l < c.NLayer; l++ {
		k.kv = append(k.kv, mk.tensor(gpu.Activations, fmt.Sprintf("cache %d", l), storage, b, c.BlockSize, 2*c.NEmbd))
		if size, most := k.kv[l].Bytes(), m.Device.Limits.MaxBindingSize; mk.err == nil && size > most {
			return nil, fmt.Errorf("the cache of %d sequences of %d tokens takes %s a block, and a binding holds %s; "+
				"hint: fewer sequences at once (--n)", b, c.BlockSize, gpu.HumanBytes(size), gpu.HumanBytes(most))
		}
	}
	return k, mk.err
}

// addEmbedding appends the start of the residual stream. A step's tokens stand each at its own position, so that the
// rows of wpe are gathered before.
func (m *Model) addEmbedding(p *op.Builder, a *activations) {
	wte, wpe := m.named(m.params, "wte"), m.named(m.params, "wpe")
	if a.places.None() {
		op.EmbeddingForward{Out: a.embedded, WTE: wte, WPE: wpe, Tokens: a.tokens, T: a.T}.AddTo(p)
		return
	}
	op.GatherRows{Out: a.places, X: wpe, Rows: a.cache.first}.AddTo(p)
	// row n at "position" n
	op.EmbeddingForward{Out: a.embedded, WTE: wte, WPE: a.places, Tokens: a.tokens, T: a.B}.AddTo(p)
}

// addAttention appends block l's attention: over the rows of the forward or, in a step, over the cache.
func (m *Model) addAttention(p *op.Builder, a *activations, l int) {
	k := a.blocks[l]
	if a.cache != nil {
		op.CacheAppend{Cache: a.cache.kv[l], QKV: k.qkv, First: a.cache.first, T: a.T}.AddTo(p)
	}
	if a.places.None() {
		op.AttentionForward{Out: k.att, LSE: k.lse, QKV: k.qkv, NH: m.Config.NHead}.AddTo(p)
		return
	}
	op.AttentionDecode{Out: k.att, QKV: k.qkv, Cache: a.cache.kv[l], Positions: a.cache.first,
		NH: m.Config.NHead}.AddTo(p)
}
