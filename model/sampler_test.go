package model

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// samplerShape has two widths of windows, 16 and 40, the second no power of two.
var samplerShape = gpt2.Config{NLayer: 2, NHead: 3, NEmbd: 36, BlockSize: 40, VocabSize: 67}

func newSampler(t *testing.T, m *Model, n int, uncached bool) *Sampler {
	t.Helper()
	s, err := m.NewSampler(n)
	if err != nil {
		t.Fatal(err)
	}
	s.uncached = uncached
	return s
}

func newTestModel(t testing.TB, d *gpu.Device, c gpt2.Config, seed uint64) *Model {
	t.Helper()
	m, err := New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	w := gpt2.Init(c, seed)
	for _, v := range w.Tensors { // larger than a start's, so that tokens differ in their logits
		for i := range v {
			v[i] *= 8
		}
	}
	if err := m.Load(w); err != nil {
		t.Fatal(err)
	}
	return m
}

func testPrompt(n, vocab int) []int {
	var ids []int
	for _, id := range gputest.Tokens(uint64(n), n, vocab) {
		ids = append(ids, int(id))
	}
	return ids
}

// TestCacheLogits: with the cache the logits are those of a whole window, for sequences that part after the prompt,
// past widths of windows and past the block size; after new parameters too.
func TestCacheLogits(t *testing.T) {
	d := gputest.Device(t)
	for _, n := range []int{1, 2, 5, 9} {
		t.Run(fmt.Sprintf("n=%d", n), func(t *testing.T) {
			m := newTestModel(t, d, samplerShape, 1)
			s, whole := newSampler(t, m, n, false), newSampler(t, m, n, true)
			for _, prompt := range []int{1, 2, 15, 16, 17, 39, 40, 41} {
				if prompt == 16 {
					other := newTestModel(t, d, samplerShape, 2)
					w, err := other.Weights()
					if err != nil {
						t.Fatal(err)
					}
					if err := m.Load(w); err != nil {
						t.Fatal(err)
					}
				}
				s.cached = 0
				seqs := make([][]int, n)
				for i := range seqs {
					seqs[i] = testPrompt(prompt, samplerShape.VocabSize)
				}
				for step := range 5 {
					got, err := s.next(seqs)
					if err != nil {
						t.Fatal(err)
					}
					want, err := whole.next(seqs)
					if err != nil {
						t.Fatal(err)
					}
					worst, scale := 0.0, 0.0
					for i := range want {
						for j := range want[i] {
							worst = max(worst, math.Abs(float64(got[i][j]-want[i][j])))
							scale = max(scale, math.Abs(float64(want[i][j])))
						}
						seqs[i] = append(seqs[i], (i*7+step)%samplerShape.VocabSize)
					}
					// two layers of sums of up to 144 terms: some dozens of roundings of 2^-24 of the largest
					if !(worst <= 1e-5*scale) {
						t.Errorf("prompt of %d, step %d: logits differ by %g of %g", prompt, step, worst, scale)
					}
				}
			}
		})
	}
}

// TestCacheText: sampling draws the same tokens with the cache and without, ends sequences at the stop token, streams
// what it returns, and allocates nothing once prepared.
func TestCacheText(t *testing.T) {
	d := gputest.Device(t)
	m := newTestModel(t, d, samplerShape, 3)
	for _, n := range []int{1, 3} {
		s, whole := newSampler(t, m, n, false), newSampler(t, m, n, true)
		if err := s.Prepare(); err != nil {
			t.Fatal(err)
		}
		before := d.TotalBytes()
		for _, o := range []SampleOptions{
			{Greedy: true, TopP: 1},
			{Temperature: 1, TopP: 1, Seed: 1, Stop: []int{11}},
			{Temperature: 2, TopK: 20, TopP: 0.9, Seed: 2},
		} {
			for _, prompt := range []int{1, 14, 38} {
				o.MaxTokens = 12
				ids := testPrompt(prompt, samplerShape.VocabSize)
				streamed := make([][]int, n)
				got, err := s.Generate(context.Background(), ids, o,
					func(seq, id int) { streamed[seq] = append(streamed[seq], id) })
				if err != nil {
					t.Fatal(err)
				}
				if now := d.TotalBytes(); now != before {
					t.Errorf("n=%d, prompt of %d: %d bytes allocated after Prepare", n, prompt, now-before)
				}
				want, err := whole.Generate(context.Background(), ids, o, nil)
				if err != nil {
					t.Fatal(err)
				}
				before = d.TotalBytes() // whole was not prepared
				for i := range want {
					if !slices.Equal(got[i], want[i]) || !slices.Equal(got[i], streamed[i]) {
						t.Errorf("n=%d, prompt of %d, %+v: sequence %d\n got    %v\nstreams %v\nwant    %v", n, prompt,
							o, i, got[i], streamed[i], want[i])
					}
					if slices.ContainsFunc(got[i], func(id int) bool { return slices.Contains(o.Stop, id) }) ||
						o.Stop == nil && len(got[i]) != o.MaxTokens {
						t.Errorf("n=%d, prompt of %d, stop %v: %v", n, prompt, o.Stop, got[i])
					}
				}
			}
		}
	}
}

