package train

import (
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data"
)

// Setting is a field of [Job] that a user sets: the one whose name is Name without its underscores.
type Setting struct {
	Name       string // in config.json; see Flag
	Section    string // of the help, if one begins here
	Usage      string // the help; `x` names the value
	Invocation bool   // of this invocation, not of the run: no file has it
	Fixed      bool   // a resumed run must not change it
	Auto       bool   // the default is a rule, which Usage says: AutoFraction

	rate bool // decides on the learning rate
	rule rule // that the value keeps by itself; Validate has those of several settings
}

// Flag returns the name of the setting's flag, without the dashes.
func (s Setting) Flag() string { return strings.ReplaceAll(s.Name, "_", "-") }

// In returns where j has the setting: an *int, *uint64, *float64, *string or *bool.
func (s Setting) In(j *Job) any {
	name := strings.ReplaceAll(s.Name, "_", "")
	named := func(field string) bool { return strings.EqualFold(field, name) }
	return reflect.ValueOf(j).Elem().FieldByNameFunc(named).Addr().Interface()
}

// Words are the values that the setting takes, where these are words of a list.
func (s Setting) Words() []string { return s.rule.words }

// value returns what j has.
func (s Setting) value(j Job) any { return reflect.ValueOf(s.In(&j)).Elem().Interface() }

