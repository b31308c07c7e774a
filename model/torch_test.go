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
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestTorchReadsUs writes weights as checkpoints and exports have them and lets PyTorch compute with them: every logit of a
// batch, and greedy text past the context's end, must be ours. It needs the PyTorch reference:
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
			w := gpt2.Init(c, 5)
			for i, x := range w.Tensors { // so that biases and norms count
				for j := range x {
					x[j] += 0.05 * float32(math.Sin(float64(i*7+j)))
				}
			}
			dir := t.TempDir()
			if err := gpt2.WriteDir(filepath.Join(dir, "hf"), w, nil); err != nil {
				t.Fatal(err)
			}
			text := make([]byte, 200)
			for i := range text {
				text[i] = byte('a' + i*i%26)
			}
			if err := os.WriteFile(filepath.Join(dir, "text"), text, 0o666); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/usr/bin/python3", script, "--load-hf", filepath.Join(dir, "hf"), "--text", filepath.Join(dir, "text"),
				"--n-layer", fmt.Sprint(c.NLayer), "--n-head", fmt.Sprint(c.NHead), "--n-embd", fmt.Sprint(c.NEmbd),
				"--block-size", fmt.Sprint(c.BlockSize), "--vocab-size", fmt.Sprint(c.VocabSize), "--steps", "0",
				"--batch-size", fmt.Sprint(b), "--seq-len", fmt.Sprint(length), "--logits", filepath.Join(dir, "logits"),
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
			torch := make([]float32, len(raw)/4)
			binary.Decode(raw, binary.LittleEndian, torch)

			m, err := New(d, c)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Load(w); err != nil {
				t.Fatal(err)
			}
			acts, err := m.newActivations(b, length, keeping{})
			if err != nil {
				t.Fatal(err)
			}
			inf, err := newInference(m, acts)
			if err != nil {
				t.Fatal(err)
			}
			tokens := make([]uint32, b*length)
			for i := range tokens {
				tokens[i] = uint32(text[i])
			}
			worst, scale := 0.0, 0.0
			for row := range length {
				logits, err := inf.run(tokens, row, 0)
				if err != nil {
					t.Fatal(err)
				}
				for i := range b {
					for v := range c.VocabSize {
						want := float64(torch[(i*length+row)*c.VocabSize+v])
						worst, scale = max(worst, math.Abs(float64(logits[i][v])-want)), max(scale, math.Abs(want))
					}
				}
			}
			t.Logf("logits: largest difference %.2g, largest logit %.3g", worst, scale)
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
			got, err := s.Generate(context.Background(), greedy.Greedy[:prompt], SampleOptions{MaxTokens: more, Greedy: true, TopP: 1, Stop: -1}, nil)
			if err != nil || !slices.Equal(got[0], greedy.Greedy[prompt:]) {
				t.Errorf("%v, %v, PyTorch %v", got, err, greedy.Greedy[prompt:])
			}
		})
	}
}
