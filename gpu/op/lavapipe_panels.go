package op

import (
	"fmt"
	"maps"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

func init() { algorithms["panels"] = panels{} }

// panels computes products by matmul_panels: blocks of rows of a, packed, by tiles of b, with the sums in scratch.
// A group has a thread for each row of a block, tiles of 4*TN4 columns and BK addends. WY*BK floats are 1, 2, 4 or 8
// windows.
type panels struct{}

// panelTile is the geometry of blocks of rows rows, tc4 quads of columns and ks4 quads of addends.
func panelTile(rows, tc4, ks4 int) MatmulTile {
	return MatmulTile{Algorithm: "panels", TM: 1, TN4: tc4, WX: 1, WY: rows, BK: 4 * ks4}
}

// The sizes of matmul_panels' scratch and uniforms.
const (
	panelWide    = 800     // columns of the sums: WIDE, whose block stays in a CPU's cache from slice to slice
	panelMost    = 512     // rows of a block at most
	panelLeast   = 128     // and at least: with 64 a CPU is no faster than with the direct kernels
	panelFloats  = 1 << 20 // of the packed piece
	panelWindow  = 16384   // floats of a uniform binding
	panelThreads = 64      // of the packing kernels
)

func panelWindows(t MatmulTile) int { return t.WY * t.BK / panelWindow }

func (panels) possible(t MatmulTile) bool {
	w := panelWindows(t)
	return t.TM == 1 && t.WX == 1 && between(1, t.TN4, t.WY, t.BK) && t.BK%4 == 0 && t.TN4*t.BK <= 4*mostTile &&
		t.Cols() <= panelWide && t.WY >= panelLeast && t.WY <= panelMost && t.WY&(t.WY-1) == 0 &&
		w*panelWindow == t.WY*t.BK && w <= 8 && w&(w-1) == 0 && t.Slice == 0
}

func (panels) cols(t MatmulTile) int         { return 4 * t.TN4 }
func (panels) bytes(t MatmulTile) int        { return 4 * t.BK * t.Cols() }
func (panels) fits(MatmulTile, product) bool { return true }
func (panels) longSums() bool                { return true }
func (panels) batches() bool                 { return false }

// add appends a product by blocks of rows and some panelWide columns: a piece of a is packed, and its slices are added
// up.
func (panels) add(p *Builder, t MatmulTile, m product) {
	// 5.6 MiB: a packed piece of a, in rows of a window, and the sums of a block.
	packed := p.shared("matmul panels", p.dev.NewUniform, panelFloats/panelWindow, panelWindow)
	sums := p.shared("matmul sums", p.dev.NewTensor, panelMost, panelWide)
	if p.Err() != nil {
		return
	}
	wide := panelWide / t.Cols() * t.Cols() // columns at a time
	for row := 0; row < m.rows; row += t.WY {
		for t.WY > panelLeast && m.rows-row <= t.WY/2 {
			t.WY /= 2
		}
		piece := panelFloats / t.WY / t.BK * t.BK // addends that the buffer holds
		start := -1
		for from := 0; from < m.cols; from += wide {
			for depth := 0; depth < m.sums; depth += t.BK {
				if at := depth / piece * piece; at != start {
					addPack(p, t, m, packed, row, at, min(piece, m.sums-at))
					start = at
				}
				windows, first := panelWindows(t), (depth-start)/t.BK*panelWindows(t)
				addSlice(p, t, m, packed.Rows(first, first+windows), sums, row, from, depth, min(wide, m.cols-from))
			}
		}
	}
}

// addPack appends the packing of addends [depth, depth+n) of the block of rows from row on; whole slices are written.
func addPack(p *Builder, t MatmulTile, m product, packed gpu.Tensor, row, depth, n int) {
	quads := ceilDiv(n, t.BK) * t.BK / 4
	p.Add(gpu.Dispatch{
		Source: source(p, m.a.fragment("matmul_panel"), store(m.a.Tensor), shaders.Spec{"WG": t.WY}),
		Bind:   map[string]gpu.Tensor{"panel": packed, "a": m.a.Tensor},
		Params: struct{ ROWS, SUMS, STRIDE, COL, ROW, DEPTH, QUADS uint32 }{
			u32(m.rows), u32(m.sums), u32(m.a.stride), u32(m.a.col), u32(row), u32(depth), u32(quads),
		},
		Groups: [3]uint32{u32(ceilDiv(quads*t.WY/4, panelThreads)), 1, 1},
		Bytes:  (width(m.a.Tensor) + 4) * float64(n) * float64(min(t.WY, m.rows-row)),
	})
}

// addSlice appends the slice of addends from depth on, of which windows holds a's, for cols columns.
func addSlice(p *Builder, t MatmulTile, m product, windows, sums gpu.Tensor, row, from, depth, cols int) {
	rows, n := min(t.WY, m.rows-row), min(t.BK, m.sums-depth)
	first, last := depth == 0, depth+t.BK >= m.sums
	bind := map[string]gpu.Tensor{"b": m.b.Tensor, "sums": sums, "out": m.out.Tensor}
	for w := range windows.Dim(0) {
		bind[fmt.Sprintf("panel%d", w)] = windows.Rows(w, w+1)
	}
	epilogue, bytes := storeSums(m.out.Tensor, m.a.Tensor), width(m.b.Tensor)*float64(n)*float64(cols)
	if last { // otherwise it is not called: it declares out
		epilogue = m.epilogue
		maps.Copy(bind, m.more)
		bytes += width(m.out.Tensor) * float64(rows) * float64(cols)
	}
	p.Add(gpu.Dispatch{
		Source: m.source(p, "matmul_panels", shaders.Choice{
			"b": m.b.fragment("b"), "panels": fmt.Sprintf("panels_%d", windows.Dim(0)), "epilogue": epilogue,
		}, shaders.Spec{"WG": t.WY, "TC4": t.TN4, "KS4": t.BK / 4, "FIRST": first, "LAST": last}),
		Bind: bind,
		Params: struct{ ROWS, COLS, SUMS, STRIDE, COL, ROW, FROM, DEPTH uint32 }{
			u32(m.rows), u32(m.cols), u32(m.sums), u32(m.out.stride), u32(m.out.col), u32(row), u32(from), u32(depth),
		},
		Groups: [3]uint32{u32(ceilDiv(cols, t.Cols())), 1, 1},
		FLOPs:  2 * float64(rows) * float64(cols) * float64(n),
		Bytes:  bytes,
	})
}
