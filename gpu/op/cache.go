package op

import (
	"math"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// CacheAppend writes the keys and values of T new rows of each sequence into its cache, from row First[b] on. QKV of
// one sequence, where Cache has more, is a prompt for all. Rows from S on are left out.
type CacheAppend struct {
	Cache gpu.Tensor // (B,S,2C), of QKV's storage: a key and a value a row
	QKV   gpu.Tensor // (B*T,3C) or (T,3C)
	First gpu.Tensor // (B) u32
	T     int
}

// AddTo checks shapes and appends the dispatch. C % 4 == 0.
func (op CacheAppend) AddTo(p *Builder) {
	const name = "cache_append"
	b, s, c := op.Cache.Dim(0), op.Cache.Dim(1), op.Cache.Dim(2)/2
	sources := b
	if op.QKV.Dim(0) == op.T {
		sources = 1
	}
	checkCache(p, name, op.Cache)
	p.Want(name, "qkv", op.QKV, sources*op.T, 3*c)
	p.Want(name, "first", op.First, b)
	if op.T < 1 || op.T > s {
		p.Fail("%s: %d rows for a cache of %d", name, op.T, s)
	}
	if p.Err() != nil {
		return
	}
	g := p.Target.rowTile(2 * c)
	p.Add(gpu.Dispatch{
		Source: source(p, name, store(op.QKV), shaders.Spec{"WG": g.wg, "PER": g.per}),
		Bind:   map[string]gpu.Tensor{"cache": op.Cache, "qkv": op.QKV, "first": op.First},
		Params: struct{ B, R, T, S, C, COLS uint32 }{u32(b), u32(sources), u32(op.T), u32(s), u32(c), u32(g.cols)},
		Groups: p.Groups1D(b * op.T * g.cols),
		Bytes:  2 * float64(op.QKV.Bytes()) * 2 / 3 * float64(b/sources),
	})
}

// AttentionDecode is the attention of each sequence's newest row, at Positions[b], over rows 0 to Positions[b] of its
// cache. HS = C/NH is a multiple of 4, at most 128.
type AttentionDecode struct {
	Out       gpu.Tensor // (B,C)
	QKV       gpu.Tensor // (B,3C), of which the queries are read
	Cache     gpu.Tensor // (B,S,2C)
	Positions gpu.Tensor // (B) u32, below S
	NH        int
}

// AddTo checks shapes and appends the dispatch.
func (op AttentionDecode) AddTo(p *Builder) {
	const name = "attention_decode"
	b, s, c := op.Cache.Dim(0), op.Cache.Dim(1), op.Cache.Dim(2)/2
	checkCache(p, name, op.Cache)
	p.Want(name, "out", op.Out, b, c)
	p.Want(name, "qkv", op.QKV, b, 3*c)
	p.Want(name, "positions", op.Positions, b)
	hs := p.headSize(name, c, op.NH)
	if p.Err() != nil {
		return
	}
	p.Add(gpu.Dispatch{
		Source: source(p, name, store(op.QKV), p.Target.decode(hs)),
		Bind:   map[string]gpu.Tensor{"out": op.Out, "qkv": op.QKV, "cache": op.Cache, "positions": op.Positions},
		Params: struct {
			B, S, C, NH uint32
			SCALE       float32
		}{u32(b), u32(s), u32(c), u32(op.NH), float32(1 / math.Sqrt(float64(hs)))},
		Groups: p.Groups1D(b * op.NH),
		FLOPs:  4 * float64(op.Cache.Len()) / 2, // of a full cache
		Bytes:  float64(op.Cache.Bytes()),
	})
}

// decode returns the geometry of a head's group: the sums of 2048/HS threads take 8 KiB of workgroup memory, of which
// DecodeQuads are there at a time.
func (t Target) decode(hs int) shaders.Spec {
	wg, pass := t.Decode, hs/4
	for wg*hs > 2048 {
		wg /= 2
	}
	for hs/4%pass > 0 || pass > 1 && t.DecodeQuads > 0 && pass*wg > t.DecodeQuads {
		pass--
	}
	return shaders.Spec{"HS": hs, "WG": wg, "PASS": pass}
}

func checkCache(p *Builder, op string, cache gpu.Tensor) {
	b, s, c := cache.Dim(0), cache.Dim(1), cache.Dim(2)/2
	p.Want(op, "cache", cache, b, s, 2*c)
	p.wantQuads(op, "C", c)
}
