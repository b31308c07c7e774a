package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/mpi"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

var trainCommand = &command{
	name:  "train",
	short: "Train from scratch, from pretrained weights, or go on with a run",
	long: `
An explicit flag comes before --config, that before --preset, and that before the defaults, which are the preset
tiny's. With --resume the run's own config.json is the --config. With --init the shape, the tokenizer and the longest
sequence are those of the weights, and --lr and --warmup-steps are a tenth of the preset's unless they are given;
--min-lr keeps the preset's proportion to --lr. Without --out a run is kept in a new directory, runs/PRESET-N. An
interrupt, SIGTERM or a hangup ends a run after its step with a checkpoint, a second interrupt at once. Presets:

` + presetList() + `
  gpt2wgpu train
  gpt2wgpu train --out runs/first --steps 2000
  gpt2wgpu train --preset first-steps --data input.txt --out runs/shakespeare
  gpt2wgpu train --preset gpt2-124m --batch-size 4 --dry-run
  mpirun -np 4 gpt2wgpu train --preset gpt2-124m --out runs/four`,
	setup: func(fs *flagSet) runFunc {
		t := newTrainFlags(fs)
		return func(ctx context.Context, e *env, _ []string) (result error) {
			group, err := mpi.Join()
			if err != nil {
				return err
			}
			e.group = group
			c, err := t.settle()
			c.Ranks, c.Given = group.Size(), t.fs.Changed
			if err == nil {
				err = t.check(c)
			}
			if err != nil {
				err = &usageError{err}
			}
			if err := ranks.Together(group, err); err != nil {
				return err
			}
			en := train.Env{Log: e.log, Stdout: e.stdout, Version: programVersion(), Group: group, Tuner: e.tuner()}
			if t.dryRun {
				return train.DryRun(c, en)
			}
			e.lastingOutput()
			en.Stdout = e.stdout
			if t.profile {
				c.Profile = printProfile(e.stderr)
			}
			en.Fetch = func(c *train.Config, init bool) error { return fetchForTrain(ctx, e, c, init) }
			made, err := t.makeOut(group, &c)
			if err := ranks.Together(group, err); err != nil {
				return err
			}
			if made != "" {
				defer func() {
					if result != nil {
						train.RemoveUnused(made)
					}
				}()
			}
			return train.Run(ctx, c, en)
		}
	},
}

// makeOut makes the directory of a new run that has no --out, on rank 0, and returns its path; the others learn it from train.Run.
func (t *trainFlags) makeOut(group ranks.Group, c *train.Job) (made string, err error) {
	if group.Rank() > 0 || c.Out != "" || t.outGiven {
		return "", nil
	}
	name := t.preset
	if name == "" {
		name = train.Presets[0].Name
	}
	made, err = train.MakeRunDir(train.RunsDir, name)
	c.Out = made
	return made, err
}

// check reports what is wrong with the settings, and with the flags beside them.
func (t *trainFlags) check(c train.Job) error {
	if c.Resume && c.Out == "" {
		out := "DIR"
		if newest := train.NewestRun(train.RunsDir); newest != "" {
			out = newest
		}
		return fmt.Errorf("--resume needs the run's directory; hint: --out %s --resume", out)
	}
	return errors.Join(c.Validate(), t.idleFlags(c))
}

// fetchForTrain brings what the settings name into the cache; init: the weights of --init too.
func fetchForTrain(ctx context.Context, e *env, c *train.Config, init bool) (err error) {
	if init && ofHub(c.Init) {
		if _, err := fetchModel(ctx, e, c.Init); err != nil {
			return fmt.Errorf("--init %w", err)
		}
	}
	if c.Hellaswag != "" && c.HellaswagEvery == 0 {
		e.log.Warn("HellaSwag won't be measured: --hellaswag-every is 0; hint: --hellaswag-every 250")
	} else if c.Hellaswag, err = hellaswagSpec(ctx, e, c.Hellaswag); err != nil {
		return err
	}
	return nil
}

func presetList() string {
	var b strings.Builder
	for _, p := range train.Presets {
		b.WriteString("  " + p.Name + strings.Repeat(" ", 14-len(p.Name)) + p.Short + "\n")
	}
	return b.String()
}

// trainFlags are the flags of train; cfg is where the settings among them are stored.
type trainFlags struct {
	fs             *flagSet
	cfg            train.Job
	preset, config string
	dryRun         bool
	profile        bool
	outGiven       bool // by --out or in a file, be it empty
}

