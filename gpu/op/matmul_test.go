package op_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

// matmulShapes sit on the seams of the tile tables: one below, at and above each tile, and odd sizes.
var matmulShapes = []struct{ N, K, OC int }{
	{1, 4, 4}, {3, 8, 12}, {4, 64, 68}, {5, 12, 8}, {8, 32, 60}, {9, 20, 64}, {15, 36, 68}, {16, 128, 128},
	{17, 4, 132},
	{33, 260, 100}, {64, 16, 516},
}

func TestMatmulForward(t *testing.T) { gputest.Storages(t, matmulForward) }

func matmulForward(t *testing.T, s gpu.Storage) {
	for _, d := range matmulShapes {
		for _, epilogue := range selftest.ForwardEpilogues {
			if epilogue == "store_f32" && s == gpu.F32 {
				continue // it is store
			}
			t.Run(fmt.Sprintf("%s/N=%d,K=%d,OC=%d", epilogue, d.N, d.K, d.OC), func(t *testing.T) {
				selftest.MatmulForward(gputest.New(t), s, epilogue, d.N, d.K, d.OC)
			})
		}
	}
}

func TestMatmulBackwardDX(t *testing.T) { gputest.Storages(t, matmulBackwardDX) }

func matmulBackwardDX(t *testing.T, s gpu.Storage) {
	for _, d := range matmulShapes {
		for _, epilogue := range selftest.BackwardDXEpilogues {
			if epilogue == "store_f32" && s == gpu.F32 {
				continue
			}
			t.Run(fmt.Sprintf("%s/N=%d,K=%d,OC=%d", epilogue, d.N, d.K, d.OC), func(t *testing.T) {
				selftest.MatmulBackwardDX(gputest.New(t), s, epilogue, 0, d.N, d.K, d.OC)
			})
		}
	}
}

func TestMatmulBackwardDW(t *testing.T) { gputest.Storages(t, matmulBackwardDW) }

func matmulBackwardDW(t *testing.T, s gpu.Storage) {
	for _, d := range matmulShapes {
		t.Run(fmt.Sprintf("N=%d,K=%d,OC=%d", d.N, d.K, d.OC), func(t *testing.T) {
			selftest.MatmulBackwardDW(gputest.New(t), s, 0, d.N, d.K, d.OC)
		})
	}
}

// productTiles returns the tiles of all targets' tables that suit a target's device: those for few rows, which only
// matmul_forward has, or the others.
func productTiles(own op.Target, few bool) (tiles []op.MatmulTile) {
	for _, target := range op.Targets(gpu.Limits{MaxInvocations: uint32(own.GroupThreads),
		MaxWorkgroupBytes: uint32(own.GroupBytes)}) {
		for _, r := range target.Products {
			if r.Forward == few && own.Suits(r.Tile) && !slices.Contains(tiles, r.Tile) {
				tiles = append(tiles, r.Tile)
			}
		}
	}
	return tiles
}

// ownTarget returns the target of the tests' device.
func ownTarget(t *testing.T) op.Target {
	d := gputest.Device(t)
	return op.TargetFor(d.Info, d.Limits)
}

// withTile makes cases whose products take one tile.
func withTile(tile op.MatmulTile) maker {
	return func(t testing.TB) *gputest.Case {
		c := gputest.New(t)
		c.Setup.Target = c.Setup.Target.WithProduct(tile)
		return c
	}
}

// TestMatmulTiles holds every line of all tables to the reference, whatever the device, at one below, at and above its
// tile in every dimension; Col and a wider row included.
func TestMatmulTiles(t *testing.T) { gputest.Storages(t, matmulTiles) }

func matmulTiles(t *testing.T, s gpu.Storage) {
	first := map[string]bool{}
	for _, tile := range productTiles(ownTarget(t), false) {
		few := first[tile.Algorithm] && gputest.Fewer(t)
		first[tile.Algorithm] = true
		rows, cols, depth := tile.Rows(), tile.Cols(), max(tile.BK, 8)
		shapes := []struct{ rows, cols, depth int }{
			{1, 4, 4}, {rows - 1, cols - 4, depth - 4}, {rows, cols, depth}, {rows + 1, cols + 4, depth + 4},
			{2*rows - 1, 4, 2*depth + 4},
			{3, 2*cols + 4, 3 * depth},
		}
		if tile.Algorithm == "panels" { // see TestMatmulPanels
			continue
		}
		for _, d := range shapes {
			t.Run(fmt.Sprintf("%s/%dx%dx%d", tile.Name(), d.rows, d.cols, d.depth), func(t *testing.T) {
				cases := matmulCases(s, d.rows, d.cols, d.depth)
				if few {
					cases = slices.DeleteFunc(cases, func(e selftest.Entry) bool {
						return !slices.Contains(enough[s.String()], e.Name)
					})
				}
				runCases(t, withTile(tile), cases)
			})
		}
	}
}

// TestMatmulSlices takes the sums of the backward forms in slices of 64, as software devices take long ones, or as a
// tile wants it.
func TestMatmulSlices(t *testing.T) { gputest.Storages(t, matmulSlices) }