// TestStop: a sequence ends before its stop token, the others go on; the last to end ends the call.
func TestStop(t *testing.T) {
	d := gputest.Device(t)
	m := newTestModel(t, d, samplerShape, 3)
	const n = 4
	s := newSampler(t, m, n, false)
	o := SampleOptions{MaxTokens: 20, Temperature: 3, TopP: 1, Seed: 5}
	free, err := s.Generate(context.Background(), []int{1}, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Stop = []int{free[1][6], free[2][9]}
	got, err := s.Generate(context.Background(), []int{1}, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range free {
		want := free[i]
		if at := slices.IndexFunc(want, func(id int) bool { return slices.Contains(o.Stop, id) }); at >= 0 {
			want = want[:at]
		}
		if !slices.Equal(got[i], want) {
			t.Errorf("sequence %d: %v, want %v", i, got[i], want)
		}
	}
}

// TestSamplerMemory: GPT-2 124M's cache takes 2C values a token and block, and the windows share the memory of the
// widest.
func TestSamplerMemory(t *testing.T) {
	c, _ := gpt2.Named("gpt2")
	bytes := func(n int) uint64 {
		d := plan("cpu")
		m, err := New(d, c)
		if err != nil {
			t.Fatal(err)
		}
		s, err := m.NewSampler(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Prepare(); err != nil {
			t.Fatal(err)
		}
		return d.Bytes(gpu.Activations)
	}
	one, two := bytes(1), bytes(2)
	cache := uint64(c.NLayer * c.BlockSize * 2 * c.NEmbd * 4)
	if row := uint64(4 * (20*c.NEmbd + c.VocabSize + 200)); two-one < cache || two-one > cache+row {
		t.Errorf("a sequence more takes %d bytes, want the %d of its cache and at most %d for its row", two-one, cache,
			row)
	}
	if window := uint64(4 * c.BlockSize * 20 * c.NEmbd); one > cache+window {
		t.Errorf("one sequence takes %d bytes, want the cache's %d and less than %d for the widest window", one, cache,
			window)
	}
	d := plan("cpu")
	m, err := New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.NewSampler(30)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(); err == nil || !strings.Contains(err.Error(), "180.0 MiB a block, and a binding holds "+
		"128.0 MiB; hint: fewer sequences") {
		t.Errorf("30 sequences: %v", err)
	}
}

// BenchmarkToken makes the next token of GPT-2 124M's shape after a context, with the cache and without in turns, and
// reports the fastest of each and how many times as fast the first is.
func BenchmarkToken(b *testing.B) {
	c, _ := gpt2.Named("gpt2")
	d := gputest.Device(b)
	m, err := New(d, c)
	if err != nil {
		b.Fatal(err)
	}
	if err := m.Load(gpt2.Init(c, 1)); err != nil {
		b.Fatal(err)
	}
	for _, of := range []struct{ n, context int }{{1, 16}, {1, 256}, {1, 1024}, {4, 256}} {
		b.Run(fmt.Sprintf("n=%d/context=%d", of.n, of.context), func(b *testing.B) {
			s, err := m.NewSampler(of.n)
			if err != nil {
				b.Fatal(err)
			}
			seqs := make([][]int, of.n)
			for i := range seqs {
				seqs[i] = testPrompt(of.context, c.VocabSize)
			}
			fastest := map[bool]float64{}
			token := func(uncached bool, times int) {
				s.uncached = uncached
				for range times {
					s.cached = of.context - 1
					start := time.Now()
					if _, err := s.next(seqs); err != nil {
						b.Fatal(err)
					}
					if ms := time.Since(start).Seconds() * 1e3; fastest[uncached] == 0 || ms < fastest[uncached] {
						fastest[uncached] = ms
					}
				}
			}
			token(true, 1) // compiles, and fills the cache
			token(false, 1)
			clear(fastest)
			for b.Loop() {
				token(false, 8)
				token(true, 1)
			}
			b.ReportMetric(fastest[false], "cached-ms/token")
			b.ReportMetric(fastest[true], "uncached-ms/token")
			b.ReportMetric(fastest[true]/fastest[false], "times-as-fast")
		})
	}
}

// TestVocab: ids that have no text are never drawn.
func TestVocab(t *testing.T) {
	logits := []float32{0, 1, 2, 9, 9}
	r := rand.New(rand.NewPCG(1, 2))
	for _, o := range []SampleOptions{{Greedy: true, Vocab: 3}, {Temperature: 1, TopP: 1, Vocab: 3},
		{Temperature: 1, TopK: 4, TopP: 0.9, Vocab: 3}} {
		for range 100 {
			if id := o.choose(logits, r); id >= 3 || o.Greedy && id != 2 {
				t.Fatalf("%+v draws %d", o, id)
			}
		}
	}
	if id := (SampleOptions{Greedy: true, Vocab: 9}).choose(logits, r); id != 3 {
		t.Errorf("a tokenizer larger than the model: %d", id)
	}
}

// TestEndedNotFinite: what a sequence that has ended draws is unseen, but it is a token, whatever its logits are.
func TestEndedNotFinite(t *testing.T) {
	logits := []float32{1, float32(math.NaN()), 2}
	r := rand.New(rand.NewPCG(1, 2))
	for _, o := range []SampleOptions{{Greedy: true}, {Temperature: 1, TopP: 1}, {Temperature: 1, TopK: 2, TopP: 0.9}} {
		if id := o.choose(logits, r); id < 0 || id >= len(logits) {
			t.Errorf("%+v draws %d of %d logits", o, id, len(logits))
		}
	}
}
