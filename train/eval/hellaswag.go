package eval

import (
	"context"
	"fmt"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// HellaSwag scores a model on questions, completion style as in build-nanogpt: each of the four endings follows the
// context in a row of its own, and only the ending's tokens count. The answer is the ending of the smallest loss:
// summed over its tokens for acc, divided by their number for acc_norm (as build-nanogpt and llm.c do) and by the
// ending's characters for acc_norm_chars (as lm-eval's acc_norm does, which renders the texts differently). Causal
// attention never sees the padding of a row, so batches are packed freely: rows of all questions, the longest first, as
// many as the evaluator's memory holds.
type HellaSwag struct {
	Questions int
	Cut       int // rows longer than the context, which lose their oldest tokens

	eval      *model.Evaluator
	questions []data.Example
	rows      []endingRow // the longest first
	batches   []rowBatch
}

// endingRow is one ending behind its context: inputs ids[:len-1], targets ids[1:].
type endingRow struct {
	question, ending int
	ids              []int
	first            int // target that is the ending's first token
}

// rowBatch is rows[lo:hi] in b rows of t tokens; those behind hi are empty.
type rowBatch struct{ lo, hi, b, t int }

// EndingLosses is the cross-entropy in nats of a question's endings.
type EndingLosses struct {
	Sum, Mean [4]float64 // over the ending's tokens
}

// NewHellaSwag packs the questions for a model with that context and vocabulary and builds the programs. The evaluator
// must hold one row of the context's length. Errors: an ending without tokens, an id outside the vocabulary.
func NewHellaSwag(e *model.Evaluator, questions []data.Example, context, vocab int) (*HellaSwag, error) {
	h := &HellaSwag{Questions: len(questions), eval: e, questions: questions}
	for q, x := range questions {
		for i, ending := range x.Endings {
			r := endingRow{question: q, ending: i, ids: slices.Concat(x.Context, ending)}
			if len(ending) == 0 || len(r.ids) < 2 {
				return nil, fmt.Errorf("--hellaswag: question %d, ending %d: %d tokens after a context of %d, want "+
					"at least 1 of each; hint: check the file", q, i, len(ending), len(x.Context))
			}
			for _, id := range r.ids {
				if id < 0 || id >= vocab {
					return nil, fmt.Errorf("--hellaswag: question %d, ending %d: token %d, the model has %d; hint: "+
						"is it encoded with the model's tokenizer?", q, i, id, vocab)
				}
			}
			if over := len(r.ids) - (context + 1); over > 0 {
				r.ids = r.ids[over:]
				h.Cut++
			}
			r.first = max(len(r.ids)-1-len(ending), 0)
			h.rows = append(h.rows, r)
		}
	}
	slices.SortStableFunc(h.rows, func(a, b endingRow) int { return len(b.ids) - len(a.ids) })
	for lo := 0; lo < len(h.rows); {
		t := min(rowWidth(len(h.rows[lo].ids)-1), context)
		b := min(e.Tokens()/t, len(h.rows)-lo)
		if b < 1 {
			return nil, fmt.Errorf("--hellaswag: a row of %d tokens, memory for %d; hint: this is a bug in the caller",
				t, e.Tokens())
		}
		if err := e.Prepare(b, t); err != nil {
			return nil, err
		}
		h.batches = append(h.batches, rowBatch{lo, lo + b, b, t})
		lo += b
	}
	return h, nil
}

// rowWidth pads a row, so that few programs serve all: HellaSwag's rows of GPT-2 tokens have up to about 170, which
// makes six widths.
func rowWidth(n int) int {
	step := 32
	if n > 256 {
		step = 128
	}
	return (n + step - 1) / step * step
}

// Losses returns the losses of every question. progress, if not nil, sees how many rows of all are done.
func (h *HellaSwag) Losses(ctx context.Context, progress func(done, all int)) ([]EndingLosses, error) {
	out := make([]EndingLosses, h.Questions)
	for _, b := range h.batches {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		x, y, losses := make([]uint32, b.b*b.t), make([]uint32, b.b*b.t), make([]float32, b.b*b.t)
		for i, r := range h.rows[b.lo:b.hi] {
			for j, id := range r.ids[1:] {
				x[i*b.t+j], y[i*b.t+j] = uint32(r.ids[j]), uint32(id)
			}
		}
		if err := h.eval.Losses(b.b, b.t, x, y, losses); err != nil {
			return nil, err
		}
		for i, r := range h.rows[b.lo:b.hi] {
			sum := 0.0
			of := losses[i*b.t+r.first : i*b.t+len(r.ids)-1]
			if err := model.CheckLosses(of, r.first); err != nil {
				return nil, fmt.Errorf("HellaSwag: question %d, ending %d: %w", r.question, r.ending, err)
			}
			for _, l := range of {
				sum += float64(l)
			}
			o := &out[r.question]
			o.Sum[r.ending], o.Mean[r.ending] = sum, sum/float64(len(r.ids)-1-r.first)
		}
		if progress != nil {
			progress(b.hi, len(h.rows))
		}
	}
	return out, nil
}

// Score returns the accuracies of the model as it is now.
func (h *HellaSwag) Score(ctx context.Context, progress func(done, all int)) (metrics.Score, error) {
	losses, err := h.Losses(ctx, progress)
	if err != nil {
		return metrics.Score{}, err
	}
	return h.grade(losses), nil
}

// grade counts the questions whose right ending has the smallest loss.
func (h *HellaSwag) grade(losses []EndingLosses) metrics.Score {
	var right [3]int // by sum, token and character
	for q, l := range losses {
		var perChar [4]float64
		for i, sum := range l.Sum {
			perChar[i] = sum / float64(max(h.questions[q].Chars[i], 1))
		}
		for i, of := range [][4]float64{l.Sum, l.Mean, perChar} {
			if slices.Index(of[:], slices.Min(of[:])) == h.questions[q].Label { // the first among equals
				right[i]++
			}
		}
	}
	n := float64(h.Questions)
	share := func(i int) metrics.Float { return metrics.Float(float64(right[i]) / n) }
	return metrics.Score{N: h.Questions, Acc: share(0), AccNorm: share(1), AccNormChars: share(2)}
}
