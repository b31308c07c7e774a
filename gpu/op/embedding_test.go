package op_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

// embeddingShapes: odd row counts; one quad a row; one below, at and above the 8, 64 and 192 quads that a group covers.
var embeddingShapes = []struct{ B, T, C, V int }{
	{1, 1, 4, 1}, {1, 5, 4, 257}, {3, 5, 20, 257}, {1, 63, 28, 7}, {1, 64, 32, 7}, {13, 5, 36, 7}, {2, 8, 252, 100},
	{2, 8, 256, 100},
	{2, 8, 260, 100}, {7, 11, 768, 257}, {1, 3, 772, 65},
}

// embeddingWindows runs test with wte in one piece, then in windows of 64 and of 128 rows.
func embeddingWindows(t *testing.T, newCase maker, test func(c *gputest.Case, B, T, C, V, limit int)) {
	for _, d := range embeddingShapes {
		for _, rows := range []int{0, 64, 128} {
			limit := rows*d.C*4 + 256 // the guard words
			if rows == 0 {
				limit = 0
			} else if d.V <= rows || d.B*d.T >= rows {
				continue
			}
			t.Run(fmt.Sprintf("B=%d,T=%d,C=%d,V=%d,window=%d", d.B, d.T, d.C, d.V, rows), func(t *testing.T) {
				test(newCase(t), d.B, d.T, d.C, d.V, limit)
			})
		}
	}
}

func TestEmbeddingForward(t *testing.T) {
	embeddingForward(t, gputest.New)
}

func TestEmbeddingBackward(t *testing.T) {
	embeddingBackward(t, gputest.New)
}

func embeddingForward(t *testing.T, newCase maker) {
	embeddingWindows(t, newCase, selftest.EmbeddingForward)
}

func embeddingBackward(t *testing.T, newCase maker) {
	embeddingWindows(t, newCase, selftest.EmbeddingBackward)
}

func TestSortTokens(t *testing.T) {
	for _, c := range []struct{ tokens, order, starts []uint32 }{
		{[]uint32{7}, []uint32{0}, []uint32{0, 1}},
		{[]uint32{5, 2, 5, 4294967295, 2, 5}, []uint32{1, 4, 0, 2, 5, 3}, []uint32{0, 2, 5, 6, 6, 6, 6}},
		{[]uint32{3, 3, 3}, []uint32{0, 1, 2}, []uint32{0, 3, 3, 3}},
		{[]uint32{2, 1, 0}, []uint32{2, 1, 0}, []uint32{0, 1, 2, 3}},
	} {
		order, starts := make([]uint32, len(c.tokens)), make([]uint32, len(c.tokens)+1)
		op.SortTokens(c.tokens, order, starts)
		if !reflect.DeepEqual(order, c.order) || !reflect.DeepEqual(starts, c.starts) {
			t.Errorf("%v: got %v %v, want %v %v", c.tokens, order, starts, c.order, c.starts)
		}
	}
}

func embeddingBench(b *testing.B) (N, C, T, V int, tokens []uint32) {
	N, C = benchRows(b)
	return N, C, 1024, 50257, gputest.Tokens(1, N, 50257)
}

func BenchmarkEmbeddingForward(b *testing.B) {
	N, C, T, V, tokens := embeddingBench(b)
	c := gputest.New(b)
	p := op.NewSetup(gputest.Device(b)).NewProgram(b.Name())
	op.EmbeddingForward{
		Out: c.Out("out", N, C), WTE: c.Out("wte", V, C), WPE: c.Out("wpe", T, C), Tokens: c.InU32("tokens", tokens, N),
		T: T,
	}.AddTo(p)
	benchmark(b, 0, 12*float64(N*C), p.Program)
}

// BenchmarkEmbeddingBackward counts random tokens, nearly all distinct: dout is read twice, dwte read and written.
func BenchmarkEmbeddingBackward(b *testing.B) {
	N, C, T, V, tokens := embeddingBench(b)
	order, starts := make([]uint32, N), make([]uint32, N+1)
	op.SortTokens(tokens, order, starts)
	distinct := 0
	for distinct < N && starts[distinct] < uint32(N) {
		distinct++
	}
	c := gputest.New(b)
	p := op.NewSetup(gputest.Device(b)).NewProgram(b.Name())
	op.EmbeddingBackward{
		DWTE: c.Out("dwte", V, C), DWPE: c.Out("dwpe", T, C), DOut: c.In("dout", gputest.Rand(1, N*C, 1), N, C),
		Order: c.InU32("order", order, N), Starts: c.InU32("starts", starts, N+1), Tokens: c.InU32("tokens", tokens, N),
		T: T,
	}.AddTo(p)
	benchmark(b, 0, 8*float64(C)*float64(N+distinct+T), p.Program)
}

// BenchmarkSortTokens runs on the host, once a micro-batch.
func BenchmarkSortTokens(b *testing.B) {
	const n = 4096
	tokens, order, starts := gputest.Tokens(1, n, 50257), make([]uint32, n), make([]uint32, n+1)
	for b.Loop() {
		op.SortTokens(tokens, order, starts)
	}
}
