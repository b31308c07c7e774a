package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/eval"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

var evalCommand = &command{
	group: "Models",
	name:  "eval",
	short: "Measure validation loss, or HellaSwag",
	long: `
With --data: the mean loss over the validation shards of a directory, or over a text, in sequences of the length that
the run trained with (--seq-len). It is in nats per token, and in bits per byte of the text, which compare between
tokenizers. --val-steps N takes N batches from the start, as train does on the way. Without it, every token but the
first is predicted once, the last incomplete sequence included.

With --hellaswag: which of four endings continues a text? acc takes the likeliest ending, acc_norm the likeliest per
token (build-nanogpt, llm.c), acc_norm_chars the likeliest per character (the acc_norm of lm-eval).`,
	examples: []string{
		"gpt2wgpu eval --model runs/first --data sample",
		"gpt2wgpu eval --model gpt2 --hellaswag fetch --json",
	},
	setup: setupEval,
}

// evalFlags are the flags of eval.
type evalFlags struct {
	modelFlags
	fs                      *flagSet
	device, data, hellaswag string
	batch, seq, steps       int
	asJSON                  bool
}

func setupEval(fs *flagSet) runFunc {
	v := &evalFlags{fs: fs}
	v.define(fs)
	f := fs.section("Loss")
	f.StringVar(&v.data, "data", "", "`spec` of the text: sample, shakespeare, tinystories, fineweb-edu, a .txt or "+
		".md file, a .npy or .bin token shard, a directory or a quoted glob of these")
	f.IntVar(&v.seq, "seq-len", 0, "`tokens` of a sequence (T), at most the model's context (default: those that "+
		"the run trained with; of other weights, the context)")
	f.IntVar(&v.steps, "val-steps", 0, "`batches` of B*T tokens from the start, as train takes them; 0 is all of "+
		"the text once: every token but a shard's first is predicted")

	f = fs.section("HellaSwag")
	f.StringVar(&v.hellaswag, "hellaswag", "", "`file` of questions, the dataset's .jsonl or llm.c's .bin; fetch: "+
		"the validation set, downloaded once")

	f = fs.section("Device")
	f.IntVar(&v.batch, "batch-size", 4, "`sequences` at once (B), what device memory must hold; more by default "+
		"without --val-steps, where they are shorter than the context")
	f.StringVar(&v.device, "device", "auto", train.DeviceUsage)

	f = fs.section("Output")
	f.BoolVar(&v.asJSON, "json", false,
		"print a JSON object: loss, perplexity, bits_per_byte (where the tokens' lengths are known) and tokens, or n, "+
			"acc, acc_norm and acc_norm_chars")
	fs.logFlags(f)
	return v.run
}

// maxBatchTokens bounds B*T: beyond it even the tokens overflow a device's buffers.
const maxBatchTokens = 1 << 28

func (v *evalFlags) validate() error {
	bad := &mistakes{fs: v.fs}
	v.check(bad)
	bad.when(v.data == "" && v.hellaswag == "",
		"--data and --hellaswag are both missing; hint: --data SPEC for the loss, --hellaswag FILE for the score")
	bad.when(v.data != "" && v.hellaswag != "", "--data and --hellaswag are both given; hint: one at a time")
	bad.when(v.batch < 1 || v.batch > maxBatchTokens, "--batch-size is %d, want 1 to %d; hint: --batch-size 4",
		v.batch, maxBatchTokens)
	bad.when(v.seq < 0, "--seq-len is %d, want 0 or more; hint: leave it out for the length that the run trained with",
		v.seq)
	bad.when(v.steps < 0, "--val-steps is %d, want 0 or more; hint: 0 is the whole text", v.steps)
	bad.idle(v.data == "" && v.hellaswag != "", "seq-len val-steps",
		"with --hellaswag, whose questions are all measured whole", "leave it out, or --data SPEC")
	return bad.err()
}

func (v *evalFlags) run(ctx context.Context, e *env, _ []string) error {
	if err := v.validate(); err != nil {
		return err
	}
	w, err := v.load(ctx, e)
	if err != nil {
		return err
	}
	block := w.Config.BlockSize
	v.seq = cmp.Or(v.seq, w.source.SeqLen, block) // of the run, of the model
	if v.seq > block && !v.fs.Changed("seq-len") {
		v.seq = block
	}
	if v.seq > block {
		return usagef("--seq-len is %d, the model's context has %d; hint: --seq-len %d", v.seq, block, block)
	}
	if v.data != "" && v.steps == 0 && !v.fs.Changed("batch-size") {
		v.batch *= block / v.seq // as many tokens at once as in the default number of whole contexts
	}
	if v.batch > maxBatchTokens/v.seq {
		return usagef("--batch-size is %d sequences of %d tokens, want at most %d tokens; hint: --batch-size 4",
			v.batch, v.seq, maxBatchTokens)
	}
	// Whatever can be wrong with the text shows before the device is opened.
	if v.data != "" {
		if part := w.source.ValFraction; part > 0 && filepath.Clean(w.source.Data) == filepath.Clean(v.data) {
			e.log.Info(fmt.Sprintf("all of %s is evaluated, the %.3g%% that the run trained on too (--val-fraction "+
				"%v); the loss on the rest is in its metrics.jsonl", v.data, 100*(1-part), part))
		}
		corpus, err := data.Open(v.data, w.tok, w.Config.VocabSize, e.log, data.WithSplit(data.Val))
		if err != nil {
			return fmt.Errorf("--data %w", err)
		}
		defer corpus.Close()
		return v.loss(ctx, e, w, corpus)
	}
	spec, err := hellaswagSpec(ctx, e, v.hellaswag)
	if err != nil {
		return err
	}
	questions, err := data.ReadHellaSwag(spec, w.tok)
	if err != nil {
		return fmt.Errorf("--hellaswag %w", err)
	}
	return v.score(ctx, e, w.Weights, questions)
}

