package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// settle returns the settings of a command line.
func settle(t *testing.T, args ...string) train.Job {
	t.Helper()
	fs := newFlagSet("train")
	f := newTrainFlags(fs)
	if err := fs.parse(args); err != nil {
		t.Fatal(err)
	}
	c, err := f.settle()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTrainFlags(t *testing.T) {
	wantFlags(t, "train",
		`n-layer n-head n-embd block-size vocab-size init data val-data val-fraction tokenizer batch-size
		seq-len total-batch-size steps lr min-lr warmup-steps schedule decay-fraction weight-decay decay
		beta1 beta2 eps grad-clip dtype seed recompute optimizer muon-lr muon-momentum muon-weight-decay
		init-projections out resume save-every save-minutes keep stop-after no-supervise max-restarts
		val-every val-steps hellaswag-every hellaswag sample-every device no-autotune check-every grad-dtype
		sync-every outer-lr outer-momentum preset config dry-run profile tensorboard dashboard
		progress`)
}

func TestTrainUsage(t *testing.T) {
	for _, x := range []struct {
		args  []string
		words []string
	}{
		{[]string{"train", "--setps", "5"}, []string{"gpt2wgpu train: ", "unknown flag --setps", "did you mean " +
			"--steps?"}},
		{[]string{"train", "--n_layer", "5"}, []string{"--n_layer", "did you mean --n-layer?"}},
		{[]string{"train", "-steps", "5"}, []string{"-steps", "did you mean --steps?"}},
		{[]string{"train", "--wobble"}, []string{"--wobble", "gpt2wgpu train --help"}},
		{[]string{"train", "steps=5"}, []string{`"steps=5"`}},
		{[]string{"train", "--steps"}, []string{"--steps has no value", "a whole number", "--steps 900"}},
		{[]string{"train", "--steps", "many"}, []string{`--steps is "many"`, "a whole number"}},
		{[]string{"train", "--seed", "-1"}, []string{`--seed is "-1"`, "0 or more"}},
		{[]string{"train", "--lr", "3e"}, []string{`--lr is "3e"`, "a number"}},
		{[]string{"train", "--resume=perhaps"}, []string{"--resume", "true or false"}},
		{[]string{"train", "--preset", "huge"}, []string{"--preset", `"huge"`, "tiny, first-steps"}},
		{[]string{"train", "--config", "no/such.json"}, []string{"no/such.json"}},
		{[]string{"train", "--n-embd", "130"}, []string{"--n-embd"}},
		{[]string{"train", "--dtype", "fp16"}, []string{"--dtype", "f32, bf16"}},
		{[]string{"train", "--recompute", "all"}, []string{"--recompute", "none, gelu, block"}},
		{[]string{"train", "--seq-len", "256"}, []string{"--seq-len is 256", fmt.Sprintf("--block-size %d",
			train.DefaultConfig().BlockSize)}},
		{[]string{"train", "--tokenizer", "gpt2", "--vocab-size", "256"}, []string{"--vocab-size is 256", "50257"}},
		{[]string{"train", "--total-batch-size", "1000"}, []string{"--total-batch-size is 1000"}},
		{[]string{"train", "--resume"}, []string{"--out DIR"}},
	} {
		wantFailure(t, exitUsage, x.args, x.words...)
	}
}

// TestAllMistakes checks that several mistakes are reported at once, a line each.
func TestAllMistakes(t *testing.T) {
	code, _, stderr := cli(t, "train", "--steps", "-1", "--beta1", "2", "--schedule", "cos")
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if code != exitUsage || len(lines) != 3 {
		t.Errorf("code %d, %q", code, lines)
	}
	for _, l := range lines {
		if !strings.HasPrefix(l, "gpt2wgpu train: --") || !strings.Contains(l, "; hint: ") {
			t.Errorf("line %q", l)
		}
	}
}

func TestPrecedence(t *testing.T) {
	if got := settle(t); got.Config != train.DefaultConfig() {
		t.Errorf("no flags give %+v", got)
	}
	preset, _ := train.FindPreset("first-steps")
	if got := settle(t, "--preset", "first-steps"); got.Config != preset.Config {
		t.Errorf("--preset gives %+v", got)
	}
	file := writeFile(t, filepath.Join(t.TempDir(), "c.json"), `{"steps": 77, "lr": 0.5, "weight_decay": 0.25}`)
	want := preset.Config
	want.Steps, want.LR, want.WeightDecay = 77, 0.5, 0.25
	if got := settle(t, "--config", file, "--preset", "first-steps"); got.Config != want {
		t.Errorf("--config over --preset gives %+v", got)
	}
	// A flag counts because it was given, not because it differs from a default, and wherever it stands.
	want.LR, want.Steps, want.Seed = 1e-3, 400, 1<<64-1
	if got := settle(t, "--lr", "1e-3", "--config", file, "--steps=400", "--preset", "first-steps", "--seed",
		"18446744073709551615"); got.Config != want {
		t.Errorf("flags over --config give %+v", got)
	}
	want.LR = 0.30000000000000004 // every bit of a number survives
	if got := settle(t, "--lr", "0.30000000000000004", "--config", file, "--steps=400", "--preset", "first-steps",
		"--seed", "18446744073709551615"); got.Config != want {
		t.Errorf("a flag's number arrives as %v", got.LR)
	}
}

// TestEveryFlag checks that each setting has a flag of its name, and that the flag sets it and nothing else.
func TestEveryFlag(t *testing.T) {
	for _, s := range train.Settings {
		at := func(j *train.Job) reflect.Value { return reflect.ValueOf(s.In(j)).Elem() }
		got, want := train.Job{}, train.Job{Config: train.DefaultConfig()}
		value := map[reflect.Kind]string{reflect.Int: "96", reflect.Uint64: "96", reflect.Float64: "0.0625",
			reflect.String: "word", reflect.Bool: "true"}[at(&got).Kind()]
		if got = settle(t, "--"+s.Flag()+"="+value); at(&got).Equal(at(&want)) {
			t.Errorf("--%s doesn't set %s", s.Flag(), s.Name)
		}
		if slices.Contains([]string{"init", "block_size"}, s.Name) { // others follow, see TestGiveWay
			continue
		}
		at(&want).Set(at(&got))
		if got.Config != want.Config || got.Resume != want.Resume || got.StopAfter != want.StopAfter {
			t.Errorf("--%s sets more than %s", s.Flag(), s.Name)
		}
	}
}

func TestGiveWay(t *testing.T) {
	// The weights bring shape and tokenizer, unless flags insist.
	c := settle(t, "--init", "some/dir")
	if c.NLayer != 0 || c.NHead != 0 || c.NEmbd != 0 || c.BlockSize != 0 || c.VocabSize != 0 || c.Tokenizer != "" ||
		c.Validate() != nil {
		t.Errorf("--init leaves %+v, %v", c, c.Validate())
	}
	c = settle(t, "--init", "some/dir", "--n-layer", "4", "--vocab-size", "50304", "--tokenizer", "gpt2")
	if c.NLayer != 4 || c.NHead != 0 || c.VocabSize != 50304 || c.Tokenizer != "gpt2" {
		t.Errorf("--init with a shape gives %+v", c)
	}
	// A run's config.json has the shape that its weights had; it isn't that of others.
	rec := train.Record{Config: train.DefaultConfig()}
	rec.Init = "some/dir"
	text, _ := json.Marshal(rec)
	out := t.TempDir()
	file := writeFile(t, filepath.Join(out, "config.json"), string(text))
	for _, args := range [][]string{{"--config", file}, {"--config", file, "--init", "some/dir"}} {
		if c = settle(t, args...); c.Config != rec.Config {
			t.Errorf("%q gives %+v", args, c)
		}
	}
	if c = settle(t, "--config", file, "--init", "other/dir"); c.NLayer != 0 || c.Tokenizer != "" {
		t.Errorf("other weights than the file's: %+v", c)
	}

	// A vocabulary too small for the tokenizer grows, if nobody asked for it.
	if c = settle(t, "--tokenizer", "gpt2"); c.VocabSize != 50257 || c.Validate() != nil {
		t.Errorf("--tokenizer gpt2: vocabulary %d, %v", c.VocabSize, c.Validate())
	}
	if c = settle(t, "--tokenizer", "bytes", "--preset", "gpt2-124m"); c.VocabSize != 50304 {
		t.Errorf("--tokenizer bytes: vocabulary %d", c.VocabSize)
	}
	if c = settle(t, "--tokenizer", "gpt2", "--vocab-size", "300"); c.VocabSize != 300 {
		t.Errorf("--vocab-size 300 gives %d", c.VocabSize)
	}

	// A sequence is no longer than the context.
	if c = settle(t, "--block-size", "32"); c.SeqLen != 32 {
		t.Errorf("--block-size 32: T %d", c.SeqLen)
	}
	if c = settle(t, "--block-size", "64", "--seq-len", "128"); c.SeqLen != 128 { // Validate refuses it
		t.Errorf("--seq-len 128: T %d", c.SeqLen)
	}
	if c = settle(t, "--block-size", "512"); c.SeqLen != train.DefaultConfig().SeqLen {
		t.Errorf("--block-size 512: T %d", c.SeqLen)
	}
}

// TestResume checks that a run goes on with its own settings, so that --out and --resume are all one has to type.
func TestResume(t *testing.T) {
	rec := train.Record{Config: train.DefaultConfig(), Version: "v1", DeviceName: "llvmpipe"}
	rec.NLayer, rec.Steps, rec.TotalBatchSize = 2, 60, 4096
	rec.Out = "elsewhere" // the directory may have moved
	text, _ := json.Marshal(rec)
	out := t.TempDir()
	writeFile(t, filepath.Join(out, "config.json"), string(text))

	want := rec.Config
	want.Out = out
	if got := settle(t, "--out", out, "--resume"); got.Config != want || !got.Resume {
		t.Errorf("got %+v, want %+v", got, want)
	}
	want.Steps = 80
	if got := settle(t, "--out", out, "--resume", "--steps", "80", "--stop-after", "5"); got.Config != want ||
		got.StopAfter != 5 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := settle(t, "--out", out); got.NLayer != 4 {
		t.Error("config.json was read without --resume")
	}
	if got := settle(t, "--out", t.TempDir(), "--resume"); got.NLayer != 4 {
		t.Error("no config.json, but other settings")
	}
}

// TestHome: a ~ that the shell has left in a flag is the home directory.
func TestHome(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	fs := newFlagSet("train")
	c := newTrainFlags(fs)
	if err := fs.parse([]string{"--out=~/runs/x", "--data", "~/t.txt", "--val-data", "~x/t.txt"}); err != nil {
		t.Fatal(err)
	}
	if got, want := c.cfg.Out, filepath.Join(home, "runs", "x"); got != want {
		t.Errorf("--out is %s, want %s", got, want)
	}
	if got, want := c.cfg.Data, filepath.Join(home, "t.txt"); got != want || c.cfg.ValData != "~x/t.txt" {
		t.Errorf("--data is %s, want %s; --val-data is %s", got, want, c.cfg.ValData)
	}
}

// TestTypedName: the commands that the end of a run names work as they are typed.
func TestTypedName(t *testing.T) {
	sep := string(filepath.Separator)
	for arg0, want := range map[string]string{
		"gpt2wgpu": "gpt2wgpu", "." + sep + "gpt2wgpu": "." + sep + "gpt2wgpu", ".." + sep + "gpt2wgpu": ".." + sep +
			"gpt2wgpu",
		filepath.Join(t.TempDir(), "gpt2wgpu"): "gpt2wgpu", "": "gpt2wgpu",
	} {
		if got := typedName(arg0); got != want {
			t.Errorf("%q: got %q, want %q", arg0, got, want)
		}
	}
}
