package train

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// AutoFraction is the ValFraction that is settled when the data is opened: a tenth of a user's own text where nothing else
// validates, else 0.
const AutoFraction = -1

// Config is every setting of a training run, under the names of the command line's flags (n_layer is --n-layer). It is
// what config.json holds, beside the fields of [Record].
//
// A zero in the model's shape means "as the weights of Init have it" and is allowed with such weights alone. SeqLen 0
// means BlockSize and TotalBatchSize 0 means one micro-step on every rank; [Config.Resolved] writes them out.
type Config struct {
	// Model.
	NLayer    int    `json:"n_layer"`    // L: transformer blocks
	NHead     int    `json:"n_head"`     // NH: attention heads a block
	NEmbd     int    `json:"n_embd"`     // C: channels
	BlockSize int    `json:"block_size"` // longest context in tokens
	VocabSize int    `json:"vocab_size"` // V: rows of the embedding
	Init      string `json:"init"`       // scratch, or the weights to start from

	// Data.
	Data    string `json:"data"`     // what data.Open takes
	ValData string `json:"val_data"` // empty: the files of Data that are named for validation, if it has some
	// ValFraction is the part of Data that validates, in blocks spread over it, and doesn't train; 0 is none. It is settled in
	// config.json.
	ValFraction float64 `json:"val_fraction"`
	Tokenizer   string  `json:"tokenizer"` // gpt2 | bytes | ids | a directory with its files; empty with Init weights: theirs

	// Batch.
	BatchSize      int `json:"batch_size"`       // B: sequences of a micro-step
	SeqLen         int `json:"seq_len"`          // T: tokens of a sequence
	TotalBatchSize int `json:"total_batch_size"` // tokens of an optimizer step, all ranks together

	// Optimizer.
	Steps       int     `json:"steps"`
	LR          float64 `json:"lr"` // the peak; see LearningRate
	MinLR       float64 `json:"min_lr"`
	WarmupSteps int     `json:"warmup_steps"`
	Schedule    string  `json:"schedule"` // constant | cosine | linear | wsd
	WeightDecay float64 `json:"weight_decay"`
	Decay       string  `json:"decay"` // all | matrices: the parameters that WeightDecay touches
	Beta1       float64 `json:"beta1"`
	Beta2       float64 `json:"beta2"`
	Eps         float64 `json:"eps"`
	GradClip    float64 `json:"grad_clip"` // largest norm of all gradients together; 0: no clipping

	// Numerics and memory.
	DType     string `json:"dtype"` // f32 | bf16: storage of activations and of the matrices that kernels read
	Seed      uint64 `json:"seed"`
	Recompute string `json:"recompute"` // none | gelu | block: what the backward pass computes again instead of keeping

	// Run. Every interval is in steps, 0 is never.
	Out            string  `json:"out"`          // the run's directory; empty: nothing is written
	SaveEvery      int     `json:"save_every"`   // beside the last step and an interrupt, which always save
	SaveMinutes    float64 `json:"save_minutes"` // time between checkpoints, in minutes; 0: never by time
	Keep           int     `json:"keep"`         // newest checkpoints that stay; 0: all
	ValEvery       int     `json:"val_every"`
	ValSteps       int     `json:"val_steps"` // batches of B*T tokens a rank
	HellaswagEvery int     `json:"hellaswag_every"`
	Hellaswag      string  `json:"hellaswag"` // file; empty: never measured
	SampleEvery    int     `json:"sample_every"`
	Device         string  `json:"device"`      // what gpu.ChooseLocal takes
	NoAutotune     bool    `json:"no_autotune"` // the fixed tiles, not those that measuring chooses

	// Data parallel: what holds with more than one rank alone.
	CheckEvery    int     `json:"check_every"` // steps between comparisons of the ranks' parameters; 0: at the start alone
	GradDType     string  `json:"grad_dtype"`  // f32 | bf16: how gradients travel
	SyncEvery     int     `json:"sync_every"`  // 1: gradients are summed every step; H: ranks step alone and meet every H steps
	OuterLR       float64 `json:"outer_lr"`    // with SyncEvery > 1
	OuterMomentum float64 `json:"outer_momentum"`
	// How this one invocation goes: not part of what a run is, so not in config.json.
	Resume    bool `json:"-"` // continue the run in Out
	StopAfter int  `json:"-"` // end after this many steps, as an interrupt would; 0: go on to Steps
	Profile   bool `json:"-"` // time every dispatch of one step, and tell at the end
	Ranks     int  `json:"-"` // processes that share the batch; 0 is 1
}

