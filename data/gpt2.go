package data

import (
	"fmt"
	"sync"
)

const (
	gpt2Vocab = 50257
	gpt2EOT   = 50256
)

// loadGPT2 returns GPT-2's tokenizer. The ranks give the tokens in the order of their merges. So a token's
// merge joins the two parts that the earlier merges leave of its bytes.
var loadGPT2 = sync.OnceValues(func() (*bpe, error) {
	damaged := func(format string, args ...any) error {
		return fmt.Errorf("tokenizer gpt2: its ranks: "+format+"; hint: "+ranksHint, args...)
	}
	ranks, err := readRanks()
	if err != nil {
		return nil, damaged("%v", err)
	}
	tokens := make([]string, gpt2Vocab)
	for s, id := range ranks {
		if id < 0 || id >= gpt2EOT {
			return nil, damaged("token %q has id %d", s, id)
		}
		tokens[id] = s
	}
	t := newBPE("gpt2", tokens, func(b byte) int {
		if id, ok := ranks[string([]byte{b})]; ok {
			return id
		}
		return -1
	})
	if t.gaps {
		return nil, damaged("a byte has no token")
	}
	var m merger
	var parts []uint16
	for id, s := range tokens[:gpt2EOT] {
		t.addWhole(s, id)
		if len(s) == 1 {
			continue
		}
		if parts = t.mergeBytes(parts[:0], s, &m); len(parts) != 2 {
			return nil, damaged("token %d falls into %d parts, want 2", id, len(parts))
		}
		t.merges[pair(parts[0], parts[1])] = merged{int32(id), uint16(id)}
	}
	tokens[gpt2EOT] = endOfText
	t.eot = gpt2EOT
	t.special = newAddedTokens([]addedToken{{Content: endOfText, ID: &t.eot, Special: true}})
	return t, nil
})
