package train

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// Setting is a field of [Job] that a user sets.
type Setting struct {
	Name       string         // in config.json; see Flag
	Section    string         // of the help
	Usage      string         // the help; `x` names the value
	In         func(*Job) any // where a job has it: an *int, *uint64, *float64, *string or *bool
	Invocation bool           // of this invocation, not of the run: no file has it
	Fixed      bool           // a resumed run must not change it
	Auto       bool           // the default is a rule, which Usage says

	rate  bool                               // decides on the learning rate
	check func(flag string, value any) error // nil: any value, or checked with others by Validate
}

// Flag returns the name of the setting's flag, without the dashes.
func (s Setting) Flag() string { return strings.ReplaceAll(s.Name, "_", "-") }

// value returns what j has.
func (s Setting) value(j Job) any { return reflect.ValueOf(s.In(&j)).Elem().Interface() }

// Settings are all settings, in the order of the help and of config.json. The defaults are those of DefaultConfig.
var Settings = []Setting{
	{Name: "n_layer", Section: "Model", In: func(j *Job) any { return &j.NLayer }, Fixed: true,
		Usage: "transformer `blocks`"},
	{Name: "n_head", Section: "Model", In: func(j *Job) any { return &j.NHead }, Fixed: true,
		Usage: "attention `heads` of a block"},
	{Name: "n_embd", Section: "Model", In: func(j *Job) any { return &j.NEmbd }, Fixed: true,
		Usage: "`channels`, a multiple of the heads"},
	{Name: "block_size", Section: "Model", In: func(j *Job) any { return &j.BlockSize }, Fixed: true,
		Usage: "longest context, in `tokens`; with --init it may be shorter than the weights', whose last positions " +
			"are then dropped"},
	{Name: "vocab_size", Section: "Model", In: func(j *Job) any { return &j.VocabSize }, Fixed: true,
		Usage: "`tokens` of the vocabulary, padding included"},
	{Name: "init", Section: "Model", In: func(j *Job) any { return &j.Init },
		Usage: "`weights` to start from: scratch, gpt2, gpt2-medium, gpt2-large, gpt2-xl, a Hugging Face directory, " +
			"a checkpoint, or an llm.c .bin; their shape and tokenizer take the place of the preset's"},
	{Name: "data", Section: "Data", In: func(j *Job) any { return &j.Data },
		Usage: "`spec` of the text: sample, shakespeare, tinystories, fineweb-edu, a .txt or .md file, a .npy or " +
			".bin token shard, a directory or a quoted glob of these"},
	{Name: "val_data", Section: "Data", In: func(j *Job) any { return &j.ValData },
		Usage: "`spec` of the validation text (default: the files of --data that are named val, valid, validation " +
			"or test)"},
	{Name: "val_fraction", Section: "Data", In: func(j *Job) any { return &j.ValFraction }, Fixed: true, Auto: true,
		check: number(func(v float64) bool { return v == AutoFraction || v >= 0 && v < 1 }, "0 or more and below 1",
			"0.1, or 0 for no validation on a part of --data"),
		Usage: "`part` of --data that validates and doesn't train, in blocks spread over it (default: 0.1 of your " +
			"own .txt and .md where nothing else validates, else 0)"},
	{Name: "tokenizer", Section: "Data", In: func(j *Job) any { return &j.Tokenizer }, Fixed: true,
		Usage: "`tokenizer`: gpt2, bytes, or a directory with Hugging Face's files (default: that of the shards or " +
			"of the --init weights, else the preset's)"},
	{Name: "batch_size", Section: "Batch", In: func(j *Job) any { return &j.BatchSize },
		check: count(1, "sequences of a micro-step"),
		Usage: "`sequences` of a micro-step (B), what device memory must hold"},
	{Name: "seq_len", Section: "Batch", In: func(j *Job) any { return &j.SeqLen },
		check: count(0, "tokens of a sequence; 0 is --block-size"),
		Usage: "`tokens` of a sequence (T), at most --block-size or the context of the --init weights"},
	{Name: "total_batch_size", Section: "Batch", In: func(j *Job) any { return &j.TotalBatchSize },
		Usage: "`tokens` of an optimizer step, a multiple of B*T*ranks: micro-steps add up to it (default: B*T*ranks)"},
	{Name: "steps", Section: "Optimizer", In: func(j *Job) any { return &j.Steps }, rate: true,
		check: count(1, "optimizer steps of the whole run"),
		Usage: "optimizer `steps` of the whole run"},
	{Name: "lr", Section: "Optimizer", In: func(j *Job) any { return &j.LR }, rate: true,
		check: number(func(v float64) bool { return v >= 0 }, "0 or more", "3e-4 suits most small models"),
		Usage: "peak learning `rate` (with --init: a tenth of the preset's)"},
	{Name: "min_lr", Section: "Optimizer", In: func(j *Job) any { return &j.MinLR }, rate: true,
		check: number(func(v float64) bool { return v >= 0 }, "0 or more", "a tenth of --lr"),
		Usage: "learning `rate` that the schedule falls to (with --init: in the preset's proportion to --lr)"},
	{Name: "warmup_steps", Section: "Optimizer", In: func(j *Job) any { return &j.WarmupSteps }, rate: true,
		check: count(0, "0 starts at the full learning rate"),
		Usage: "`steps` of linear rise to --lr (with --init: a tenth of the preset's)"},
	{Name: "schedule", Section: "Optimizer", In: func(j *Job) any { return &j.Schedule }, rate: true,
		check: oneOf("constant", "cosine", "linear", "wsd"),
		Usage: "`shape` of the learning rate after the warmup: constant, cosine, linear, or wsd, constant with a " +
			"linear fall over the last 20% of the steps"},
	{Name: "weight_decay", Section: "Optimizer", In: func(j *Job) any { return &j.WeightDecay },
		check: number(func(v float64) bool { return v >= 0 }, "0 or more", "0.1, or 0 for none"),
		Usage: "AdamW's decoupled decay, as a `factor` of the learning rate"},
	{Name: "decay", Section: "Optimizer", In: func(j *Job) any { return &j.Decay },
		check: oneOf("all", "matrices"),
		Usage: "`parameters` that decay: all, matrices"},
	{Name: "beta1", Section: "Optimizer", In: func(j *Job) any { return &j.Beta1 },
		check: number(func(v float64) bool { return v >= 0 && v < 1 }, "at least 0 and below 1", "0.9"),
		Usage: "`decay` of the gradients' running mean"},
	{Name: "beta2", Section: "Optimizer", In: func(j *Job) any { return &j.Beta2 },
		check: number(func(v float64) bool { return v >= 0 && v < 1 }, "at least 0 and below 1", "0.95 or 0.999"),
		Usage: "`decay` of the squared gradients' running mean"},
	// Below the least normal float32 a GPU has 0, and a parameter without gradient gets 0/0.
	{Name: "eps", Section: "Optimizer", In: func(j *Job) any { return &j.Eps },
		check: number(func(v float64) bool { return v >= 0x1p-126 }, "1.2e-38 or more", "1e-8"),
		Usage: "AdamW's epsilon: a small `number` that keeps a division finite"},
	{Name: "grad_clip", Section: "Optimizer", In: func(j *Job) any { return &j.GradClip },
		check: number(func(v float64) bool { return v >= 0 }, "0 or more", "1, or 0 for no clipping"),
		Usage: "largest `norm` of all gradients together, 0 is off"},
	{Name: "dtype", Section: "Numerics", In: func(j *Job) any { return &j.DType }, Fixed: true,
		check: oneOf("f32", "bf16"),
		Usage: "storage `type` of activations and matrices: f32, bf16"},
	{Name: "seed", Section: "Numerics", In: func(j *Job) any { return &j.Seed },
		Usage: "`seed` of the initial weights, PyTorch's for the same number"},
	{Name: "recompute", Section: "Memory", In: func(j *Job) any { return &j.Recompute },
		check: oneOf("none", "gelu", "block"),
		Usage: "`activations` that the backward pass computes again instead of keeping: none, gelu, block"},
	{Name: "out", Section: "Run", In: func(j *Job) any { return &j.Out },
		Usage: "`directory` of the run: config.json, metrics.jsonl, checkpoints (default: a new one, " + RunsDir +
			"/PRESET-N, printed at the start); '' saves nothing"},
	{Name: "resume", Section: "Run", In: func(j *Job) any { return &j.Resume }, Invocation: true,
		Usage: "go on with the run in --out, from its newest checkpoint"},
	{Name: "save_every", Section: "Run", In: func(j *Job) any { return &j.SaveEvery },
		check: count(0, "0 saves only at the end"),
		Usage: "`steps` between checkpoints; the end and an interrupt save in any case"},
	{Name: "save_minutes", Section: "Run", In: func(j *Job) any { return &j.SaveMinutes },
		check: number(func(v float64) bool { return v >= 0 && v <= maxMinutes }, "0 to a million",
			"10, or 0 to save by steps only"),
		Usage: "`minutes` between checkpoints, those of --save-every included, 0 is never by time"},
	{Name: "keep", Section: "Run", In: func(j *Job) any { return &j.Keep },
		check: count(0, "0 keeps every checkpoint"),
		Usage: "`checkpoints` that stay, the newest ones; 0 is all"},
	{Name: "stop_after", Section: "Run", In: func(j *Job) any { return &j.StopAfter }, Invocation: true,
		check: count(0, "0 goes on to --steps"),
		Usage: "end this invocation after this many `steps`, as an interrupt would; the schedule still runs to " +
			"--steps"},
	{Name: "val_every", Section: "Run", In: func(j *Job) any { return &j.ValEvery },
		check: count(0, "0 is never"),
		Usage: "`steps` between validations, 0 is never"},
	{Name: "val_steps", Section: "Run", In: func(j *Job) any { return &j.ValSteps },
		check: count(0, "batches of a validation"),
		Usage: "`batches` of B*T tokens in a validation"},
	{Name: "hellaswag_every", Section: "Run", In: func(j *Job) any { return &j.HellaswagEvery },
		check: count(0, "0 is never"),
		Usage: "`steps` between measurements of HellaSwag, 0 is never"},
	{Name: "hellaswag", Section: "Run", In: func(j *Job) any { return &j.Hellaswag },
		Usage: "`file` of HellaSwag's questions, .jsonl or llm.c's .bin, or fetch; without it, it isn't measured"},
	{Name: "sample_every", Section: "Run", In: func(j *Job) any { return &j.SampleEvery },
		check: count(0, "0 is never"),
		Usage: "`steps` between texts written by the model, 0 is never"},
	{Name: "device", Section: "Device", In: func(j *Job) any { return &j.Device },
		Usage: DeviceUsage},
	{Name: "no_autotune", Section: "Device", In: func(j *Job) any { return &j.NoAutotune },
		Usage: NoAutotuneUsage},
	{Name: "check_every", Section: "Data parallel", In: func(j *Job) any { return &j.CheckEvery },
		check: count(0, "0 compares the ranks only at the start"),
		Usage: "`steps` between comparisons of the ranks' parameters, 0: only at the start"},
	{Name: "grad_dtype", Section: "Data parallel", In: func(j *Job) any { return &j.GradDType },
		check: oneOf("f32", "bf16"),
		Usage: "`type` that gradients travel in: f32, bf16"},
	{Name: "sync_every", Section: "Data parallel", In: func(j *Job) any { return &j.SyncEvery },
		check: count(1, "1 sums gradients every step"),
		Usage: "`steps` that a rank takes by itself before all meet in an outer step (DiLoCo), for slow networks; 1 " +
			"sums gradients every step"},
	{Name: "outer_lr", Section: "Data parallel", In: func(j *Job) any { return &j.OuterLR },
		check: number(func(v float64) bool { return v > 0 }, "above 0", "0.7, or 1 to take the ranks' mean"),
		Usage: "`rate` of the outer step"},
	{Name: "outer_momentum", Section: "Data parallel", In: func(j *Job) any { return &j.OuterMomentum },
		check: number(func(v float64) bool { return v >= 0 && v < 1 }, "at least 0 and below 1", "0.9, or 0 for none"),
		Usage: "`momentum` of the outer step, Nesterov's"},
}

