package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// greedyWith is greedyModel with changed weights, in a directory of its own.
func greedyWith(t *testing.T, change func(w *gpt2.Weights)) string {
	t.Helper()
	w, err := gpt2.ReadDir(greedyModel)
	if err != nil {
		t.Fatal(err)
	}
	change(w)
	dir := filepath.Join(t.TempDir(), "model")
	if err := gpt2.WriteDir(dir, w.Config, w.Tensor, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestNaNWeights: every command that reads weights refuses NaN by its tensor, before the device is opened.
func TestNaNWeights(t *testing.T) {
	dir := greedyWith(t, func(w *gpt2.Weights) {
		for i := range w.Get("ln_f.weight") {
			w.Get("ln_f.weight")[i] = float32(math.NaN())
		}
	})
	file := filepath.Join(t.TempDir(), "m.bin")
	w, err := gpt2.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := gpt2.WriteLLMC(file, w, nil); err != nil {
		t.Fatal(err)
	}
	for _, model := range []string{dir, file} {
		for _, args := range [][]string{
			{"sample", "--prompt", "hi", "--greedy", "-n", "1", "--model", model},
			{"sample", "--prompt", "hi", "--json", "--model", model},
			{"eval", "--data", "sample", "--model", model},
			{"eval", "--data", "sample", "--json", "--model", model},
			{"eval", "--hellaswag", questions, "--json", "--model", model},
			{"export", "--format", "hf", "--out", filepath.Join(t.TempDir(), "out"), "--model", model},
			{"train", "--data", "sample", "--steps", "1", "--init", model, "--dry-run"},
		} {
			wantFailure(t, exitFailed, args, "ln_f.weight", "NaN", "[0]", filepath.Base(model))
		}
	}
}

// TestOverflow: finite weights whose logits are not: no text, no score, no loss, exit code 1.
func TestOverflow(t *testing.T) {
	gputest.Available(t)
	dir := greedyWith(t, func(w *gpt2.Weights) {
		for i := range w.Get("ln_f.weight") {
			w.Get("ln_f.weight")[i] = 3e38
		}
		for i := range w.Get("wte.weight") {
			w.Get("wte.weight")[i] *= 1e6
		}
	})
	for _, args := range [][]string{
		{"sample", "--prompt", "hi", "--greedy", "-n", "1", "--model", dir},
		{"sample", "--prompt", "hi", "-n", "2", "--json", "--model", dir},
		{"eval", "--data", "sample", "--val-steps", "1", "--model", dir},
		{"eval", "--data", "sample", "--val-steps", "1", "--json", "--model", dir},
	} {
		wantFailure(t, exitFailed, append(append(args, "-q"), device()...), "want finite numbers", "selftest", dir)
	}
	code, stdout, stderr := cli(t, append([]string{"eval", "--hellaswag", questions, "--json", "--model", dir, "-q"},
		device()...)...)
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, "question 0, ending") ||
		!strings.Contains(stderr, "want finite numbers") {
		t.Errorf("HellaSwag: code %d, %q, %s", code, stdout, stderr)
	}
	// A training goes on, and says which measurement failed.
	out := filepath.Join(t.TempDir(), "run")
	code, stdout, stderr = cli(t, append(strings.Fields("train --data sample --seq-len 8 --batch-size 1 --steps 1 "+
		"--sample-every 1 --hellaswag-every 1 --hellaswag "+
		questions+" --out "+out+" --init "+dir), device()...)...)
	if code != exitDone || !strings.Contains(stderr, "not measured: ") || !strings.Contains(stderr, "no sample: ") ||
		!strings.Contains(stderr, "step skipped") {
		t.Errorf("train: code %d, %q, %s", code, stdout, stderr)
	}

	// A loss that float64's exponential doesn't hold is a loss.
	dir = greedyWith(t, func(w *gpt2.Weights) {
		for i := range w.Get("wte.weight") {
			w.Get("wte.weight")[i] *= 1e5
		}
	})
	args := append([]string{"eval", "--data", "sample", "--val-steps", "1", "-q", "--model", dir}, device()...)
	code, stdout, stderr = cli(t, append(args, "--json")...)
	if code != exitDone || !strings.Contains(stdout, `"perplexity":null`) || strings.Contains(stdout, `"loss":null`) {
		t.Errorf("code %d, %q, %s", code, stdout, stderr)
	}
	if code, stdout, _ = cli(t, args...); code != exitDone || !strings.Contains(stdout, "perplexity e^") {
		t.Errorf("code %d, %q", code, stdout)
	}
	if _, err := os.Stat(filepath.Join(out, "metrics.jsonl")); err != nil {
		t.Error(err)
	}
}
