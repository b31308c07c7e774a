package op_test

import (
	"fmt"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

type attentionShape struct{ B, T, NH, HS int }

// attentionShapes sit on the seams: T at 1 and one below, at and above the groups' rows (64, 48, 32, 24, 16), which are
// multiples of the tiles', and a walk's keys (48, 28), odd B and NH. Heads of 12, 20 and 96 channels leave threads of a
// team without a quad.
var attentionShapes = []attentionShape{
	{1, 1, 1, 4}, {2, 3, 3, 4}, {1, 27, 2, 20}, {1, 28, 1, 20}, {1, 29, 1, 20}, {3, 31, 1, 4}, {1, 47, 3, 20},
	{2, 48, 1, 20}, {1, 49, 2, 20}, {1, 63, 1, 20}, {2, 64, 3, 20}, {1, 65, 1, 4}, {1, 130, 3, 20}, {1, 1, 3, 64},
	{1, 28, 1, 64}, {2, 31, 1, 64}, {1, 32, 2, 64}, {1, 33, 1, 64}, {1, 47, 1, 64}, {1, 48, 1, 64}, {1, 49, 1, 64},
	{2, 65, 3, 64}, {2, 130, 1, 64},
	{1, 33, 2, 12}, {1, 65, 1, 96}, {1, 1, 1, 128}, {1, 15, 1, 128}, {1, 16, 2, 128}, {2, 25, 1, 128}, {1, 65, 1, 128},
}

// eachAttention runs test at every shape with the kernels of every target, those that several share once, with bf16 for
// HS=64, and for HS=20 with the device's own: each is a text. Where cases are left out, targets after the first of
// their algorithm have f32 for HS=20 only. Kernels that the device does not run are left out: others take their place.
func eachAttention(t *testing.T, test func(c *gputest.Case, s gpu.Storage, B, T, NH, HS int)) {
	done, first := map[string]bool{}, map[string]bool{}
	for _, target := range append([]op.Target{ownTarget(t)}, op.Targets(gputest.Device(t).Limits)...) {
		rules := fmt.Sprint(target.Attention)
		if done[rules] {
			continue
		}
		done[rules] = true
		algorithm := target.Attention[0].Tile.Algorithm
		few := first[algorithm] && gputest.Fewer(t)
		first[algorithm] = true
		t.Run(target.Name, func(t *testing.T) {
			shapes := attentionShapes
			if target.Attention[0].MinT > 0 {
				shapes = walkShapes
			}
			gputest.Storages(t, func(t *testing.T, s gpu.Storage) {
				for _, d := range shapes {
					if s == gpu.BF16 && d.HS != 64 && (d.HS != 20 || target.Name != ownTarget(t).Name) {
						continue
					}
					if few && s == gpu.F32 && d.HS != 20 {
						continue
					}
					t.Run(fmt.Sprintf("B=%d,T=%d,NH=%d,HS=%d", d.B, d.T, d.NH, d.HS), func(t *testing.T) {
						c := gputest.New(t)
						c.Setup.Target = c.Setup.Target.WithAttention(target.Attention...)
						test(c, s, d.B, d.T, d.NH, d.HS)
					})
				}
			})
		})
	}
}

func TestAttentionForward(t *testing.T)  { eachAttention(t, selftest.AttentionForward) }
func TestAttentionBackward(t *testing.T) { eachAttention(t, selftest.AttentionBackward) }

// attentionBench is GPT-2 124M's shape.
var attentionBench = struct{ B, T, NH, HS int }{1, 1024, 12, 64}

// BenchmarkAttentionForward counts the two products with the causal half of the scores.
func BenchmarkAttentionForward(b *testing.B) {
	d := attentionBench
	C, N := d.NH*d.HS, d.B*d.T
	c := gputest.New(b)
	p := op.NewSetup(gputest.Device(b)).NewProgram(b.Name())
	op.AttentionForward{Out: c.Out("out", N, C), LSE: c.Out("lse", d.B, d.NH, d.T),
		QKV: c.In("qkv", gputest.Rand(1, N*3*C, 1), N, 3*C), NH: d.NH}.AddTo(p)
	benchmark(b, 2*float64(d.B*d.NH)*float64(d.T)*float64(d.T)*float64(d.HS), 0, p.Program)
}

// BenchmarkAttentionBackward counts five products; two of the seven that the kernels make are made twice.
func BenchmarkAttentionBackward(b *testing.B) {
	d := attentionBench
	C, N := d.NH*d.HS, d.B*d.T
	c := gputest.New(b)
	p := op.NewSetup(gputest.Device(b)).NewProgram(b.Name())
	op.AttentionBackward{
		DQKV: c.Out("dqkv", N, 3*C), DOut: c.In("dout", gputest.Rand(1, N*C, 1), N, C),
		QKV: c.In("qkv", gputest.Rand(2, N*3*C, 1), N, 3*C),
		Out: c.In("out", gputest.Rand(3, N*C, 0.1), N, C), LSE: c.In("lse", gputest.Rand(4, N*d.NH, 1), d.B, d.NH, d.T),
		D: c.Out("d", d.B, d.NH, d.T), NH: d.NH,
	}.AddTo(p)
	benchmark(b, 5*float64(d.B*d.NH)*float64(d.T)*float64(d.T)*float64(d.HS), 0, p.Program)
}
