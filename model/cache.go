package model

import (
	"fmt"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

// cache is the keys and values of B sequences' tokens so far. A forward with a cache either fills it with a prompt, the
// same for all sequences, from position 0 on; or it is a step: one token a sequence, which attends to all before it.
type cache struct {
	kv    []gpu.Tensor // a block's: (B,S,2C), S the block size
	first gpu.Tensor   // (B) u32 the position of a forward's first token in each sequence
}

// newCache allocates the caches of b sequences.
func (m *Model) newCache(b int, storage gpu.Storage) (*cache, error) {
	c, mk := m.Config, &maker{dev: m.Device}
	k := &cache{first: mk.tensor(gpu.Inputs, "first", gpu.U32, b)}
	for l := 0; l < c.NLayer; l++ {
		k.kv = append(k.kv, mk.tensor(gpu.Activations, fmt.Sprintf("cache %d", l), storage, b, c.BlockSize, 2*c.NEmbd))
		if size, most := k.kv[l].Bytes(), m.Device.Limits.MaxBindingSize; mk.err == nil && size > most {
			return nil, fmt.Errorf("the cache of %d sequences of %d tokens takes %s a block, and a binding holds "+
				"%s; hint: fewer sequences at once (--n)",
				b, c.BlockSize, gpu.HumanBytes(size), gpu.HumanBytes(most))
		}
	}
	return k, mk.err
}

// addEmbedding appends the start of the residual stream. A step's tokens stand each at its own position, so that the
// rows of wpe are gathered before.
func (m *Model) addEmbedding(p *op.Builder, a *activations) {
	wte, wpe := m.named(m.params, "wte"), m.named(m.params, "wpe")
	if a.places.None() {
		op.EmbeddingForward{Out: a.embedded, WTE: wte, WPE: wpe, Tokens: a.tokens, T: a.T}.AddTo(p)
		return
	}
	op.GatherRows{Out: a.places, X: wpe, Rows: a.cache.first}.AddTo(p)
	// row n at "position" n
	op.EmbeddingForward{Out: a.embedded, WTE: wte, WPE: a.places, Tokens: a.tokens, T: a.B}.AddTo(p)
}

// addAttention appends block l's attention: over the rows of the forward or, in a step, over the cache.
func (m *Model) addAttention(p *op.Builder, a *activations, l int) {
	k := a.blocks[l]
	if a.cache != nil {
		op.CacheAppend{Cache: a.cache.kv[l], QKV: k.qkv, First: a.cache.first, T: a.T}.AddTo(p)
	}
	if a.places.None() {
		op.AttentionForward{Out: k.att, LSE: k.lse, QKV: k.qkv, NH: m.Config.NHead}.AddTo(p)
		return
	}
	op.AttentionDecode{Out: k.att, QKV: k.qkv, Cache: a.cache.kv[l], Positions: a.cache.first,
		NH: m.Config.NHead}.AddTo(p)
}
