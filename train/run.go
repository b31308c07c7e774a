package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/lock"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/eval"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// Env is where a run talks to.
type Env struct {
	Log     *slog.Logger // progress, on stderr
	Stdout  io.Writer    // samples
	Stderr  io.Writer
	Version string      // of the program, for config.json
	Group   ranks.Group // nil: this process alone
	Tuner   Tuner       // chooses tiles; nil: the fixed ones

	// Fetch brings what the settings name into this machine's cache; init: the weights that the run starts from too. One
	// process of a machine calls it before the others. nil: all is there.
	Fetch func(c *Config, init bool) error
}

// ErrInterrupted ends a run that was asked to stop; its checkpoint is written.
var ErrInterrupted = errors.New("interrupted")

// maxSkipped is how many steps in a row may have a loss or norm that is not finite.
const maxSkipped = 3

// run is a training in progress.
type run struct {
	cfg   Job
	env   Env
	group ranks.Group
	mixed bool // the ranks' devices are of more than one kind

	tok      data.Tokenizer
	special  gpt2.Special // ids that the weights came with
	corpora  []*data.Corpus
	loader   *data.Loader
	val      *data.Loader // nil: no validation
	valSteps int          // batches of a validation
	dev      *gpu.Device
	compiled func() // ends the reports about compiling; nil: there are none
	model    *model.Model
	training *model.Training
	optim    *model.Optimizer
	sampler  *model.Sampler // nil: no samples
	eval     *model.Evaluator
	hella    *eval.HellaSwag // nil: not measured
	metrics  *metrics.Writer // nil: no --out, or not rank 0
	files    DataFiles       // of the corpora
	warned   map[string]bool // directories that cannot be removed
	wasFiles DataFiles       // those of the checkpoint that the run goes on from
	lead     *lead           // nil: the device does nothing of the next step yet
	exchange *ranks.Exchange
	outer    *ranks.Outer // nil: the ranks sum gradients every step
	synced   int          // step of the newest outer step

	spent    metrics.Ranks // in all steps of this invocation
	stop     bool          // all ranks know that this invocation ends before the next step
	ends     summary
	unscored bool // all steps are done, and the last HellaSwag is missing
	first    int  // step of this invocation
	step     int
	tokens   int64
	skipped  int
	saved    int              // step of the newest checkpoint, -1 none
	savedAt  time.Time        // when this invocation began, or has saved
	overdue  bool             // all ranks know that --save-minutes have passed since
	now      func() time.Time // time.Now but for tests

	lock    *lock.Lock // of --out; nil: none, or not rank 0
	madeOut bool       // --out was not there before
	begun   bool       // --out holds this run

	tiles   Tiles        // that programs take
	timings []gpu.Timing // of the step that --profile looks at
}

// Run trains as cfg says. It returns ErrInterrupted, wrapped, when ctx ended or --stop-after was reached before the
// last step, with the checkpoint written if there is an --out.
//
// With a Group of more than one rank, rank 0's cfg counts on all of them but for the device. Rank 0 alone reads and
// writes the run's directory and logs what is no warning. An error that is not [ranks.Agreed] leaves the other ranks waiting.
func Run(ctx context.Context, cfg Job, env Env) error {
	r := newRun(cfg, env)
	defer r.close()
	err := ranks.Together(r.group, r.claimOut(ctx))
	if err == nil {
		err = r.open(ctx)
	}
	if errors.Is(err, errFinished) {
		return nil
	}
	if err == nil {
		err = r.loop(ctx)
	}
	if err == nil || errors.Is(err, ErrInterrupted) {
		r.tellSpent()
		r.sayEnd()
	}
	if err != nil && !errors.Is(err, ErrInterrupted) {
		return inRank(r.group, err)
	}
	if failed := r.printProfile(); failed != nil {
		return inRank(r.group, failed)
	}
	return err
}

