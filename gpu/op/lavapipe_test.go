package op_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

// TestMatmulPanels holds matmul_panels to the reference at the seams of its blocks: rows of several, the last of half
// the size, columns wider than the sums, slices one and two more, sums longer than the packed piece. Each text compiles
// for most of a second, so only one tile is tried with bf16, whose fragments are those of every kernel.
func TestMatmulPanels(t *testing.T) {
	first := true
	d := gputest.Device(t)
	target := op.TargetFor(d.Info, d.Limits)
	for _, tile := range productTiles(t, false) {
		if tile.Algorithm != "panels" {
			continue
		}
		rows, cols, depth := tile.Rows(), tile.Cols(), tile.BK
		shapes := []struct{ rows, cols, depth int }{
			{1, 4, 4}, {rows + 1, cols + 4, depth + 4}, {rows - 1, 768 + 8, 8}, {3, cols, 1<<20/rows + 2*depth + 8},
		}
		for _, s := range []gpu.Storage{gpu.F32, gpu.BF16} {
			if s == gpu.BF16 && !first {
				continue
			}
			for _, d := range shapes {
				t.Run(fmt.Sprintf("%s/%v/%dx%dx%d", tile.Name(), s, d.rows, d.cols, d.depth), func(t *testing.T) {
					matmulForms(t, withTile(tile), s, d.rows, d.cols, d.depth)
				})
			}
		}
		first = false
	}
	if first && slices.Contains(target.Algorithms, "panels") {
		t.Error("no tile for lavapipe")
	}
}

// walkShapes sit on the seams of the walks: blocks of 128 rows, 48 keys per dispatch of the forward and 28 of the
// backward.
var walkShapes = []struct{ B, T, NH, HS int }{
	{1, 128, 1, 64}, {2, 129, 3, 20}, {1, 144, 1, 16}, {1, 145, 1, 16}, {1, 168, 2, 4}, {1, 169, 1, 32}, {3, 257, 2, 12},
	{1, 300, 2, 64},
}

// TestAttentionRounds takes five heads two at a time, as long contexts are.
func TestAttentionRounds(t *testing.T) {
	d := gputest.Device(t)
	target := op.TargetFor(d.Info, d.Limits)
	target.Attention[0].Tile.Heads = 2
	t.Run("forward", func(t *testing.T) { selftest.AttentionForward(gputest.For(target)(t), gpu.F32, 1, 130, 5, 20) })
	t.Run("backward", func(t *testing.T) { selftest.AttentionBackward(gputest.For(target)(t), gpu.F32, 1, 130, 5, 20) })
}

// TestTuningElsewhere: a tile of panels or of walks, chosen on lavapipe, is refused by other software devices, which
// would compile it for minutes.
func TestTuningElsewhere(t *testing.T) {
	for _, target := range op.Targets(gpu.DefaultLimits()) {
		for name, tile := range map[string]string{
			"panels": `{"matmul":{"TM":0,"TN4":0,"WX":0,"WY":0,"Panel":{"WG":256,"TC4":8,"KS4":32}}}`,
			"walks": `{"attention":{"Suffix":"_step","Forward":{"Rows":128,"Spec":{"WX":128}},"DQ":{"Rows":128,"Spec":{"WX":128}},` +
				`"DKV":{"Rows":128,"Spec":{"WX":128}}}}`,
		} {
			var x op.Tile
			if err := json.Unmarshal([]byte(tile), &x); err != nil {
				t.Fatal(err)
			}
			err := op.Tuning{"x": x}.Validate(target)
			if target.Name == "lavapipe" && err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if target.Name != "lavapipe" && (err == nil || !strings.Contains(err.Error(), "not an algorithm for this device")) {
				t.Errorf("%s: %s takes %v: %v", target.Name, name, tile, err)
			}
		}
	}
}
