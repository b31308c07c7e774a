package train

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// small is a run of all that must survive an interruption: accumulation, schedule, clipping, validation, HellaSwag,
// samples, checkpoints.
func small(t *testing.T) Job {
	t.Helper()
	gputest.Available(t)
	c := Job{Config: tiny()}
	c.NLayer, c.NHead, c.NEmbd, c.BlockSize = 1, 2, 16, 16
	c.InitProjections = "scaled" // from zero, few steps would move the blocks little
	c.BatchSize, c.SeqLen, c.TotalBatchSize = 2, 16, 64
	c.Steps, c.WarmupSteps = 9, 2
	c.Hellaswag, c.HellaswagEvery = hellaswagQuestions, 4
	c.ValData, c.ValEvery, c.ValSteps, c.SampleEvery, c.SaveEvery, c.Keep = "sample", 3, 2, 4, 2, 2
	c.Device = os.Getenv("GPT2WGPU_DEVICE")
	c.Out = filepath.Join(t.TempDir(), "run")
	return c
}

func metricsOf(t *testing.T, out string) (lines []string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(out, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		l, _, _ = strings.Cut(l, `,"ms":`) // the only fields that time changes stand last
		lines = append(lines, l)
	}
	return lines
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	for i := 0; i < max(len(got), len(want)); i++ {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Fatalf("%s: line %d:\n got %s\nwant %s", what, i+1, g, w)
		}
	}
}

// TestResume: the metrics of interrupted and resumed runs equal an uninterrupted one's byte for byte, and so does a
// second run of the same command.
func TestResume(t *testing.T) {
	whole := small(t)
	if err := Run(context.Background(), whole, quiet()); err != nil {
		t.Fatal(err)
	}
	want := metricsOf(t, whole.Out)
	if len(want) != 9+4+4+3 { // steps, validations at 0 3 6 9, HellaSwag at 0 4 8 9, samples at 4 8 9
		t.Fatalf("%d lines of metrics:\n%s", len(want), strings.Join(want, "\n"))
	}

	again := small(t)
	if err := Run(context.Background(), again, quiet()); err != nil {
		t.Fatal(err)
	}
	same(t, "the same command twice", metricsOf(t, again.Out), want)

	parts := small(t)
	for _, stop := range []int{1, 3, 2, 0} {
		parts.StopAfter = stop
		err := Run(context.Background(), parts, quiet())
		if stop > 0 && !errors.Is(err, ErrInterrupted) || stop == 0 && err != nil {
			t.Fatalf("--stop-after %d: %v", stop, err)
		}
		parts.Resume = true
	}
	same(t, "interrupted after 1, 4 and 6 steps", metricsOf(t, parts.Out), want)

	latest, err := gpt2.LatestCheckpoint(parts.Out)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := gpt2.Load(whole.Out)
	if err != nil {
		t.Fatal(err)
	}
	b, err := gpt2.ReadDir(latest)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Tensors {
		for j := range a.Tensors[i] {
			if a.Tensors[i][j] != b.Tensors[i][j] {
				t.Fatalf("weights differ in tensor %d at %d", i, j)
			}
		}
	}
	kept, err := filepath.Glob(filepath.Join(parts.Out, gpt2.CheckpointsDir, "step-*"))
	if err != nil || len(kept) != 2 {
		t.Errorf("checkpoints %v, want the 2 newest", kept)
	}
}

// TestResumeBF16: a checkpoint's float32 weights bring back the packed ones.
func TestResumeBF16(t *testing.T) {
	whole, parts := small(t), small(t)
	whole.DType, parts.DType = "bf16", "bf16"
	if err := Run(context.Background(), whole, quiet()); err != nil {
		t.Fatal(err)
	}
	for _, stop := range []int{3, 2, 0} {
		parts.StopAfter = stop
		if err := Run(context.Background(), parts, quiet()); stop > 0 && !errors.Is(err, ErrInterrupted) || stop == 0 &&
			err != nil {
			t.Fatalf("--stop-after %d: %v", stop, err)
		}
		parts.Resume = true
	}
	same(t, "interrupted after 3 and 5 steps", metricsOf(t, parts.Out), metricsOf(t, whole.Out))
	parts.DType = "f32"
	if err := Run(context.Background(), parts, quiet()); err == nil || !strings.Contains(err.Error(),
		"--dtype is f32, the run has bf16") {
		t.Errorf("another storage: %v", err)
	}
}

// TestRecompute: what the backward computes again changes no bit, neither of the metrics nor of the weights.
func TestRecompute(t *testing.T) {
	for _, dtype := range []string{"f32", "bf16"} {
		t.Run(dtype, func(t *testing.T) { recompute(t, dtype) })
	}
}

func recompute(t *testing.T, dtype string) {
	run := func(recompute string) ([]string, *gpt2.Weights) {
		c := small(t)
		c.NLayer, c.Steps, c.DType, c.Recompute = 3, 3, dtype, recompute
		if err := Run(context.Background(), c, quiet()); err != nil {
			t.Fatal(err)
		}
		w, _, err := gpt2.Load(c.Out)
		if err != nil {
			t.Fatal(err)
		}
		return metricsOf(t, c.Out), w
	}
	want, weights := run("none")
	for _, recompute := range []string{"gelu", "block"} {
		got, w := run(recompute)
		same(t, "--recompute "+recompute, got, want)
		if !reflect.DeepEqual(w.Tensors, weights.Tensors) {
			t.Errorf("--recompute %s: other weights", recompute)
		}
	}
}

