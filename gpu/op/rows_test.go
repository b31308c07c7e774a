package op_test

import (
	"fmt"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

func TestGatherRows(t *testing.T) { gputest.Storages(t, gatherRows) }

func gatherRows(t *testing.T, s gpu.Storage) {
	for _, d := range []struct{ R, N, C int }{{1, 1, 4}, {5, 3, 20}, {1, 70, 252}, {4, 9, 256}, {3, 9, 260}, {64, 64, 4}, {11, 2, 768}, {2, 5, 772}} {
		t.Run(fmt.Sprintf("R=%d,N=%d,C=%d", d.R, d.N, d.C), func(t *testing.T) {
			x, rows := gputest.Round(s, gputest.Rand(1, d.N*d.C, 1)), gputest.Tokens(2, d.R, d.N)
			rows[0] = uint32(d.N - 1)
			want := make([]float64, d.R*d.C)
			ref.GatherRows(want, x, rows, d.C)
			c := gputest.New(t)
			g := op.GatherRows{Out: c.OutAs(s, "out", d.R, d.C), X: c.InAs(s, "x", x, d.N, d.C), Rows: c.InU32("rows", rows, d.R)}
			c.Run(func(p *gpu.Program) { g.AddTo(p) })
			c.Check(g.Out, want, gputest.Tolerance{})
		})
	}
}
