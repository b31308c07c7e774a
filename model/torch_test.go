package model

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestTorchReadsUs writes weights as checkpoints and exports have them and lets PyTorch compute with them: every logit
// of a batch, and greedy text past the context's end, must be ours. It needs the PyTorch reference:
//
//	GPT2WGPU_TORCH=path/to/torch_gpt2.py go test ./model -run TorchReadsUs -v
func TestTorchReadsUs(t *testing.T) {
	script := os.Getenv("GPT2WGPU_TORCH")
	if script == "" {
		t.Skip("GPT2WGPU_TORCH=path/to/torch_gpt2.py names the reference; /usr/bin/python3 must have torch")
	}
	const b, length, prompt, more = 2, 20, 8, 40
	d := gputest.Device(t)
	for _, c := range []gpt2.Config{
		{NLayer: 2, NHead: 2, NEmbd: 32, BlockSize: 24, VocabSize: 257},
		{NLayer: 3, NHead: 5, NEmbd: 60, BlockSize: 33, VocabSize: 320},
	} {
		t.Run(fmt.Sprintf("C=%d", c.NEmbd), func(t *testing.T) {
			w := unevenWeights(c)
			dir := t.TempDir()
			if err := gpt2.WriteDir(filepath.Join(dir, "hf"), w.Config, w.Tensor, nil); err != nil {
				t.Fatal(err)
			}
			text := make([]byte, 200)
			for i := range text {
				text[i] = byte('a' + i*i%26)
			}
			if err := os.WriteFile(filepath.Join(dir, "text"), text, 0o666); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/usr/bin/python3", script, "--load-hf", filepath.Join(dir, "hf"), "--text",
				filepath.Join(dir, "text"),
				"--n-layer", fmt.Sprint(c.NLayer), "--n-head", fmt.Sprint(c.NHead), "--n-embd", fmt.Sprint(c.NEmbd),
				"--block-size", fmt.Sprint(c.BlockSize), "--vocab-size", fmt.Sprint(c.VocabSize), "--steps", "0",
				"--batch-size", fmt.Sprint(b), "--seq-len", fmt.Sprint(length), "--logits",
				filepath.Join(dir, "logits"),
				"--greedy", fmt.Sprint(more), "--prompt-len", fmt.Sprint(prompt))
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(filepath.Join(dir, "logits"))
			if err != nil || len(raw) != 4*b*length*c.VocabSize {
				t.Fatalf("%d bytes of logits, %v", len(raw), err)
			}
			m, err := New(d, c)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Load(w); err != nil {
				t.Fatal(err)
			}
			tokens := make([]uint32, b*length)
			for i := range tokens {
				tokens[i] = uint32(text[i])
			}
			worst, scale := farthest(t, m, tokens, length, raw)
			if !(worst <= 1e-5*scale) {
				t.Errorf("largest difference %v of logits up to %v", worst, scale)
			}

			var greedy struct{ Greedy []int }
			if err := json.Unmarshal(out, &greedy); err != nil {
				t.Fatal(err)
			}
			s, err := m.NewSampler(1)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Generate(context.Background(), greedy.Greedy[:prompt], SampleOptions{MaxTokens: more,
				Greedy: true, TopP: 1}, nil)
			if err != nil || !slices.Equal(got[0], greedy.Greedy[prompt:]) {
				t.Errorf("%v, %v, PyTorch %v", got, err, greedy.Greedy[prompt:])
			}
		})
	}
}

// unevenWeights are weights whose biases and norms count.
func unevenWeights(c gpt2.Config) *gpt2.Weights {
	w := gpt2.Init(c, 5)
	for i, x := range w.Tensors {
		for j := range x {
			x[j] += 0.05 * float32(math.Sin(float64(i*7+j)))
		}
	}
	return w
}

// farthest computes the logits of all positions of some rows of tokens, and returns the largest difference from
// others', float32 in raw, and the largest of those.
func farthest(t *testing.T, m *Model, tokens []uint32, length int, raw []byte) (worst, scale float64) {
	t.Helper()
	rows, vocab := len(tokens)/length, m.Config.VocabSize
	if len(raw) != 4*len(tokens)*vocab {
		t.Fatalf("%d bytes of logits, want %d", len(raw), 4*len(tokens)*vocab)
	}
	theirs := make([]float32, len(raw)/4)
	binary.Decode(raw, binary.LittleEndian, theirs)
	acts, err := m.newActivations(rows, length, keeping{})
	if err != nil {
		t.Fatal(err)
	}
	inf, err := newInference(m, acts)
	if err != nil {
		t.Fatal(err)
	}
	for at := range length {
		logits, err := inf.run(tokens, at, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			for v, want := range theirs[(i*length+at)*vocab:][:vocab] {
				worst, scale = max(worst, math.Abs(float64(logits[i][v]-want))), max(scale, math.Abs(float64(want)))
			}
		}
	}
	t.Logf("logits: largest difference %.2g, largest logit %.3g", worst, scale)
	return worst, scale
}

// TestClientLogits holds our logits within 2e-5 of those that data/clients/logits.py has from the directory which we
// write, by transformers or by PyTorch. `make test-clients` names a Python that has one of them.
func TestClientLogits(t *testing.T) {
	python := strings.Fields(os.Getenv("GPT2WGPU_CLIENTS_TORCH"))
	if len(python) == 0 {
		t.Skip("GPT2WGPU_CLIENTS_TORCH names no Python that has torch; hint: make test-clients")
	}
	const rows, length = 3, 20
	d := gputest.Device(t)
	for _, c := range []gpt2.Config{
		{NLayer: 2, NHead: 2, NEmbd: 32, BlockSize: 24, VocabSize: 257},
		{NLayer: 3, NHead: 5, NEmbd: 60, BlockSize: 33, VocabSize: 320},
	} {
		t.Run(fmt.Sprintf("C=%d", c.NEmbd), func(t *testing.T) {
			dir, w := t.TempDir(), unevenWeights(c)
			if err := gpt2.WriteDir(filepath.Join(dir, "hf"), w.Config, w.Tensor, nil); err != nil {
				t.Fatal(err)
			}
			tokens, ids := []uint32{}, [][]int{}
			for i := range rows {
				ids = append(ids, nil)
				for j := range length {
					ids[i] = append(ids[i], (31*i+j*j*7+j)%c.VocabSize)
					tokens = append(tokens, uint32(ids[i][j]))
				}
			}
			raw, err := json.Marshal(ids)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "ids"), raw, 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}
			args := append(python[1:len(python):len(python)], "../data/clients/logits.py", filepath.Join(dir, "hf"),
				filepath.Join(dir, "ids"), filepath.Join(dir, "logits"))
			out, err := exec.Command(python[0], args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
			if raw, err = os.ReadFile(filepath.Join(dir, "logits")); err != nil {
				t.Fatal(err)
			}
			m, err := New(d, c)
			if err == nil {
				err = m.Load(w)
			}
			if err != nil {
				t.Fatal(err)
			}
			if worst, _ := farthest(t, m, tokens, length, raw); !(worst <= 2e-5) {
				t.Errorf("largest difference %v, want 2e-5 at most", worst)
			}
		})
	}
}