func newTrainFlags(fs *flagSet) *trainFlags {
	t := &trainFlags{fs: fs, cfg: train.Job{Config: train.DefaultConfig()}}
	c := &t.cfg

	f := fs.section("Model")
	f.IntVar(&c.NLayer, "n-layer", c.NLayer, "transformer `blocks`")
	f.IntVar(&c.NHead, "n-head", c.NHead, "attention `heads` of a block")
	f.IntVar(&c.NEmbd, "n-embd", c.NEmbd, "`channels`, a multiple of the heads")
	f.IntVar(&c.BlockSize, "block-size", c.BlockSize, "longest context, in `tokens`; with --init it may be shorter than the weights', whose last positions are then dropped")
	f.IntVar(&c.VocabSize, "vocab-size", c.VocabSize, "`tokens` of the vocabulary, padding included")
	f.StringVar(&c.Init, "init", c.Init, "`weights` to start from: scratch, gpt2, gpt2-medium, gpt2-large, gpt2-xl, a Hugging Face directory, a checkpoint, or an llm.c .bin; their shape and tokenizer take the place of the preset's")

	f = fs.section("Data")
	f.StringVar(&c.Data, "data", c.Data, "`spec` of the text: sample, shakespeare, tinystories, fineweb-edu, a .txt or .md file, a .npy or .bin token shard, a directory or a quoted glob of these")
	f.StringVar(&c.ValData, "val-data", c.ValData, "`spec` of the validation text (default: the files of --data that are named val, valid, validation or test)")
	f.Var((*fraction)(&c.ValFraction), "val-fraction", "`part` of --data that validates and doesn't train, in blocks spread over it (default: 0.1 of your own .txt and .md where nothing else validates, else 0)")
	f.StringVar(&c.Tokenizer, "tokenizer", c.Tokenizer, "`tokenizer`: gpt2, bytes, or a directory with Hugging Face's files (default: that of the shards or of the --init weights, else the preset's)")

	f = fs.section("Batch")
	f.IntVar(&c.BatchSize, "batch-size", c.BatchSize, "`sequences` of a micro-step (B), what device memory must hold")
	f.IntVar(&c.SeqLen, "seq-len", c.SeqLen, "`tokens` of a sequence (T), at most --block-size or the context of the --init weights")
	f.IntVar(&c.TotalBatchSize, "total-batch-size", c.TotalBatchSize, "`tokens` of an optimizer step, a multiple of B*T*ranks: micro-steps add up to it (default: B*T*ranks)")

	f = fs.section("Optimizer")
	f.IntVar(&c.Steps, "steps", c.Steps, "optimizer `steps` of the whole run")
	f.Float64Var(&c.LR, "lr", c.LR, "peak learning `rate` (with --init: a tenth of the preset's)")
	f.Float64Var(&c.MinLR, "min-lr", c.MinLR, "learning `rate` that the schedule falls to (with --init: in the preset's proportion to --lr)")
	f.IntVar(&c.WarmupSteps, "warmup-steps", c.WarmupSteps, "`steps` of linear rise to --lr (with --init: a tenth of the preset's)")
	f.StringVar(&c.Schedule, "schedule", c.Schedule, "`shape` of the learning rate after the warmup: constant, cosine, linear, or wsd, constant with a linear fall over the last 20% of the steps")
	f.Float64Var(&c.WeightDecay, "weight-decay", c.WeightDecay, "AdamW's decoupled decay, as a `factor` of the learning rate")
	f.StringVar(&c.Decay, "decay", c.Decay, "`parameters` that decay: all, matrices")
	f.Float64Var(&c.Beta1, "beta1", c.Beta1, "`decay` of the gradients' running mean")
	f.Float64Var(&c.Beta2, "beta2", c.Beta2, "`decay` of the squared gradients' running mean")
	f.Float64Var(&c.Eps, "eps", c.Eps, "AdamW's epsilon: a small `number` that keeps a division finite")
	f.Float64Var(&c.GradClip, "grad-clip", c.GradClip, "largest `norm` of all gradients together, 0 is off")

	f = fs.section("Numerics")
	f.StringVar(&c.DType, "dtype", c.DType, "storage `type` of activations and matrices: f32, bf16")
	f.Uint64Var(&c.Seed, "seed", c.Seed, "`seed` of the initial weights, PyTorch's for the same number")

	f = fs.section("Memory")
	f.StringVar(&c.Recompute, "recompute", c.Recompute, "`activations` that the backward pass computes again instead of keeping: none, gelu, block")

	f = fs.section("Run")
	f.StringVar(&c.Out, "out", c.Out, "`directory` of the run: config.json, metrics.jsonl, checkpoints (default: a new one, "+train.RunsDir+"/PRESET-N, printed at the start); '' saves nothing")
	f.BoolVar(&c.Resume, "resume", c.Resume, "go on with the run in --out, from its newest checkpoint")
	f.IntVar(&c.SaveEvery, "save-every", c.SaveEvery, "`steps` between checkpoints; the end and an interrupt save in any case")
	f.Float64Var(&c.SaveMinutes, "save-minutes", c.SaveMinutes, "`minutes` between checkpoints, those of --save-every included, 0 is never by time")
	f.IntVar(&c.Keep, "keep", c.Keep, "`checkpoints` that stay, the newest ones; 0 is all")
	f.IntVar(&c.StopAfter, "stop-after", c.StopAfter, "end this invocation after so many `steps`, as an interrupt would; the schedule still runs to --steps")
	f.IntVar(&c.ValEvery, "val-every", c.ValEvery, "`steps` between validations, 0 is never")
	f.IntVar(&c.ValSteps, "val-steps", c.ValSteps, "`batches` of B*T tokens in a validation")
	f.IntVar(&c.HellaswagEvery, "hellaswag-every", c.HellaswagEvery, "`steps` between measurements of HellaSwag, 0 is never")
	f.StringVar(&c.Hellaswag, "hellaswag", c.Hellaswag, "`file` of HellaSwag's questions, .jsonl or llm.c's .bin, or fetch; without it, it isn't measured")
	f.IntVar(&c.SampleEvery, "sample-every", c.SampleEvery, "`steps` between texts written by the model, 0 is never")

	f = fs.section("Device")
	f.StringVar(&c.Device, "device", c.Device, deviceUsage)
	f.BoolVar(&c.NoAutotune, "no-autotune", c.NoAutotune, noAutotuneUsage)

	f = fs.section("Data parallel")
	f.IntVar(&c.CheckEvery, "check-every", c.CheckEvery, "`steps` between comparisons of the ranks' parameters, 0 is at the start alone")
	f.StringVar(&c.GradDType, "grad-dtype", c.GradDType, "`type` that gradients travel in: f32, bf16")
	f.IntVar(&c.SyncEvery, "sync-every", c.SyncEvery, "`steps` that a rank takes by itself before all meet in an outer step (DiLoCo), for slow networks; 1 sums gradients every step")
	f.Float64Var(&c.OuterLR, "outer-lr", c.OuterLR, "`rate` of the outer step")
	f.Float64Var(&c.OuterMomentum, "outer-momentum", c.OuterMomentum, "`momentum` of the outer step, Nesterov's")

	f = fs.section("Other")
	f.StringVar(&t.preset, "preset", "", "start from the settings of this `name`: "+strings.Join(presetNames(), ", "))
	f.StringVar(&t.config, "config", "", "start from the settings in this JSON `file`, such as a run's config.json")
	f.BoolVar(&t.dryRun, "dry-run", false, "print the plan (shapes, parameters, bytes of device memory by role, steps) and allocate nothing")
	f.BoolVar(&t.profile, "profile", false, "time every kernel of one step, the fourth, and print the breakdown at the end on standard error")
	fs.logFlags(f)
	return t
}