// Record is config.json: the settings, resolved, and what they ran on.
type Record struct {
	Config
	Version    string `json:"version"`     // of the program
	DeviceName string `json:"device_name"` // as the driver says it
}

// Preset is a named set of settings.
type Preset struct {
	Name   string
	Short  string // what it trains and how long that takes, for help
	Config Config
}

// Presets are the values of --preset, in the order of help. The first is the default.
var Presets = []Preset{
	{"tiny", "a byte-level model on the embedded sample text: no network, about a minute on two cores", tiny()},
	{"first-steps", "the document's first run: 124M on Tiny Shakespeare, 50 steps of 4x32 tokens", firstSteps()},
	{"gpt2-124m", "the document's whole recipe: 10 billion tokens of FineWeb-Edu", recipe(12, 12, 768, 16, 6e-4, 6e-5)},
	// The same with the peak learning rates of GPT-3 (arXiv:2005.14165, table 2.1) for these sizes, and a micro-batch that
	// shrinks as the activations grow.
	{"gpt2-350m", "the recipe for 24 layers of 1024 channels", recipe(24, 16, 1024, 8, 3e-4, 3e-5)},
	{"gpt2-774m", "the recipe for 36 layers of 1280 channels", recipe(36, 20, 1280, 4, 2.5e-4, 2.5e-5)},
	{"gpt2-1558m", "the recipe for 48 layers of 1600 channels", recipe(48, 25, 1600, 2, 2e-4, 2e-5)},
}

// DefaultConfig is the preset tiny.
func DefaultConfig() Config { return tiny() }

