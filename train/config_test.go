package train

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPresets(t *testing.T) {
	for _, p := range Presets {
		got, err := FindPreset(p.Name)
		if err != nil || !cmp.Equal(got, p) {
			t.Errorf("%s: FindPreset gives %v, %v", p.Name, got, err)
		}
		c := p.Config
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	if DefaultConfig() != Presets[0].Config || Presets[0].Name != "tiny" {
		t.Error("the default isn't the preset tiny")
	}
	if _, err := FindPreset("gpt2"); err == nil || !strings.Contains(err.Error(), "gpt2-124m, gpt2-350m") {
		t.Errorf("FindPreset of an unknown name: %v", err)
	}
}

// TestRecipe holds the numbers of the document, as build-nanogpt has them.
func TestRecipe(t *testing.T) {
	p, _ := FindPreset("gpt2-124m")
	c := Job{Config: p.Config}
	if c.TokensPerStep() != 524288 || c.AccumSteps() != 32 || c.Steps*c.TokensPerStep() != 9999745024 {
		t.Errorf("%d tokens a step in %d micro-steps", c.TokensPerStep(), c.AccumSteps())
	}
	if got, want := LearningRate(c.Config, 0), 6e-4/715; math.Abs(got-want) > 1e-18 {
		t.Errorf("first learning rate %v, want %v", got, want)
	}
	if c.MinLR != 6e-5 {
		t.Errorf("min_lr %v, want 6e-5", c.MinLR)
	}
	p, _ = FindPreset("first-steps")
	if c := (Job{Config: p.Config}); c.TokensPerStep() != 128 || c.AccumSteps() != 1 || LearningRate(c.Config,
		49) != 3e-4 {
		t.Errorf("first-steps: %d tokens a step in %d micro-steps", c.TokensPerStep(), c.AccumSteps())
	}
}

// TestMuonRecipe: gpt2-124m-muon is gpt2-124m but for the optimizer and the schedule.
func TestMuonRecipe(t *testing.T) {
	p, _ := FindPreset("gpt2-124m-muon")
	plain, _ := FindPreset("gpt2-124m")
	c := p.Config
	for step, want := range map[int]float64{255: 1.8e-3, 5000: 1.8e-3, 12397: 9e-4, 19072: 1.3482e-7} {
		if got := LearningRate(c, step); math.Abs(got-want) > 1e-3*want {
			t.Errorf("step %d: learning rate %v, want %v", step, got, want)
		}
	}
	c.Optimizer, c.MuonLR, c.MuonWeightDecay, c.InitProjections = "adamw", 0.02, 0, "scaled"
	c.LR, c.MinLR, c.WarmupSteps, c.Schedule, c.DecayFraction = 6e-4, 6e-5, 715, "cosine", wsdDecay
	if c != plain.Config {
		t.Errorf("it differs in more: %+v, want %+v", c, plain.Config)
	}
}

// roundConfig is the default with numbers of its own, which messages repeat.
func roundConfig() Job {
	c := Job{Config: DefaultConfig()}
	c.NEmbd, c.NHead, c.BlockSize, c.SeqLen, c.BatchSize, c.LR, c.MinLR = 128, 4, 128, 128, 8, 1e-3, 1e-4
	return c
}

func TestDerived(t *testing.T) {
	c := roundConfig()
	c.SeqLen, c.Ranks = 0, 3
	if c.MicroTokens() != 8*128*3 || c.TokensPerStep() != 8*128*3 || c.AccumSteps() != 1 {
		t.Errorf("unset: %d, %d, %d", c.MicroTokens(), c.TokensPerStep(), c.AccumSteps())
	}
	r := c.Resolved()
	if r.SeqLen != 128 || r.TotalBatchSize != 8*128*3 || r.Config != r.Resolved().Config {
		t.Errorf("resolved: T=%d, total %d", r.SeqLen, r.TotalBatchSize)
	}
	c.TotalBatchSize = 4 * 8 * 128 * 3
	if c.AccumSteps() != 4 {
		t.Errorf("%d micro-steps, want 4", c.AccumSteps())
	}
}

func TestValidate(t *testing.T) {
	for _, x := range []struct {
		change func(c *Job)
		want   []string // in one line
	}{
		{func(c *Job) { c.NLayer = 0 }, []string{"--n-layer is 0", "hint:"}},
		{func(c *Job) { c.NHead = 3 }, []string{"--n-head", "--n-embd 132"}},
		{func(c *Job) { c.NEmbd = -128 }, []string{"--n-embd", "-128"}},
		{func(c *Job) { c.VocabSize = 1 << 40 }, []string{"--vocab-size"}},
		{func(c *Job) { c.BlockSize = 0 }, []string{"--block-size"}},
		{func(c *Job) { c.Init = "" }, []string{"--init"}},
		{func(c *Job) { c.Data = "" }, []string{"--data"}},
		{func(c *Job) { c.Tokenizer = "" }, []string{"--tokenizer", "gpt2, bytes"}},
		{func(c *Job) { c.Tokenizer = "bpe" }, []string{"--tokenizer", `"bpe"`, "gpt2, bytes"}},
		{func(c *Job) { c.Tokenizer = "gpt2" }, []string{"--vocab-size is 256", "--vocab-size 50257"}},
		{func(c *Job) { c.BatchSize = 0 }, []string{"--batch-size is 0"}},
		{func(c *Job) { c.BatchSize = 1 << 29 }, []string{"--batch-size", "tokens"}},
		{func(c *Job) { c.SeqLen = 129 }, []string{"--seq-len is 129", "--block-size 128"}},
		{func(c *Job) { c.SeqLen = -1 }, []string{"--seq-len is -1"}},
		{func(c *Job) { c.TotalBatchSize = 1500 }, []string{"--total-batch-size is 1500", "1024", "hint: " +
			"--total-batch-size 1024"}},
		{func(c *Job) { c.TotalBatchSize = 2049; c.Ranks = 2 }, []string{"2048", "2 ranks"}},
		{func(c *Job) { c.TotalBatchSize = -1024 }, []string{"--total-batch-size is -1024"}},
		{func(c *Job) { c.Steps = 0 }, []string{"--steps is 0"}},
		{func(c *Job) { c.LR = math.NaN() }, []string{"--lr is NaN"}},
		{func(c *Job) { c.LR = math.Inf(1) }, []string{"--lr is +Inf"}},
		{func(c *Job) { c.LR = -1e-3 }, []string{"--lr is -0.001"}},
		{func(c *Job) { c.MinLR = 0.01 }, []string{"--min-lr is 0.01", "--lr 0.001", "--min-lr 0.0001"}},
		{func(c *Job) { c.WarmupSteps = -1 }, []string{"--warmup-steps"}},
		{func(c *Job) { c.Schedule = "cos" }, []string{"--schedule", "constant, cosine, linear, wsd"}},
		{func(c *Job) { c.DecayFraction = 0 }, []string{"--decay-fraction is 0", "above 0"}},
		{func(c *Job) { c.DecayFraction = 1.5 }, []string{"--decay-fraction is 1.5"}},
		{func(c *Job) { c.Optimizer = "sgd" }, []string{"--optimizer", "adamw, muon"}},
		{func(c *Job) { c.MuonLR = -1 }, []string{"--muon-lr is -1"}},
		{func(c *Job) { c.MuonMomentum = 1 }, []string{"--muon-momentum is 1"}},
		{func(c *Job) { c.MuonWeightDecay = math.NaN() }, []string{"--muon-weight-decay is NaN"}},
		{func(c *Job) { c.InitProjections = "one" }, []string{"--init-projections", "scaled, zero"}},
		{func(c *Job) { c.Optimizer, c.LR, c.MinLR = "muon", 0, 0 }, []string{"--lr is 0", "--muon-lr"}},
		{func(c *Job) { c.WeightDecay = -0.1 }, []string{"--weight-decay"}},
		{func(c *Job) { c.Decay = "biases" }, []string{"--decay", "all, matrices"}},
		{func(c *Job) { c.Beta1 = 1 }, []string{"--beta1 is 1"}},
		{func(c *Job) { c.Beta2 = math.NaN() }, []string{"--beta2 is NaN"}},
		{func(c *Job) { c.Eps = 0 }, []string{"--eps"}},
		{func(c *Job) { c.Eps = 1e-50 }, []string{"--eps"}},
		{func(c *Job) { c.GradClip = -1 }, []string{"--grad-clip", "0 for no clipping"}},
		{func(c *Job) { c.DType = "fp16" }, []string{"--dtype", `"fp16"`, "f32, bf16"}},
		{func(c *Job) { c.Recompute = "all" }, []string{"--recompute", "none, gelu, block"}},
		{func(c *Job) { c.SaveEvery = -1 }, []string{"--save-every"}},
		{func(c *Job) { c.Keep = -1 }, []string{"--keep"}},
		{func(c *Job) { c.StopAfter = -1 }, []string{"--stop-after"}},
		{func(c *Job) { c.ValEvery = 10; c.ValSteps = 0 }, []string{"--val-steps is 0"}},
		{func(c *Job) { c.HellaswagEvery = -5 }, []string{"--hellaswag-every"}},
		{func(c *Job) { c.SampleEvery = -5 }, []string{"--sample-every"}},
		{func(c *Job) { c.Resume = true }, []string{"--resume", "--out DIR"}},
		{func(c *Job) { c.Ranks = -1 }, []string{"ranks is -1"}},
	} {
		c := roundConfig()
		x.change(&c)
		err := c.Validate()
		if err == nil {
			t.Errorf("no error that says %q", x.want)
			continue
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("one mistake, several errors: %v", err)
		}
		for _, w := range append(x.want, "hint: ") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q doesn't say %q", err, w)
			}
		}
	}
}

