package train

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// AutoFraction is the ValFraction that is settled when the data is opened: a tenth of a user's own text where nothing
// else validates, else 0.
const AutoFraction = -1

// Config is every setting of a training run, under the names of the command line's flags (n_layer is --n-layer). It is
// what config.json holds, beside the fields of [Record].
//
// A zero in the model's shape means "as the weights of Init have it" and is allowed only with such weights. SeqLen 0
// means BlockSize and TotalBatchSize 0 means one micro-step on every rank; [Config.Resolved] writes them out.
type Config struct {
	// Model.
	gpt2.Config
	Init string `json:"init"` // scratch, or the weights to start from

	// Data.
	Data    string `json:"data"`     // what data.Open takes
	ValData string `json:"val_data"` // empty: the files of Data that are named for validation, if it has some
	// ValFraction is the part of Data that validates, in blocks spread over it, and doesn't train; 0 is none. It is
	// settled in config.json.
	ValFraction float64 `json:"val_fraction"`
	// gpt2 | bytes | ids | a directory with its files; empty with Init weights: theirs
	Tokenizer string `json:"tokenizer"`

	// Batch.
	BatchSize      int `json:"batch_size"`       // B: sequences of a micro-step
	SeqLen         int `json:"seq_len"`          // T: tokens of a sequence
	TotalBatchSize int `json:"total_batch_size"` // tokens of an optimizer step, all ranks together

	// Optimizer.
	Optimizer       string  `json:"optimizer"`         // adamw | muon; empty: adamw
	MuonLR          float64 `json:"muon_lr"`           // at the peak of LR, whose schedule it follows
	MuonMomentum    float64 `json:"muon_momentum"`     // of the blocks' matrices
	MuonWeightDecay float64 `json:"muon_weight_decay"` // of the blocks' matrices, as a factor of their rate
	InitProjections string  `json:"init_projections"`  // scaled | zero: how attn.c_proj and mlp.c_proj begin
	Steps           int     `json:"steps"`
	LR              float64 `json:"lr"` // the peak; see LearningRate
	MinLR           float64 `json:"min_lr"`
	WarmupSteps     int     `json:"warmup_steps"`
	Schedule        string  `json:"schedule"`       // constant | cosine | linear | wsd
	DecayFraction   float64 `json:"decay_fraction"` // of wsd: the part of the steps that fall
	WeightDecay     float64 `json:"weight_decay"`
	Decay           string  `json:"decay"` // all | matrices: the parameters that WeightDecay touches
	Beta1           float64 `json:"beta1"`
	Beta2           float64 `json:"beta2"`
	Eps             float64 `json:"eps"`
	GradClip        float64 `json:"grad_clip"` // largest norm of all gradients together; 0: no clipping

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

	// Data parallel: only for more than one rank.
	// steps between comparisons of the ranks' parameters; 0: only at the start
	CheckEvery int    `json:"check_every"`
	GradDType  string `json:"grad_dtype"` // f32 | bf16: how gradients travel
	// 1: gradients are summed every step; H: each rank steps by itself, and all meet every H steps
	SyncEvery     int     `json:"sync_every"`
	OuterLR       float64 `json:"outer_lr"` // with SyncEvery > 1
	OuterMomentum float64 `json:"outer_momentum"`
}

// Record is config.json: the settings, resolved, and what they ran on.
type Record struct {
	Config
	Version    string `json:"version"`     // of the program
	DeviceName string `json:"device_name"` // as the driver says it

	Memory []RoleMemory `json:"memory,omitempty"` // of the device; none before it is planned
}

// RoleMemory is the device memory of the tensors of one role.
type RoleMemory struct {
	Role  gpu.Role `json:"role"`
	Bytes uint64   `json:"bytes"`
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
	// The recipe with the peak learning rates of GPT-3 (arXiv:2005.14165, table 2.1) for these sizes, and a micro-batch
	// that shrinks as the activations grow.
	{"gpt2-350m", "the recipe for 24 layers of 1024 channels", recipe(24, 16, 1024, 8, 3e-4, 3e-5)},
	{"gpt2-774m", "the recipe for 36 layers of 1280 channels", recipe(36, 20, 1280, 4, 2.5e-4, 2.5e-5)},
	{"gpt2-1558m", "the recipe for 48 layers of 1600 channels", recipe(48, 25, 1600, 2, 2e-4, 2e-5)},
	{"gpt2-124m-muon", "gpt2-124m with Muon and higher rates that fall to 0: see docs/optimizers.md", muonRecipe()},
}

