package eval

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

const hellaswagQuestions = "testdata/hellaswag/questions.jsonl"

func readQuestions(t *testing.T) []data.Example {
	t.Helper()
	tok, err := data.NewTokenizer("bytes")
	if err != nil {
		t.Fatal(err)
	}
	questions, err := data.ReadHellaSwag(hellaswagQuestions, tok)
	if err != nil {
		t.Fatal(err)
	}
	return questions
}

// TestHellaSwagAgainstTorch compares every ending's loss with PyTorch's (testdata/hellaswag/reference.py), rows packed
// in several ways: one a batch, a few, all at once, and in a training's own memory. Two rows are longer than the
// context.
func TestHellaSwagAgainstTorch(t *testing.T) {
	raw, err := os.ReadFile("testdata/hellaswag/torch.json")
	if err != nil {
		t.Fatal(err)
	}
	var torch struct {
		N         int
		Acc       float64
		AccNorm   float64 `json:"acc_norm"`
		Questions []EndingLosses
	}
	if err := json.Unmarshal(raw, &torch); err != nil {
		t.Fatal(err)
	}
	if torch.Acc == 0 || torch.Acc == torch.AccNorm {
		t.Fatal("these accuracies are too much alike")
	}
	w, err := gpt2.ReadDir("../../model/testdata/greedy")
	if err != nil {
		t.Fatal(err)
	}
	d := gputest.Device(t)
	m, err := model.New(d, w.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Load(w); err != nil {
		t.Fatal(err)
	}
	own := func(n int) func() (*model.Evaluator, error) {
		return func() (*model.Evaluator, error) { return m.NewEvaluator(n) }
	}
	for name, open := range map[string]func() (*model.Evaluator, error){
		"one row": own(24), "five rows": own(5*24 + 7), "all rows": own(1000),
		"training": func() (*model.Evaluator, error) {
			tr, err := model.NewTraining(m, 3, 20, 1)
			if err != nil {
				return nil, err
			}
			before := d.TotalBytes()
			e, err := tr.Evaluator(24)
			if d.TotalBytes() != before {
				t.Error("an evaluator in a training's memory allocates")
			}
			return e, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := open()
			if err != nil {
				t.Fatal(err)
			}
			h, err := NewHellaSwag(e, readQuestions(t), w.Config.BlockSize, w.Config.VocabSize)
			if err != nil {
				t.Fatal(err)
			}
			if h.Cut == 0 {
				t.Error("no row is longer than the context")
			}
			rows := 0
			got, err := h.Losses(context.Background(), func(done, all int) { rows = done })
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(torch.Questions) || rows != 4*len(got) {
				t.Fatalf("%d questions, %d rows", len(got), rows)
			}
			worst := 0.0
			for q, x := range torch.Questions {
				for i := range x.Sum {
					worst = max(worst, math.Abs(got[q].Sum[i]-x.Sum[i]), math.Abs(got[q].Mean[i]-x.Mean[i]))
				}
			}
			t.Logf("%d batches, largest difference %.2g", len(h.batches), worst)
			if !(worst <= 1e-4) {
				t.Errorf("largest difference from PyTorch's losses %v", worst)
			}
			score, err := h.Score(context.Background(), nil)
			if want := byChars(t, torch.Questions); float64(score.AccNormChars) != want {
				t.Errorf("acc_norm_chars %v, PyTorch's losses give %v", score.AccNormChars, want)
			}
			if err != nil || score.N != torch.N || float64(score.Acc) != torch.Acc ||
				float64(score.AccNorm) != torch.AccNorm {
				t.Errorf("%+v, %v; PyTorch %d %v %v", score, err, torch.N, torch.Acc, torch.AccNorm)
			}
		})
	}
}

// byChars is lm-eval's acc_norm: an ending's loss divided by len(ending), from the file as it stands.
func byChars(t *testing.T, losses []EndingLosses) float64 {
	t.Helper()
	text, err := os.ReadFile(hellaswagQuestions)
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var q struct {
			Endings []string `json:"endings"`
			Label   int      `json:"label"`
		}
		if err := json.Unmarshal([]byte(line), &q); err != nil {
			t.Fatal(err)
		}
		best, least := 0, math.Inf(1)
		for k, ending := range q.Endings {
			if l := losses[i].Sum[k] / float64(len([]rune(ending))); l < least {
				best, least = k, l
			}
		}
		if best == q.Label {
			right++
		}
	}
	return float64(right) / float64(len(losses))
}

