package model

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestGreedyAgainstTorch continues a prompt past the block size; testdata/greedy holds a Hugging Face directory and
// what torch_gpt2.py --load-hf --greedy 60 --prompt-len 8 printed for it.
func TestGreedyAgainstTorch(t *testing.T) {
	d := gputest.Device(t)
	w, err := gpt2.ReadDir("testdata/greedy")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("testdata/greedy/torch.json")
	if err != nil {
		t.Fatal(err)
	}
	var torch struct {
		Greedy []int `json:"greedy"`
	}
	if err := json.Unmarshal(raw, &torch); err != nil {
		t.Fatal(err)
	}
	const prompt = 8
	for _, n := range []int{1, 2} {
		for _, uncached := range []bool{false, true} {
			s, err := NewSampler(d, w, n)
			if err != nil {
				t.Fatal(err)
			}
			s.uncached = uncached
			o := SampleOptions{MaxTokens: len(torch.Greedy) - prompt, Greedy: true, TopP: 1}
			got, err := s.Generate(context.Background(), torch.Greedy[:prompt], o, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, ids := range got {
				if !slices.Equal(ids, torch.Greedy[prompt:]) {
					t.Errorf("n=%d, uncached %t, sequence %d: %v, PyTorch %v", n, uncached, i, ids,
						torch.Greedy[prompt:])
				}
			}
		}
	}
}

func TestSampleOptions(t *testing.T) {
	good := SampleOptions{MaxTokens: 1, Temperature: 1, TopP: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*SampleOptions){
		"temperature zero": func(o *SampleOptions) { o.Temperature = 0 },
		"temperature NaN":  func(o *SampleOptions) { o.Temperature = math.NaN() },
		"top-k negative":   func(o *SampleOptions) { o.TopK = -1 },
		"top-p zero":       func(o *SampleOptions) { o.TopP = 0 },
		"top-p above one":  func(o *SampleOptions) { o.TopP = 1.1 },
		"tokens negative":  func(o *SampleOptions) { o.MaxTokens = -1 },
	} {
		o := good
		change(&o)
		if o.Validate() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestChoose(t *testing.T) {
	logits := []float32{0, 2, 1, 2, -3}
	draw := func(o SampleOptions) map[int]float64 {
		r := rand.New(rand.NewPCG(1, 2))
		const n = 20000
		seen := map[int]float64{}
		for i := 0; i < n; i++ {
			seen[o.choose(logits, r)] += 1.0 / n
		}
		return seen
	}
	softmax := func(temperature float64, ids ...int) map[int]float64 {
		total, p := 0.0, map[int]float64{}
		for _, i := range ids {
			p[i] = math.Exp(float64(logits[i]) / temperature)
			total += p[i]
		}
		for i := range p {
			p[i] /= total
		}
		return p
	}
	for name, c := range map[string]struct {
		o    SampleOptions
		want map[int]float64
	}{
		"all":         {SampleOptions{Temperature: 1, TopP: 1}, softmax(1, 0, 1, 2, 3, 4)},
		"temperature": {SampleOptions{Temperature: 2, TopP: 1}, softmax(2, 0, 1, 2, 3, 4)},
		"top-k":       {SampleOptions{Temperature: 1, TopP: 1, TopK: 3}, softmax(1, 1, 2, 3)},
		"top-k ties":  {SampleOptions{Temperature: 1, TopP: 1, TopK: 1}, softmax(1, 1)},
		"top-p":       {SampleOptions{Temperature: 1, TopP: 0.85}, softmax(1, 1, 2, 3)}, // 0.40 0.40 0.15 …
		"greedy":      {SampleOptions{Greedy: true}, softmax(1, 1)},
	} {
		got := draw(c.o)
		for i := range logits {
			// a share of n draws deviates by sqrt(p(1-p)/n) < 0.0036; five deviations
			if math.Abs(got[i]-c.want[i]) > 0.018 {
				t.Errorf("%s: token %d came in %.3f of draws, want %.3f", name, i, got[i], c.want[i])
			}
		}
		for i, p := range got {
			if p > 0 && c.want[i] == 0 {
				t.Errorf("%s: token %d was drawn and must not be", name, i)
			}
		}
	}
}

// TestLikeliest: against sorting, with many candidates alike.
func TestLikeliest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 100} {
		list := make([]candidate, n)
		for i := range list {
			list[i] = candidate{i, float64(r.IntN(n))}
		}
		sorted := slices.Clone(list)
		slices.SortFunc(sorted, func(a, b candidate) int {
			if a.before(b) {
				return -1
			}
			return 1
		})
		for k := 1; k <= n+1; k++ {
			got, sum := likeliest(slices.Clone(list), func(n int, _ float64) bool { return n == k })
			want, total := sorted[:min(k, n)], 0.0
			for _, c := range want {
				total += c.p
			}
			if !slices.Equal(got, want) || sum != total {
				t.Errorf("%d of %d: got %v, sum %v; want %v, sum %v", k, n, got, sum, want, total)
			}
		}
	}
}

// BenchmarkChoose draws from GPT-2's vocabulary, on the host, once a token and sequence.
func BenchmarkChoose(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	logits := make([]float32, 50257)
	for i := range logits {
		logits[i] = float32(2 * r.NormFloat64())
	}
	for name, o := range map[string]SampleOptions{
		"top-k": {Temperature: 1, TopK: 50, TopP: 1}, "top-p": {Temperature: 1, TopP: 0.9}, "all": {Temperature: 1,
			TopP: 1},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				o.choose(logits, r)
			}
		})
	}
}
