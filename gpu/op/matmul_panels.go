package op

import (
	"fmt"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// The sizes of matmul_panels' scratch and uniforms.
const (
	panelWide    = 800     // columns of the sums: WIDE, whose block stays in a CPU's cache from slice to slice
	panelMost    = 512     // rows of a block at most
	panelFloats  = 1 << 20 // of the packed piece
	panelWindow  = 16384   // floats of a uniform binding
	panelThreads = 64      // of the packing kernels
)

// panelTile is the geometry of matmul_panels: WG threads and rows, tiles of 4*TC4 columns and 4*KS4 addends. WG*4*KS4 floats are 1, 2,
// 4 or 8 windows.
type panelTile struct{ WG, TC4, KS4 int }

func (t panelTile) cols() int    { return 4 * t.TC4 }
func (t panelTile) depth() int   { return 4 * t.KS4 }
func (t panelTile) wide() int    { return panelWide / t.cols() * t.cols() } // columns at a time
func (t panelTile) windows() int { return t.WG * t.depth() / panelWindow }

// panels is the scratch of matmul_panels, 5.6 MiB, which the programs of a Setup share: they run one after the other.
type panels struct {
	a    gpu.Tensor // a packed piece of a, in rows of a window
	sums gpu.Tensor // (panelMost, panelWide)
}

func panelsOf(p *Builder) *panels {
	if p.panels != nil {
		return p.panels
	}
	d, made := p.Device(), &panels{}
	var err error
	made.a, err = d.NewUniform(gpu.Scratch, "matmul panels", gpu.F32, panelFloats/panelWindow, panelWindow)
	if err != nil {
		p.Fail("%w", err)
		return nil
	}
	if made.sums, err = d.NewTensor(gpu.Scratch, "matmul sums", gpu.F32, panelMost, panelWide); err != nil {
		p.Fail("%w", err)
		return nil
	}
	p.panels = made
	return made
}

// factors are a product's operands as matmul_panels takes them: a by packed blocks of rows, b by tiles of columns.
type factors struct {
	a, b        gpu.Tensor
	pack, tile  string // the kernel that packs a, the fragment that reads b
	aStride     int    // of a's rows
	aCol        int
	stride, col int // of the result's rows
}

func (m matmul) factors() factors {
	stride, col := int(m.params.STRIDE), int(m.params.COL)
	switch m.name {
	case "matmul_forward":
		return factors{m.bind["x"], m.bind["w"], "matmul_panel_rows", "tile_columns", m.sums, 0, stride, col}
	case "matmul_backward_dx":
		return factors{m.bind["dout"], m.bind["w"], "matmul_panel_rows", "tile_rows", stride, col, m.cols, 0}
	default:
		return factors{m.bind["dout"], m.bind["x"], "matmul_panel_columns", "tile_rows", stride, col, m.cols, 0}
	}
}

// impossible says whether the kernels have no such geometry.
func (t panelTile) impossible() bool {
	w := t.windows()
	return t.TC4 < 1 || t.KS4 < 1 || t.TC4*t.KS4 > mostTile || t.cols() > panelWide ||
		t.WG < panelLeast || t.WG > panelMost || t.WG&(t.WG-1) != 0 ||
		w*panelWindow != t.WG*t.depth() || w > 8 || w&(w-1) != 0
}

// addPanels appends a product by blocks of rows and some panelWide columns: a piece of a is packed, and its slices are added up.
func (m matmul) addPanels(p *Builder, tile panelTile) {
	held := panelsOf(p)
	if p.Err() != nil {
		return
	}
	f := m.factors()
	for row := 0; row < m.rows; row += tile.WG {
		for tile.WG > panelLeast && m.rows-row <= tile.WG/2 {
			tile.WG /= 2
		}
		piece := panelFloats / tile.WG / tile.depth() * tile.depth() // addends that the buffer holds
		packed := -1
		for from := 0; from < m.cols; from += tile.wide() {
			for depth := 0; depth < m.sums; depth += tile.depth() {
				if start := depth / piece * piece; start != packed {
					m.addPack(p, f, held, tile, row, start, min(piece, m.sums-start))
					packed = start
				}
				m.addSlice(p, f, held, tile, row, from, depth, (depth-packed)/tile.depth())
			}
		}
	}
}

// addPack appends the packing of addends [depth, depth+n) of the block of rows from row on; whole slices are written.
func (m matmul) addPack(p *Builder, f factors, held *panels, tile panelTile, row, depth, n int) {
	quads := ceilDiv(n, tile.depth()) * tile.KS4
	threads := quads * tile.WG / 4
	p.Add(gpu.Dispatch{
		Source: source(p, f.pack, store(f.a), shaders.Spec{"WG": tile.WG}),
		Bind:   map[string]gpu.Tensor{"panel": held.a, "a": f.a},
		Params: struct{ ROWS, SUMS, STRIDE, COL, ROW, DEPTH, QUADS uint32 }{
			u32(m.rows), u32(m.sums), u32(f.aStride), u32(f.aCol), u32(row), u32(depth), u32(quads),
		},
		Groups: [3]uint32{u32(ceilDiv(threads, panelThreads)), 1, 1},
		Bytes:  (width(f.a) + 4) * float64(n) * float64(min(tile.WG, m.rows-row)),
	})
}

// addSlice appends the slice of addends from depth on, the at-th of the packed piece.
func (m matmul) addSlice(p *Builder, f factors, held *panels, tile panelTile, row, from, depth, at int) {
	rows, cols, n := min(tile.WG, m.rows-row), min(tile.wide(), m.cols-from), min(tile.depth(), m.sums-depth)
	first, last := depth == 0, depth+tile.depth() >= m.sums
	choice := store(f.a)
	choice["panels"], choice["tile"], choice["epilogue"] = fmt.Sprintf("panels_%d", tile.windows()), f.tile, "epilogue_store"
	bind := map[string]gpu.Tensor{"b": f.b, "sums": held.sums, "out": m.bind["out"]}
	for i := range tile.windows() {
		w := at*tile.windows() + i
		bind[fmt.Sprintf("panel%d", i)] = held.a.Rows(w, w+1)
	}
	bytes := width(f.b) * float64(n) * float64(cols)
	if last {
		choice["epilogue"] = m.epilogue
		for _, name := range []string{"bias", "pre", "residual"} {
			if t := m.bind[name]; !t.None() {
				bind[name] = t
			}
		}
		bytes += width(m.bind["out"]) * float64(rows) * float64(cols)
	} else if m.bind["out"].Storage() != f.a.Storage() {
		choice["epilogue"] = "epilogue_store_f32" // not called: it declares out
	}
	src := source(p, "matmul_panels", choice, shaders.Spec{"WG": tile.WG, "TC4": tile.TC4, "KS4": tile.KS4, "FIRST": first, "LAST": last})
	src.Label = strings.Replace(src.Label, "/", "/"+m.name+"/", 1)
	p.Add(gpu.Dispatch{
		Source: src,
		Bind:   bind,
		Params: struct{ ROWS, COLS, SUMS, STRIDE, COL, ROW, FROM, DEPTH uint32 }{
			u32(m.rows), u32(m.cols), u32(m.sums), u32(f.stride), u32(f.col), u32(row), u32(from), u32(depth),
		},
		Groups: [3]uint32{u32(ceilDiv(cols, tile.cols())), 1, 1},
		FLOPs:  2 * float64(rows) * float64(cols) * float64(n),
		Bytes:  bytes,
	})
}

// panelLeast is the fewest rows of a block: with 64 a CPU is no faster than with the direct kernels.
const panelLeast = 128
