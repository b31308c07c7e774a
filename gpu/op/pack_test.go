package op_test

import (
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

func TestPack(t *testing.T) { pack(t, gputest.New) }

func pack(t *testing.T, newCase maker) {
	// groups of 64 and 256 quads
	for _, shape := range [][]int{{4}, {3, 84}, {256}, {13, 20}, {1020}, {1024}, {257, 4}} {
		gputest.Storages(t, func(t *testing.T, s gpu.Storage) {
			selftest.Pack(newCase(t), s, shape...)
		})
	}
}

func TestPackEdges(t *testing.T) { selftest.PackEdges(gputest.New(t)) }

// BenchmarkPack reads float32 and writes bf16.
func BenchmarkPack(b *testing.B) {
	const n = 4 << 20
	c := gputest.New(b)
	p := op.NewSetup(gputest.Device(b)).NewProgram(b.Name())
	op.Pack{Out: c.OutAs(gpu.BF16, "out", n), X: c.In("x", gputest.Rand(1, n, 1), n)}.AddTo(p)
	benchmark(b, 0, 6*n, p.Program)
}
