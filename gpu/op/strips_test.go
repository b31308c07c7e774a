package op_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

func TestPartialLen(t *testing.T) {
	for _, c := range []struct{ n, c, want int }{
		{1, 4, 4}, {8, 4, 4}, {9, 4, 8}, {1024, 768, 128 * 768}, {4096, 4, 512 * 4}, {4097, 4, 456 * 4},
		{65536, 4, 512 * 4},
	} {
		if got := op.PartialLen(c.n, c.c); got != c.want {
			t.Errorf("PartialLen(%d,%d) = %d, want %d", c.n, c.c, got, c.want)
		}
		if one, two := op.PartialLen(c.n, c.c), op.PartialLen(c.n, 2*c.c); two != 2*one {
			t.Errorf("PartialLen(%d,·) = %d for %d columns and %d for twice as many", c.n, one, c.c, two)
		}
	}
}

// Row n holds n+1 everywhere: the sum is exact in float32, so a row left out or taken twice shows.
func TestStripsExact(t *testing.T) { stripsExact(t, gputest.New) }

func stripsExact(t *testing.T, newCase maker) {
	for _, N := range []int{1, 7, 8, 9, 511, 4095, 4096, 4097, 5000} {
		t.Run(fmt.Sprint("N=", N), func(t *testing.T) {
			const C = 36 // 9 quads: a group of 8, and one more
			dout, want := make([]float64, N*C), make([]float64, C)
			for i := range dout {
				dout[i] = float64(i/C + 1)
			}
			for i := range want {
				want[i] = float64(N * (N + 1) / 2)
			}
			c := newCase(t)
			b := op.BiasBackward{DB: c.InOut("db", make([]float64, C), C), DOut: c.In("dout", dout, N, C),
				Partial: c.Out("partial", op.PartialLen(N, C))}
			c.Run(b)
			for i, got := range c.Got(b.DB) {
				if got != want[i] {
					t.Fatalf("column %d: %v, want %v", i, got, want[i])
				}
			}
		})
	}
}

func TestPartialTooSmall(t *testing.T) {
	c := gputest.New(t)
	p := op.NewSetup(gputest.Device(t)).NewProgram("test")
	op.BiasBackward{DB: c.Out("db", 4), DOut: c.Out("dout", 9, 4), Partial: c.Out("partial", 7)}.AddTo(p)
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "at least 8 values (PartialLen)") {
		t.Errorf("got %v", err)
	}
}