// TestHellaSwagGrades: the three ways of choosing an ending differ.
func TestHellaSwagGrades(t *testing.T) {
	chars := [4]int{10, 4, 40, 8}
	h := &HellaSwag{Questions: 4, questions: []data.Example{{Label: 0, Chars: chars}, {Label: 1, Chars: chars},
		{Label: 2, Chars: chars}, {Label: 2, Chars: [4]int{10, 4, 0, 8}}}}
	// Sums choose 0, means 1, characters 2; the last has an ending without characters.
	l := EndingLosses{Sum: [4]float64{4, 5, 6, 9}, Mean: [4]float64{4, 1, 3, 3}}
	got := h.grade([]EndingLosses{l, l, l, l})
	if want := (metrics.Score{N: 4, Acc: 0.25, AccNorm: 0.25, AccNormChars: 0.25}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := h.grade([]EndingLosses{l, {}, l, l}); got.AccNormChars != 0.25 || got.AccNorm != 0 {
		t.Errorf("%+v", got)
	}
}

// TestHellaSwagPacking looks at the batches of a plan: all rows, each once, in few widths, few empty places.
func TestHellaSwagPacking(t *testing.T) {
	const context, budget = 1024, 4096
	c := gpt2.Config{NLayer: 1, NHead: 1, NEmbd: 4, BlockSize: context, VocabSize: 100}
	m, err := model.New(gpu.Plan(gpu.AdapterInfo{Name: "plan", Limits: gpu.DefaultLimits()}), c)
	if err != nil {
		t.Fatal(err)
	}
	e, err := m.NewEvaluator(budget)
	if err != nil {
		t.Fatal(err)
	}
	var questions []data.Example
	for i := range 500 { // lengths as HellaSwag's: contexts of 10 to 120 tokens, endings of 3 to 50
		x := data.Example{Context: make([]int, 10+i*i%110)}
		for k := range x.Endings {
			x.Endings[k] = make([]int, 3+(i*7+k*13)%47)
		}
		questions = append(questions, x)
	}
	h, err := NewHellaSwag(e, questions, context, c.VocabSize)
	if err != nil {
		t.Fatal(err)
	}
	widths, at, places, used := map[int]bool{}, 0, 0, 0
	for _, b := range h.batches {
		if b.lo != at || b.b*b.t > budget || b.hi-b.lo > b.b {
			t.Fatalf("batch %+v after row %d", b, at)
		}
		for _, r := range h.rows[b.lo:b.hi] {
			if len(r.ids)-1 > b.t {
				t.Fatalf("a row of %d in a batch of %d", len(r.ids)-1, b.t)
			}
			used += len(r.ids) - 1
		}
		at, widths[b.t], places = b.hi, true, places+b.b*b.t
	}
	if at != 2000 || len(h.rows) != 2000 {
		t.Errorf("%d of %d rows are packed", at, len(h.rows))
	}
	t.Logf("%d widths, %d batches, %.1f%% padding", len(widths), len(h.batches), 100-100*float64(used)/float64(places))
	if len(widths) > 6 || float64(used) < 0.75*float64(places) {
		t.Errorf("%d widths, %d of %d places used", len(widths), used, places)
	}
}

func TestHellaSwagRefused(t *testing.T) {
	m, err := model.New(gpu.Plan(gpu.AdapterInfo{Name: "plan", Limits: gpu.DefaultLimits()}), gpt2.Config{NLayer: 1,
		NHead: 1, NEmbd: 4, BlockSize: 8, VocabSize: 100})
	if err != nil {
		t.Fatal(err)
	}
	e, err := m.NewEvaluator(8)
	if err != nil {
		t.Fatal(err)
	}
	good := data.Example{Context: []int{1}, Endings: [4][]int{{1}, {2}, {3}, {4}}}
	empty, alien, negative := good, good, good
	empty.Endings[2] = nil
	alien.Endings[1] = []int{5, 100}
	negative.Context = []int{-1}
	for word, x := range map[string]data.Example{"question 1, ending 2: 0 tokens": empty, "question 1, ending 1: " +
		"token 100": alien, "question 1, ending 0: token -1": negative} {
		if _, err := NewHellaSwag(e, []data.Example{good, x}, 8, 100); err == nil || !strings.Contains(err.Error(),
			word) || !strings.Contains(err.Error(), "hint:") {
			t.Errorf("%v, want an error with %q and a hint", err, word)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h, err := NewHellaSwag(e, []data.Example{good}, 8, 100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Score(ctx, nil); err != context.Canceled {
		t.Errorf("a cancelled context gives %v", err)
	}
}