// DefaultConfig is the preset tiny.
func DefaultConfig() Config { return tiny() }

// FindPreset returns the preset of that name. Error: there is none; it lists those there are.
func FindPreset(name string) (Preset, error) {
	var names []string
	for _, p := range Presets {
		if names = append(names, p.Name); p.Name == name {
			return p, nil
		}
	}
	return Preset{}, fmt.Errorf("--preset is %q, no such preset; hint: %s", name, strings.Join(names, ", "))
}

// base is what all presets have in common.
func base() Config {
	return Config{
		Init: "scratch", ValFraction: AutoFraction,
		Optimizer: "adamw", MuonLR: 0.02, MuonMomentum: 0.95, InitProjections: "scaled", DecayFraction: wsdDecay,
		WeightDecay: 0.1, Decay: "matrices", Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, GradClip: 1,
		DType: "f32", Seed: 1337, Recompute: "none",
		SaveMinutes: 10, Keep: 3, ValSteps: 20, Device: "auto",
		CheckEvery: 100, GradDType: "f32", SyncEvery: 1, OuterLR: 0.7, OuterMomentum: 0.9,
	}
}

func tiny() Config {
	c := base()
	c.Config = gpt2.Config{NLayer: 4, NHead: 4, NEmbd: 128, BlockSize: 64, VocabSize: 256}
	c.Data, c.Tokenizer = "sample", "bytes"
	c.BatchSize, c.SeqLen = 4, 64 // many small steps: at the same tokens the loss ends 0.2 lower than with 1024 a step
	c.Steps, c.LR, c.MinLR, c.WarmupSteps, c.Schedule = 900, 2e-3, 2e-4, 40, "cosine"
	c.InitProjections = "zero" // ends 0.02 lower than scaled; Muon is slower in the same time: see docs/optimizers.md
	c.ValEvery, c.SampleEvery = 150, 450
	return c
}

// firstSteps has PyTorch's defaults of AdamW and no schedule: what the document runs before it turns to the details.
func firstSteps() Config {
	c := base()
	c.Config = gpt2.Config{NLayer: 12, NHead: 12, NEmbd: 768, BlockSize: 1024, VocabSize: 50257}
	c.Data, c.ValFraction, c.Tokenizer = "shakespeare", 0, "gpt2"
	c.BatchSize, c.SeqLen = 4, 32
	c.Steps, c.LR, c.Schedule = 50, 3e-4, "constant"
	c.WeightDecay, c.Decay, c.Beta2, c.GradClip = 0.01, "all", 0.999, 0
	return c
}

// recipe is the document's run on FineWeb-Edu for a model of that shape, B sequences a micro-step and those rates.
// 19073 steps of 524288 tokens are one pass over the 10 billion.
func recipe(layers, heads, channels, B int, lr, minLR float64) Config {
	c := base()
	c.Config = gpt2.Config{NLayer: layers, NHead: heads, NEmbd: channels, BlockSize: 1024, VocabSize: 50304}
	c.Data, c.Tokenizer = "fineweb-edu", "gpt2"
	c.BatchSize, c.SeqLen, c.TotalBatchSize = B, 1024, 524288
	c.Steps, c.LR, c.MinLR, c.WarmupSteps, c.Schedule = 19073, lr, minLR, 715, "cosine"
	c.DType = "bf16"
	c.SaveEvery, c.ValEvery, c.HellaswagEvery, c.SampleEvery = 250, 250, 250, 250
	return c
}