func newRun(cfg Job, env Env) *run {
	r := &run{cfg: cfg, env: env, group: env.Group, saved: -1, now: time.Now, warned: map[string]bool{}}
	if r.group == nil {
		r.group = ranks.Alone()
	}
	r.cfg.Ranks = r.group.Size()
	if r.group.Rank() > 0 {
		r.env.Log = slog.New(warnings{env.Log.Handler()}).With("rank", r.group.Rank())
		r.env.Stdout = io.Discard
		r.cfg.Profile = false
	}
	return r
}

// open prepares everything: after it nothing is allocated, and nothing compiled but for the first use of kernels.
func (r *run) open(ctx context.Context) error {
	from, err := r.openRun()
	if err != nil {
		return err
	}
	if from.checkpoint != "" {
		if err := r.resumed(from.state); err != nil && (r.group.Rank() == 0 || err == errFinished) {
			return ranks.Agree(err)
		} else if err != nil {
			return ranks.Agree(ranks.ErrElsewhere)
		}
	}
	for turn := range min(r.group.Size(), 2) {
		if r.env.Fetch != nil && (r.group.Local() == 0) == (turn == 0) {
			err = r.env.Fetch(&r.cfg.Config, from.checkpoint == "")
		}
		if err := ranks.Together(r.group, err); err != nil {
			return err
		}
	}
	if err = ranks.Together(r.group, r.openParts(&from)); err != nil {
		return err
	}
	if err = ranks.Together(r.group, r.checkSpace()); err != nil {
		return err
	}
	tiles, err := r.agreeOnTiles(ctx, from) // measured in another process, so before this one opens the device
	if err != nil {
		return err
	}
	if err = ranks.Together(r.group, r.openDevice(tiles)); err != nil {
		return err
	}
	if err := r.fill(from); err != nil {
		return err
	}
	from = origin{} // one and a half gigabytes at 124M
	if err = ranks.Together(r.group, r.openOut()); err != nil {
		return err
	}
	return r.checkInStep()
}

// openHellaSwag reads and packs the questions, if they are to be measured.
func (r *run) openHellaSwag() error {
	if !r.cfg.measuresHellaSwag() {
		return nil
	}
	all, err := data.ReadHellaSwag(r.cfg.Hellaswag, r.tok)
	if err != nil {
		return fmt.Errorf("--hellaswag: %w", err)
	}
	if len(all) < r.group.Size() {
		return fmt.Errorf("--hellaswag: %d questions for %d ranks; hint: fewer ranks, or no --hellaswag", len(all), r.group.Size())
	}
	var questions []data.Example
	for q := r.group.Rank(); q < len(all); q += r.group.Size() {
		questions = append(questions, all[q])
	}
	if r.hella, err = eval.NewHellaSwag(r.eval, questions, r.cfg.BlockSize, r.cfg.VocabSize); err != nil {
		return err
	}
	if r.hella.Cut > 0 {
		r.env.Log.Warn("HellaSwag: rows longer than the context lose their oldest tokens", "rows", r.hella.Cut, "context", r.cfg.BlockSize)
	}
	return nil
}

func (r *run) openCorpus(spec string, split data.Split, opts ...data.Option) (*data.Corpus, error) {
	if r.cfg.FromWeights() || r.cfg.Resume {
		opts = append(opts, data.OfModel())
	}
	c, err := data.Open(spec, r.tok, r.cfg.VocabSize, r.env.Log, append(opts, data.WithSplit(split))...)
	if err != nil {
		return nil, r.missingData(spec, split, err)
	}
	r.corpora = append(r.corpora, c)
	return c, nil
}