func matmulSlices(t *testing.T, s gpu.Storage) {
	d := gputest.Device(t)
	tile := op.MatmulTile{Algorithm: "direct", TM: 8, TN4: 2, WX: 8, WY: 1, Slice: 64}
	for name, newCase := range map[string]maker{"target": gputest.For(op.TargetFor(d.Info, d.Limits).WithSlice(64)),
		"tile": withTile(tile)} {
		for _, depth := range []int{64, 68, 128, 200} {
			t.Run(fmt.Sprintf("%s/depth=%d", name, depth), func(t *testing.T) {
				matmulForms(t, newCase, s, 17, 68,
					depth)
			})
		}
	}
}

// TestMatmulParts splits sums among groups, at depths around whole tiles and parts: parts that a sum does not have are
// left out. The forward, and results in another storage than float32, have one part.
func TestMatmulParts(t *testing.T) { gputest.Storages(t, matmulParts) }

func matmulParts(t *testing.T, s gpu.Storage) {
	for _, parts := range []int{2, 3, 8} {
		tile := op.MatmulTile{Algorithm: "tiled", TM: 8, TN4: 2, WX: 8, WY: 8, BK: 16, Parts: parts}
		for _, depth := range []int{4, 16, 36, 100, 256, 260} {
			t.Run(fmt.Sprintf("%s/depth=%d", tile.Name(), depth), func(t *testing.T) {
				matmulForms(t, withTile(tile), s, 67, 68, depth)
			})
		}
	}
}

// TestMatmulFewTiles does it for the lines that only the forward has, at depths around the quads that a group's threads
// split.
func TestMatmulFewTiles(t *testing.T) { gputest.Storages(t, matmulFewTiles) }

func matmulFewTiles(t *testing.T, s gpu.Storage) {
	for _, tile := range productTiles(ownTarget(t), true) {
		rows, cols, depth := tile.Rows(), tile.Cols(), 4*tile.Threads()
		for _, d := range []struct{ rows, cols, depth int }{
			{1, 4, 4}, {rows, cols, depth}, {max(1, rows-1), cols + 4, depth - 4}, {rows + 1, 2*cols + 4, depth + 4},
			{2 * rows, 3 * cols, 3*depth + 4},
		} {
			t.Run(fmt.Sprintf("%s/%dx%dx%d", tile.Name(), d.rows, d.cols, d.depth), func(t *testing.T) {
				runCases(t, withTile(tile), selftest.ForwardForms(s, d.rows, d.cols, d.depth))
			})
		}
	}
}

// BenchmarkMatmulFew is a token's largest linear layer of GPT-2 124M, with one and with four sequences; it counts only
// w.
func BenchmarkMatmulFew(b *testing.B) {
	const K, OC = 768, 3072
	for _, n := range []int{1, 4} {
		b.Run(fmt.Sprintf("N=%d", n), func(b *testing.B) {
			c := gputest.New(b)
			p := op.NewSetup(gputest.Device(b)).NewProgram(b.Name())
			op.MatmulForward{
				Out: c.Out("out", n, OC), X: c.In("x", gputest.Rand(1, n*K, 1), n, K),
				W: c.In("w", gputest.Rand(2, OC*K, 1), OC, K),
			}.AddTo(p)
			benchmark(b, 0, 4*K*OC, p.Program)
		})
	}
}

// matmulForms runs the three forms so that each has a result of rows x cols and sums of depth.
func matmulForms(t *testing.T, newCase maker, s gpu.Storage, rows, cols, depth int) {
	runCases(t, newCase, matmulCases(s, rows, cols, depth))
}

func matmulCases(s gpu.Storage, rows, cols, depth int) []selftest.Entry {
	return append(selftest.ForwardForms(s, rows, cols, depth), selftest.BackwardForms(s, rows, cols, depth)...)
}

func runCases(t *testing.T, newCase maker, cases []selftest.Entry) {
	for _, e := range cases {
		t.Run(e.Name, func(t *testing.T) { e.Try(newCase(t)) })
	}
}

// BenchmarkMatmul is GPT-2 124M's largest linear layer, in both storages one after the other.
func BenchmarkMatmul(b *testing.B) {
	const n, k, oc = 1024, 768, 3072
	for _, s := range []gpu.Storage{gpu.F32, gpu.BF16} {
		for _, form := range []string{"forward", "backward_dx", "backward_dw"} {
			b.Run(fmt.Sprintf("%s/%v/N=%d,K=%d,OC=%d", form, s, n, k, oc), func(b *testing.B) {
				c := gputest.New(b)
				p := op.NewSetup(gputest.Device(b)).NewProgram(form)
				x, w := c.InAs(s, "x", gputest.Round(s, gputest.Rand(1, n*k, 1)), n, k),
					c.InAs(s, "w", gputest.Round(s, gputest.Rand(2, oc*k, 1)), oc, k)
				wide := c.InOutAs(s, "wide", gputest.Round(s, gputest.Rand(3, n*oc, 1)), n, oc)
				switch form {
				case "forward":
					op.MatmulForward{Out: wide, X: x, W: w}.AddTo(p)
				case "backward_dx":
					op.MatmulBackwardDX{DX: c.OutAs(s, "dx", n, k), DOut: wide, W: w}.AddTo(p)
				case "backward_dw":
					op.MatmulBackwardDW{DW: c.InOut("dw", make([]float64, oc*k), oc, k), DOut: wide, X: x}.AddTo(p)
				}
				benchmark(b, 2*n*k*oc, 0, p.Program)
			})
		}
	}
}