// FindPreset returns the preset of that name. Error: there is none; it lists those there are.
func FindPreset(name string) (Preset, error) {
	var names []string
	for _, p := range Presets {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Preset{}, fmt.Errorf("--preset is %q, no such preset; hint: %s", name, strings.Join(names, ", "))
}

func tiny() Config {
	return Config{
		NLayer: 4, NHead: 4, NEmbd: 128, BlockSize: 64, VocabSize: 256, Init: "scratch",
		Data: "sample", ValFraction: AutoFraction, Tokenizer: "bytes",
		BatchSize: 4, SeqLen: 64, // many small steps: at the same tokens the loss ends 0.2 lower than with 1024 a step
		Steps: 900, LR: 2e-3, MinLR: 2e-4, WarmupSteps: 40, Schedule: "cosine",
		WeightDecay: 0.1, Decay: "matrices", Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, GradClip: 1,
		DType: "f32", Seed: 1337, Recompute: "none",
		SaveMinutes: 10, Keep: 3, ValEvery: 150, ValSteps: 20, SampleEvery: 450, Device: "auto",
		CheckEvery: 100, GradDType: "f32", SyncEvery: 1, OuterLR: 0.7, OuterMomentum: 0.9,
	}
}

// firstSteps has PyTorch's defaults of AdamW and no schedule: what the document runs before it turns to the details.
func firstSteps() Config {
	return Config{
		NLayer: 12, NHead: 12, NEmbd: 768, BlockSize: 1024, VocabSize: 50257, Init: "scratch",
		Data: "shakespeare", Tokenizer: "gpt2",
		BatchSize: 4, SeqLen: 32,
		Steps: 50, LR: 3e-4, Schedule: "constant",
		WeightDecay: 0.01, Decay: "all", Beta1: 0.9, Beta2: 0.999, Eps: 1e-8,
		DType: "f32", Seed: 1337, Recompute: "none",
		SaveMinutes: 10, Keep: 3, ValSteps: 20, Device: "auto",
		CheckEvery: 100, GradDType: "f32", SyncEvery: 1, OuterLR: 0.7, OuterMomentum: 0.9,
	}
}

// recipe is the document's run on FineWeb-Edu for a model of that shape, B sequences a micro-step and those rates.
// 19073 steps of 524288 tokens are one pass over the 10 billion.
func recipe(layers, heads, channels, B int, lr, minLR float64) Config {
	return Config{
		NLayer: layers, NHead: heads, NEmbd: channels, BlockSize: 1024, VocabSize: 50304, Init: "scratch",
		Data: "fineweb-edu", ValFraction: AutoFraction, Tokenizer: "gpt2",
		BatchSize: B, SeqLen: 1024, TotalBatchSize: 524288,
		Steps: 19073, LR: lr, MinLR: minLR, WarmupSteps: 715, Schedule: "cosine",
		WeightDecay: 0.1, Decay: "matrices", Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, GradClip: 1,
		DType: "bf16", Seed: 1337, Recompute: "none",
		SaveEvery: 250, SaveMinutes: 10, Keep: 3, ValEvery: 250, ValSteps: 20, HellaswagEvery: 250, SampleEvery: 250, Device: "auto",
		CheckEvery: 100, GradDType: "f32", SyncEvery: 1, OuterLR: 0.7, OuterMomentum: 0.9,
	}
}

func (c Config) ranks() int { return max(c.Ranks, 1) }

// MicroTokens returns the tokens of one micro-step on all ranks together, B*T*ranks.
func (c Config) MicroTokens() int {
	if c.SeqLen == 0 {
		c.SeqLen = c.BlockSize
	}
	return c.BatchSize * c.SeqLen * c.ranks()
}

// TokensPerStep returns the tokens of one optimizer step on all ranks together.
func (c Config) TokensPerStep() int {
	if c.TotalBatchSize == 0 {
		return c.MicroTokens()
	}
	return c.TotalBatchSize
}

// AccumSteps returns the micro-steps of one optimizer step, whose gradients add up. c must be valid.
func (c Config) AccumSteps() int { return c.TokensPerStep() / c.MicroTokens() }

// Resolved returns c with SeqLen and TotalBatchSize written out where they were left to the other settings.
func (c Config) Resolved() Config {
	if c.SeqLen == 0 {
		c.SeqLen = c.BlockSize
	}
	c.TotalBatchSize = c.TokensPerStep()
	return c
}

// measuresHellaSwag reports whether the run scores HellaSwag: it needs both the file and an interval.
func (c Config) measuresHellaSwag() bool { return c.Hellaswag != "" && c.HellaswagEvery > 0 }

// FromWeights reports whether the run starts from weights that have a shape of their own.
func (c Config) FromWeights() bool { return c.Init != "scratch" }

// The values of the settings that are words.
var (
	schedules  = words{flag: "--schedule", all: []string{"constant", "cosine", "linear", "wsd"}}
	decays     = words{flag: "--decay", all: []string{"all", "matrices"}}
	dtypes     = words{flag: "--dtype", all: []string{"f32", "bf16"}}
	gradDTypes = words{flag: "--grad-dtype", all: []string{"f32", "bf16"}}
	recomputes = words{flag: "--recompute", all: []string{"none", "gelu", "block"}}

	vocabularies = map[string]int{"gpt2": 50257, "bytes": 256} // smallest --vocab-size of a tokenizer
)

type words struct {
	flag string
	all  []string
}

func (w words) check(got string) error {
	if slices.Contains(w.all, got) {
		return nil
	}
	return fmt.Errorf("%s is %q, no such value; hint: %s", w.flag, got, strings.Join(w.all, ", "))
}

// maxCount bounds every number of steps, sequences and the like, and maxStepTokens the tokens of a step, so that a run's
// tokens fit in an int64.
const (
	maxCount      = 1 << 30
	maxStepTokens = 1 << 32
	maxMinutes    = 1e6 // two years
)

// Validate reports everything that is wrong with c, joined: a line each, with the flag, what it is, what it may be, and
// a hint. It asks whether the tokenizer's file is there, and reads none; whether data and weights exist shows when they are
// opened.
func (c Config) Validate() error {
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	for _, err := range c.shapeErrors() {
		add(err)
	}
	if c.Init == "" {
		bad(`--init is empty; hint: scratch, gpt2, a directory or a .bin file`)
	}
	if c.Data == "" {
		bad("--data is empty; hint: sample, shakespeare, a .txt or .md file, or a directory of texts or shards")
	}
	if c.Tokenizer == "" && !c.FromWeights() || data.IsPath(c.Tokenizer) && !c.Resume {
		if _, err := os.Stat(c.Tokenizer); err != nil {
			bad("--tokenizer is %q, no such tokenizer; hint: gpt2, bytes, or a directory with tokenizer.json or vocab.json and merges.txt", c.Tokenizer)
		}
	}
	if need := vocabularies[c.Tokenizer]; c.VocabSize > 0 && c.VocabSize < need && !c.Resume {
		bad("--vocab-size is %d, --tokenizer %s has %d ids; hint: --vocab-size %d", c.VocabSize, c.Tokenizer, need, need)
	}

	for _, f := range []struct {
		flag     string
		got, min int
		hint     string
	}{
		{"--batch-size", c.BatchSize, 1, "sequences of a micro-step"},
		{"--seq-len", c.SeqLen, 0, "tokens of a sequence; 0 is --block-size"},
		{"--steps", c.Steps, 1, "optimizer steps of the whole run"},
		{"--warmup-steps", c.WarmupSteps, 0, "0 starts at the full learning rate"},
		{"--save-every", c.SaveEvery, 0, "0 saves at the end alone"},
		{"--keep", c.Keep, 0, "0 keeps every checkpoint"},
		{"--stop-after", c.StopAfter, 0, "0 goes on to --steps"},
		{"--val-every", c.ValEvery, 0, "0 is never"},
		{"--val-steps", c.ValSteps, 0, "batches of a validation"},
		{"--hellaswag-every", c.HellaswagEvery, 0, "0 is never"},
		{"--sample-every", c.SampleEvery, 0, "0 is never"},
		{"--sync-every", c.SyncEvery, 1, "1 sums gradients every step"},
		{"--check-every", c.CheckEvery, 0, "0 compares the ranks at the start alone"},
		{"ranks", c.Ranks, 0, "processes that share the batch"},
	} {
		if f.got < f.min || f.got > maxCount {
			bad("%s is %d, want %d to %d; hint: %s", f.flag, f.got, f.min, maxCount, f.hint)
		}
	}
	c.batchErrors(bad)
	if c.ValEvery > 0 && c.ValSteps == 0 {
		bad("--val-every is %d, but --val-steps is 0; hint: --val-steps 20, or --val-every 0", c.ValEvery)
	}
	if c.SyncEvery > 1 && c.SaveEvery%c.SyncEvery != 0 {
		bad("--save-every is %d, want a multiple of --sync-every %d; hint: --save-every %d", c.SaveEvery, c.SyncEvery, (c.SaveEvery/c.SyncEvery+1)*c.SyncEvery)
	}
	if c.Resume && c.Out == "" {
		bad("--resume needs the run's directory; hint: --out DIR --resume")
	}

	add(schedules.check(c.Schedule))
	add(decays.check(c.Decay))
	add(dtypes.check(c.DType))
	add(recomputes.check(c.Recompute))
	add(gradDTypes.check(c.GradDType))
	for _, f := range []struct {
		flag string
		got  float64
		ok   bool
		want string
		hint string
	}{
		{"--lr", c.LR, c.LR >= 0, "0 or more", "3e-4 suits most small models"},
		{"--min-lr", c.MinLR, c.MinLR >= 0, "0 or more", "a tenth of --lr"},
		{"--save-minutes", c.SaveMinutes, c.SaveMinutes >= 0 && c.SaveMinutes <= maxMinutes, "0 to a million", "10, or 0 to save by steps only"},
		{"--weight-decay", c.WeightDecay, c.WeightDecay >= 0, "0 or more", "0.1, or 0 for none"},
		{"--beta1", c.Beta1, c.Beta1 >= 0 && c.Beta1 < 1, "at least 0 and below 1", "0.9"},
		{"--beta2", c.Beta2, c.Beta2 >= 0 && c.Beta2 < 1, "at least 0 and below 1", "0.95 or 0.999"},
		// Below the least normal float32 a GPU has 0, and a parameter without gradient gets 0/0.
		{"--eps", c.Eps, c.Eps >= 0x1p-126, "1.2e-38 or more", "1e-8"},
		{"--outer-lr", c.OuterLR, c.OuterLR > 0, "above 0", "0.7, or 1 to take the ranks' mean"},
		{"--outer-momentum", c.OuterMomentum, c.OuterMomentum >= 0 && c.OuterMomentum < 1, "at least 0 and below 1", "0.9, or 0 for none"},
		{"--val-fraction", c.ValFraction, c.ValFraction == AutoFraction || c.ValFraction >= 0 && c.ValFraction < 1, "0 or more and below 1", "0.1, or 0 for no validation on a part of --data"},
		{"--grad-clip", c.GradClip, c.GradClip >= 0, "0 or more", "1, or 0 for no clipping"},
	} {
		if !f.ok || math.IsInf(f.got, 0) || f.got > math.MaxFloat32 { // NaN is never ok
			bad("%s is %v, want a number, %s; hint: %s", f.flag, f.got, f.want, f.hint)
		}
	}
	if c.Schedule != "constant" && c.LR >= 0 && c.MinLR > c.LR {
		bad("--min-lr is %v, above --lr %v; hint: --min-lr %.3g", c.MinLR, c.LR, c.LR/10)
	}
	return errors.Join(errs...)
}

// batchErrors checks B, T and the total against each other, once each is possible in itself.
func (c Config) batchErrors(bad func(format string, args ...any)) {
	if c.BlockSize > 0 && c.SeqLen > c.BlockSize {
		bad("--seq-len is %d, longer than --block-size %d; hint: --block-size %d, or --seq-len %d", c.SeqLen, c.BlockSize, c.SeqLen, c.BlockSize)
		return
	}
	r := c.Resolved()
	for _, n := range []int{r.BatchSize, r.SeqLen, r.ranks()} {
		if n < 1 || n > maxCount { // reported above, or T is still the weights' to say
			return
		}
	}
	if r.BatchSize > maxStepTokens/r.SeqLen/r.ranks() {
		bad("--batch-size is %d sequences of %d tokens on %d ranks, want at most %d tokens; hint: --batch-size 8", r.BatchSize, r.SeqLen, r.ranks(), maxStepTokens)
		return
	}
	if c.TotalBatchSize < 0 || c.TotalBatchSize > maxStepTokens {
		bad("--total-batch-size is %d, want 0 to %d; hint: tokens of an optimizer step, 0 is one micro-step", c.TotalBatchSize, maxStepTokens)
		return
	}
	if micro := c.MicroTokens(); c.TotalBatchSize%micro != 0 {
		below := max(c.TotalBatchSize/micro*micro, micro)
		bad("--total-batch-size is %d, want a multiple of the micro-step, %d (--batch-size %d x --seq-len %d x %d ranks); hint: --total-batch-size %d",
			c.TotalBatchSize, micro, r.BatchSize, r.SeqLen, r.ranks(), below)
	}
}

// shapeErrors checks the model's shape: each number, then, if all are possible, how they go together.
func (c Config) shapeErrors() (errs []error) {
	complete := true
	for _, f := range []struct {
		flag string
		got  int
	}{
		{"--n-layer", c.NLayer}, {"--n-head", c.NHead}, {"--n-embd", c.NEmbd}, {"--block-size", c.BlockSize}, {"--vocab-size", c.VocabSize},
	} {
		if f.got < 1 {
			complete = false
		}
		if f.got < 0 || f.got == 0 && !c.FromWeights() {
			errs = append(errs, fmt.Errorf("%s is %d, want 1 or more; hint: GPT-2 124M has 12 layers, 12 heads, 768 channels, context 1024, vocabulary 50257",
				f.flag, f.got))
		}
	}
	if complete {
		shape := gpt2.Config{NLayer: c.NLayer, NHead: c.NHead, NEmbd: c.NEmbd, BlockSize: c.BlockSize, VocabSize: c.VocabSize}
		if err := shape.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
