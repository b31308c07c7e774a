package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// TestFineTuneSettings: what the preset says about sequences and rates gives way to the weights; what the user says
// counts.
func TestFineTuneSettings(t *testing.T) {
	tiny := train.DefaultConfig()
	c := settle(t, "--init", greedyModel) // a context of 24
	if c.SeqLen != 24 || c.LR != 2e-4 || c.MinLR != 2e-5 || c.WarmupSteps != 4 || c.Validate() != nil {
		t.Errorf("T %d, lr %v to %v after %d, %v", c.SeqLen, c.LR, c.MinLR, c.WarmupSteps, c.Validate())
	}
	if c = settle(t, "--init", greedyModel, "--seq-len", "8", "--lr", "5e-5"); c.SeqLen != 8 || c.LR != 5e-5 ||
		c.MinLR != 5e-6 || c.WarmupSteps != 4 {
		t.Errorf("T %d, lr %v to %v after %d", c.SeqLen, c.LR, c.MinLR, c.WarmupSteps)
	}
	if c = settle(t, "--init", greedyModel, "--min-lr", "1e-6", "--warmup-steps", "7", "--seq-len",
		"64"); c.SeqLen != 64 || c.LR != 2e-4 || c.MinLR != 1e-6 || c.WarmupSteps != 7 {
		t.Errorf("T %d, lr %v to %v after %d", c.SeqLen, c.LR, c.MinLR, c.WarmupSteps)
	}
	if c = settle(t, "--init", greedyModel, "--block-size", "10"); c.SeqLen != 10 || c.BlockSize != 10 {
		t.Errorf("T %d of a context of %d", c.SeqLen, c.BlockSize)
	}
	// Published weights have a context of 1024, also before they are fetched.
	if c = settle(t, "--init", "gpt2"); c.SeqLen != tiny.SeqLen || c.LR != 2e-4 {
		t.Errorf("gpt2: T %d, lr %v", c.SeqLen, c.LR)
	}
	// A preset's step stays a multiple of the shortened micro-step.
	if c = settle(t, "--preset", "gpt2-124m", "--init", greedyModel); c.SeqLen != 24 ||
		c.TotalBatchSize%(c.BatchSize*24) != 0 || c.LR != 6e-5 || c.MinLR != 6e-6 || c.Validate() != nil {
		t.Errorf("gpt2-124m: T %d, a step of %d tokens, lr %v to %v, %v", c.SeqLen, c.TotalBatchSize, c.LR, c.MinLR,
			c.Validate())
	}
	if c = settle(t, "--preset", "first-steps", "--init", greedyModel); c.LR != 3e-5 || c.MinLR != 0 ||
		c.WarmupSteps != 0 {
		t.Errorf("first-steps: lr %v to %v after %d", c.LR, c.MinLR, c.WarmupSteps)
	}
	// A file's rates count as the user's; from scratch nothing changes.
	file := writeFile(t, filepath.Join(t.TempDir(), "c.json"), `{"lr": 0.5, "min_lr": 0.25, "warmup_steps": 3}`)
	if c = settle(t, "--init", greedyModel, "--config", file); c.LR != 0.5 || c.MinLR != 0.25 || c.WarmupSteps != 3 {
		t.Errorf("--config: lr %v to %v after %d", c.LR, c.MinLR, c.WarmupSteps)
	}
	file = writeFile(t, filepath.Join(t.TempDir(), "c.json"), `{"lr": 0.001}`)
	if c = settle(t, "--init", greedyModel, "--config", file); c.LR != 0.001 || c.MinLR != 0.0001 {
		t.Errorf("--config with a rate: lr %v to %v, want the preset's proportion", c.LR, c.MinLR)
	}
	if c = settle(t, "--init", greedyModel, "--optimizer", "muon"); c.MuonLR != 0.002 || c.LR != 2e-4 {
		t.Errorf("muon: rates %v and %v, want a tenth of the preset's", c.MuonLR, c.LR)
	}
	if c = settle(t, "--init", greedyModel, "--optimizer", "muon", "--muon-lr", "0.01"); c.MuonLR != 0.01 {
		t.Errorf("--muon-lr 0.01 gives %v", c.MuonLR)
	}
	if c = settle(t); c.LR != tiny.LR || c.MinLR != tiny.MinLR || c.WarmupSteps != tiny.WarmupSteps {
		t.Errorf("from scratch: lr %v to %v after %d", c.LR, c.MinLR, c.WarmupSteps)
	}
}

