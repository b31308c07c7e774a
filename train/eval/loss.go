package eval

import (
	"context"
	"fmt"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/model"
)

// Batches are what a loss is measured on: up to B rows of T tokens at a time, of which Tokens count in all.
type Batches struct {
	B, T   int
	Tokens int

	next func(x, y []uint32) ([]int, error) // fills x and y, (B,T), and returns how many tokens of each row count
}

// First are n whole batches of B rows of T tokens from the start of a corpus, in the loader's order.
func First(corpus *data.Corpus, n, b, t int) (Batches, error) {
	loader, err := data.NewLoader(corpus, b, t, 0, 1)
	if err != nil {
		return Batches{}, fmt.Errorf("%w, or no --val-steps: then all of it is evaluated, however short", err)
	}
	return Batches{b, t, n * b * t, func(x, y []uint32) ([]int, error) {
		return slices.Repeat([]int{t}, b), loader.Next(x, y)
	}}, nil
}

// All is all of a corpus once, in rows of up to t tokens: every token but a shard's first is predicted. The last row of
// a shard is padded. Error: fewer than two tokens.
func All(corpus *data.Corpus, b, t int) (Batches, error) {
	rows := data.NewRows(corpus, t)
	if rows.Total == 0 {
		return Batches{}, fmt.Errorf("%s: %d tokens, want at least 2: a token and the one to predict after it; "+
			"hint: a longer text", corpus.Name(), corpus.Len())
	}
	t = rows.T
	return Batches{b, t, int(rows.Total), func(x, y []uint32) (lengths []int, err error) {
		for i := range b {
			n, err := rows.Next(x[i*t:(i+1)*t], y[i*t:(i+1)*t])
			if err != nil {
				return nil, err
			}
			if n == 0 {
				break
			}
			clear(x[i*t+n : (i+1)*t])
			clear(y[i*t+n : (i+1)*t])
			lengths = append(lengths, n)
		}
		return lengths, nil
	}}, nil
}

// Loss returns the mean loss, in nats per token, over all that the batches count, how many tokens it has seen, fewer
// with an error, and the bytes of their text by the lengths of tokens. The evaluator must hold B*T tokens. progress
// sees the tokens done and those of all. Errors: that of ctx, those of the data, and a loss that is not finite, a
// [model.NotFiniteError].
func (b Batches) Loss(ctx context.Context, e *model.Evaluator, lengths []int, progress func(done, all int)) (
	loss float64, tokens, bytes int, err error) {
	t := b.T
	x, y, losses := make([]uint32, b.B*t), make([]uint32, b.B*t), make([]float32, b.B*t)
	sum := 0.0
	for tokens < b.Tokens {
		if err := ctx.Err(); err != nil {
			return 0, tokens, 0, err
		}
		rows, err := b.next(x, y)
		if err != nil {
			return 0, tokens, 0, fmt.Errorf("--data %w", err)
		}
		n := len(rows) * t
		if err := e.Losses(len(rows), t, x[:n], y[:n], losses[:n]); err != nil {
			return 0, tokens, 0, err
		}
		for i, length := range rows {
			of := losses[i*t : i*t+length]
			if err := model.CheckLosses(of, tokens); err != nil {
				return 0, tokens, 0, err
			}
			for _, l := range of {
				sum += float64(l)
			}
			for _, id := range y[i*t : i*t+length] {
				if int(id) < len(lengths) {
					bytes += lengths[id]
				}
			}
			tokens += length
		}
		progress(tokens, b.Tokens)
	}
	return sum / float64(tokens), tokens, bytes, nil
}
