package model

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

var update = flag.Bool("update", false, "write the golden files")

// targets are the devices whose programs the golden files hold, with the limits that they have.
var targets = []gpu.AdapterInfo{
	{Name: "llvmpipe (LLVM 15.0.6, 256 bits)", Type: "cpu", Limits: gpu.Limits{
		MaxBufferSize: 1<<31 - 1, MaxBindingSize: 128 << 20, OffsetAlignment: 256, MaxGroups: 65535,
		MaxInvocations: 1024, MaxWorkgroupBytes: 32 << 10, MaxStorageBuffers: 32,
	}},
	{Name: "SwiftShader Device (Subzero)", Type: "cpu", Limits: gpu.DefaultLimits()},
	{Name: "a GPU", Type: "discrete", Limits: gpu.DefaultLimits()},
}

// plan returns a device that allocates nothing, with the limits that WebGPU promises everywhere.
func plan(kind string) *gpu.Device {
	return gpu.Plan(gpu.AdapterInfo{Name: "plan", Type: kind, Limits: gpu.DefaultLimits()})
}

func planTraining(t *testing.T, kind string, c gpt2.Config, b, length int, opts ...TrainingOption) (*gpu.Device,
	*Training, Optimizer) {
	t.Helper()
	d := plan(kind)
	tr, o := trainingOn(t, d, c, b, length, opts...)
	return d, tr, o
}

func trainingOn(t *testing.T, d *gpu.Device, c gpt2.Config, b, length int, opts ...TrainingOption) (*Training,
	Optimizer) {
	t.Helper()
	m, err := New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	return trainingOf(t, m, b, length, opts...)
}

func trainingOf(t *testing.T, m *Model, b, length int, opts ...TrainingOption) (*Training, Optimizer) {
	t.Helper()
	tr, err := NewTraining(m, b, length, 1, opts...)
	if err != nil {
		t.Fatal(err)
	}
	o, err := AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, GradClip: 1}.New(tr)
	if err != nil {
		t.Fatal(err)
	}
	return tr, o
}

// listing is a step's list of dispatches.
func listing(tr *Training, o Optimizer) string {
	var b strings.Builder
	for _, p := range append(tr.Programs(), o.Program()) {
		b.WriteString(p.Name + "\n" + p.String() + "\n")
	}
	return b.String()
}

// golden compares text with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(text, "\n")
	for i, w := range strings.Split(string(want), "\n") {
		if i >= len(got) || got[i] != w {
			t.Fatalf("%s, line %d:\n got %s\nwant %s\nhint: if the change is meant, -update and look at the diff",
				file, i+1, got[min(i, len(got)-1)], w)
		}
	}
}

// TestProgram compares a step's list of dispatches with the golden file: a refactoring that changes nothing leaves it
// as it is, one that changes something shows what. `go test ./model -run TestProgram -update` writes it. Lavapipe's
// kernels for long sequences need 128 tokens.
func TestProgram(t *testing.T) {
	short, long := gpt2.Config{NLayer: 2, NHead: 2, NEmbd: 32, BlockSize: 24, VocabSize: 257}, gpt2.Config{NLayer: 1,
		NHead: 2, NEmbd: 128, BlockSize: 150, VocabSize: 257}
	for _, d := range []struct {
		name   string
		target gpu.AdapterInfo
		config gpt2.Config
		opts   []TrainingOption
	}{
		{"cpu", targets[1], short, nil}, {"discrete", targets[2], short, nil}, {"lavapipe", targets[0], long, nil},
		{"bf16_block", targets[1], short, []TrainingOption{Storing(gpu.BF16), Recomputing(RecomputeBlock)}},
	} {
		t.Run(d.name, func(t *testing.T) {
			tr, o := trainingOn(t, gpu.Plan(d.target), d.config, 2, d.config.BlockSize, d.opts...)
			golden(t, "step_"+d.name+".program", listing(tr, o))
		})
	}
}

// TestProgramDigests does it for programs that are too long to be read: GPT-2 124M's step, evaluation and sampling.
func TestProgramDigests(t *testing.T) {
	c, _ := gpt2.Named("gpt2")
	var b strings.Builder
	line := func(target, what, text string) {
		fmt.Fprintf(&b, "%s, %s: %d lines, SHA-256 %x\n", target, what, strings.Count(text, "\n"),
			sha256.Sum256([]byte(text)))
	}
	for _, target := range targets {
		for _, s := range []gpu.Storage{gpu.F32, gpu.BF16} {
			for _, shape := range [][2]int{{1, 1024}, {4, 64}} {
				tr, o := trainingOn(t, gpu.Plan(target), c, shape[0], shape[1], Storing(s))
				line(target.Name, fmt.Sprintf("a step of %dx%d in %v", shape[0], shape[1], s), listing(tr, o))
			}
		}
		m, err := New(gpu.Plan(target), c)
		if err != nil {
			t.Fatal(err)
		}
		ev, err := m.NewEvaluator(2048)
		if err != nil {
			t.Fatal(err)
		}
		e, err := ev.evaluation(2, 1000)
		if err != nil {
			t.Fatal(err)
		}
		line(target.Name, "evaluation of 2x1000", e.p.String())
	}
	golden(t, "programs.sha256", b.String())
}

