package op

import (
	"maps"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

// product is C = A·B, finished by an epilogue: a linear layer or one of its gradients.
type product struct {
	op               string // matmul_forward | matmul_backward_dx | matmul_backward_dw | muon
	rows, cols, sums int    // of C; the length of each sum
	batch            int    // products that lie one after another in all tensors, in one dispatch; 0: one product
	a, b             operand
	out              operand // C
	epilogue         string
	more             map[string]gpu.Tensor // the epilogue's other tensors, by its names for them
}

// operand is a matrix of a product in memory.
type operand struct {
	gpu.Tensor
	stride    int  // of its rows; b's are as long as b
	col       int  // the first column that counts; b's is 0
	byColumns bool // it is transposed in memory: a (sums,rows), b (cols,sums)
}

// newProduct returns the product of an op without its tensors. x and w are (N,K) and (OC,K), the gradient of the output
// is (N,OC):
//
//	matmul_forward       x · w^T
//	matmul_backward_dx   dout · w
//	matmul_backward_dw   dout^T · x
func newProduct(op string, rows, cols, sums int) product {
	return product{op: op, rows: rows, cols: cols, sums: sums, more: map[string]gpu.Tensor{},
		a: operand{byColumns: op == "matmul_backward_dw"}, b: operand{byColumns: op == "matmul_forward"}}
}

// checkColumns checks oc columns of wide, of which only those count, and the length of b's rows.
func (m product) checkColumns(p *Builder, wide operand, oc int, exact bool) {
	switch {
	case m.b.stride%4 != 0:
		p.Fail("%s: K = %d, want a multiple of 4", m.op, m.b.stride)
	case wide.stride%4 != 0 || wide.col%4 != 0:
		p.Fail("%s: rows of %d columns from column %d, want multiples of 4", m.op, wide.stride, wide.col)
	case exact && (wide.stride != oc || wide.col != 0), wide.col+ceilDiv(oc, 4)*4 > wide.stride:
		p.Fail("%s: columns [%d,%d) in rows of %d", m.op, wide.col, wide.col+oc, wide.stride)
	}
}

// algorithm is a way to compute products with kernels of its own.
type algorithm interface {
	possible(t MatmulTile) bool        // the kernels have such a geometry
	cols(t MatmulTile) int             // of a group's part of the result
	bytes(t MatmulTile) int            // of workgroup memory
	fits(t MatmulTile, m product) bool // the kernels compute the product
	longSums() bool                    // it needs no slices of long sums
	batches() bool                     // it computes several products of transposed matrices in one dispatch
	add(p *Builder, t MatmulTile, m product)
}

// algorithms are those of MatmulTile by name. Files for one device only add theirs.
var algorithms = map[string]algorithm{"direct": direct{}, "tiled": tiled{}, "split": split{}}

// addTo appends the product with the tile that measuring has chosen for it, or else with the target's.
func (m product) addTo(p *Builder) {
	if p.Err() != nil {
		return
	}
	tile := p.Target.productFor(m)
	if n := p.Target.Slice.of(m.op); n > 0 && n < m.sums && m.sliceable() && !tile.algorithm().longSums() {
		m.slices(n, func(part product) { part.addTo(p) }) // each with the tile for its own size
		return
	}
	if t := p.tuned(m.use).Matmul; t != nil && t.algorithm().fits(*t, m) {
		tile = *t
	}
	if !tile.algorithm().fits(tile, m) {
		p.Fail("%s: no tile of the target computes it", m.op)
		return
	}
	if tile.Slice > 0 && m.sliceable() {
		m.slices(tile.Slice, func(part product) { tile.algorithm().add(p, tile, part) })
		return
	}
	tile.algorithm().add(p, tile, m)
}

// sliceable says whether the sums may be added up slice by slice: in float32, with nothing behind them, and where a
// slice of b is some of its rows.
func (m product) sliceable() bool {
	return !m.b.byColumns && m.out.Storage() == gpu.F32 && m.more["pre"].None()
}

// slices calls each with the products of n addends that the sums of m are made of, in their order.
func (m product) slices(n int, each func(product)) {
	for lo := 0; lo < m.sums; lo += n {
		hi := min(lo+n, m.sums)
		part := m
		part.sums, part.b.Tensor = hi-lo, m.b.Rows(lo, hi)
		if m.a.byColumns {
			part.a.Tensor = m.a.Rows(lo, hi)
		} else {
			part.a.col += lo
		}
		if lo > 0 {
			part.epilogue = "epilogue_add"
		}
		each(part)
	}
}

// source returns the text of one of the product's kernels, with its op in the label.
func (m product) source(p *Builder, kernel string, choice shaders.Choice, spec shaders.Spec) wgsl.Text {
	choice["store"] = "store_" + m.a.Storage().String()
	src := source(p, kernel, choice, spec)
	src.Label = kernel + "/" + m.op + strings.TrimPrefix(src.Label, kernel)
	return src
}

// fragment names the fragment that loads the operand called name.
func (o operand) fragment(name string) string {
	if o.byColumns {
		return name + "_columns"
	}
	return name + "_rows"
}

// oneDispatch appends the product as one dispatch of a kernel that loads both operands.
func (m product) oneDispatch(p *Builder, kernel string, t MatmulTile, choice shaders.Choice, spec shaders.Spec) {
	choice["epilogue"] = m.epilogue
	bind := maps.Clone(m.more)
	bind["a"], bind["b"], bind["out"] = m.a.Tensor, m.b.Tensor, m.out.Tensor
	p.Add(gpu.Dispatch{
		Source: m.source(p, kernel, choice, spec),
		Bind:   bind,
		Params: struct{ ROWS, COLS, SUMS, ASTRIDE, ACOL, STRIDE, COL uint32 }{
			u32(m.rows), u32(m.cols), u32(m.sums), u32(m.a.stride), u32(m.a.col), u32(m.out.stride), u32(m.out.col),
		},
		Groups: [3]uint32{u32(ceilDiv(m.cols, t.Cols())), u32(ceilDiv(m.rows, t.Rows())), 1},
		FLOPs:  m.flops(),
		Bytes:  m.bytes(),
	})
}

func (m product) flops() float64 {
	return 2 * float64(max(1, m.batch)) * float64(m.rows) * float64(m.cols) * float64(m.sums)
}

// bytes counts the operands and the result once.
func (m product) bytes() float64 {
	one := width(m.out.Tensor)*float64(m.rows)*float64(m.cols) +
		width(m.a.Tensor)*float64(m.sums)*float64(m.rows+m.cols)
	return float64(max(1, m.batch)) * one
}