const deviceUsage = "`GPU` to use: auto, an index or a part of a name (see gpt2wgpu devices), vulkan, metal, dx12, cpu, cuda (NVIDIA), mps (Metal)"

func presetNames() (names []string) {
	for _, p := range train.Presets {
		names = append(names, p.Name)
	}
	return names
}

// fraction is a flag's number whose default is a rule, which its help says in words.
type fraction float64

func (f *fraction) String() string {
	if *f < 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*f), 'g', -1, 64)
}
func (f *fraction) Type() string { return "fraction" }
func (f *fraction) Set(s string) error {
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && v < 0 { // which is AutoFraction's place
		return errors.New("negative")
	}
	*f = fraction(v)
	return err
}

// settle returns the settings of the run: explicit flag > --config > --preset > default. Where the preset alone speaks,
// it gives way to what the flags imply: the shape and tokenizer of --init weights, a vocabulary that holds the
// tokenizer, a sequence no longer than the context. The flags must be parsed.
func (t *trainFlags) settle() (train.Job, error) {
	explicit := map[*pflag.Flag]string{} // Visit sees the flags that were set
	t.fs.Visit(func(f *pflag.Flag) { explicit[f] = f.Value.String() })
	base := train.DefaultConfig()
	if t.preset != "" {
		p, err := train.FindPreset(t.preset)
		if err != nil {
			return train.Job{}, err
		}
		base = p.Config
	}
	preset := base
	var inFile []string
	var err error
	if t.config != "" {
		inFile, err = train.ReadConfig(t.config, &base)
	} else if t.cfg.Resume && t.cfg.Out != "" {
		inFile, err = train.RunConfig(t.cfg.Out, &base) // none: what is missing will be reported
	}
	if err != nil {
		return train.Job{}, err
	}
	if p := preset; t.preset != "" && t.cfg.Resume && inFile != nil && !base.FromWeights() && base.NLayer != p.NLayer && !t.fs.Changed("n-layer") {
		return train.Job{}, fmt.Errorf("--preset %s has no effect with --resume, which takes the run's own settings (%d layers, the preset has %d); hint: leave --preset out, or start a new run with another --out",
			t.preset, base.NLayer, p.NLayer)
	}
	t.cfg.Config = base // the flags point into it
	for f, value := range explicit {
		if err := f.Value.Set(value); err != nil {
			return train.Job{}, err
		}
	}

	c := t.cfg
	if c.Resume && t.fs.Changed("init") && c.Init != base.Init && len(gpt2.Checkpoints(c.Out)) > 0 {
		return c, fmt.Errorf("--init has no effect with --resume, since the run goes on from its checkpoint; hint: leave --init out, or start a new run with another --out")
	}
	t.outGiven = t.fs.Changed("out") || slices.Contains(inFile, "out")
	fromFile := inFile != nil && c.Init == base.Init // the file's shape is that of these weights
	given := func(flag string) bool {
		return t.fs.Changed(flag) || slices.Contains(inFile, strings.ReplaceAll(flag, "-", "_"))
	}
	if c.FromWeights() {
		theirs := func(flag string) bool { return !t.fs.Changed(flag) && !(fromFile && given(flag)) }
		for flag, field := range map[string]*int{
			"n-layer": &c.NLayer, "n-head": &c.NHead, "n-embd": &c.NEmbd, "block-size": &c.BlockSize, "vocab-size": &c.VocabSize,
		} {
			if theirs(flag) {
				*field = 0
			}
		}
		if theirs("tokenizer") {
			c.Tokenizer = ""
		}
	} else if err := t.takeTokenizer(&c, given); err != nil {
		return c, err
	}
	t.shorten(&c, given)
	if c.FromWeights() && !c.Resume {
		c.Config, c.FineTuned = c.FineTune(preset, given)
	}
	return c, nil
}

