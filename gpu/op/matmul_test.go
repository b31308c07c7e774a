package op_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

// matmulShapes sit on the seams of the tile tables: one below, at and above each tile, and odd sizes.
var matmulShapes = []struct{ N, K, OC int }{
	{1, 4, 4}, {3, 8, 12}, {4, 64, 68}, {5, 12, 8}, {8, 32, 60}, {9, 20, 64}, {15, 36, 68}, {16, 128, 128}, {17, 4, 132},
	{33, 260, 100}, {64, 16, 516},
}

func TestMatmulForward(t *testing.T) { gputest.Storages(t, matmulForward) }

func matmulForward(t *testing.T, s gpu.Storage) {
	for _, d := range matmulShapes {
		x, w, b := gputest.Round(s, gputest.Rand(1, d.N*d.K, 1)), gputest.Round(s, gputest.Rand(2, d.OC*d.K, 1)), gputest.Rand(3, d.OC, 1)
		res := gputest.Rand(4, d.N*d.OC, 1)
		plain, biased := make([]float64, d.N*d.OC), make([]float64, d.N*d.OC)
		ref.MatmulForward(plain, x, w, nil, d.N, d.K, d.OC)
		ref.MatmulForward(biased, x, w, b, d.N, d.K, d.OC)
		sum := make([]float64, d.N*d.OC)
		ref.Add(sum, biased, res)
		tol := gputest.Tolerance{Terms: d.K + 2, Scale: 1}
		for _, epilogue := range []string{"store", "store_f32", "bias", "bias_gelu", "bias_residual"} {
			t.Run(fmt.Sprintf("%s/N=%d,K=%d,OC=%d", epilogue, d.N, d.K, d.OC), func(t *testing.T) {
				c := gputest.New(t)
				out := s // of the result
				if epilogue == "store_f32" || epilogue == "bias_residual" {
					out = gpu.F32
				}
				mm := op.MatmulForward{Out: c.OutAs(out, "out", d.N, d.OC), X: c.InAs(s, "x", x, d.N, d.K), W: c.InAs(s, "w", w, d.OC, d.K)}
				want := plain
				if strings.HasPrefix(epilogue, "bias") {
					mm.Bias, want = c.In("bias", b, d.OC), biased
				}
				switch epilogue {
				case "bias_gelu":
					mm.Pre = c.OutAs(s, "pre", d.N, d.OC)
				case "bias_residual":
					mm.Residual, want = c.In("residual", res, d.N, d.OC), sum
				}
				c.Run(func(p *gpu.Program) { mm.AddTo(p) })
				if epilogue == "bias_gelu" {
					c.Check(mm.Pre, biased, tol)
					want = make([]float64, d.N*d.OC)
					ref.GELUForward(want, c.Got(mm.Pre)) // of Pre as stored
				}
				c.Check(mm.Out, want, tol)
			})
		}
	}
}

func TestMatmulBackwardDX(t *testing.T) { gputest.Storages(t, matmulBackwardDX) }

func matmulBackwardDX(t *testing.T, s gpu.Storage) {
	for _, d := range matmulShapes {
		dout, w := gputest.Round(s, gputest.Rand(1, d.N*d.OC, 1)), gputest.Round(s, gputest.Rand(2, d.OC*d.K, 1))
		pre := gputest.Round(s, gputest.Rand(3, d.N*d.K, 2))
		base := gputest.Rand(4, d.N*d.K, 1)
		plain, gelu, sum := make([]float64, d.N*d.K), make([]float64, d.N*d.K), make([]float64, d.N*d.K)
		ref.MatmulBackwardDX(plain, dout, w, d.N, d.K, d.OC)
		ref.GELUBackward(gelu, plain, pre)
		ref.Add(sum, plain, base)
		for _, epilogue := range []string{"store", "store_f32", "dgelu", "add"} {
			t.Run(fmt.Sprintf("%s/N=%d,K=%d,OC=%d", epilogue, d.N, d.K, d.OC), func(t *testing.T) {
				c := gputest.New(t)
				mm := op.MatmulBackwardDX{DOut: c.InAs(s, "dout", dout, d.N, d.OC), W: c.InAs(s, "w", w, d.OC, d.K)}
				want := plain
				switch epilogue {
				case "store":
					mm.DX = c.OutAs(s, "dx", d.N, d.K)
				case "store_f32":
					mm.DX = c.Out("dx", d.N, d.K)
				case "dgelu":
					mm.DX, mm.Pre, want = c.OutAs(s, "dx", d.N, d.K), c.InAs(s, "pre", pre, d.N, d.K), gelu
				case "add":
					mm.DX, mm.Add, want = c.InOut("dx", base, d.N, d.K), true, sum
				}
				c.Run(func(p *gpu.Program) { mm.AddTo(p) })
				tol := gputest.Tolerance{Terms: d.OC + 2, Scale: 1}
				if epilogue == "dgelu" {
					// GELU' near its zeros is a difference of terms of size |x| <= 8, and tanh may be off by 4 eps there.
					tol.Scale *= 4
				}
				c.Check(mm.DX, want, tol)
			})
		}
	}
}

