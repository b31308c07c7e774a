package op

import (
	"cmp"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// EmbeddingForward makes the residual stream: each token's vector plus its position's. Row n stands at position n % T.
// Tokens must be below V: a row with another is not written.
type EmbeddingForward struct {
	Out      gpu.Tensor // (N,C) float32
	WTE, WPE gpu.Tensor // (V,C) (at least T,C) float32
	Tokens   gpu.Tensor // (N) u32
	T        int
}

// AddTo checks shapes and appends a dispatch for each window of WTE's rows. C % 4 == 0.
func (op EmbeddingForward) AddTo(p *Builder) {
	const name = "embedding_forward"
	n, c := op.Out.Dim(0), op.Out.Dim(1)
	p.Want(name, "out", op.Out, n, c)
	p.Want(name, "tokens", op.Tokens, n)
	checkEmbedding(p, name, "wte", "wpe", op.WTE, op.WPE, c, op.T)
	if p.Err() != nil {
		return
	}
	g := p.Target.rowTile(c)
	for _, w := range Windows(p.Device(), op.WTE) {
		p.Add(gpu.Dispatch{
			Source: source(p, name, nil, shaders.Spec{"WG": g.wg, "PER": g.per}),
			Bind: map[string]gpu.Tensor{"out": op.Out, "wte": op.WTE.Rows(w.Lo, w.Hi), "wpe": op.WPE,
				"tokens": op.Tokens},
			Params: struct{ N, C, T, LO, HI, COLS uint32 }{u32(n), u32(c), u32(op.T), u32(w.Lo), u32(w.Hi),
				u32(g.cols)},
			Groups: p.Groups1D(n * g.cols),
			FLOPs:  float64(n * c),
			Bytes:  12 * float64(n*c) * float64(w.Hi-w.Lo) / float64(op.WTE.Dim(0)),
		})
	}
}

// EmbeddingBackward adds DOut's rows to the gradients of the vectors they came from, without atomics: SortTokens has
// found which rows share a token.
type EmbeddingBackward struct {
	DWTE, DWPE    gpu.Tensor // (V,C) (at least T,C) float32, accumulated
	DOut          gpu.Tensor // (N,C) float32
	Order, Starts gpu.Tensor // (N) (N+1) u32, from SortTokens
	Tokens        gpu.Tensor // (N) u32
	T             int
}

// AddTo checks shapes and appends a dispatch for each window of DWTE's rows and one for DWPE. C % 4 == 0.
func (op EmbeddingBackward) AddTo(p *Builder) {
	const name = "embedding_backward"
	n, c := op.DOut.Dim(0), op.DOut.Dim(1)
	p.Want(name, "dout", op.DOut, n, c)
	p.Want(name, "order", op.Order, n)
	p.Want(name, "starts", op.Starts, n+1)
	p.Want(name, "tokens", op.Tokens, n)
	checkEmbedding(p, name, "dwte", "dwpe", op.DWTE, op.DWPE, c, op.T)
	if p.Err() != nil {
		return
	}
	g := p.Target.rowTile(c)
	for _, w := range Windows(p.Device(), op.DWTE) {
		share := float64(w.Hi-w.Lo) / float64(op.DWTE.Dim(0))
		p.Add(gpu.Dispatch{
			Source: source(p, "embedding_backward_wte", nil, shaders.Spec{"WG": g.wg, "PER": g.per}),
			Bind: map[string]gpu.Tensor{
				"dwte": op.DWTE.Rows(w.Lo, w.Hi), "dout": op.DOut, "order": op.Order, "starts": op.Starts,
				"tokens": op.Tokens,
			},
			Params: struct{ N, C, LO, HI, COLS uint32 }{u32(n), u32(c), u32(w.Lo), u32(w.Hi), u32(g.cols)},
			Groups: p.Groups1D(n * g.cols),
			FLOPs:  share * float64(n*c),
			Bytes:  share * 4 * float64(n*c), // and 8 bytes for each value of a distinct token, 0 to 2 times as much
		})
	}
	wg := p.Target.Threads
	p.Add(gpu.Dispatch{
		Source: source(p, "embedding_backward_wpe", nil, shaders.Spec{"WG": wg}),
		Bind:   map[string]gpu.Tensor{"dwpe": op.DWPE, "dout": op.DOut},
		Params: struct{ N, C, T uint32 }{u32(n), u32(c), u32(op.T)},
		Groups: p.Groups1D(ceilDiv(op.T*c/4, wg)),
		FLOPs:  float64(n * c),
		Bytes:  4 * float64(n*c+2*op.T*c),
	})
}

func checkEmbedding(p *Builder, op, wteName, wpeName string, wte, wpe gpu.Tensor, c, t int) {
	p.Want(op, wteName, wte, wte.Dim(0), c)
	p.Want(op, wpeName, wpe, wpe.Dim(0), c)
	if t < 1 || t > wpe.Dim(0) {
		p.Fail("%s: T = %d, want 1 to the %d positions of %s", op, t, wpe.Dim(0), wpeName)
	}
	p.wantQuads(op, "C", c)
}

// SortTokens fills order (N) with the positions of tokens (N) sorted by token, equal tokens in their order, and starts
// (N+1) with the bounds of the buckets: bucket i holds the positions order[starts[i]:starts[i+1]] of one token. There
// are as many buckets as distinct tokens; the ones after them are empty (N, N).
func SortTokens(tokens, order, starts []uint32) {
	n := len(tokens)
	for i := range order[:n] {
		order[i] = uint32(i)
	}
	slices.SortFunc(order[:n], func(a, b uint32) int {
		return cmp.Or(cmp.Compare(tokens[a], tokens[b]), cmp.Compare(a, b))
	})
	buckets := 0
	for i := range order[:n] {
		if i == 0 || tokens[order[i]] != tokens[order[i-1]] {
			starts[buckets] = uint32(i)
			buckets++
		}
	}
	for i := buckets; i <= n; i++ {
		starts[i] = uint32(n)
	}
}