// ModelSettings are those of the model's shape.
func ModelSettings() []Setting { return Settings[:5] }

// The help of flags that other commands have too.
const (
	DeviceUsage = "`GPU` to use: auto, an index or a part of a name (see gpt2wgpu devices), vulkan, metal, " +
		"dx12, cpu, cuda (NVIDIA), mps (Metal)"
	NoAutotuneUsage = "the fixed tiles, not those that measuring chooses (see gpt2wgpu help tune)"
)

// maxCount bounds every number of steps, sequences and the like, and maxStepTokens the tokens of a step, so that a
// run's tokens fit in an int64.
const (
	maxCount      = 1 << 30
	maxStepTokens = 1 << 32
	maxMinutes    = 1e6 // two years
)

// count allows whole numbers from least on.
func count(least int, hint string) func(string, any) error {
	return func(flag string, value any) error {
		if got := value.(int); got < least || got > maxCount {
			return fmt.Errorf("%s is %d, want %d to %d; hint: %s", flag, got, least, maxCount, hint)
		}
		return nil
	}
}

// number allows finite numbers for which ok holds, want in words.
func number(ok func(float64) bool, want, hint string) func(string, any) error {
	return func(flag string, value any) error {
		if got := value.(float64); !ok(got) || math.IsInf(got, 0) || got > math.MaxFloat32 { // NaN is never ok
			return fmt.Errorf("%s is %v, want a number, %s; hint: %s", flag, got, want, hint)
		}
		return nil
	}
}

// oneOf allows these words.
func oneOf(words ...string) func(string, any) error {
	return func(flag string, value any) error {
		if got := value.(string); !slices.Contains(words, got) {
			return fmt.Errorf("%s is %q, no such value; hint: %s", flag, got, strings.Join(words, ", "))
		}
		return nil
	}
}