// TestValidateAll checks that all mistakes are reported at once, one per line.
func TestValidateAll(t *testing.T) {
	err := Job{Config: Config{Init: "scratch", BatchSize: -1, Schedule: "x", LR: math.NaN()},
		Invocation: Invocation{Ranks: -1}}.Validate()
	lines := strings.Split(err.Error(), "\n")
	for _, flag := range []string{"--data", "--tokenizer", "--batch-size", "--steps", "ranks", "--schedule", "--decay",
		"--dtype", "--recompute", "--lr", "--eps"} {
		n := 0
		for _, l := range lines {
			if strings.HasPrefix(l, flag+" ") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d lines about %s in\n%v", n, flag, err)
		}
	}
}

// TestValidateHarmless keeps quick experiments possible: settings that a preset brought and this run doesn't reach.
func TestValidateHarmless(t *testing.T) {
	c := Job{Config: DefaultConfig()}
	c.Steps = 3 // fewer than the warmup
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Schedule, c.LR = "constant", 1e-5 // below a min_lr that isn't used
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c = Job{Config: DefaultConfig()}
	// the weights'
	c.Init, c.NLayer, c.NHead, c.NEmbd, c.BlockSize, c.VocabSize, c.Tokenizer = "gpt2", 0, 0, 0, 0, 0, ""
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

// TestConfigJSON checks the names: each is the flag's with underscores, and config.json reads back as it was.
func TestConfigJSON(t *testing.T) {
	want := Record{Config: DefaultConfig(), Version: "v0.1.0", DeviceName: "llvmpipe"}
	want.Seed, want.Memory = 1<<63+1, []RoleMemory{{"parameters", 1 << 40}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Record
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestSettingsAreConfig: the table has every field of config.json, in its order and under its name, and nothing else.
func TestSettingsAreConfig(t *testing.T) {
	var names func(typ reflect.Type) []string
	names = func(typ reflect.Type) (list []string) {
		for i := range typ.NumField() {
			if f := typ.Field(i); f.Anonymous {
				list = append(list, names(f.Type)...)
			} else {
				list = append(list, f.Tag.Get("json"))
				if tag := f.Tag.Get("json"); strings.ReplaceAll(tag, "_", "") != strings.ToLower(f.Name) {
					t.Errorf("%s has the JSON name %q", f.Name, tag)
				}
			}
		}
		return list
	}
	if diff := cmp.Diff(names(reflect.TypeFor[Config]()), settingNames()); diff != "" {
		t.Error(diff)
	}
}

// TestFilesKeys holds the keys of config.json and state.json: programs of other versions, and people's scripts, read
// them.
func TestFilesKeys(t *testing.T) {
	config := "n_layer n_head n_embd block_size vocab_size init data val_data val_fraction tokenizer batch_size " +
		"seq_len total_batch_size " +
		"optimizer muon_lr muon_momentum muon_weight_decay init_projections " +
		"steps lr min_lr warmup_steps schedule decay_fraction weight_decay decay beta1 beta2 eps grad_clip " +
		"dtype seed recompute " +
		"out save_every save_minutes " +
		"keep val_every val_steps hellaswag_every hellaswag sample_every device no_autotune check_every grad_dtype " +
		"sync_every outer_lr outer_momentum"
	for _, x := range []struct {
		value any
		keys  string
	}{
		{Record{}, config + " version device_name"},
		{State{SHA256: "0"}, "step tokens skipped_in_a_row data data_files tokenizer config program_version tiles " +
			"optimizer sha256"},
		{State{}.Config, config},
	} {
		raw, err := json.Marshal(x.value)
		must(t, err)
		d := json.NewDecoder(bytes.NewReader(raw))
		var keys []string
		for depth, key := 0, false; ; {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			must(t, err)
			if delim, ok := token.(json.Delim); ok {
				if delim == '{' || delim == '[' {
					depth++
				} else {
					depth--
				}
				key = depth == 1
			} else if depth == 1 && key {
				keys, key = append(keys, token.(string)), false
			} else if depth == 1 {
				key = true
			}
		}
		if diff := cmp.Diff(strings.Fields(x.keys), keys); diff != "" {
			t.Errorf("%T: %s", x.value, diff)
		}
	}
}
