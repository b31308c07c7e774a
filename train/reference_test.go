package train

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// The tests of this file compare whole runs with PyTorch's, printed by testdata/generate.sh.

type torchStep struct {
	Step     int     `json:"step"`
	Loss     float64 `json:"loss"`
	LR       float64 `json:"lr"`
	GradNorm float64 `json:"grad_norm"`
}

func readTorch(t *testing.T, name string) (steps []torchStep) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(raw)); s.Scan(); {
		var step torchStep
		if err := json.Unmarshal(s.Bytes(), &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	return steps
}

// torchConfig turns the reference's flags into settings: its defaults are PyTorch's.
func torchConfig(t *testing.T, args string) Job {
	t.Helper()
	c := Job{Config: firstSteps()}
	c.Tokenizer, c.Data, c.ValSteps = "bytes", "sample", 0
	accum := 1
	ints := map[string]*int{
		"n-layer": &c.NLayer, "n-head": &c.NHead, "n-embd": &c.NEmbd, "block-size": &c.BlockSize,
		"vocab-size": &c.VocabSize,
		"batch-size": &c.BatchSize, "seq-len": &c.SeqLen, "steps": &c.Steps, "warmup-steps": &c.WarmupSteps,
		"grad-accum": &accum,
	}
	floats := map[string]*float64{
		"lr": &c.LR, "min-lr": &c.MinLR, "weight-decay": &c.WeightDecay, "beta1": &c.Beta1, "beta2": &c.Beta2,
		"eps": &c.Eps, "grad-clip": &c.GradClip, "muon-lr": &c.MuonLR, "muon-momentum": &c.MuonMomentum,
		"muon-weight-decay": &c.MuonWeightDecay,
	}
	words := map[string]*string{"schedule": &c.Schedule, "decay": &c.Decay, "optimizer": &c.Optimizer,
		"init-projections": &c.InitProjections}
	f := strings.Fields(args)
	for i := 0; i+1 < len(f); i += 2 {
		name, value := strings.TrimPrefix(f[i], "--"), f[i+1]
		var err error
		switch {
		case ints[name] != nil:
			*ints[name], err = strconv.Atoi(value)
		case floats[name] != nil:
			*floats[name], err = strconv.ParseFloat(value, 64)
		case words[name] != nil:
			*words[name] = value
		case name == "load-hf": // from the repository's root
			c.Init = filepath.Join("..", value)
		case name == "seed":
			c.Seed, err = strconv.ParseUint(value, 10, 64)
		default:
			err = fmt.Errorf("unknown flag %s", name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c.TotalBatchSize = c.BatchSize * c.SeqLen * accum
	return c
}

func quiet() Env {
	return Env{Log: slog.New(slog.DiscardHandler), Stdout: io.Discard, Version: "test"}
}

// train runs cfg on the tests' device and returns its training metrics.
func train(t *testing.T, cfg Job) []metrics.Step {
	t.Helper()
	if cfg.Out == "" {
		cfg.Out = t.TempDir()
	}
	cfg.Device = os.Getenv("GPT2WGPU_DEVICE")
	gputest.Available(t)
	if err := Run(context.Background(), cfg, quiet()); err != nil {
		t.Fatal(err)
	}
	return trainMetrics(t, cfg.Out)
}

func trainMetrics(t *testing.T, out string) (steps []metrics.Step) {
	t.Helper()
	all, err := metrics.Read(filepath.Join(out, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Kind == metrics.KindTrain {
			steps = append(steps, metrics.Step{Step: m.Step, Loss: m.Loss, LR: m.LR, GradNorm: m.GradNorm,
				Tokens: m.Tokens})
		}
	}
	return steps
}

// compare fails where a loss differs from PyTorch's by more than loss(step), or a norm by more than norm relatively.
func compare(t *testing.T, got []metrics.Step, want []torchStep, loss func(step int) float64, norm float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d steps, want %d", len(got), len(want))
	}
	worstLoss, worstNorm := 0.0, 0.0
	for i, w := range want {
		g := got[i]
		dl, dn := math.Abs(float64(g.Loss)-w.Loss), math.Abs(float64(g.GradNorm)-w.GradNorm)/w.GradNorm
		worstLoss, worstNorm = max(worstLoss, dl), max(worstNorm, dn)
		t.Logf("step %2d  loss %.6f  PyTorch %.6f  difference %8.1e   norm %.5f  PyTorch %.5f", i, g.Loss, w.Loss,
			float64(g.Loss)-w.Loss, g.GradNorm, w.GradNorm)
		if g.Step != w.Step || !(dl <= loss(i)) || !(dn <= norm) || math.Abs(float64(g.LR)-w.LR) > 1e-12 {
			t.Errorf("step %d: loss %v lr %v norm %v, PyTorch %+v", g.Step, g.Loss, g.LR, g.GradNorm, w)
		}
	}
	t.Logf("largest difference: loss %.2g, norm %.2g relative", worstLoss, worstNorm)
}

func flat(limit float64) func(int) float64 { return func(int) float64 { return limit } }

// TestAgainstTorch runs odd shapes: heads of 4, 12, 64 and 128 channels, T just past a tile, vocabularies that are no
// multiple of 4 (257, 259, 1001), accumulation of 2 and 3, schedules, both decays; finetune starts from weights with a
// fresh optimizer. muon has another optimizer, and muon_zero blocks that begin as the identity.
func TestAgainstTorch(t *testing.T) {
	files, err := filepath.Glob("testdata/*.args")
	if err != nil || len(files) == 0 {
		t.Fatal("no reference runs", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".args")
		t.Run(name, func(t *testing.T) {
			args, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, train(t, torchConfig(t, string(args))), readTorch(t, name), flat(2e-5), 5e-4)
		})
	}
}

// TestGradients compares every gradient of a first step with PyTorch's in float32. The error of a gradient is a sum of
// roundings of the size of the largest, 2^-24 in float32 and 2^-8 in bf16, over two layers; 4e-7 and 7e-3 of it were
// measured.
func TestGradients(t *testing.T) {
	for dtype, limit := range map[string]float64{"f32": 2e-5, "bf16": 0.02} {
		t.Run(dtype, func(t *testing.T) { compareGradients(t, dtype, limit) })
	}
}

func compareGradients(t *testing.T, dtype string, limit float64) {
	args, err := os.ReadFile("testdata/tiny_heads_grads.args")
	if err != nil {
		t.Fatal(err)
	}
	want, err := gpt2.ReadSafetensors("testdata/tiny_heads_grads.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string][]float32{}
	for _, w := range want {
		byName[w.Name] = w.Data
	}
	c := torchConfig(t, string(args))
	c.DType = dtype
	m, err := model.New(gputest.Device(t), c.Model())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Load(gpt2.Init(c.Model(), c.Seed)); err != nil {
		t.Fatal(err)
	}
	tr, err := model.NewTraining(m, c.BatchSize, c.SeqLen, c.AccumSteps(), c.options()...)
	if err != nil {
		t.Fatal(err)
	}
	tok, _ := data.NewTokenizer("bytes")
	corpus, err := data.Open("sample", tok, 256, nil)
	if err != nil {
		t.Fatal(err)
	}
	loader, err := data.NewLoader(corpus, c.BatchSize, c.SeqLen, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	n := c.BatchSize * c.SeqLen
	x, y := make([]uint32, n), make([]uint32, n)
	if err := tr.Begin(); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < c.AccumSteps(); i++ {
		if err := loader.Next(x, y); err != nil {
			t.Fatal(err)
		}
		if err := tr.Micro(x, y); err != nil {
			t.Fatal(err)
		}
	}
	got, err := tr.Gradients()
	if err != nil {
		t.Fatal(err)
	}
	largest := 0.0
	for i, p := range gpt2.Table(c.Model()) {
		ref, ok := byName[p.Name]
		if !ok || len(ref) != len(got[i]) {
			t.Fatalf("%s: PyTorch has %d values, we %d", p.Name, len(ref), len(got[i]))
		}
		var scale, worst float64
		for _, v := range ref {
			scale = max(scale, math.Abs(float64(v)))
		}
		for j, v := range ref {
			worst = max(worst, math.Abs(float64(v)-float64(got[i][j])))
		}
		largest = max(largest, worst/scale)
		if !(worst <= limit*scale) {
			t.Errorf("%s: largest difference %.3g, largest gradient %.3g", p.Name, worst, scale)
		}
		if scale == 0 {
			t.Errorf("%s: PyTorch's gradient is zero: the test shows nothing", p.Name)
		}
	}
	t.Logf("largest difference: %.2g of a tensor's largest gradient", largest)
}

// shakespeare is the text of the project's reference runs, which the repository does not hold.
func shakespeare(t *testing.T) string {
	t.Helper()
	path := os.Getenv("GPT2WGPU_REPRODUCE")
	if path == "" {
		path = "../../shared/data/tinyshakespeare.txt"
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("tiny shakespeare is not at %s; GPT2WGPU_REPRODUCE=FILE names it", path)
	}
	return path
}

func recipeSmall(t *testing.T) Job {
	t.Helper()
	c := torchConfig(t, "--n-layer 4 --n-head 4 --n-embd 128 --block-size 128 --vocab-size 256 --batch-size 4 "+
		"--seq-len 128 --grad-accum 2 --steps 60 "+
		"--lr 1e-3 --min-lr 1e-4 --schedule cosine --warmup-steps 10 --weight-decay 0.1 --decay matrices --beta1 "+
		"0.9 --beta2 0.95 --grad-clip 1.0")
	c.Data = shakespeare(t)
	return c
}

// TestRecipeSmall is 60 steps of the whole recipe: accumulation, cosine with warm-up, clipping, decay on matrices.
func TestRecipeSmall(t *testing.T) {
	c := recipeSmall(t)
	compare(t, train(t, c), readTorch(t, "recipe_small"), flat(2e-4), 5e-4)
}

// TestRecipeSmallBF16 is the same run stored in bf16, against PyTorch's in float32. Step 12 is a spike whose norm is
// 68, and shows any rounding before it: with initial weights changed by 1e-6 of themselves it was off by up to 0.06,
// PyTorch's own autocast by up to 0.05; all other steps by up to 1.2e-3, the last by up to 2e-4.
func TestRecipeSmallBF16(t *testing.T) {
	c := recipeSmall(t)
	c.DType = "bf16"
	compare(t, train(t, c), readTorch(t, "recipe_small"), func(step int) float64 {
		if step == 12 {
			return 0.1
		}
		return 3e-3
	}, 0.1)
}

// TestFirstSteps is the document's first run, 124M parameters. It stops after three steps unless GPT2WGPU_REPRODUCE
// asks for all 50 (`make reproduce`).
func TestFirstSteps(t *testing.T) {
	if testing.Short() {
		t.Skip("124M parameters")
	}
	c := Job{Config: firstSteps()}
	c.Data = shakespeare(t)
	c.Out = t.TempDir()
	want := readTorch(t, "first_steps")
	gputest.Available(t)
	env := quiet()
	if os.Getenv("GPT2WGPU_REPRODUCE") == "" {
		c.Steps, want = 3, want[:3]
	} else {
		env.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	c.Device = os.Getenv("GPT2WGPU_DEVICE")
	r := newRun(c, env)
	defer r.close()
	if err := r.open(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.saved = c.Steps // no checkpoint of 1.5 GB
	if err := r.loop(context.Background()); err != nil {
		t.Fatal(err)
	}
	compare(t, trainMetrics(t, c.Out), want, func(step int) float64 {
		if step < 3 {
			return 2e-5
		}
		return 1e-4 // the aim; 5e-4 is what must hold
	}, 1e-3)
}