func TestMatmulBackwardDW(t *testing.T) { gputest.Storages(t, matmulBackwardDW) }

func matmulBackwardDW(t *testing.T, s gpu.Storage) {
	for _, d := range matmulShapes {
		dout, x := gputest.Round(s, gputest.Rand(1, d.N*d.OC, 1)), gputest.Round(s, gputest.Rand(2, d.N*d.K, 1))
		dw := gputest.Rand(3, d.OC*d.K, 1)
		want := append([]float64(nil), dw...)
		ref.MatmulBackwardDW(want, dout, x, d.N, d.K, d.OC)
		t.Run(fmt.Sprintf("N=%d,K=%d,OC=%d", d.N, d.K, d.OC), func(t *testing.T) {
			c := gputest.New(t)
			mm := op.MatmulBackwardDW{DW: c.InOut("dw", dw, d.OC, d.K), DOut: c.InAs(s, "dout", dout, d.N, d.OC), X: c.InAs(s, "x", x, d.N, d.K)}
			c.Run(func(p *gpu.Program) { mm.AddTo(p) })
			c.Check(mm.DW, want, gputest.Tolerance{Terms: d.N + 2, Scale: 1})
		})
	}
}

// TestMatmulTiles holds every line of both tables to the reference, whatever the device, at one below, at and above its tile in
// every dimension; Col and a wider row included.
func TestMatmulTiles(t *testing.T) { gputest.Storages(t, matmulTiles) }

func matmulTiles(t *testing.T, s gpu.Storage) {
	for _, tile := range op.MatmulTiles() {
		rows, cols, depth := tile.Rows, tile.Cols, max(tile.Depth, 8)
		for _, d := range []struct{ rows, cols, depth int }{
			{1, 4, 4}, {rows - 1, cols - 4, depth - 4}, {rows, cols, depth}, {rows + 1, cols + 4, depth + 4}, {2*rows - 1, 4, 2*depth + 4},
			{3, 2*cols + 4, 3 * depth},
		} {
			t.Run(fmt.Sprintf("%s/%dx%dx%d", tile.Name, d.rows, d.cols, d.depth), func(t *testing.T) {
				defer tile.Force()()
				matmulForms(t, s, d.rows, d.cols, d.depth)
			})
		}
	}
}

// TestMatmulSlices takes the sums of the backward forms in slices of 64, as software devices take long ones.
func TestMatmulSlices(t *testing.T) { gputest.Storages(t, matmulSlices) }

func matmulSlices(t *testing.T, s gpu.Storage) {
	defer op.SliceMatmul(64)()
	for _, depth := range []int{64, 68, 128, 200} {
		t.Run(fmt.Sprintf("depth=%d", depth), func(t *testing.T) { matmulForms(t, s, 17, 68, depth) })
	}
}

// TestMatmulTilesAreSmall: every line runs within the limits that WebGPU promises. The driver checks no workgroup memory.
func TestMatmulTilesAreSmall(t *testing.T) {
	limits := gpu.DefaultLimits()
	for _, tile := range append(op.MatmulTiles(), op.MatmulFewTiles()...) {
		if tile.Threads > int(limits.MaxInvocations) || tile.Bytes > int(limits.MaxWorkgroupBytes) {
			t.Errorf("%s: %d threads, %d bytes of workgroup memory", tile.Name, tile.Threads, tile.Bytes)
		}
	}
}

// TestMatmulFewTiles does it for the lines that only the forward has, at depths around the quads that a group's threads split.
func TestMatmulFewTiles(t *testing.T) { gputest.Storages(t, matmulFewTiles) }