// startWeights returns the weights of --init, and completes the settings from them: shape and tokenizer. From scratch it
// returns none.
func (r *run) startWeights() (*gpt2.Weights, error) {
	if !r.cfg.FromWeights() {
		r.cfg = r.cfg.Resolved()
		return nil, r.cfg.Model().Validate()
	}
	w, src, err := r.initWeights()
	if err != nil {
		return nil, fmt.Errorf("--init %w", err)
	}
	if err := r.takeShape(w.Config, src.Path, src.Tokenizer); err != nil {
		return nil, err
	}
	r.env.Log.Info(fmt.Sprintf("fine-tuning from %s: %d parameters, context %d, vocabulary %d, tokenizer %s",
		nameAndPath(r.cfg.Init, src.Path), gpt2.ParamCount(w.Config), w.Config.BlockSize, w.Config.VocabSize, r.cfg.Tokenizer))
	if r.cfg.FineTuned {
		r.env.Log.Info(fmt.Sprintf("fine-tuning rates: --lr %v --min-lr %v --warmup-steps %d (a tenth of the preset's, where no flag gives them)",
			r.cfg.LR, r.cfg.MinLR, r.cfg.WarmupSteps))
	}
	if cut := w.Config.BlockSize - r.cfg.BlockSize; cut > 0 {
		r.env.Log.Info("the context is shortened: the weights' last positions are dropped", "positions", cut)
		w = w.Crop(r.cfg.BlockSize)
	}
	r.special = src.Special
	if more := r.cfg.VocabSize - w.Config.VocabSize; more > 0 {
		r.env.Log.Info("the vocabulary is padded with rows that are the mean of the weights' own", "rows", more)
	}
	return w.Pad(r.cfg.VocabSize), r.cfg.Validate()
}

// nameAndPath is what was asked for and, where it differs, the path that was read.
func nameAndPath(name, path string) string {
	if path == name {
		return name
	}
	return fmt.Sprintf("%s (%s)", name, path)
}

// takeShape completes the settings from those of the weights at path: a shape left open is theirs, one that was asked for
// must be, but for the vocabulary, which is padded or cut, and the context, which may be shorter. The same goes for the
// tokenizer; tokenizer is what a checkpoint says of it, or empty.
func (r *run) takeShape(has gpt2.Config, path, tokenizer string) error {
	for _, f := range []struct {
		flag string
		set  *int
		has  int
	}{
		{"--n-layer", &r.cfg.NLayer, has.NLayer}, {"--n-head", &r.cfg.NHead, has.NHead}, {"--n-embd", &r.cfg.NEmbd, has.NEmbd},
		{"--block-size", &r.cfg.BlockSize, has.BlockSize},
	} {
		if *f.set == 0 {
			*f.set = f.has
		}
		if *f.set < f.has && f.flag == "--block-size" {
			continue
		}
		if *f.set != f.has {
			return fmt.Errorf("%s is %d, the weights of %s have %d; hint: leave %s out", f.flag, *f.set, path, f.has, f.flag)
		}
	}
	if r.cfg.SeqLen > r.cfg.BlockSize {
		return fmt.Errorf("--seq-len is %d, longer than the context of the weights of %s, %d; hint: leave --seq-len out, or --seq-len %d",
			r.cfg.SeqLen, path, r.cfg.BlockSize, r.cfg.BlockSize)
	}
	if r.cfg.VocabSize == 0 {
		r.cfg.VocabSize = has.VocabSize
	}
	tok, err := data.ModelTokenizer(r.cfg.Tokenizer, tokenizer, path, has.VocabSize)
	if err != nil {
		return err
	}
	if tok.Name() == "ids" && r.cfg.Tokenizer == "" { // nothing is known of the weights' own: then the shards say it
		if made, err := data.TokenizerOf(r.cfg.Data); err == nil && made != "" {
			if t, err := data.NewTokenizer(made); err == nil && t.VocabSize() <= has.VocabSize {
				tok = t
			}
		}
	}
	r.tok = tok
	if r.cfg.Tokenizer == "" {
		r.cfg.Tokenizer = tok.Name()
	}
	r.cfg = r.cfg.Resolved()
	return nil
}

// published reports whether --init is the name of published weights and of nothing here.
func (r *run) published() bool {
	if _, named := gpt2.Named(r.cfg.Init); !named {
		return false
	}
	_, err := os.Stat(r.cfg.Init)
	return err != nil
}