// shorten makes a sequence that nobody asked for no longer than the context, which --init weights bring where no flag
// says it, and the preset's step a multiple of it.
func (t *trainFlags) shorten(c *train.Job, given func(flag string) bool) {
	context := c.BlockSize
	if context == 0 && c.FromWeights() {
		if shape, err := gpt2.Shape(c.Init); err == nil { // else reading the weights reports it
			context = shape.BlockSize
		}
	}
	if given("seq-len") || context < 1 || c.SeqLen <= context {
		return
	}
	c.SeqLen = context
	if micro := c.BatchSize * c.SeqLen; micro > 0 && !given("total-batch-size") {
		c.TotalBatchSize -= c.TotalBatchSize % micro
	}
}

// takeTokenizer settles the tokenizer of a run from scratch, the one that made its shards unless another was asked for, and
// the vocabulary that holds it. A run that is resumed has its own.
func (t *trainFlags) takeTokenizer(c *train.Job, given func(flag string) bool) error {
	if c.Resume {
		return nil
	}
	preset := c.Tokenizer
	if !given("tokenizer") {
		made, err := data.TokenizerOf(c.Data)
		if err != nil {
			return err
		}
		if made != "" {
			c.Tokenizer = made
		}
	}
	tok, err := data.NewTokenizer(c.Tokenizer)
	if err != nil {
		return nil // Validate or Run reports it
	}
	c.Tokenizer = tok.Name()
	if given("vocab-size") {
		return nil
	}
	c.VocabSize = max(c.VocabSize, tok.VocabSize())
	if data.IsPath(c.Tokenizer) && c.Tokenizer != preset && tok.VocabSize() > 0 {
		c.VocabSize = tok.VocabSize()
	}
	return nil
}
