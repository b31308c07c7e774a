package op

import (
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// The sizes that matmul_panels has.
const (
	panelCols    = 32   // columns a group: TC
	panelDepth   = 128  // addends a slice: KS
	panelWide    = 1024 // columns of the sums: WIDE, whose block of 1 MiB stays in a CPU's cache from slice to slice
	panelQuads   = 4096 // of a uniform binding: WINDOW
	panelMost    = 256  // rows of a block at most
	panelBuffer  = 4096 // addends of panelMost rows that are packed at a time
	panelThreads = 64   // of the packing kernels
)

// panels is the scratch of matmul_panels, 5 MiB, one a device: its programs run one after the other.
type panels struct {
	a    gpu.Tensor // a packed piece of a, in rows of 64 quads
	sums gpu.Tensor // (panelMost, panelWide)
}

type panelsKey struct{}

func panelsOf(p *gpu.Program) *panels {
	d := p.Device()
	if held, ok := d.Value(panelsKey{}).(*panels); ok {
		return held
	}
	held := &panels{}
	var err error
	if held.a, err = d.NewUniform(gpu.Scratch, "matmul panels", gpu.F32, panelBuffer*panelMost/256, 256); err != nil {
		p.Fail("%w", err)
		return nil
	}
	if held.sums, err = d.NewTensor(gpu.Scratch, "matmul sums", gpu.F32, panelMost, panelWide); err != nil {
		p.Fail("%w", err)
		return nil
	}
	d.Set(panelsKey{}, held)
	return held
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

// addPanels appends a product by blocks of wg rows and panelWide columns: a piece of a is packed, and its slices are added up.
func (m matmul) addPanels(p *gpu.Program, wg int) {
	held := panelsOf(p)
	if p.Err() != nil {
		return
	}
	f := m.factors()
	piece := panelBuffer * panelMost / wg // addends that the buffer holds of wg rows
	for row := 0; row < m.rows; row += wg {
		packed := -1
		for from := 0; from < m.cols; from += panelWide {
			for depth := 0; depth < m.sums; depth += panelDepth {
				if start := depth / piece * piece; start != packed {
					m.addPack(p, f, held, wg, row, start, min(piece, m.sums-start))
					packed = start
				}
				m.addSlice(p, f, held, wg, row, from, depth, (depth-packed)/panelDepth)
			}
		}
	}
}

// addPack appends the packing of addends [depth, depth+n) of the wg rows from row on; whole slices are written.
func (m matmul) addPack(p *gpu.Program, f factors, held *panels, wg, row, depth, n int) {
	quads := ceilDiv(n, panelDepth) * panelDepth / 4
	threads := quads * wg
	if f.pack == "matmul_panel_columns" {
		threads /= 4
	}
	p.Add(gpu.Dispatch{
		Source: source(p, f.pack, store(f.a), shaders.Spec{"WG": wg}),
		Bind:   map[string]gpu.Tensor{"panel": held.a, "a": f.a},
		Params: struct{ ROWS, SUMS, STRIDE, COL, ROW, DEPTH, QUADS uint32 }{
			u32(m.rows), u32(m.sums), u32(f.aStride), u32(f.aCol), u32(row), u32(depth), u32(quads),
		},
		Groups: [3]uint32{u32(ceilDiv(threads, panelThreads)), 1, 1},
		Bytes:  (width(f.a) + 4) * float64(n) * float64(min(wg, m.rows-row)),
	})
}

// addSlice appends the slice of addends from depth on, which lies at place at of the packed piece.
func (m matmul) addSlice(p *gpu.Program, f factors, held *panels, wg, row, from, depth, at int) {
	rows, cols, n := min(wg, m.rows-row), min(panelWide, m.cols-from), min(panelDepth, m.sums-depth)
	first, last := depth == 0, depth+panelDepth >= m.sums
	slice := panelDepth / 4 * wg / 64 // rows of held.a
	window := min(slice, panelQuads/64)
	choice := store(f.a)
	choice["tile"], choice["epilogue"] = f.tile, "epilogue_store"
	bind := map[string]gpu.Tensor{
		"b": f.b, "sums": held.sums, "out": m.bind["out"],
		"panel0": held.a.Rows(at*slice, at*slice+window), "panel1": held.a.Rows((at+1)*slice-window, (at+1)*slice),
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
	src := source(p, "matmul_panels", choice, shaders.Spec{"WG": wg, "FIRST": first, "LAST": last, "HALF": window * 64 / wg})
	src.Label = strings.Replace(src.Label, "/", "/"+m.name+"/", 1)
	p.Add(gpu.Dispatch{
		Source: src,
		Bind:   bind,
		Params: struct{ ROWS, COLS, SUMS, STRIDE, COL, ROW, FROM, DEPTH uint32 }{
			u32(m.rows), u32(m.cols), u32(m.sums), u32(f.stride), u32(f.col), u32(row), u32(from), u32(depth),
		},
		Groups: [3]uint32{u32(ceilDiv(cols, panelCols)), 1, 1},
		FLOPs:  2 * float64(rows) * float64(cols) * float64(n),
		Bytes:  bytes,
	})
}
