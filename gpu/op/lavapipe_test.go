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

// layouts are a form of a product for each way to lay out its operands.
var layouts = []string{"matmul_forward/window", "matmul_backward_dx/window_add", "matmul_backward_dw/window"}

// TestMatmulPanels holds matmul_panels to the reference at the seams of its blocks: rows of several, the last of half
// the size, columns around 20 or 32 and wider than the sums, slices one and two more, sums longer than the packed
// piece. Each text compiles for most of a second, so bf16, whose fragments are those of every kernel, has one shape of
// one tile, and where cases are left out the tiles after the first have each layout of the operands once.
func TestMatmulPanels(t *testing.T) {
	target := ownTarget(t)
	tiles := panels(target)
	if len(tiles) == 0 && slices.Contains(target.Algorithms, "panels") {
		t.Error("no tile for lavapipe")
	}
	for i, tile := range tiles {
		runCases(t, gputest.New, panelCases(tile, gpu.F32, i > 0 && gputest.Fewer(t)))
		if i == 0 {
			runCases(t, gputest.New, panelCases(tile, gpu.BF16, false))
		}
	}
}

// panels are the tiles of panels that suit a target's device.
func panels(target op.Target) []op.MatmulTile {
	return slices.DeleteFunc(productTiles(target, false), func(tile op.MatmulTile) bool {
		return tile.Algorithm != "panels"
	})
}

// panelCases are the shapes of TestMatmulPanels. Few: each layout of the operands once.
func panelCases(tile op.MatmulTile, s gpu.Storage, few bool) (cases []selftest.Entry) {
	rows, cols, depth := tile.Rows(), tile.Cols(), tile.BK
	shapes := []struct{ rows, cols, depth int }{
		{1, 4, 4}, {rows, cols, depth}, {rows + 1, cols + 4, depth + 4}, {rows - 1, 768 + 8, 8},
		{rows/2 + 1, 2*cols - 4, depth - 4}, {rows + rows/2, cols - 4, 2 * depth},
		{rows + 3, cols, 1<<20/rows + 2*depth + 8},
	}
	if s != gpu.F32 {
		shapes = shapes[2:3]
	}
	for _, d := range shapes {
		for _, e := range matmulCases(s, d.rows, d.cols, d.depth) {
			if few && !slices.Contains(layouts, e.Name) {
				continue
			}
			try := e.Try
			e.Name = fmt.Sprintf("%s/%v/%dx%dx%d/%s", tile.Name(), s, d.rows, d.cols, d.depth, e.Name)
			e.Try = func(c *selftest.Case) {
				c.Setup.Target = c.Setup.Target.WithProduct(tile)
				try(c)
			}
			cases = append(cases, e)
		}
	}
	return cases
}

// walkShapes sit on the seams of the walks: blocks of 128 rows (128, 256, 384), 48 keys per dispatch of the forward
// (144, 240, 336, 384) and 28 of the backward (140, 168, 336).
var walkShapes = []attentionShape{
	{1, 128, 1, 64}, {2, 129, 3, 20}, {1, 139, 1, 20}, {1, 140, 1, 20}, {1, 141, 2, 20}, {1, 143, 1, 20},
	{1, 144, 1, 20},
	{1, 145, 1, 20}, {1, 167, 1, 20}, {1, 168, 2, 4}, {1, 169, 1, 20}, {1, 240, 1, 20}, {1, 255, 2, 20},
	{1, 256, 1, 64},
	{3, 257, 2, 20}, {1, 300, 2, 64}, {1, 335, 1, 20}, {1, 336, 1, 20}, {1, 337, 1, 20}, {1, 384, 1, 20},
	{1, 385, 1, 20},
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
			"walks": `{"attention":{"Suffix":"_step","Forward":{"Rows":128,"Spec":{"WX":128}},"DQ":{"Rows":128,` +
				`"Spec":{"WX":128}},` +
				`"DKV":{"Rows":128,"Spec":{"WX":128}}}}`,
		} {
			var x op.Tile
			if err := json.Unmarshal([]byte(tile), &x); err != nil {
				t.Fatal(err)
			}
			class := map[bool]string{true: "matmul_forward/f32", false: "attention_forward/f32"}[x.Matmul != nil]
			err := op.Tuning{class: x}.Validate(target)
			if target.Name == "lavapipe" && err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if target.Name != "lavapipe" && (err == nil || !strings.Contains(err.Error(), "not an algorithm for "+
				"this device")) {
				t.Errorf("%s: %s takes %v: %v", target.Name, name, tile, err)
			}
		}
	}
}
