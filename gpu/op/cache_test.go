package op_test

import (
	"fmt"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

func TestCacheAppend(t *testing.T) { storages(cacheAppend)(t, gputest.New) }

func cacheAppend(t *testing.T, newCase maker, s gpu.Storage) {
	for _, d := range []struct {
		B, S, T, C int
		first      []uint32
		shared     bool
	}{
		{1, 1, 1, 4, []uint32{0}, false},
		{3, 9, 1, 20, []uint32{8, 0, 4}, false}, // a token a sequence
		{2, 8, 8, 128, []uint32{0, 0}, false},
		{2, 7, 5, 132, []uint32{2, 4}, false}, // the last two rows are past the end
		{4, 9, 6, 12, []uint32{0, 0, 0, 0}, true},
		{3, 5, 3, 768, []uint32{0, 2, 1}, true},
	} {
		t.Run(fmt.Sprintf("B=%d,S=%d,T=%d,C=%d,shared=%t", d.B, d.S, d.T, d.C, d.shared), func(t *testing.T) {
			selftest.CacheAppend(newCase(t), s, d.S, d.T, d.C, d.first, d.shared)
		})
	}
}

// The caches' lengths are one below, at and above turns of 8, 16, 32 and 64 keys, in one batch. Rows past them hold
// NaN.
func TestAttentionDecode(t *testing.T) { storages(attentionDecode)(t, gputest.New) }

func attentionDecode(t *testing.T, newCase maker, s gpu.Storage) {
	for _, d := range []struct {
		S, NH, HS int
		scale     float64
		positions []uint32
	}{
		{1, 1, 4, 1.5, []uint32{0}},
		{40, 3, 4, 1.5, []uint32{39, 30, 31, 32, 0, 6, 7, 8}},
		{70, 2, 20, 1.5, []uint32{62, 63, 64, 69}},
		{70, 1, 64, 1.5, []uint32{63, 1, 64}},
		{70, 3, 64, 1.5, []uint32{69}},
		{520, 2, 128, 1.5, []uint32{14, 15, 16, 511, 519}},
		{520, 12, 16, 1.5, []uint32{519}},
		{65, 2, 64, 8, []uint32{64, 33}}, // scores of deviation 64: exp must see only differences
	} {
		t.Run(fmt.Sprintf("S=%d,NH=%d,HS=%d,scale=%v", d.S, d.NH, d.HS, d.scale), func(t *testing.T) {
			selftest.AttentionDecode(newCase(t), s, d.S, d.NH, d.HS, d.scale, d.positions)
		})
	}
}

// BenchmarkAttentionDecode is one layer of GPT-2 124M with a full context; it counts keys and values.
func BenchmarkAttentionDecode(b *testing.B) {
	const S, NH, C = 1024, 12, 768
	for _, n := range []int{1, 4} {
		b.Run(fmt.Sprintf("B=%d", n), func(b *testing.B) {
			c := gputest.New(b)
			p := op.NewSetup(gputest.Device(b)).NewProgram(b.Name())
			positions := make([]uint32, n)
			for i := range positions {
				positions[i] = S - 1
			}
			op.AttentionDecode{
				Out: c.Out("out", n, C), QKV: c.In("qkv", gputest.Rand(1, n*3*C, 1), n, 3*C),
				Cache:     c.In("cache", gputest.Rand(2, n*S*2*C, 1), n, S, 2*C),
				Positions: c.InU32("positions", positions, n), NH: NH,
			}.AddTo(p)
			benchmark(b, 0, float64(n*S*2*C*4), p.Program)
		})
	}
}