// Settings are all settings, in the order of the help and of config.json. The defaults are those of DefaultConfig.
var Settings = []Setting{
	{Section: "Model", Name: "n_layer", Fixed: true, Usage: "transformer `blocks`"},
	{Name: "n_head", Fixed: true, Usage: "attention `heads` of a block"},
	{Name: "n_embd", Fixed: true, Usage: "`channels`, a multiple of the heads"},
	{Name: "block_size", Fixed: true,
		Usage: "longest context, in `tokens`; with --init it may be shorter than the weights', whose last " +
			"positions are then dropped"},
	{Name: "vocab_size", Fixed: true, Usage: "`tokens` of the vocabulary, padding included"},
	{Name: "init",
		Usage: "`weights` to start from: scratch, gpt2, gpt2-medium, gpt2-large, gpt2-xl, a Hugging Face " +
			"directory, a checkpoint, or an llm.c .bin; their shape and tokenizer take the place of the preset's"},
	{Section: "Data", Name: "data",
		Usage: "`spec` of the text: sample, shakespeare, tinystories, fineweb-edu, a .txt or .md file, a .npy or " +
			".bin token shard, a directory or a quoted glob of these"},
	{Name: "val_data",
		Usage: "`spec` of the validation text (default: the files of --data that are named val, valid, " +
			"validation or test)"},
	{Name: "val_fraction", Fixed: true, Auto: true, rule: part("0.1, or 0 for no validation on a part of --data"),
		Usage: "`part` of --data that validates and doesn't train, in blocks spread over it (default: 0.1 of " +
			"your own .txt and .md where nothing else validates, else 0)"},
	{Name: "tokenizer", Fixed: true,
		Usage: "`tokenizer`: gpt2, bytes, or a directory with Hugging Face's files (default: that of the shards " +
			"or of the --init weights, else the preset's)"},
	{Section: "Batch", Name: "batch_size", rule: count(1, "sequences of a micro-step"),
		Usage: "`sequences` of a micro-step (B), what device memory must hold"},
	{Name: "seq_len", rule: count(0, "tokens of a sequence; 0 is --block-size"),
		Usage: "`tokens` of a sequence (T), at most --block-size or the context of the --init weights"},
	{Name: "total_batch_size",
		Usage: "`tokens` of an optimizer step, a multiple of B*T*ranks: micro-steps add up to it (default: B*T*ranks)"},
	{Section: "Optimizer", Name: "optimizer", rule: oneOf(optimizers...),
		Usage: "`method` of the update: adamw, or muon, which takes the matrices of the blocks (docs/optimizers.md): " +
			"m = mu m + g, u = g + mu m; X = u by its norm; five times A = X X^T, X = 3.4445 X + (-4.7750 A + " +
			"2.0315 A A) X; w = (1 - rate decay) w - rate sqrt(max(1, rows/columns)) X. All else is AdamW's"},
	{Name: "muon_lr", rule: notNegative("0.02"),
		Usage: "muon's `rate` where the schedule is at --lr; it follows the schedule (with --init: a tenth of the " +
			"preset's)"},
	{Name: "muon_momentum", rule: part("0.95"), Usage: "muon's mu, the `decay` of the gradients' running sum"},
	{Name: "muon_weight_decay", rule: notNegative("0.05, or 0 for none"),
		Usage: "muon's decoupled decay of the blocks' matrices, as a `factor` of its rate"},
	{Name: "init_projections", Fixed: true, rule: oneOf("scaled", "zero"),
		Usage: "`start` of attn.c_proj and mlp.c_proj: scaled, N(0, 0.02/sqrt(2 blocks)), or zero, so that each " +
			"block begins as the identity; --init weights stay as they are"},
	{Section: "Steps and learning rate", Name: "steps", rate: true, rule: count(1, "optimizer steps of the whole run"),
		Usage: "optimizer `steps` of the whole run"},
	{Name: "lr", rate: true, rule: notNegative("3e-4 suits most small models"),
		Usage: "peak learning `rate` (with --init: a tenth of the preset's)"},
	{Name: "min_lr", rate: true, rule: notNegative("a tenth of --lr"),
		Usage: "learning `rate` that the schedule falls to (with --init: in the preset's proportion to --lr)"},
	{Name: "warmup_steps", rate: true, rule: count(0, "0 starts at the full learning rate"),
		Usage: "`steps` of linear rise to --lr (with --init: a tenth of the preset's)"},
	{Name: "schedule", rate: true, rule: oneOf("constant", "cosine", "linear", "wsd"),
		Usage: "`shape` of the learning rate after the warmup: constant, cosine, linear, or wsd, constant with a " +
			"linear fall at the end"},
	{Name: "decay_fraction", rate: true, rule: number(math.SmallestNonzeroFloat64, 1, "above 0 and at most 1", "0.2"),
		Usage: "`part` of the steps at the end in which the rate of --schedule wsd falls: D = part x steps, at most " +
			"what the warmup leaves"},
	{Section: "AdamW and clipping", Name: "weight_decay", rule: notNegative("0.1, or 0 for none"),
		Usage: "AdamW's decoupled decay, as a `factor` of the learning rate"},
	{Name: "decay", rule: oneOf("all", "matrices"), Usage: "`parameters` that decay: all, matrices"},
	{Name: "beta1", rule: part("0.9"), Usage: "`decay` of the gradients' running mean"},
	{Name: "beta2", rule: part("0.95 or 0.999"), Usage: "`decay` of the squared gradients' running mean"},
	// Below the least normal float32 a GPU has 0, and a parameter without gradient gets 0/0.
	{Name: "eps", rule: number(0x1p-126, math.MaxFloat32, "1.2e-38 or more", "1e-8"),
		Usage: "AdamW's epsilon: a small `number` that keeps a division finite"},
	{Name: "grad_clip", rule: notNegative("1, or 0 for no clipping"),
		Usage: "largest `norm` of all gradients together, 0 is off"},
	{Section: "Numerics", Name: "dtype", Fixed: true, rule: oneOf("f32", "bf16"),
		Usage: "storage `type` of activations and matrices: f32, bf16"},
	{Name: "seed", Usage: "`seed` of the initial weights, PyTorch's for the same number"},
	{Section: "Memory", Name: "recompute", rule: oneOf("none", "gelu", "block"),
		Usage: "`activations` that the backward pass computes again instead of keeping: none, gelu, block"},
	{Section: "Run", Name: "out",
		Usage: "`directory` of the run: config.json, metrics.jsonl, checkpoints (default: a new one, " + RunsDir +
			"/PRESET-N, printed at the start); '' saves nothing"},
	{Name: "resume", Invocation: true, Usage: "go on with the run in --out, from its newest checkpoint"},
	{Name: "save_every", rule: count(0, "0 saves only at the end"),
		Usage: "`steps` between checkpoints; the end and an interrupt save in any case"},
	{Name: "save_minutes", rule: number(0, maxMinutes, "0 to a million", "10, or 0 to save by steps only"),
		Usage: "`minutes` between checkpoints, those of --save-every included, 0 is never by time"},
	{Name: "keep", rule: count(0, "0 keeps every checkpoint"),
		Usage: "`checkpoints` that stay, the newest ones; 0 is all"},
	{Name: "stop_after", Invocation: true, rule: count(0, "0 goes on to --steps"),
		Usage: "end this invocation after this many `steps`, as an interrupt would; the schedule still runs to " +
			"--steps"},
	{Name: "no_supervise", Invocation: true,
		Usage: "train in this process, not in one that is started again when it crashes (see docs/reliability.md)"},
	{Name: "max_restarts", Invocation: true, rule: count(0, "0 restarts nothing"),
		Usage: "most `restarts` after crashes in a row without a new step or checkpoint between them"},
	{Section: "Measured on the way", Name: "val_every", rule: count(0, "0 is never"),
		Usage: "`steps` between validations, 0 is never"},
	{Name: "val_steps", rule: count(0, "batches of a validation"), Usage: "`batches` of B*T tokens in a validation"},
	{Name: "hellaswag_every", rule: count(0, "0 is never"),
		Usage: "`steps` between measurements of HellaSwag, 0 is never"},
	{Name: "hellaswag",
		Usage: "`file` of HellaSwag's questions, .jsonl or llm.c's .bin, or fetch; without it, it isn't measured"},
	{Name: "sample_every", rule: count(0, "0 is never"),
		Usage: "`steps` between texts written by the model, 0 is never"},
	{Section: "Device", Name: "device", Usage: DeviceUsage},
	{Name: "no_autotune", Usage: NoAutotuneUsage},
	{Section: "Data parallel", Name: "check_every", rule: count(0, "0 compares the ranks only at the start"),
		Usage: "`steps` between comparisons of the ranks' parameters, 0: only at the start"},
	{Name: "grad_dtype", rule: oneOf("f32", "bf16"), Usage: "`type` that gradients travel in: f32, bf16"},
	{Name: "sync_every", rule: count(1, "1 sums gradients every step"),
		Usage: "`steps` that a rank takes by itself before all meet in an outer step (DiLoCo), for slow " +
			"networks; 1 sums gradients every step"},
	{Name: "outer_lr",
		rule:  number(math.SmallestNonzeroFloat64, math.MaxFloat32, "above 0", "0.7, or 1 to take the ranks' mean"),
		Usage: "`rate` of the outer step"},
	{Name: "outer_momentum", rule: part("0.9, or 0 for none"), Usage: "`momentum` of the outer step, Nesterov's"},
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

// rule is what the values of a setting are.
type rule struct {
	holds      func(value any) bool // nil: always
	want, hint string
	words      []string // all values, where they are words
}

// check returns an error if the value of name breaks the rule.
func (r rule) check(name string, value any) error {
	if r.holds == nil || r.holds(value) {
		return nil
	}
	return fmt.Errorf("%s is %#v, want %s; hint: %s", name, value, r.want, r.hint)
}

// count allows whole numbers from least on.
func count(least int, hint string) rule {
	in := func(v any) bool { return v.(int) >= least && v.(int) <= maxCount }
	return rule{in, fmt.Sprintf("%d to %d", least, maxCount), hint, nil}
}

// number allows finite numbers from least to most, which are want in words. NaN is in no range.
func number(least, most float64, want, hint string) rule {
	in := func(v any) bool { return v.(float64) >= least && v.(float64) <= most }
	return rule{in, "a number, " + want, hint, nil}
}

func notNegative(hint string) rule { return number(0, math.MaxFloat32, "0 or more", hint) }

func part(hint string) rule { return number(0, math.Nextafter(1, 0), "0 or more and below 1", hint) }

// oneOf allows these words.
func oneOf(words ...string) rule {
	in := func(v any) bool { return slices.Contains(words, v.(string)) }
	return rule{in, "one of " + strings.Join(words, ", "), "gpt2wgpu train --help explains them",
		words}
}

// Validate reports everything that is wrong with c, joined: a line each, with the flag, what it is, what it may be, and
// a hint. It asks whether the tokenizer's file is there, and reads none; whether data and weights exist shows when they
// are opened.
func (c Job) Validate() error {
	var errs []error // nil where nothing is wrong
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	possible := true
	for _, s := range ModelSettings() {
		n := s.value(c).(int)
		possible = possible && n > 0
		refuse(n < 0 || n == 0 && !c.FromWeights(), "--%s is %d, want 1 or more; hint: GPT-2 124M has 12 layers, "+
			"12 heads, 768 channels, context 1024, vocabulary 50257", s.Flag(), n)
	}
	if possible {
		errs = append(errs, c.Model().Validate())
	}
	refuse(c.Init == "", "--init is empty; hint: scratch, gpt2, a directory or a .bin file")
	refuse(c.Data == "", "--data is empty; hint: sample, shakespeare, a .txt or .md file, or a directory of texts or "+
		"shards")
	if c.Tokenizer == "" && !c.FromWeights() || data.IsPath(c.Tokenizer) && !c.Resume {
		_, err := os.Stat(c.Tokenizer)
		refuse(err != nil, "--tokenizer is %q, no such tokenizer; hint: gpt2, bytes, or a directory with "+
			"tokenizer.json or vocab.json and merges.txt", c.Tokenizer)
	}
	need := vocabularies[c.Tokenizer]
	refuse(c.VocabSize > 0 && c.VocabSize < need && !c.Resume, "--vocab-size is %d, --tokenizer %s has %d ids; hint: "+
		"--vocab-size %d", c.VocabSize, c.Tokenizer, need, need)
	for _, s := range Settings {
		if v := s.value(c); !s.Auto || v != float64(AutoFraction) {
			errs = append(errs, s.rule.check("--"+s.Flag(), v))
		}
	}
	errs = append(errs, count(0, "processes that share the batch").check("ranks", c.Ranks), c.checkBatch())
	refuse(c.ValEvery > 0 && c.ValSteps == 0, "--val-every is %d, but --val-steps is 0; hint: --val-steps 20, or "+
		"--val-every 0", c.ValEvery)
	sync := max(c.SyncEvery, 1)
	refuse(c.SaveEvery%sync != 0, "--save-every is %d, want a multiple of --sync-every %d; hint: --save-every %d",
		c.SaveEvery, sync, (c.SaveEvery/sync+1)*sync)
	refuse(c.Resume && c.Out == "", "--resume needs the run's directory; hint: --out DIR --resume")
	refuse(c.Optimizer == "muon" && c.LR == 0, "--lr is 0, want above 0 with --optimizer muon, whose rate is "+
		"--muon-lr times the schedule's part of --lr; hint: --lr 3e-4")
	refuse(c.Schedule != "constant" && c.LR >= 0 && c.MinLR > c.LR, "--min-lr is %v, above --lr %v; hint: --min-lr "+
		"%.3g", c.MinLR, c.LR, c.LR/10)
	return errors.Join(errs...)
}

// Validate is [Job.Validate] for one process that trains from the start.
func (c Config) Validate() error { return Job{Config: c}.Validate() }

// checkBatch checks B, T and the total against each other, once each is possible in itself.
func (c Job) checkBatch() error {
	if c.BlockSize > 0 && c.SeqLen > c.BlockSize {
		return fmt.Errorf("--seq-len is %d, longer than --block-size %d; hint: --block-size %d, or --seq-len %d",
			c.SeqLen, c.BlockSize, c.SeqLen, c.BlockSize)
	}
	r := c.Resolved()
	if least, most := min(r.BatchSize, r.SeqLen, r.ranks()), max(r.BatchSize, r.SeqLen, r.ranks()); least < 1 ||
		most > maxCount {
		return nil // Validate reports that, or T is still the weights' to say
	}
	micro, total := c.MicroTokens(), c.TotalBatchSize
	switch {
	case r.BatchSize > maxStepTokens/r.SeqLen/r.ranks():
		return fmt.Errorf("--batch-size is %d sequences of %d tokens on %d ranks, want at most %d tokens; hint: "+
			"--batch-size 8", r.BatchSize, r.SeqLen, r.ranks(), maxStepTokens)
	case total < 0 || total > maxStepTokens:
		return fmt.Errorf("--total-batch-size is %d, want 0 to %d; hint: tokens of an optimizer step, 0 is one "+
			"micro-step", total, maxStepTokens)
	case total%micro != 0:
		return fmt.Errorf("--total-batch-size is %d, want a multiple of the micro-step, %d (--batch-size %d x "+
			"--seq-len %d x %d ranks); hint: --total-batch-size %d", total, micro, r.BatchSize, r.SeqLen, r.ranks(),
			max(total/micro*micro, micro))
	}
	return nil
}