// TestTargetPrograms is the same for a step on every target, of a GPU with more than WebGPU's default limits: digests,
// and in targets.txt the kernels of products and attention with how many dispatches each has.
func TestTargetPrograms(t *testing.T) {
	c, _ := gpt2.Named("gpt2")
	limits := targets[0].Limits
	limits.MaxBindingSize = 1 << 30
	var kernels, digests strings.Builder
	tuned := regexp.MustCompile(`(?m)^ *\d+ ((?:matmul|attention)\S+) \[`)
	for _, target := range op.Targets(limits) {
		for _, s := range []gpu.Storage{gpu.F32, gpu.BF16} {
			m, err := New(gpu.Plan(gpu.AdapterInfo{Limits: limits}), c, WithTarget(target))
			if err != nil {
				t.Fatal(err)
			}
			tr, o := trainingOf(t, m, 4, 1024, Storing(s))
			text := listing(tr, o)
			fmt.Fprintf(&digests, "%s in %v: %d lines, SHA-256 %x\n",
				target.Name, s, strings.Count(text, "\n"), sha256.Sum256([]byte(text)))
			if s == gpu.F32 {
				continue // the same kernels
			}
			count := map[string]int{}
			for _, found := range tuned.FindAllStringSubmatch(text, -1) {
				count[found[1]]++
			}
			fmt.Fprintf(&kernels, "%s\n", target.Name)
			for _, label := range slices.Sorted(maps.Keys(count)) {
				fmt.Fprintf(&kernels, "%5d %s\n", count[label], label)
			}
		}
	}
	golden(t, "targets.txt", kernels.String())
	golden(t, "targets.sha256", digests.String())
}

// TestBindings124M builds GPT-2 124M's step at B=1, T=1024 within WebGPU's default limits: every binding under 128 MiB,
// every buffer under 256 MiB, although the tied matrix has 154 MB. Program.Add checks each dispatch.
func TestBindings124M(t *testing.T) {
	c, _ := gpt2.Named("gpt2")
	for _, s := range []gpu.Storage{gpu.F32, gpu.BF16} {
		planTraining(t, "cpu", c, 1, 1024, Storing(s))
		planTraining(t, "discrete", c, 1, 1024, Storing(s))
	}
}

// TestMemoryLinearInT: with flash attention and the chunked classifier, nothing grows with T*T.
func TestMemoryLinearInT(t *testing.T) {
	c := gpt2.Config{NLayer: 2, NHead: 12, NEmbd: 768, BlockSize: 8192, VocabSize: 50304}
	bytes := func(length int) uint64 {
		d, _, _ := planTraining(t, "discrete", c, 1, length)
		return d.Bytes(gpu.Activations) + d.Bytes(gpu.Scratch) + d.Bytes(gpu.Inputs)
	}
	one, two, four := bytes(2048), bytes(4096), bytes(8192)
	// Differences of a linear function are proportional; the logits' chunk is the same for all. 1% is the rounding of
	// chunks.
	if first, second := float64(two-one), float64(four-two); second > 2.02*first {
		t.Errorf("T from 2048 to 4096 costs %.0f bytes, from 4096 to 8192 %.0f: more than twice that", first, second)
	}
}

// TestRecomputeMemory: a block keeps 16 N*C values and statistics, 12 without act, or only its stream.
func TestRecomputeMemory(t *testing.T) {
	const B, T, C, L, NH = 2, 64, 64, 3, 2
	c := gpt2.Config{NLayer: L, NHead: NH, NEmbd: C, BlockSize: T, VocabSize: 256}
	const nc, stats = 4 * B * T * C, 4 * B * T * (4 + NH) // bytes; every tensor's are a multiple of 256
	bytes := map[Recompute]uint64{}
	for _, r := range []Recompute{RecomputeNone, RecomputeGELU, RecomputeBlock} {
		d, _, _ := planTraining(t, "cpu", c, B, T, Recomputing(r))
		bytes[r] = d.Bytes(gpu.Activations)
	}
	if got, want := bytes[RecomputeNone]-bytes[RecomputeGELU], uint64((L-1)*4*nc); got != want {
		t.Errorf("gelu saves %d bytes, want %d", got, want)
	}
	if got, want := bytes[RecomputeNone]-bytes[RecomputeBlock], uint64((L-1)*(15*nc+stats)); got != want {
		t.Errorf("block saves %d bytes, want %d", got, want)
	}
}