// TestResumeRefused: another model, no run, a run in the way.
func TestResumeRefused(t *testing.T) {
	c := small(t)
	c.Resume = true
	refuse := func(word string) {
		t.Helper()
		err := Run(context.Background(), c, quiet())
		if err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), "hint:") {
			t.Errorf("got %v, want an error with %q and a hint", err, word)
		}
	}
	refuse("no complete checkpoint")
	c.Resume, c.StopAfter = false, 1
	if err := Run(context.Background(), c, quiet()); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	refuse("holds a run already")
	c.Resume, c.NEmbd = true, 32
	refuse("--n-embd is 32, the run has 16")
}

// TestLeftovers: what a kill leaves behind neither disturbs a resume nor stays.
func TestLeftovers(t *testing.T) {
	c := small(t)
	c.StopAfter = 3
	if err := Run(context.Background(), c, quiet()); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	half := filepath.Join(c.Out, gpt2.CheckpointsDir, ".writing-step-000004")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(c.Out, "metrics.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"kind":"train","step":3,"loss":9}` + "\n" + `{"kind":"tra`)
	f.Close()
	c.Resume, c.StopAfter = true, 0
	if err := Run(context.Background(), c, quiet()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(half); err == nil {
		t.Error("the half-written checkpoint is still there")
	}
	whole := small(t)
	if err := Run(context.Background(), whole, quiet()); err != nil {
		t.Fatal(err)
	}
	same(t, "after a kill", metricsOf(t, c.Out), metricsOf(t, whole.Out))
}

// TestInterruptedSample: an interrupt while the model writes lets it end its text.
func TestInterruptedSample(t *testing.T) {
	c := plain(t)
	c.ValEvery, c.SampleEvery = 2, 4
	whole := c
	whole.Out = filepath.Join(t.TempDir(), "whole")
	mustRun(t, whole)
	ctx, interrupt := context.WithCancel(context.Background())
	env := quiet()
	env.Log = slog.New(onLog{slog.DiscardHandler, func(_ slog.Level, text string) {
		if strings.HasPrefix(text, "step 4: validation") { // the sample is next
			interrupt()
		}
	}})
	if err := Run(ctx, c, env); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	c.Resume = true
	mustRun(t, c)
	same(t, "interrupted in a sample", metricsOf(t, c.Out), metricsOf(t, whole.Out))
}

// TestAnotherOptimizer: the state of an optimizer is of no use to another one; a resume says so.
func TestAnotherOptimizer(t *testing.T) {
	c := plain(t)
	c.StopAfter = 1
	if err := Run(context.Background(), c, quiet()); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	dir, err := gpt2.LatestCheckpoint(c.Out)
	must(t, err)
	state, err := readState(dir)
	must(t, err)
	if state.Optimizer != "adamw" {
		t.Errorf("state.json names the optimizer %q", state.Optimizer)
	}
	state.Optimizer = "muon"
	must(t, os.Remove(filepath.Join(dir, gpt2.StateFile)), state.write(dir))
	c.Resume = true
	wantError(t, Run(context.Background(), c, quiet()), "the optimizer is adamw, the run has muon",
		"hint: leave --optimizer out", "--init "+c.Out)
	state.Optimizer = "lion"
	must(t, os.Remove(filepath.Join(dir, gpt2.StateFile)), state.write(dir))
	wantError(t, Run(context.Background(), c, quiet()), "the run has lion", "hint: resume with the program that wrote")
}

// TestMuon: a run with Muon that is interrupted twice equals an uninterrupted one byte for byte, whatever its backward
// computes again, and its checkpoints hold one tensor for each matrix of a block.
func TestMuon(t *testing.T) {
	muon := func(dtype, recompute string) Job {
		c := plain(t)
		c.NLayer, c.Optimizer, c.MuonWeightDecay, c.InitProjections = 2, "muon", 0.1, "zero"
		c.DType, c.Recompute = dtype, recompute
		return c
	}
	for _, dtype := range []string{"f32", "bf16"} {
		whole, parts := muon(dtype, "none"), muon(dtype, "block")
		mustRun(t, whole)
		for _, stop := range []int{1, 4, 0} {
			parts.StopAfter = stop
			if err := Run(context.Background(), parts, quiet()); stop > 0 && !errors.Is(err, ErrInterrupted) ||
				stop == 0 && err != nil {
				t.Fatal(err)
			}
			parts.Resume = true
		}
		same(t, dtype+", interrupted after 1 and 5 steps", metricsOf(t, parts.Out), metricsOf(t, whole.Out))
		a, b := tensorsOf(t, whole.Out), tensorsOf(t, parts.Out)
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: other weights or state", dtype)
		}
		for _, name := range []string{"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"} {
			name = "h.1." + name + ".weight"
			if a["m."+name] == nil || a["v."+name] != nil {
				t.Errorf("%s: the state of %s is not one tensor", dtype, name)
			}
		}
	}
	c := muon("f32", "none")
	c.StopAfter = 1
	if err := Run(context.Background(), c, quiet()); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	c.Resume, c.Optimizer = true, "adamw"
	wantError(t, Run(context.Background(), c, quiet()), "the optimizer is adamw, the run has muon",
		"hint: leave --optimizer out")
}

// tensorsOf returns the weights and the optimizer's state of a run's newest checkpoint.
func tensorsOf(t *testing.T, out string) map[string][]float32 {
	t.Helper()
	dir, err := gpt2.LatestCheckpoint(out)
	must(t, err)
	all := map[string][]float32{}
	for _, file := range []string{"model.safetensors", optimizerFile} {
		list, err := gpt2.ReadSafetensors(filepath.Join(dir, file))
		must(t, err)
		for _, x := range list {
			all[x.Name] = x.Data
		}
	}
	return all
}
