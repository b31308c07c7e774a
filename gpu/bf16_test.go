package gpu_test

import (
	"math"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

// TestPackBF16 holds packing to the definition: the nearer of the two neighbours, of two the one with an even last bit.
// It tries every upper half of a float32 with the lower halves at which the choice changes.
func TestPackBF16(t *testing.T) {
	magnitude := func(b uint32) float64 {
		if b&0x7fffffff == 0x7f800000 {
			return 0x1p128 // where the next finite one would be
		}
		return math.Abs(float64(math.Float32frombits(b)))
	}
	lower := []uint32{0, 1, 0x7fff, 0x8000, 0x8001, 0xffff}
	values := make([]float32, len(lower))
	for high := range uint32(1 << 16) {
		for i, low := range lower {
			values[i] = math.Float32frombits(high<<16 | low)
		}
		words := gpu.PackBF16(values)
		back := gpu.UnpackBF16(words, len(values))
		for i, v := range values {
			down, up := high<<16, high<<16+0x10000
			want := down // towards zero; up has 1 more in the last place
			size := magnitude(math.Float32bits(v))
			d, u := size-magnitude(down), magnitude(up)-size
			if d > u || d == u && down&0x10000 != 0 {
				want = up
			}
			got := words[i/2] >> (i % 2 * 16) << 16
			switch nan := v != v; {
			case nan && (back[i] == back[i] || got>>31 != high>>15):
				t.Fatalf("%#08x: got %#08x, want a NaN of its sign", math.Float32bits(v), got)
			case !nan && got != want:
				t.Fatalf("%#08x: got %#08x, want %#08x", math.Float32bits(v), got, want)
			case math.Float32bits(back[i]) != got:
				t.Fatalf("%#08x is unpacked as %v", got, back[i])
			}
		}
	}
	if odd := gpu.PackBF16([]float32{1, 2, 3}); len(odd) != 2 || odd[1] != 0x4040 {
		t.Errorf("three values: %#x", odd)
	}
}
