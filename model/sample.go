package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
)

// SampleOptions says how the next token is chosen from the logits.
type SampleOptions struct {
	MaxTokens   int     // new tokens a sequence at most
	Temperature float64 // logits are divided by it
	TopK        int     // only the k likeliest tokens; 0: all
	TopP        float64 // only the likeliest tokens that together reach p; 1: all
	Greedy      bool    // always the likeliest, the first among equals
	Seed        uint64  // sequence i draws from a generator of its own, (Seed, i)
	Stop        int     // the token that ends a sequence; -1: none
}

// Validate refuses settings without a meaning.
func (o SampleOptions) Validate() error {
	switch {
	case o.MaxTokens < 0:
		return fmt.Errorf("--max-tokens %d: want 0 or more", o.MaxTokens)
	case !o.Greedy && !(o.Temperature > 0) || math.IsInf(o.Temperature, 0):
		return fmt.Errorf("--temperature %v: want a positive number; hint: --greedy takes the likeliest token", o.Temperature)
	case o.TopK < 0:
		return fmt.Errorf("--top-k %d: want 0 (all) or more", o.TopK)
	case !(o.TopP > 0 && o.TopP <= 1):
		return fmt.Errorf("--top-p %v: want above 0, at most 1", o.TopP)
	}
	return nil
}

// choose draws the next token: temperature, then top-k, then top-p, as Hugging Face's generate orders them.
func (o SampleOptions) choose(logits []float32, r *rand.Rand) int {
	best := 0
	for i, l := range logits {
		if l > logits[best] {
			best = i
		}
	}
	if o.Greedy {
		return best
	}
	type candidate struct {
		id int
		p  float64 // not normalised
	}
	list := make([]candidate, len(logits))
	top := float64(logits[best])
	for i, l := range logits {
		list[i] = candidate{i, math.Exp((float64(l) - top) / o.Temperature)}
	}
	if o.TopK > 0 && o.TopK < len(list) || o.TopP < 1 {
		sort.Slice(list, func(i, j int) bool { return list[i].p > list[j].p || list[i].p == list[j].p && list[i].id < list[j].id })
	}
	if o.TopK > 0 && o.TopK < len(list) {
		list = list[:o.TopK]
	}
	total := 0.0
	for _, c := range list {
		total += c.p
	}
	if o.TopP < 1 {
		sum := 0.0
		for i, c := range list {
			sum += c.p
			if sum >= o.TopP*total {
				list, total = list[:i+1], sum
				break
			}
		}
	}
	u := r.Float64() * total
	for _, c := range list {
		if u -= c.p; u < 0 {
			return c.id
		}
	}
	return list[len(list)-1].id
}
