package op_test

import (
	"fmt"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

func TestGatherRows(t *testing.T) { storages(gatherRows)(t, gputest.New) }

func gatherRows(t *testing.T, newCase maker, s gpu.Storage) {
	for _, d := range []struct{ R, N, C int }{{1, 1, 4}, {5, 3, 20}, {1, 70, 252}, {4, 9, 256}, {3, 9, 260},
		{64, 64, 4}, {11, 2, 768}, {2, 5, 772}} {
		t.Run(fmt.Sprintf("R=%d,N=%d,C=%d", d.R, d.N, d.C), func(t *testing.T) {
			selftest.GatherRows(newCase(t), s, d.R, d.N, d.C)
		})
	}
}