// initWeights reads the weights of --init; published ones are in the cache (see data.FetchModel).
func (r *run) initWeights() (*gpt2.Weights, gpt2.Source, error) {
	path := r.cfg.Init
	if r.published() {
		var err error
		if path, err = data.CachedModel(path); err != nil {
			return nil, gpt2.Source{}, err
		}
	}
	return gpt2.Load(path)
}

// buildStep makes model, programs and optimizer on r.dev, which may be a plan.
func (r *run) buildStep(opts ...model.Option) error {
	var err error
	if r.model, err = model.New(r.dev, r.cfg.Model(), opts...); err != nil {
		return err
	}
	// Gradients are those of a mean over all ranks, which sums add up, or of a mean over this rank's tokens alone.
	micros, buckets := r.cfg.AccumSteps(), model.Buckets(0)
	if r.group.Size() > 1 && !r.cfg.local() {
		micros *= r.group.Size()
		buckets = model.Buckets(model.BucketBytes(r.cfg.Model()))
	}
	if r.training, err = model.NewTraining(r.model, r.cfg.BatchSize, r.cfg.SeqLen, micros, append(r.cfg.options(), buckets)...); err != nil {
		return err
	}
	if r.optim, err = model.NewOptimizer(r.training, model.AdamW{
		Beta1: r.cfg.Beta1, Beta2: r.cfg.Beta2, Eps: r.cfg.Eps, WeightDecay: r.cfg.WeightDecay,
		DecayAll: r.cfg.Decay == "all", GradClip: r.cfg.GradClip,
	}); err != nil {
		return err
	}
	return nil
}

// build makes all that the run has on r.dev, with these tiles.
func (r *run) build(tiles op.Tuning) error {
	err := r.buildStep(r.useTiles(tiles)...)
	if err != nil {
		return err
	}
	r.exchange = ranks.NewExchange(r.group, r.dev, ranks.Wire(r.cfg.GradDType))
	if r.cfg.measuresHellaSwag() {
		if r.eval, err = r.training.Evaluator(r.cfg.BlockSize); err != nil {
			return err
		}
	}
	if r.cfg.SampleEvery > 0 && r.group.Rank() == 0 {
		if r.sampler, err = r.model.NewSampler(1); err != nil {
			return err
		}
		if err := r.sampler.Prepare(); err != nil {
			return err
		}
	}
	r.env.Log.Info(fmt.Sprintf("model: %d parameters; a step: %d tokens, %d micro-steps of B=%d T=%d; device memory: %s",
		gpt2.ParamCount(r.cfg.Model()), r.cfg.TokensPerStep(), r.cfg.AccumSteps(), r.cfg.BatchSize, r.cfg.SeqLen, r.dev.MemoryReport()))
	return nil
}

// openOut writes config.json and opens the metrics, cut back to the step that comes next.
func (r *run) openOut() error {
	if r.cfg.Out == "" || r.group.Rank() > 0 {
		return nil
	}
	record := Record{Config: r.cfg.Config, Version: r.env.Version, DeviceName: r.dev.Info.String()}
	raw, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.cfg.Out, 0o755); err != nil {
		return unwritable(r.cfg.Out, err)
	}
	r.begun = true
	if err := atomicfile.Write(filepath.Join(r.cfg.Out, configFile), append(raw, '\n')); err != nil {
		return unwritable(r.cfg.Out, err)
	}
	path := filepath.Join(r.cfg.Out, metricsFile)
	if r.metrics, err = metrics.Open(path, r.env.Log); err != nil {
		return err
	}
	return r.metrics.TruncateFrom(r.step)
}

func (r *run) close() {
	if r.compiled != nil {
		r.compiled()
	}
	r.exchange.Close()
	r.metrics.Close()
	if r.dev != nil {
		r.dev.Close()
	}
	for _, c := range r.corpora {
		c.Close()
	}
	r.leaveOut()
}