// open puts the model on the device with memory for batches of n tokens, until the function that it returns is called.
func (v *evalFlags) open(e *env, w *gpt2.Weights, n int) (*model.Evaluator, func(), error) {
	d, done, err := e.open(v.device)
	if err != nil {
		return nil, nil, err
	}
	m, err := model.New(d, w.Config)
	if err == nil {
		err = m.Load(w)
	}
	var ev *model.Evaluator
	if err == nil {
		ev, err = m.NewEvaluator(n)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	e.log.Info("device memory: " + d.MemoryReport())
	return ev, done, nil
}

// loss measures the mean loss: of --val-steps batches in the loader's order, or of all of the text once.
func (v *evalFlags) loss(ctx context.Context, e *env, w loaded, corpus *data.Corpus) error {
	choose := eval.All
	if v.steps > 0 {
		choose = func(corpus *data.Corpus, B, T int) (eval.Batches, error) { return eval.First(corpus, v.steps, B, T) }
	}
	batches, err := choose(corpus, v.batch, v.seq)
	if err != nil {
		return fmt.Errorf("--data %w", err)
	}
	ev, done, err := v.open(e, w.Weights, batches.B*batches.T)
	if err != nil {
		return err
	}
	defer done()

	m := newMeter(e)
	lengths := data.TokenBytes(w.tok)
	loss, tokens, bytes, err := batches.Loss(ctx, ev, lengths, func(done, all int) {
		m.counting("evaluating", done, all)
	})
	var overflow *model.NotFiniteError
	switch {
	case err != nil && errors.Is(err, ctx.Err()):
		return fmt.Errorf("%w after %d tokens", train.ErrInterrupted, tokens)
	case errors.As(err, &overflow):
		return fmt.Errorf("--model %s: %w", v.model, err)
	case err != nil:
		return err
	}
	bits := metrics.BitsPerByte(loss, tokens, bytes)
	if v.asJSON {
		return writeJSON(e.stdout, struct {
			Loss       metrics.Float `json:"loss"`
			Perplexity metrics.Float `json:"perplexity"` // null beyond what a float64 holds

			BitsPerByte metrics.Float `json:"bits_per_byte,omitempty"`
			Tokens      int           `json:"tokens"`
		}{metrics.Float(loss), metrics.Float(math.Exp(loss)), bits, tokens})
	}
	perplexity := fmt.Sprintf("%.4f", math.Exp(loss))
	if math.IsInf(math.Exp(loss), 0) {
		perplexity = fmt.Sprintf("e^%.0f", loss)
	}
	of := ""
	if bits != 0 {
		of = fmt.Sprintf(", %.4f bits per byte", bits)
	}
	_, err = fmt.Fprintf(e.stdout, "loss %.6f, perplexity %s%s, on %d tokens\n", loss, perplexity, of, tokens)
	return err
}

// score measures HellaSwag.
func (v *evalFlags) score(ctx context.Context, e *env, w *gpt2.Weights, questions []data.Example) error {
	ev, done, err := v.open(e, w, v.batch*w.Config.BlockSize)
	if err != nil {
		return err
	}
	defer done()
	h, err := eval.NewHellaSwag(ev, questions, w.Config.BlockSize, w.Config.VocabSize)
	if err != nil {
		return err
	}
	if h.Cut > 0 {
		e.log.Warn("rows longer than the context lose their oldest tokens", "rows", h.Cut, "context",
			w.Config.BlockSize)
	}
	m := newMeter(e)
	score, err := h.Score(ctx, func(done, all int) { m.counting("hellaswag", done, all) })
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w before all questions were scored, so there is no score", train.ErrInterrupted)
	}
	if err != nil {
		return fmt.Errorf("--model %s: %w", v.model, err)
	}
	if v.asJSON {
		return writeJSON(e.stdout, score)
	}
	_, err = fmt.Fprintf(e.stdout, "acc %.4f, acc_norm %.4f, acc_norm_chars %.4f, on %d questions\n",
		float64(score.Acc), float64(score.AccNorm), float64(score.AccNormChars), score.N)
	return err
}