// TestFineTune is what a user does with weights of a short context.
func TestFineTune(t *testing.T) {
	gputest.Available(t)
	train1 := func(args ...string) []string {
		return append(append(strings.Fields("train --data sample --batch-size 1 --steps 2 --sample-every 0 --init "+
			greedyModel), device()...), args...)
	}
	out := filepath.Join(t.TempDir(), "run")
	code, _, stderr := cli(t, train1("--out", out)...)
	if code != exitDone {
		t.Fatalf("code %d: %s", code, stderr)
	}
	for _, want := range []string{"fine-tuning from " + greedyModel, "parameters, context 24, vocabulary 256, " +
		"tokenizer bytes", "a tenth of the preset's", "--lr 0.0002", "T=24"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("the log doesn't say %q:\n%s", want, stderr)
		}
	}
	// Going on changes no rate.
	before := configOf(t, out)
	if code, _, stderr := cli(t, append(strings.Fields("train --resume --steps 3 --out "+out),
		device()...)...); code != exitDone || strings.Contains(stderr, "a tenth") {
		t.Errorf("--resume: code %d: %s", code, stderr)
	}
	if after := configOf(t, out); after.LR != before.LR || after.WarmupSteps != before.WarmupSteps || after.LR != 2e-4 {
		t.Errorf("--resume: lr %v after %d, before %v after %d", after.LR, after.WarmupSteps, before.LR,
			before.WarmupSteps)
	}

	wantFailure(t, exitFailed, train1("-q", "--out", filepath.Join(t.TempDir(), "x"), "--seq-len", "25"),
		"--seq-len is 25", "24", "leave --seq-len out, or --seq-len 24")
	wantFailure(t, exitFailed, train1("-q", "--out", filepath.Join(t.TempDir(), "x"), "--block-size", "48"),
		"--block-size is 48", "have 24", "leave --block-size out")
	wantFailure(t, exitFailed, train1("-q", "--out", filepath.Join(t.TempDir(), "x"), "--n-layer", "4"),
		"--n-layer is 4", "leave --n-layer out")

	// A shorter context than the weights'.
	short := filepath.Join(t.TempDir(), "short")
	if code, _, stderr := cli(t, train1("--block-size", "16", "--lr", "0", "--out", short)...); code != exitDone ||
		!strings.Contains(stderr, "positions=8") {
		t.Fatalf("--block-size 16: code %d: %s", code, stderr)
	}
	w, _, err := gpt2.Load(short)
	if err != nil || w.Config.BlockSize != 16 {
		t.Fatalf("%+v, %v", w, err)
	}
	whole := evalLoss(t, "--model", greedyModel, "--data", "sample", "--val-steps", "2", "--seq-len", "16")
	// and eval takes the run's 16
	if cut := evalLoss(t, "--model", short, "--data", "sample", "--val-steps", "2"); cut != whole {
		t.Errorf("cut to 16: %+v, whole: %+v", cut, whole)
	}
}

func configOf(t *testing.T, out string) (c train.Config) {
	t.Helper()
	if _, err := train.ReadConfig(filepath.Join(out, "config.json"), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEvalSeqLen: eval takes the sequence length that a run trained with, not its context; a flag comes first.
func TestEvalSeqLen(t *testing.T) {
	gputest.Available(t)
	out := filepath.Join(t.TempDir(), "run")
	args := append(strings.Fields("train --n-layer 1 --n-head 2 --n-embd 16 --block-size 32 --seq-len 8 "+
		"--batch-size 1 --steps 1 --sample-every 0 -q --out "+out), device()...)
	if code, _, stderr := cli(t, args...); code != exitDone {
		t.Fatalf("code %d: %s", code, stderr)
	}
	own := evalLoss(t, "--model", out, "--data", "sample", "--val-steps", "3", "--batch-size", "2")
	eight := evalLoss(t, "--model", out, "--data", "sample", "--val-steps", "3", "--batch-size", "2", "--seq-len", "8")
	context := evalLoss(t, "--model", out, "--data", "sample", "--val-steps", "3", "--batch-size", "2", "--seq-len",
		"32")
	if own != eight || own.Tokens != 3*2*8 || context.Tokens != 3*2*32 {
		t.Errorf("%+v, with --seq-len 8 %+v, with 32 %+v", own, eight, context)
	}
}