func matmulFewTiles(t *testing.T, s gpu.Storage) {
	for _, tile := range op.MatmulFewTiles() {
		rows, cols, depth := tile.Rows, tile.Cols, 4*tile.Threads
		for _, d := range []struct{ rows, cols, depth int }{
			{1, 4, 4}, {rows, cols, depth}, {max(1, rows-1), cols + 4, depth - 4}, {rows + 1, 2*cols + 4, depth + 4}, {2 * rows, 3 * cols, 3*depth + 4},
		} {
			t.Run(fmt.Sprintf("%s/%dx%dx%d", tile.Name, d.rows, d.cols, d.depth), func(t *testing.T) {
				defer tile.Force()()
				matmulForwardForms(t, s, d.rows, d.cols, d.depth)
			})
		}
	}
}

// BenchmarkMatmulFew is a token's largest linear layer of GPT-2 124M, with one and with four sequences; it counts w alone.
func BenchmarkMatmulFew(b *testing.B) {
	const K, OC = 768, 3072
	for _, n := range []int{1, 4} {
		b.Run(fmt.Sprintf("N=%d", n), func(b *testing.B) {
			c := gputest.New(b)
			p := gputest.Device(b).NewProgram(b.Name())
			op.MatmulForward{
				Out: c.Out("out", n, OC), X: c.In("x", gputest.Rand(1, n*K, 1), n, K), W: c.In("w", gputest.Rand(2, OC*K, 1), OC, K),
			}.AddTo(p)
			gputest.Bench(b, 0, 4*K*OC, p)
		})
	}
}

// matmulForwardForms runs two epilogues of the forward, one into a window of wider rows.
func matmulForwardForms(t *testing.T, s gpu.Storage, rows, cols, depth int) {
	const col = 8
	tol := gputest.Tolerance{Terms: depth + 2, Scale: 1}
	t.Run("forward", func(t *testing.T) {
		oc, stride := cols-1, col+cols // a last quad with a column too many
		x, w := gputest.Round(s, gputest.Rand(1, rows*depth, 1)), gputest.Round(s, gputest.Rand(2, oc*depth, 1))
		want := make([]float64, rows*oc)
		ref.MatmulForward(want, x, w, nil, rows, depth, oc)
		c := gputest.New(t)
		mm := op.MatmulForward{
			Out: c.InOutAs(s, "out", make([]float64, rows*stride), rows, stride), X: c.InAs(s, "x", x, rows, depth), W: c.InAs(s, "w", w, oc, depth), Col: col,
		}
		c.Run(func(p *gpu.Program) { mm.AddTo(p) })
		tol := tol
		tol.Storage = s
		checkColumns(t, c.Got(mm.Out), want, rows, stride, col, oc, tol)
	})
	t.Run("bias_gelu", func(t *testing.T) {
		x, w, b := gputest.Round(s, gputest.Rand(1, rows*depth, 1)), gputest.Round(s, gputest.Rand(2, cols*depth, 1)), gputest.Rand(3, cols, 1)
		pre, act := make([]float64, rows*cols), make([]float64, rows*cols)
		ref.MatmulForward(pre, x, w, b, rows, depth, cols)
		c := gputest.New(t)
		mm := op.MatmulForward{
			Out: c.OutAs(s, "out", rows, cols), Pre: c.OutAs(s, "pre", rows, cols),
			X: c.InAs(s, "x", x, rows, depth), W: c.InAs(s, "w", w, cols, depth), Bias: c.In("bias", b, cols),
		}
		c.Run(func(p *gpu.Program) { mm.AddTo(p) })
		c.Check(mm.Pre, pre, tol)
		ref.GELUForward(act, c.Got(mm.Pre))
		c.Check(mm.Out, act, tol)
	})
}

