package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// Env is where a run talks to.
type Env struct {
	Log      *slog.Logger // progress, on stderr
	Stdout   io.Writer    // samples
	Stderr   io.Writer
	Version  string // of the program, for config.json
	Terminal bool   // Stdout is a terminal
	Group    Group  // nil: this process alone
	Tuner    Tuner  // chooses tiles; nil: the fixed ones
}

// ErrInterrupted ends a run that was asked to stop; its checkpoint is written.
var ErrInterrupted = errors.New("interrupted")

// maxSkipped is how many steps in a row may have a loss or norm that is not finite.
const maxSkipped = 3

// run is a training in progress.
type run struct {
	cfg   Config
	env   Env
	group Group
	mixed bool // the ranks' devices are of more than one kind

	tok      data.Tokenizer
	corpora  []*data.Corpus
	loader   *data.Loader
	val      *data.Loader // nil: no validation
	dev      *gpu.Device
	model    *model.Model
	training *model.Training
	optim    *model.Optimizer
	sampler  *model.Sampler // nil: no samples
	eval     *model.Evaluator
	hella    *HellaSwag // nil: not measured
	metrics  *Metrics   // nil: no --out, or not rank 0
	exchange *exchange
	outer    *outer // nil: the ranks sum gradients every step

	spent   RanksMetric // in all steps of this invocation
	stop    bool        // all ranks know that this invocation ends before the next step
	first   int         // step of this invocation
	step    int
	tokens  int64
	skipped int
	saved   int // step of the newest checkpoint, -1 none

	tiles   Tiles        // that programs take
	timings []gpu.Timing // of the step that --profile looks at
}

// Run trains as cfg says. It returns ErrInterrupted, wrapped, when ctx ended or --stop-after was reached before the last
// step, with the checkpoint written if there is an --out.
//
// With a Group of more than one rank, rank 0's cfg counts on all of them but for the device. Rank 0 alone reads and writes
// the run's directory and logs what is no warning. An error that is not [Agreed] leaves the other ranks waiting.
func Run(ctx context.Context, cfg Config, env Env) error {
	r := newRun(cfg, env)
	defer r.close()
	err := r.open(ctx)
	if err == nil {
		err = r.loop(ctx)
	}
	if err == nil || errors.Is(err, ErrInterrupted) {
		r.tellSpent()
	}
	if err != nil && !errors.Is(err, ErrInterrupted) {
		return inRank(r.group, err)
	}
	if failed := r.printProfile(); failed != nil {
		return inRank(r.group, failed)
	}
	return err
}

