package model

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
)

// SampleOptions says how the next token is chosen from the logits.
type SampleOptions struct {
	MaxTokens   int     // new tokens a sequence at most
	Temperature float64 // logits are divided by it
	TopK        int     // only the k likeliest tokens; 0: all
	TopP        float64 // only the likeliest tokens that together reach p; 1: all
	Greedy      bool    // always the likeliest, the first among equals
	Seed        uint64  // sequence i draws from a generator of its own, (Seed, i)
	Stop        []int   // the tokens that end a sequence
	Vocab       int     // only tokens below it, those that have a text; 0: all
}

// Validate refuses settings without a meaning.
func (o SampleOptions) Validate() error {
	switch {
	case o.MaxTokens < 0:
		return fmt.Errorf("--max-tokens %d: want 0 or more", o.MaxTokens)
	case !o.Greedy && !(o.Temperature > 0) || math.IsInf(o.Temperature, 0):
		return fmt.Errorf("--temperature %v: want a positive number; hint: --greedy takes the likeliest token",
			o.Temperature)
	case o.TopK < 0:
		return fmt.Errorf("--top-k %d: want 0 (all) or more", o.TopK)
	case !(o.TopP > 0 && o.TopP <= 1):
		return fmt.Errorf("--top-p %v: want above 0, at most 1", o.TopP)
	}
	return nil
}

// choose draws the next token: temperature, then top-k, then top-p, as Hugging Face's generate orders them.
func (o SampleOptions) choose(logits []float32, r *rand.Rand) int {
	if o.Vocab > 0 && o.Vocab < len(logits) {
		logits = logits[:o.Vocab]
	}
	best := 0
	for i, l := range logits { // slices.Max finds NaN, which a sequence that has ended may have
		if l > logits[best] {
			best = i
		}
	}
	if o.Greedy {
		return best
	}
	list, total := make([]candidate, len(logits)), 0.0
	top := float64(logits[best])
	for i, l := range logits {
		list[i] = candidate{i, math.Exp((float64(l) - top) / o.Temperature)}
		total += list[i].p
	}
	if o.TopK > 0 && o.TopK < len(list) {
		list, total = likeliest(list, func(n int, _ float64) bool { return n == o.TopK })
	}
	if o.TopP < 1 {
		all := total
		list, total = likeliest(list, func(_ int, sum float64) bool { return sum >= o.TopP*all })
	}
	u := r.Float64() * total
	for _, c := range list {
		if u -= c.p; u < 0 {
			return c.id
		}
	}
	return list[len(list)-1].id
}

// candidate is a token and its probability, not normalised.
type candidate struct {
	id int
	p  float64
}

// before says whether c is likelier than o; of two alike the lower id is first.
func (c candidate) before(o candidate) bool { return c.p > o.p || c.p == o.p && c.id < o.id }

// candidates is a heap with the likeliest on top.
type candidates []candidate

func (c candidates) Len() int           { return len(c) }
func (c candidates) Less(i, j int) bool { return c[i].before(c[j]) }
func (c candidates) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)        { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// likeliest returns the likeliest of list in order, until their number and sum are enough, and the sum. It takes them
// from a heap, since few of a vocabulary are wanted. list is reordered.
func likeliest(list candidates, enough func(n int, sum float64) bool) (out []candidate, sum float64) {
	heap.Init(&list)
	for len(list) > 0 && !(len(out) > 0 && enough(len(out), sum)) {
		c := heap.Pop(&list).(candidate)
		out, sum = append(out, c), sum+c.p
	}
	return out, sum
}