// matmulForms runs the three forms so that each has a result of rows x cols and sums of depth.
func matmulForms(t *testing.T, s gpu.Storage, rows, cols, depth int) {
	const col = 8
	tol := gputest.Tolerance{Terms: depth + 2, Scale: 1}
	matmulForwardForms(t, s, rows, cols, depth)
	t.Run("backward_dx", func(t *testing.T) {
		oc := depth - 1
		wide := gputest.Round(s, gputest.Rand(1, rows*(col+depth), 1))
		dout := make([]float64, rows*oc)
		for n := range rows {
			copy(dout[n*oc:(n+1)*oc], wide[n*(col+depth)+col:])
			wide[n*(col+depth)+col+oc] = 0
		}
		w, base := gputest.Round(s, gputest.Rand(2, oc*cols, 1)), gputest.Rand(3, rows*cols, 1)
		plain, sum := make([]float64, rows*cols), make([]float64, rows*cols)
		ref.MatmulBackwardDX(plain, dout, w, rows, cols, oc)
		ref.Add(sum, plain, base)
		for _, add := range []bool{false, true} {
			c := gputest.New(t)
			mm := op.MatmulBackwardDX{DOut: c.InAs(s, "dout", wide, rows, col+depth), W: c.InAs(s, "w", w, oc, cols), Col: col, Add: add}
			want := plain
			if add {
				mm.DX, want = c.InOut("dx", base, rows, cols), sum
			} else {
				mm.DX = c.OutAs(s, "dx", rows, cols)
			}
			c.Run(func(p *gpu.Program) { mm.AddTo(p) })
			c.Check(mm.DX, want, tol)
		}
	})
	t.Run("backward_dw", func(t *testing.T) {
		n, stride := depth-1, col+(rows+3)/4*4
		wide, dout := gputest.Round(s, gputest.Rand(1, n*stride, 1)), make([]float64, n*rows)
		for i := range n {
			copy(dout[i*rows:(i+1)*rows], wide[i*stride+col:])
		}
		x, dw := gputest.Round(s, gputest.Rand(2, n*cols, 1)), gputest.Rand(3, rows*cols, 1)
		want := append([]float64(nil), dw...)
		ref.MatmulBackwardDW(want, dout, x, n, cols, rows)
		c := gputest.New(t)
		mm := op.MatmulBackwardDW{DW: c.InOut("dw", dw, rows, cols), DOut: c.InAs(s, "dout", wide, n, stride), X: c.InAs(s, "x", x, n, cols), Col: col}
		c.Run(func(p *gpu.Program) { mm.AddTo(p) })
		c.Check(mm.DW, want, tol)
	})
}

// checkColumns compares columns [col,col+oc) of wide rows, and wants zeros before them.
func checkColumns(t *testing.T, wide, want []float64, rows, stride, col, oc int, tol gputest.Tolerance) {
	t.Helper()
	for n := range rows {
		row := wide[n*stride : (n+1)*stride]
		for i, v := range row[:col] {
			if v != 0 {
				t.Fatalf("row %d: column %d before the window was written: %v", n, i, v)
			}
		}
		if err := gputest.Compare(row[col:col+oc], want[n*oc:(n+1)*oc], tol); err != nil {
			t.Errorf("row %d: %v", n, err)
		}
	}
}

func BenchmarkMatmul(b *testing.B) {
	const n, k, oc = 1024, 768, 3072
	for name, add := range map[string]func(c *gputest.Case, p *gpu.Program){
		"forward": func(c *gputest.Case, p *gpu.Program) {
			op.MatmulForward{Out: c.Out("out", n, oc), X: c.In("x", gputest.Rand(1, n*k, 1), n, k), W: c.In("w", gputest.Rand(2, oc*k, 1), oc, k)}.AddTo(p)
		},
		"backward_dx": func(c *gputest.Case, p *gpu.Program) {
			op.MatmulBackwardDX{DX: c.Out("dx", n, k), DOut: c.In("dout", gputest.Rand(1, n*oc, 1), n, oc), W: c.In("w", gputest.Rand(2, oc*k, 1), oc, k)}.AddTo(p)
		},
		"backward_dw": func(c *gputest.Case, p *gpu.Program) {
			op.MatmulBackwardDW{DW: c.InOut("dw", make([]float64, oc*k), oc, k), DOut: c.In("dout", gputest.Rand(1, n*oc, 1), n, oc), X: c.In("x", gputest.Rand(2, n*k, 1), n, k)}.AddTo(p)
		},
	} {
		b.Run(fmt.Sprintf("%s/N=%d,K=%d,OC=%d", name, n, k, oc), func(b *testing.B) {
			c := gputest.New(b)
			p := gputest.Device(b).NewProgram(name)
			add(c, p)
			gputest.Bench(b, 2*n*k*oc, 0, p)
		})
	}
}