func newRun(cfg Config, env Env) *run {
	r := &run{cfg: cfg, env: env, group: env.Group, saved: -1}
	if r.group == nil {
		r.group = Alone()
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
	if err = Together(r.group, r.openParts(&from)); err != nil {
		return err
	}
	tiles, err := r.agreeOnTiles(ctx, from) // measured in another process, so before this one opens the device
	if err != nil {
		return err
	}
	if err = Together(r.group, r.openDevice(tiles)); err != nil {
		return err
	}
	if err := r.fill(from); err != nil {
		return err
	}
	from = origin{} // one and a half gigabytes at 124M
	if err = Together(r.group, r.openOut()); err != nil {
		return err
	}
	return r.checkInStep()
}

func (r *run) openData() error {
	var err error
	if r.tok, err = data.NewTokenizer(r.cfg.Tokenizer); err != nil {
		return err
	}
	if r.loader, err = r.openLoader(r.cfg.Data, data.Train); err != nil {
		return err
	}
	r.env.Log.Info(fmt.Sprintf("1 epoch = %d batches", r.loader.Batches()))
	switch {
	case r.cfg.ValData != "":
		r.val, err = r.openLoader(r.cfg.ValData, data.Val)
	case r.cfg.ValEvery > 0:
		if r.val, err = r.openLoader(r.cfg.Data, data.Val); err == nil && !r.hasValidationShards() {
			err = fmt.Errorf("--val-every %d: --data %s has no validation part; hint: --val-data SPEC, or --val-every 0", r.cfg.ValEvery, r.cfg.Data)
		}
	}
	return err
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
	if r.hella, err = NewHellaSwag(r.eval, questions, r.cfg.BlockSize, r.cfg.VocabSize); err != nil {
		return err
	}
	if r.hella.Cut > 0 {
		r.env.Log.Warn("HellaSwag: rows longer than the context lose their oldest tokens", "rows", r.hella.Cut, "context", r.cfg.BlockSize)
	}
	return nil
}

// hasValidationShards says whether the validation corpus differs from the training one, as a directory with both kinds of
// shards gives; a text is the same for both.
func (r *run) hasValidationShards() bool {
	c := r.corpora
	return len(c) == 2 && c[0].Len() != c[1].Len()
}

func (r *run) openLoader(spec string, split data.Split) (*data.Loader, error) {
	c, err := data.Open(spec, r.tok, r.cfg.VocabSize, r.env.Log, data.WithSplit(split))
	if err != nil {
		return nil, err
	}
	r.corpora = append(r.corpora, c)
	return data.NewLoader(c, r.cfg.BatchSize, r.cfg.SeqLen, r.group.Rank(), r.group.Size())
}

// refuseUsedOut keeps a new run from mixing with an older one in its directory.
func (r *run) refuseUsedOut() error {
	if r.cfg.Out == "" {
		return nil
	}
	for _, name := range []string{"metrics.jsonl", gpt2.CheckpointsDir} {
		if _, err := os.Stat(filepath.Join(r.cfg.Out, name)); err == nil {
			return fmt.Errorf("--out %s: holds a run already (%s); hint: --resume continues it, another --out starts a new one", r.cfg.Out, name)
		}
	}
	return nil
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
	if more := r.cfg.VocabSize - w.Config.VocabSize; more > 0 {
		// A row of zeros has the logit 0, and GPT-2's own are far below: such a row is the likeliest token at first.
		r.env.Log.Warn("the vocabulary is padded with rows of zeros, which compete with the weights' own until they are trained; hint: leave --vocab-size out", "rows", more)
	}
	return w.Pad(r.cfg.VocabSize), r.cfg.Validate()
}

// takeShape completes the settings from those of the weights at path: a shape left open is theirs, one that was asked for
// must be, but for the vocabulary, which is padded or cut. tokenizer may be empty.
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
		if *f.set != f.has {
			return fmt.Errorf("%s is %d, the weights of %s have %d; hint: leave %s out", f.flag, *f.set, path, f.has, f.flag)
		}
	}
	if r.cfg.VocabSize == 0 {
		r.cfg.VocabSize = has.VocabSize
	}
	if r.cfg.Tokenizer == "" {
		r.cfg.Tokenizer = tokenizer
		if tokenizer == "" {
			r.cfg.Tokenizer = map[bool]string{true: "gpt2", false: "bytes"}[has.VocabSize >= vocabularies["gpt2"]]
		}
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
func (r *run) buildStep() error {
	var err error
	if r.model, err = model.New(r.dev, r.cfg.Model()); err != nil {
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

// build makes all that the run has on r.dev.
func (r *run) build() error {
	err := r.buildStep()
	if err != nil {
		return err
	}
	r.exchange = newExchange(r.group, r.dev, Wire(r.cfg.GradDType))
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
	if err := os.MkdirAll(r.cfg.Out, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	record := Record{Config: r.cfg, Version: r.env.Version, DeviceName: r.dev.Info.String()}
	raw, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(r.cfg.Out, "config.json"), append(raw, '\n')); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	path := filepath.Join(r.cfg.Out, "metrics.jsonl")
	if r.metrics, err = OpenMetrics(path); err != nil {
		return err
	}
	return r.metrics.TruncateFrom(r.step)
}

func (r *run) close() {
	r.exchange.close()
	r.metrics.Close()
	if r.dev != nil {
		r.dev.Close()
	}
	for _, c := range r.corpora {
		c.Close()
	}
}

func (r *run) loop(ctx context.Context) error {
	r.first = r.step
	progress := newProgress(r.env.Log, r.cfg.Steps, r.step)
	if err := r.meet(ctx, nil); err != nil {
		return err
	}
	for r.step < r.cfg.Steps {
		if r.stop {
			return r.interrupt()
		}
		if r.cfg.CheckEvery > 0 && r.outer == nil && r.step > r.first && r.step%r.cfg.CheckEvery == 0 {
			if err := r.checkInStep(); err != nil {
				return err
			}
		}
		// Looked at before the step and not after the one before, so that a run that resumes here does it again.
		if r.cfg.ValEvery > 0 && r.step%r.cfg.ValEvery == 0 {
			if err := r.validate(); err != nil {
				return err
			}
		}
		if r.hella != nil && r.step%r.cfg.HellaswagEvery == 0 {
			if err := r.scoreHellaSwag(ctx); err != nil {
				return err
			}
		}
		if r.sampler != nil && r.step > 0 && r.step%r.cfg.SampleEvery == 0 {
			if err := r.sample(ctx); err != nil {
				return err
			}
		}
		step := r.trainStep
		if r.profiled(r.first) {
			step = r.profileStep
		}
		if err := step(ctx, progress); err != nil {
			return err
		}
		if r.step%r.cfg.SyncEvery == 0 || r.step == r.cfg.Steps {
			if err := r.syncOuter(); err != nil {
				return err
			}
		}
		if r.cfg.SaveEvery > 0 && r.step%r.cfg.SaveEvery == 0 && r.skipped == 0 { // not what may end in an error
			if err := r.save(); err != nil {
				return err
			}
		}
	}
	if r.val != nil && r.cfg.ValEvery > 0 {
		if err := r.validate(); err != nil {
			return err
		}
	}
	if r.hella != nil {
		if err := r.scoreHellaSwag(ctx); err != nil {
			return err
		}
	}
	if err := r.save(); err != nil {
		return err
	}
	if r.sampler != nil {
		return r.sample(ctx)
	}
	return nil
}

// trainStep does one optimizer step.
func (r *run) trainStep(ctx context.Context, progress *progress) error {
	start := time.Now()
	copied, exposed, traffic := r.exchange.copied, r.exchange.exposed, r.group.Traffic()
	n := r.cfg.BatchSize * r.cfg.SeqLen
	x, y := make([]uint32, n), make([]uint32, n)
	if err := r.training.Begin(); err != nil {
		return err
	}
	for i := 0; i < r.cfg.AccumSteps(); i++ {
		if err := r.loader.Next(x, y); err != nil {
			return err
		}
		var done func([]gpu.Tensor) error
		if i == r.cfg.AccumSteps()-1 && r.outer == nil {
			done = r.exchange.add
		}
		if err := r.training.MicroInBuckets(x, y, done); err != nil {
			return err
		}
	}
	if err := r.exchange.finish(); err != nil {
		return err
	}
	lr := LearningRate(r.cfg, r.step)
	if err := r.optim.Update(r.step, lr); err != nil {
		return err
	}
	s, err := r.training.Stats()
	if err != nil {
		return err
	}
	if err := r.meet(ctx, &s); err != nil {
		return err
	}
	took := time.Since(start)
	tokens := r.cfg.TokensPerStep()
	r.tokens += int64(tokens)
	rec := TrainMetric{Step: r.step, Loss: Float(s.Loss), LR: Float(lr), GradNorm: Float(s.GradNorm), Tokens: r.tokens,
		MS: Float(took.Seconds() * 1e3), TokensPerS: Float(float64(tokens) / took.Seconds())}
	if r.group.Size() > 1 {
		rec.RanksMetric = ranksMetric(took, r.exchange.copied-copied, r.exchange.exposed-exposed, r.group.Traffic().minus(traffic))
		r.spent.add(*rec.RanksMetric)
	}
	if err := r.metrics.Train(rec); err != nil {
		return err
	}
	progress.step(rec)
	r.step++
	return r.watch(s)
}

// meet brings the ranks' numbers of a step together, if there was one, and decides for all whether to stop before the next.
func (r *run) meet(ctx context.Context, s *model.Stats) error {
	done := r.step - r.first
	mine := []float64{0, 0, 0}
	if s != nil {
		done++ // r.step still counts the one before
		mine[0], mine[2] = s.Loss, s.GradNorm
	}
	if ctx.Err() != nil || r.cfg.StopAfter > 0 && done >= r.cfg.StopAfter {
		mine[1] = 1
	}
	all, err := gatherFloats(r.group, mine...)
	if err != nil {
		return err
	}
	loss, norm := 0.0, 0.0
	for _, of := range all {
		loss += of[0]
		norm += of[2] / float64(len(all))
		r.stop = r.stop || of[1] != 0
	}
	if s == nil {
		return nil
	}
	s.Loss = loss // of parts of one mean
	if r.outer != nil {
		s.Loss, s.GradNorm = loss/float64(len(all)), norm
	}
	return nil
}

func ranksMetric(took, copied, exposed time.Duration, t Traffic) *RanksMetric {
	ms := func(d time.Duration) Float { return Float(d.Seconds() * 1e3) }
	return &RanksMetric{ComputeMS: ms(took - copied - exposed), CopyMS: ms(copied), CommMS: ms(t.Comm), WaitMS: ms(t.Wait), ExposedMS: ms(exposed)}
}

// tellSpent logs where the time of this invocation's steps went.
func (r *run) tellSpent() {
	if steps := Float(r.step - r.first); r.group.Size() > 1 && steps > 0 {
		s := r.spent
		r.env.Log.Info(fmt.Sprintf("a step on %d ranks, on average: %.1f ms computing, %.1f copying, %.1f waiting for sums; those took %.1f ms and %.1f for the last rank to come; sent %s a rank",
			r.group.Size(), s.ComputeMS/steps, s.CopyMS/steps, s.ExposedMS/steps, s.CommMS/steps, s.WaitMS/steps, gpu.HumanBytes(uint64(r.group.Traffic().Bytes)/uint64(steps))))
	}
}

// watch counts steps that were skipped because a number was not finite.
func (r *run) watch(s model.Stats) error {
	finite := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
	if finite(s.Loss) && finite(s.GradNorm) {
		r.skipped = 0
		return nil
	}
	r.skipped++
	culprit, err := r.training.NotFinite()
	if err != nil {
		return err
	}
	r.env.Log.Warn("step skipped: a number is not finite", "step", r.step-1, "loss", s.Loss, "grad_norm", s.GradNorm, "tensor", culprit)
	if r.skipped >= maxSkipped {
		return agreed{fmt.Errorf("step %d: %d steps in a row were not finite (%s); hint: resume from the last checkpoint with a lower --lr, or with --grad-clip 1", r.step-1, r.skipped, culprit)}
	}
	return nil
}

func (r *run) validate() error {
	r.val.Reset()
	loss, err := r.training.EvalLoss(r.cfg.ValSteps, r.val.Next)
	if err != nil {
		return err
	}
	all, err := gatherFloats(r.group, loss)
	if err != nil {
		return err
	}
	loss = 0
	for _, of := range all {
		loss += of[0] / float64(len(all))
	}
	r.env.Log.Info(fmt.Sprintf("step %d: validation loss %.6f", r.step, loss))
	return r.metrics.Val(ValMetric{Step: r.step, Loss: Float(loss)})
}

// scoreHellaSwag measures all questions, each rank its share. One that is interrupted ends the run before its step; the
// resumed run measures again.
func (r *run) scoreHellaSwag(ctx context.Context) error {
	score, err := r.hella.Score(ctx, nil)
	stopped := 0.0
	if ctx.Err() != nil {
		stopped = 1
	} else if err != nil {
		return err
	}
	n := float64(score.N)
	all, err := gatherFloats(r.group, stopped, n, n*float64(score.Acc), n*float64(score.AccNorm))
	if err != nil {
		return err
	}
	var sum [4]float64
	for _, of := range all {
		for i := range sum {
			sum[i] += of[i]
		}
	}
	if sum[0] > 0 {
		return r.interrupt()
	}
	total := HellaswagMetric{Step: r.step, N: int(sum[1]), Acc: Float(math.Round(sum[2]) / sum[1]), AccNorm: Float(math.Round(sum[3]) / sum[1])}
	r.env.Log.Info(fmt.Sprintf("step %d: HellaSwag: %d questions, acc %.4f, acc_norm %.4f", r.step, total.N, float64(total.Acc), float64(total.AccNorm)))
	return r.metrics.Hellaswag(total)
}

// sampleTokens is the length of a sample on the way.
const sampleTokens = 32

// sample prints text of the model as it is now.
func (r *run) sample(ctx context.Context) error {
	prompt := []int{'\n'}
	stop := -1
	length := sampleTokens
	if eot, ok := r.tok.EOT(); ok {
		prompt, stop = []int{eot}, eot
	} else {
		length = 400 // bytes
	}
	out, err := r.sampler.Generate(ctx, prompt, model.SampleOptions{
		MaxTokens: length, Temperature: 0.8, TopK: 50, TopP: 1, Seed: uint64(r.cfg.Seed) + uint64(r.step), Stop: stop,
	}, nil)
	if err != nil && ctx.Err() == nil {
		return err
	}
	text := r.tok.Decode(out[0])
	r.env.Log.Info(fmt.Sprintf("step %d: a sample", r.step))
	fmt.Fprintln(r.env.Stdout, text)
	return r.metrics.Sample(SampleMetric{Step: r.step, Text: text})
}

// save writes a checkpoint of the present step, unless there is one or no --out.
func (r *run) save() error {
	if r.cfg.Out == "" || r.saved == r.step {
		return nil
	}
	r.saved = r.step
	first, second, err := r.moments()
	if err != nil || r.group.Rank() > 0 {
		return err
	}
	var b [][]float32
	if r.outer != nil {
		b = r.outer.b
	}
	dir, err := saveCheckpoint(r.cfg.Out, State{
		Step: r.step, Tokens: r.tokens, Skipped: r.skipped, Data: r.loader.State(),
		Tokenizer: r.cfg.Tokenizer, Config: r.cfg, Version: r.env.Version, Tiles: r.tiles,
	}, r.model, first, second, b, r.cfg.Keep)
	if err != nil {
		return err
	}
	r.env.Log.Info("checkpoint " + dir)
	return nil
}

func (r *run) interrupt() error {
	if err := r.syncOuter(); err != nil { // a checkpoint holds what is common to all ranks
		return err
	}
	if err := r.save(); err != nil {
		return err
	}
	if r.group.Rank() > 0 {
		return agreed{fmt.Errorf("%w (%w)", ErrInterrupted, ErrElsewhere)}
	}
	if r.cfg.Out == "" {
		return agreed{fmt.Errorf("%w after %d of %d steps; nothing was saved, since there is no --out", ErrInterrupted, r.step, r.cfg.Steps)}
	}
	return agreed{fmt.Errorf("%w after %d of %d steps; continue with --out %s --resume", ErrInterrupted, r.step, r.cfg.Steps, r.cfg.Out)}
}
