package op_test

import (
	"math"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

func TestPack(t *testing.T) {
	for _, shape := range [][]int{{4}, {3, 84}, {256}, {13, 20}, {1020}, {1024}, {257, 4}} { // groups of 64 and 256 quads
		gputest.Storages(t, func(t *testing.T, s gpu.Storage) {
			n := 1
			for _, d := range shape {
				n *= d
			}
			x := gputest.Rand(1, n, 1)
			c := gputest.New(t)
			k := op.Pack{Out: c.OutAs(s, "out", shape...), X: c.In("x", x, shape...)}
			c.Run(func(p *gpu.Program) { k.AddTo(p) })
			for i, want := range gputest.Round(s, x) {
				if got := c.Got(k.Out)[i]; got != want {
					t.Fatalf("%v at %d: got %v, want %v", shape, i, got, want)
				}
			}
		})
	}
}

// TestPackEdges: ties, carries into the exponent and into infinity, zeros, denormals, infinities, NaNs; then back to float32.
func TestPackEdges(t *testing.T) {
	edges := []uint32{
		0x3f800000, 0x3f808000, 0x3f818000, 0x3f808001, 0x3f817fff, // 1, a tie down, a tie up, just above, just below
		0x3fffffff, 0x3fff8000, 0x3fff7fff, // to 2 by a carry, by a tie; not
		0x7f7fffff, 0x7f7f8000, 0x7f7f7fff, 0x7f7f0000, // the largest float32, a tie, just below it, the largest bf16
		0x00000000, 0x00000001, 0x00007fff, 0x00008000, 0x00008001, 0x00018000, 0x007fffff, 0x00800000, // zero and denormals
		0x7f800000,                                                 // infinity
		0x7fc00000, 0x7f800001, 0x7f80ffff, 0x7fffffff, 0x7fc0ffff, // NaNs, some of which have their bits low alone
	}
	var words []uint32
	for _, e := range edges {
		words = append(words, e, e|0x80000000)
	}
	for len(words)%4 != 0 {
		words = append(words, 0)
	}
	c := gputest.New(t)
	x := c.InU32("x", words, len(words)).Reinterpret("x", gpu.F32, len(words))
	k := op.Pack{Out: c.OutAs(gpu.BF16, "out", len(words)), X: x}
	back := op.Add{Out: c.OutAs(gpu.BF16, "back", len(words)), A: k.Out, B: c.InAs(gpu.BF16, "zero", make([]float64, len(words)), len(words))}
	c.Run(func(p *gpu.Program) {
		k.AddTo(p)
		back.AddTo(p)
	})
	for i, w := range words {
		v := math.Float32frombits(w)
		want := gputest.FromBF16(gputest.BF16(v))
		for _, o := range []gpu.Tensor{k.Out, back.Out} {
			got := c.Got(o)[i]
			if denormal := w&0x7f800000 == 0; denormal && got == 0 {
				continue // devices may take denormals for zero
			}
			if got != want && !(math.IsNaN(got) && math.IsNaN(want)) || math.IsNaN(want) != math.IsNaN(float64(v)) {
				t.Errorf("%s of %#08x: got %v, want %v", o.Name(), w, got, want)
			}
		}
	}
}

// BenchmarkPack reads float32 and writes bf16.
func BenchmarkPack(b *testing.B) {
	const n = 4 << 20
	c := gputest.New(b)
	p := gputest.Device(b).NewProgram(b.Name())
	op.Pack{Out: c.OutAs(gpu.BF16, "out", n), X: c.In("x", gputest.Rand(1, n, 1), n)}.AddTo(p)
	gputest.Bench(b, 0, 6*n, p)
}