// muonRecipe is gpt2-124m with the settings of published runs at this size: Muon at 0.025 with a decay of 0.05 and a
// fall over the last 0.7 of the steps (modded-nanogpt's tuned baseline of track 3), AdamW at 1.8e-3 after 256 steps of
// warmup (its AdamW record of June 2024), and projections that start at zero. Those runs changed the architecture too;
// no run of exactly this is known.
func muonRecipe() Config {
	c := recipe(12, 12, 768, 16, 1.8e-3, 0)
	c.Optimizer, c.MuonLR, c.MuonWeightDecay, c.InitProjections = "muon", 0.025, 0.05, "zero"
	c.WarmupSteps, c.Schedule, c.DecayFraction = 256, "wsd", 0.7
	return c
}

// measuresHellaSwag reports whether the run scores HellaSwag: it needs both the file and an interval.
func (c Config) measuresHellaSwag() bool { return c.Hellaswag != "" && c.HellaswagEvery > 0 }

// FromWeights reports whether the run starts from weights that have a shape of their own.
func (c Config) FromWeights() bool { return c.Init != "scratch" }

// vocabularies has the smallest --vocab-size of a tokenizer.
var vocabularies = map[string]int{"gpt2": 50257, "bytes": 256}

// Job is what one call of [Run] does: a run's settings, and how this invocation goes.
type Job struct {
	Config
	Invocation
}

// Invocation is how this process takes part in a run. It does not change what the run is, so no file holds it.
type Invocation struct {
	Resume    bool // continue the run in Out
	StopAfter int  // end after this many steps, as an interrupt would; 0: go on to Steps
	Ranks     int  // processes that share the batch; 0 is 1

	NoSupervise bool // Run in the process that was started, not in one that can be started again
	MaxRestarts int  // in a row without progress

	Profile   func(Profile) error    // gets the times of one step's dispatches at the end; nil: none are taken
	Given     func(flag string) bool // whether the command line has that flag ("val-every"); nil: it has none
	FineTuned bool                   // the learning rates are those of FineTune, for the log
}

func (j Job) given(flag string) bool { return j.Given != nil && j.Given(flag) }

func (j Job) ranks() int { return max(j.Ranks, 1) }

// MicroTokens returns the tokens of one micro-step on all ranks together, B*T*ranks.
func (j Job) MicroTokens() int {
	return j.BatchSize * cmp.Or(j.SeqLen, j.BlockSize) * j.ranks()
}

// TokensPerStep returns the tokens of one optimizer step on all ranks together.
func (j Job) TokensPerStep() int { return cmp.Or(j.TotalBatchSize, j.MicroTokens()) }

// AccumSteps returns the micro-steps of one optimizer step, whose gradients add up. j must be valid.
func (j Job) AccumSteps() int { return j.TokensPerStep() / j.MicroTokens() }

// Resolved returns j with SeqLen and TotalBatchSize written out where they were left to the other settings.
func (j Job) Resolved() Job {
	j.SeqLen = cmp.Or(j.SeqLen, j.BlockSize)
	j.TotalBatchSize = j.TokensPerStep()
	return j
}

// Model returns the model's shape.
func (c Config) Model() gpt2.Config {
	return c.Config
}

// options are what the model trades for memory.
func (c Config) options() []model.TrainingOption {
	return []model.TrainingOption{model.Storing(stored[c.DType]), model.Recomputing(recomputed[c.Recompute])}
}

// The words of --dtype and of --recompute.
var stored = map[string]gpu.Storage{"f32": gpu.F32, "bf16": gpu.BF16}
var recomputed = map[string]model.Recompute{"none": model.RecomputeNone, "gelu": model.RecomputeGELU,
	"block": model.RecomputeBlock}

// sameModel refuses to resume a run whose model or numerics were others, naming the difference. Batch shape, schedule
// and the number of steps may change; checkData compares the data.
func (c Config) sameModel(was Config) error {
	if c.ValFraction == AutoFraction { // no flag asks for another
		c.ValFraction = was.ValFraction
	}
	for _, s := range Settings {
		if now, was := s.value(Job{Config: c}), s.value(Job{Config: was}); s.Fixed && now != was {
			return fmt.Errorf("--%s is %v, the run has %v; hint: leave the flag out, or start a new run with "+
				"another --out", s.Flag(), now, was)
		}
	}
	return nil
}
