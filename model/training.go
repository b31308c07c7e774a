package model

import (
	"fmt"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// Training is the programs and memory of training steps on micro-batches of B sequences of T tokens.
type Training struct {
	Model *Model
	B, T  int

	keeping       keeping
	acts          *activations
	grads         tensors
	order, starts gpu.Tensor // (N) (N+1) u32: the tokens' buckets for the embedding's backward
	loss          gpu.Tensor // (1) mean loss of the step so far
	norm          gpu.Tensor // (4) gradient norm, clip scale, skip
	stats         gpu.Tensor // flat: loss and norm in one buffer, read in one go
	begin         *gpu.Program
	forward       *gpu.Program
	backward      []*gpu.Program // one, or the segments of Buckets
	buckets       [][]gpu.Tensor // the gradients that are complete after each of them
	bucketBytes   int            // see Buckets
	open          int            // the first blocks, whose gradients no bucket has yet
	eval          *Evaluator     // in acts
	orderHost     []uint32
	startsHost    []uint32
}

// backward is the scratch of the backward, shared by all blocks: float32 or bf16 where it says nothing.
type backward struct {
	dres    gpu.Tensor // (N,C) float32, gradient of the residual stream
	dout    gpu.Tensor // (N,C) dres as products read it: itself, or packed
	dln     gpu.Tensor // (N,C) gradient of a layernorm's output
	dlnf    gpu.Tensor // (N,C) float32, of the last layernorm's, a sum over windows of the vocabulary
	dpre    gpu.Tensor // (N,4C)
	dqkv    gpu.Tensor // (N,3C)
	datt    gpu.Tensor // (N,C)
	d       gpu.Tensor // (B,NH,T) float32, rowsum(dout*out)
	partial gpu.Tensor // float32, strips of reductions over rows
}

// Recompute is what the backward computes again instead of keeping. It changes no bit of the results.
type Recompute int

// The choices of Recompute, and what a block keeps of N rows of C channels.
const (
	RecomputeNone  Recompute = iota // 16 NC values: every activation
	RecomputeGELU                   // 12 NC: not the activation after GELU
	RecomputeBlock                  // NC: its output, the residual stream
)

// Storing has the training keep in s, float32 or bf16, what matrix products read and write: activations, their
// gradients, and a copy of the matrices. The residual stream, statistics, sums, parameters and their gradients stay
// float32.
func Storing(s gpu.Storage) TrainingOption { return func(tr *Training) { tr.keeping.storage = s } }

// Recomputing has the backward compute activations again.
func Recomputing(r Recompute) TrainingOption { return func(tr *Training) { tr.keeping.recompute = r } }

// NewTraining allocates gradients and activations and builds the programs. Gradients are those of the mean loss over
// accum micro-batches, summed over the calls of Micro since Begin.
func NewTraining(m *Model, b, t, accum int, opts ...TrainingOption) (*Training, error) {
	if t > m.Config.BlockSize {
		return nil, fmt.Errorf("--seq-len %d exceeds --block-size %d", t, m.Config.BlockSize)
	}
	tr := &Training{Model: m, B: b, T: t, keeping: keeping{backward: true}, open: m.Config.NLayer,
		orderHost: make([]uint32, b*t), startsHost: make([]uint32, b*t+1)}
	for _, f := range opts {
		f(tr)
	}
	d, c := m.Device, m.Config
	var err error
	if tr.grads, err = allocate(d, gpu.Gradients, "d", m.table); err != nil {
		return nil, err
	}
	if tr.keeping.storage == gpu.BF16 {
		if err := m.pack(); err != nil {
			return nil, err
		}
	}
	if tr.acts, err = m.newActivations(b, t, tr.keeping); err != nil {
		return nil, err
	}
	if err := m.newClassifier(tr.acts); err != nil {
		return nil, err
	}
	n, ch := b*t, c.NEmbd
	mk := &maker{dev: d}
	scratch := func(name string, shape ...int) gpu.Tensor { return mk.tensor(gpu.Scratch, name, gpu.F32, shape...) }
	data := func(name string, shape ...int) gpu.Tensor {
		return mk.tensor(gpu.Scratch, name, tr.keeping.storage, shape...)
	}
	w := backward{
		dres: scratch("dres", n, ch), dln: data("dln", n, ch), dpre: data("dpre", n, 4*ch),
		dqkv: data("dqkv", n, 3*ch), datt: data("datt", n, ch), d: scratch("d", b, c.NHead, t),
		partial: scratch("partial", max(2*op.PartialLen(n, ch), op.PartialLen(n, 4*ch))),
	}
	w.dout, w.dlnf = w.dres, w.dln
	if tr.keeping.storage == gpu.BF16 {
		w.dout = data("dout", n, ch)
		w.dlnf = w.dpre.Reinterpret("dlnf", gpu.F32, n, ch) // dpre is free while the loss is computed
	}
	tr.order = mk.tensor(gpu.Inputs, "order", gpu.U32, n)
	tr.starts = mk.tensor(gpu.Inputs, "starts", gpu.U32, n+1)
	if mk.err != nil {
		return nil, mk.err
	}
	stats := d.NewArena(gpu.Scratch, "stats")
	stats.Add(&tr.loss, "loss", gpu.F32, 1)
	stats.Add(&tr.norm, "norm", gpu.F32, 4)
	flats, err := stats.Allocate()
	if err != nil {
		return nil, err
	}
	tr.stats = flats[0]

	tr.begin = d.NewProgram("begin")
	for _, g := range tr.grads.flat() {
		tr.begin.Clear(g)
	}
	tr.begin.Clear(tr.loss)
	tr.addMicro(w, accum)
	tr.eval = m.evaluatorOn(tr.acts)
	for _, p := range tr.Programs() {
		if err := p.Build(); err != nil {
			return nil, err
		}
	}
	return tr, tr.eval.Prepare(b, t)
}

// addMicro makes the programs of the forward and backward of one micro-batch. The classifier, which computes the loss
// and its gradient together, counts to the backward: the forward writes only activations.
func (tr *Training) addMicro(w backward, accum int) {
	m, a := tr.Model, tr.acts
	f := m.setup.NewProgram("forward")
	m.addForward(f, a)
	tr.forward = f.Program
	p := tr.nextSegment()
	scale := 1 / (float32(tr.B*tr.T) * float32(accum))
	op.Classifier{
		Losses: a.losses, DX: w.dlnf, DWTE: m.named(tr.grads, "wte"),
		X: a.lnf, WTE: m.named(m.operands(a.storage), "wte"), Targets: a.targets, Logits: a.logits, Scale: scale,
	}.AddTo(p)
	op.MeanLoss{Out: tr.loss, Losses: a.losses, Scale: scale}.AddTo(p)

	p.Clear(w.dres)
	op.LayerNormBackward{
		DX: w.dres, DW: m.named(tr.grads, "lnfw"), DB: m.named(tr.grads, "lnfb"),
		DOut: w.dlnf, X: a.stream(m.Config.NLayer), W: m.named(m.params, "lnfw"), Mean: a.mean, Rstd: a.rstd,
		Partial: w.partial,
	}.AddTo(p)
	for l := m.Config.NLayer - 1; l >= 0; l-- {
		tr.addAgain(p, l)
		tr.addBlockBackward(p, w, l)
		if tr.cutAfter(l) {
			p = tr.nextSegment()
		}
	}
	op.EmbeddingBackward{
		DWTE: m.named(tr.grads, "wte"), DWPE: m.named(tr.grads, "wpe"), DOut: w.dres,
		Order: tr.order, Starts: tr.starts, Tokens: a.tokens, T: tr.T,
	}.AddTo(p)
	tr.lastBucket()
}

// addAgain appends what of block l's forward the backward computes again. The last block's is still there.
func (tr *Training) addAgain(p *op.Builder, l int) {
	k := tr.acts.blocks[l]
	switch {
	case l == tr.Model.Config.NLayer-1:
	case tr.keeping.recompute == RecomputeGELU:
		op.GELUForward{Out: k.act, X: k.pre}.AddTo(p)
	case tr.keeping.recompute == RecomputeBlock:
		tr.Model.addBlock(p, tr.acts, l)
	}
}

// packStream brings dout up to date with dres.
func (w backward) packStream(p *op.Builder) {
	if w.dout.Storage() == gpu.BF16 {
		op.Pack{Out: w.dout, X: w.dres}.AddTo(p)
	}
}

// addBlockBackward turns the gradient of block l's output in w.dres into that of its input.
func (tr *Training) addBlockBackward(p *op.Builder, w backward, l int) {
	m, a := tr.Model, tr.acts
	k, v, g := a.blocks[l], m.layer(m.operands(a.storage), l), m.layer(tr.grads, l)

	w.packStream(p)
	// out = mid + act @ fcprojw^T + fcprojb, act = gelu(pre), pre = ln2 @ fcw^T + fcb
	op.MatmulBackwardDW{DW: g.fcprojw, DOut: w.dout, X: k.act}.AddTo(p)
	op.BiasBackward{DB: g.fcprojb, DOut: w.dout, Partial: w.partial}.AddTo(p)
	op.MatmulBackwardDX{DX: w.dpre, DOut: w.dout, W: v.fcprojw, Pre: k.pre}.AddTo(p)
	op.MatmulBackwardDW{DW: g.fcw, DOut: w.dpre, X: k.ln2}.AddTo(p)
	op.BiasBackward{DB: g.fcb, DOut: w.dpre, Partial: w.partial}.AddTo(p)
	op.MatmulBackwardDX{DX: w.dln, DOut: w.dpre, W: v.fcw}.AddTo(p)
	op.LayerNormBackward{DX: w.dres, DW: g.ln2w, DB: g.ln2b, DOut: w.dln, X: k.mid, W: v.ln2w, Mean: k.mean2,
		Rstd: k.rstd2, Partial: w.partial}.AddTo(p)

	w.packStream(p)
	// mid = in + att @ attprojw^T + attprojb, att = attention(qkv), qkv = ln1 @ qkvw^T + qkvb
	op.MatmulBackwardDW{DW: g.attprojw, DOut: w.dout, X: k.att}.AddTo(p)
	op.BiasBackward{DB: g.attprojb, DOut: w.dout, Partial: w.partial}.AddTo(p)
	op.MatmulBackwardDX{DX: w.datt, DOut: w.dout, W: v.attprojw}.AddTo(p)
	op.AttentionBackward{DQKV: w.dqkv, DOut: w.datt, QKV: k.qkv, Out: k.att, LSE: k.lse, D: w.d,
		NH: m.Config.NHead}.AddTo(p)
	op.MatmulBackwardDW{DW: g.qkvw, DOut: w.dqkv, X: k.ln1}.AddTo(p)
	op.BiasBackward{DB: g.qkvb, DOut: w.dqkv, Partial: w.partial}.AddTo(p)
	op.MatmulBackwardDX{DX: w.dln, DOut: w.dqkv, W: v.qkvw}.AddTo(p)
	op.LayerNormBackward{DX: w.dres, DW: g.ln1w, DB: g.ln1b, DOut: w.dln, X: a.stream(l), W: v.ln1w, Mean: k.mean1,
		Rstd: k.rstd1, Partial: w.partial}.AddTo(p)
}

// Begin starts a step: gradients and loss are zeroed.
func (tr *Training) Begin() error { return tr.begin.Run() }

// Micro adds the loss and gradients of one micro-batch: x and y hold B*T ids each.
func (tr *Training) Micro(x, y []uint32) error {
	if err := tr.Forward(x, y); err != nil {
		return err
	}
	return tr.Backward(nil)
}

// Forward submits the first part of a micro-batch: x and y hold B*T ids each. It changes no loss, norm or gradient,
// so that a step's may come before its Begin, while the step before still runs; EvalLoss may not come before its
// Backward.
func (tr *Training) Forward(x, y []uint32) error {
	if err := tr.Model.setTokens(tr.acts, x, y); err != nil {
		return err
	}
	op.SortTokens(x, tr.orderHost, tr.startsHost)
	if err := tr.Model.upload(ids{tr.order, tr.orderHost}, ids{tr.starts, tr.startsHost}); err != nil {
		return err
	}
	return tr.forward.Run()
}

// Backward adds the loss and gradients of the micro-batch of the newest Forward. It calls done, if not nil, behind each
// segment's submission with the windows of the gradients that are complete once it has run (see Buckets). Over all
// calls these are all gradients.
func (tr *Training) Backward(done func(windows []gpu.Tensor) error) error {
	for i, p := range tr.backward {
		if err := p.Run(); err != nil {
			return err
		}
		if done != nil {
			if err := done(tr.buckets[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Stats is what a step leaves on the device.
type Stats struct {
	Loss     float64 // mean over the step's tokens, before its update
	GradNorm float64 // before clipping
	Skipped  bool    // the norm was not finite, and the update changed nothing
}

// StartStats submits the read of the step's loss and norm, behind its update, and returns at once. take waits for them,
// not for what was submitted since, and is called once.
func (tr *Training) StartStats() (take func() (Stats, error), err error) {
	read, err := tr.Model.Device.StartRead(tr.stats)
	if err != nil {
		return nil, err
	}
	return func() (Stats, error) {
		host := make([]float32, tr.stats.Len())
		if err := read.Wait(); err != nil {
			return Stats{}, err
		}
		if err := read.Take(host); err != nil {
			return Stats{}, err
		}
		at := func(t gpu.Tensor, i int) float64 { return float64(host[int(t.Offset()/4)+i]) }
		return Stats{Loss: at(tr.loss, 0), GradNorm: at(tr.norm, 0), Skipped: at(tr.norm, 2) != 0}, nil
	}, nil
}

// Stats waits for the step and reads its loss and norm.
func (tr *Training) Stats() (Stats, error) {
	take, err := tr.StartStats()
	if err != nil {
		return Stats{}, err
	}
	return take()
}

// EvalLoss returns the mean loss over batches, each B*T ids of x and y; it shares the activations' memory. Gradients
// and the step's loss stay.
func (tr *Training) EvalLoss(batches int, next func(x, y []uint32) error) (float64, error) {
	return tr.eval.MeanLoss(batches, tr.B, tr.T, next)
}

// Gradients reads the gradients back in the table's order.
func (tr *Training) Gradients() ([][]float32, error) { return tr.Model.download(tr.grads) }

// NotFinite names the first gradient that holds a NaN or an infinity, or says that only the loss or the norm does.
// It reads all gradients back: for the rare step that went wrong, before the next Begin.
func (tr *Training) NotFinite() (string, error) {
	for i, g := range tr.grads.byParam {
		values := make([]float32, g.Len())
		if err := tr.Model.Device.Read(g, values); err != nil {
			return "", err
		}
		if gpt2.NotFinite(values) >= 0 {
			return "gradient of " + tr.Model.table[i].Name, nil
		}
	}
	return "the loss or the norm's sum of squares; every gradient is finite", nil
}

// Programs returns the step's programs, for listings and profiles.
func (tr *Training) Programs() []*gpu.Program {
	return append([]*gpu.Program{tr.begin, tr.forward}, tr.backward...)
}

// What ranks that share a batch read and write between a step's backward and its update.

// TrainingOption adjusts [NewTraining].
type TrainingOption func(*Training)

// Buckets cuts the backward into segments where at least bytes of gradients are complete, at the ends of blocks, so
// that they can leave the device while the blocks before are still computed. The matrices of the blocks go first; those
// of the embeddings, which get gradients from both ends of the model, and all vectors go last. 0: no cuts.
func Buckets(bytes int) TrainingOption { return func(tr *Training) { tr.bucketBytes = bytes } }

// windowValues is the most values that leave the device or come back in one go: 32 MiB.
const windowValues = 8 << 20

// nextSegment starts a segment.
func (tr *Training) nextSegment() *op.Builder {
	name := "backward"
	if tr.bucketBytes > 0 {
		name = fmt.Sprintf("backward[%d]", len(tr.backward))
	}
	p := tr.Model.setup.NewProgram(name)
	tr.backward = append(tr.backward, p.Program)
	return p
}

// cutAfter reports whether the segment ends with the backward of block l, and makes its bucket.
func (tr *Training) cutAfter(l int) bool {
	bytes := 0
	for _, p := range tr.Model.table {
		if p.Matrix() && p.Layer >= l && p.Layer < tr.open {
			bytes += 4 * p.Size()
		}
	}
	if tr.bucketBytes == 0 || bytes < tr.bucketBytes {
		return false
	}
	tr.buckets = append(tr.buckets, tr.matrixWindows(l, tr.open))
	tr.open = l
	return true
}

// lastBucket holds the matrices of blocks and embeddings that no bucket has yet, and the vectors.
func (tr *Training) lastBucket() {
	last := tr.matrixWindows(-1, tr.open)
	for _, f := range tr.grads.vectors {
		last = append(last, windows(f, 0, f.Len())...)
	}
	tr.buckets = append(tr.buckets, last)
}

// matrixWindows returns the gradients of the matrices of blocks [lo,hi), -1 being the embeddings, as windows. The arena
// has them in this order, so they are one range in each of its buffers.
func (tr *Training) matrixWindows(lo, hi int) (out []gpu.Tensor) {
	for _, flat := range tr.grads.matrices {
		first, end := flat.Len(), 0
		for i, p := range tr.Model.table {
			g := tr.grads.byParam[i]
			if inside := p.Layer >= lo && p.Layer < hi; inside && p.Matrix() && g.SameBuffer(flat) {
				at := int(g.Offset() / 4)
				first, end = min(first, at), max(end, at+g.Len())
			}
		}
		out = append(out, windows(flat, first, end)...)
	}
	return out
}

// windows cuts the values [lo,hi) of a flat tensor.
func windows(flat gpu.Tensor, lo, hi int) (out []gpu.Tensor) {
	for ; lo < hi; lo += windowValues {
		out = append(out, flat.Rows(lo, min(lo+windowValues, hi)))
	}
	return out
}

// ParameterWindows returns all parameters as flat windows of at most 32 MiB, with zeros between tensors.
func (m *Model) ParameterWindows() (out []gpu.Tensor) {
	for _, f := range m.params.flat() {
		out = append(out, windows(f, 0, f.Len())...)
	}
	return out
}

// BucketBytes is a size for Buckets that suits the model: large enough for a network's full rate, and about six buckets
// where the model is small.
func BucketBytes(c gpt2.Config) int { return min(25<<20, 4*gpt2.ParamCount(c)/6) }
