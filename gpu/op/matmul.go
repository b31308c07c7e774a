package op

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// MatmulForward is PyTorch's Linear: Out = X @ W^T, with what follows fused into its end.
//
//	Bias:                 Out = X @ W^T + Bias
//	Bias, Pre:            Pre = X @ W^T + Bias, Out = GELU(Pre)
//	Bias, Residual:       Out = Residual + X @ W^T + Bias, the stream in float32
//
// X, W and what is not said to be float32 share a storage; Out alone may be float32 too where it is no more than X @ W^T.
// Col places the columns of Out at [Col, Col+OC) of wider rows, for a window of the vocabulary; Col % 4 == 0, and Out's rows
// then hold OC rounded up to 4 columns from Col on.
type MatmulForward struct {
	Out, Pre       gpu.Tensor // (N,OC) (N,OC)
	X, W           gpu.Tensor // (N,K) (OC,K)
	Bias, Residual gpu.Tensor // (OC) (N,OC) float32
	Col            int
}

// AddTo checks shapes and appends the dispatch. K % 4 == 0.
func (op MatmulForward) AddTo(p *gpu.Program) {
	const name = "matmul_forward"
	n, k, oc := op.X.Dim(0), op.X.Dim(1), op.W.Dim(0)
	stride := op.Out.Dim(1)
	p.Want(name, "x", op.X, n, k)
	p.Want(name, "w", op.W, oc, k)
	p.Want(name, "out", op.Out, n, stride)
	m := matmul{name: name, rows: n, cols: oc, sums: k, params: matmulParams{u32(n), u32(k), u32(oc), u32(stride), u32(op.Col)}}
	m.bind = map[string]gpu.Tensor{"x": op.X, "w": op.W, "out": op.Out}
	m.epilogue = storeSums(op.Out, op.X)
	if !op.Bias.None() {
		p.Want(name, "bias", op.Bias, oc)
		m.epilogue, m.bind["bias"] = "epilogue_bias", op.Bias
	}
	if !op.Pre.None() {
		p.Want(name, "pre", op.Pre, n, oc)
		m.epilogue, m.bind["pre"] = "epilogue_bias_gelu", op.Pre
	}
	if !op.Residual.None() {
		p.Want(name, "residual", op.Residual, n, oc)
		m.epilogue, m.bind["residual"] = "epilogue_bias_residual", op.Residual
	}
	if op.Bias.None() && (!op.Pre.None() || !op.Residual.None()) || !op.Pre.None() && !op.Residual.None() {
		p.Fail("%s: want Bias with Pre or with Residual", name)
	}
	m.checkColumns(p, oc, stride, op.Col, !op.Bias.None())
	m.addTo(p)
}

// MatmulBackwardDX is the gradient of X: DX = DOut @ W.
//
//	Pre:    DX = (DOut @ W) * GELU'(Pre)
//	Add:    DX += DOut @ W, in float32
type MatmulBackwardDX struct {
	DX      gpu.Tensor // (N,K) DOut's storage, or float32 without Pre
	DOut, W gpu.Tensor // (N,OC) (OC,K)
	Pre     gpu.Tensor // (N,K)
	Col     int        // DOut's columns [Col, Col+OC) of wider rows, zero up to the next multiple of 4
	Add     bool
}

// AddTo checks shapes and appends the dispatch. K % 4 == 0.
func (op MatmulBackwardDX) AddTo(p *gpu.Program) {
	const name = "matmul_backward_dx"
	n, stride, oc, k := op.DOut.Dim(0), op.DOut.Dim(1), op.W.Dim(0), op.W.Dim(1)
	p.Want(name, "dx", op.DX, n, k)
	p.Want(name, "dout", op.DOut, n, stride)
	p.Want(name, "w", op.W, oc, k)
	m := matmul{name: name, rows: n, cols: k, sums: oc, params: matmulParams{u32(n), u32(k), u32(oc), u32(stride), u32(op.Col)}}
	m.bind = map[string]gpu.Tensor{"dout": op.DOut, "w": op.W, "out": op.DX}
	switch {
	case op.Add && op.Pre.None():
		m.epilogue = "epilogue_add"
	case op.Add:
		p.Fail("%s: Add and Pre exclude each other", name)
	case !op.Pre.None():
		p.Want(name, "pre", op.Pre, n, k)
		m.epilogue, m.bind["pre"] = "epilogue_dgelu", op.Pre
	default:
		m.epilogue = storeSums(op.DX, op.DOut)
	}
	m.checkColumns(p, oc, stride, op.Col, false)
	if step := matmulDepth(p.Device(), m, 512); step < oc && op.Pre.None() && op.DX.Storage() == gpu.F32 && p.Err() == nil {
		for lo := 0; lo < oc; lo += step {
			slice := op
			slice.W, slice.Col, slice.Add = op.W.Rows(lo, min(lo+step, oc)), op.Col+lo, op.Add || lo > 0
			slice.AddTo(p)
		}
		return
	}
	m.addTo(p)
}

// MatmulBackwardDW is the gradient of W, accumulated: DW += DOut^T @ X.
type MatmulBackwardDW struct {
	DW      gpu.Tensor // (OC,K) float32
	DOut, X gpu.Tensor // (N,OC) (N,K)
	Col     int        // DOut's columns [Col, Col+OC) of wider rows
}

// AddTo checks shapes and appends the dispatch. K % 4 == 0.
func (op MatmulBackwardDW) AddTo(p *gpu.Program) {
	const name = "matmul_backward_dw"
	n, stride, oc, k := op.DOut.Dim(0), op.DOut.Dim(1), op.DW.Dim(0), op.X.Dim(1)
	p.Want(name, "dw", op.DW, oc, k)
	p.Want(name, "dout", op.DOut, n, stride)
	p.Want(name, "x", op.X, n, k)
	m := matmul{name: name, rows: oc, cols: k, sums: n, params: matmulParams{u32(n), u32(k), u32(oc), u32(stride), u32(op.Col)}}
	m.bind = map[string]gpu.Tensor{"dout": op.DOut, "x": op.X, "out": op.DW}
	m.epilogue = "epilogue_add"
	m.checkColumns(p, oc, stride, op.Col, false)
	if step := matmulDepth(p.Device(), m, 256); step < n && p.Err() == nil {
		for lo := 0; lo < n; lo += step {
			slice := op
			slice.DOut, slice.X = op.DOut.Rows(lo, min(lo+step, n)), op.X.Rows(lo, min(lo+step, n))
			slice.AddTo(p)
		}
		return
	}
	m.addTo(p)
}

// matmulDepth returns how many addends of its sums one dispatch of a product takes. The backward forms walk down columns, each
// row in another page of memory: beyond 256 to 512 rows a CPU's caches and page tables hold them no longer. Measured on lavapipe,
// 16x16 sums a thread, GFLOP/s of 90, whole and sliced: dx of 256x768, depth 8192, 23 and 34; of 512x768, depth 2304, 28 and 36;
// dw of 768x768, depth 4096, 21 and 31. Slices add to the result, so they need it in float32. Panels have slices of their own.
func matmulDepth(d *gpu.Device, m matmul, slice int) int {
	switch {
	case matmulTileFor(d, m).Panel.WG > 0:
		return m.sums
	case matmulSlice > 0:
		return matmulSlice
	case d.Info.Software():
		return slice
	}
	return m.sums
}

// matmulSlice replaces the depth of a slice in tests.
var matmulSlice int

// storeSums returns the epilogue that stores sums alone: in the operands' storage, or in float32.
func storeSums(out, operand gpu.Tensor) string {
	if out.Storage() == gpu.F32 && operand.Storage() != gpu.F32 {
		return "epilogue_store_f32"
	}
	return "epilogue_store"
}

// matmulParams is the struct Params of every matmul kernel.
type matmulParams struct{ N, K, OC, STRIDE, COL uint32 }

// matmul is what the three forms share.
type matmul struct {
	name, epilogue   string
	rows, cols, sums int // of the result; the length of each sum
	bind             map[string]gpu.Tensor
	params           matmulParams
}

func (m matmul) checkColumns(p *gpu.Program, oc, stride, col int, exact bool) {
	switch {
	case m.params.K%4 != 0:
		p.Fail("%s: K = %d, want a multiple of 4", m.name, m.params.K)
	case stride%4 != 0 || col%4 != 0:
		p.Fail("%s: rows of %d columns from column %d, want multiples of 4", m.name, stride, col)
	case exact && (stride != oc || col != 0), col+ceilDiv(oc, 4)*4 > stride:
		p.Fail("%s: columns [%d,%d) in rows of %d", m.name, col, col+oc, stride)
	}
}

func (m matmul) addTo(p *gpu.Program) {
	if p.Err() != nil {
		return
	}
	tile := matmulTileFor(p.Device(), m)
	if t, ok := tuned(p.Device(), m.use); ok && t.Matmul != nil && matmulTable == nil {
		tile = *t.Matmul
	}
	if tile.Panel.WG > 0 {
		m.addPanels(p, tile.Panel)
		return
	}
	data := m.bind["x"]
	if data.None() {
		data = m.bind["dout"]
	}
	choice := store(data)
	choice["epilogue"] = m.epilogue
	algorithm, spec := "_direct", shaders.Spec{"TN4": tile.TN4, "WX": tile.WX, "WY": tile.WY}
	switch {
	case tile.Split:
		algorithm, spec = "_split", shaders.Spec{"TM": tile.TM, "TN4": tile.TN4, "WG": tile.WX}
	case tile.BK > 0:
		algorithm, spec["TM"], spec["BK"] = "_tiled", tile.TM, tile.BK
	case m.name == "matmul_backward_dw":
		spec["TM4"] = tile.TM / 4
	default:
		spec["TM"] = tile.TM
	}
	bytes := width(m.bind["out"])*float64(m.rows)*float64(m.cols) + width(data)*float64(m.sums)*float64(m.rows+m.cols)
	p.Add(gpu.Dispatch{
		Source: source(p, m.name+algorithm, choice, spec),
		Bind:   m.bind,
		Params: m.params,
		Groups: [3]uint32{u32(ceilDiv(m.cols, tile.cols())), u32(ceilDiv(m.rows, tile.rows())), 1},
		FLOPs:  2 * float64(m.rows) * float64(m.cols) * float64(m.sums),
		Bytes:  bytes,
	})
}

// matmulTile is one geometry of the matmul kernels: WX x WY threads, each with TM rows and 4*TN4 columns of the result.
type matmulTile struct {
	TM, TN4, WX, WY int
	BK              int       `json:",omitempty"` // depth of the tiles in workgroup memory; 0: none, the _direct kernels
	Split           bool      `json:",omitempty"` // the WX threads share one TM x 4*TN4 piece and split the sums: matmul_forward_split
	Panel           panelTile `json:",omitzero"`  // matmul_panels; the numbers above are 0
	MinRows         int       `json:"-"`          // results with fewer rows take a later line
	MinCols         int       `json:"-"`
	MinGroups       int       `json:"-"` // results of fewer groups take a later line
	MinSums         int       `json:"-"` // shorter sums
}

func (t matmulTile) rows() int {
	if t.Panel.WG > 0 {
		return t.Panel.WG
	}
	return t.WY * t.TM
}

func (t matmulTile) cols() int {
	if t.Panel.WG > 0 {
		return t.Panel.cols()
	}
	if t.Split {
		return t.TN4 * 4
	}
	return t.WX * t.TN4 * 4
}

// bytes returns the workgroup memory: both tiles, each with a quad of padding a row, or each thread's sums.
func (t matmulTile) bytes() int {
	if t.Panel.WG > 0 {
		return 4 * t.Panel.depth() * t.Panel.cols()
	}
	if t.Split {
		return 4 * t.WX * t.rows() * t.cols()
	}
	return 4 * t.BK * (t.rows() + 4 + t.cols() + 4)
}

// matmulSoftware suits CPUs: panels for lavapipe where a product fills them, and register tiles, which save loads. Of 1024x768x3072 on
// lavapipe, GFLOP/s: panels 56 to 72, 16x16 sums a thread 41, 16x8 32, 8x8 29, 4x4 18. 16x12 are as fast as 16x16 and compile for 0.5 to
// 0.7 s at the first use, where those take up to 1.0; larger ones are no faster in any form and take 1 to 3 s.
var matmulSoftware = []matmulTile{
	{Panel: panelTile{512, 5, 64}, MinRows: 257, MinCols: 96, MinSums: 192},
	{Panel: panelTile{256, 5, 64}, MinRows: 129, MinCols: 96, MinSums: 192},
	{Panel: panelTile{256, 8, 32}, MinRows: 129, MinCols: 96, MinSums: 128},
	{Panel: panelTile{128, 8, 32}, MinRows: 81, MinCols: 96, MinSums: 128},
	{TM: 16, TN4: 3, WX: 8, WY: 1, MinRows: 9, MinCols: 65},
	{TM: 8, TN4: 2, WX: 8, WY: 1, MinRows: 5, MinCols: 0},
	{TM: 4, TN4: 1, WX: 8, WY: 1},
}

// matmulGPU holds geometries that are usual in the field for float32 through workgroup memory, 8 KiB of it: 128x128 by 8x8 sums
// a thread where that makes enough groups to fill a large device, 64x64 by 4x4 below, 32x32 by 4x4 for small results. They are
// right on software Vulkan, which tests them, and were not timed on a GPU.
var matmulGPU = []matmulTile{
	{TM: 8, TN4: 2, WX: 16, WY: 16, BK: 8, MinGroups: 128},
	{TM: 4, TN4: 1, WX: 16, WY: 16, BK: 16, MinGroups: 32},
	{TM: 4, TN4: 1, WX: 8, WY: 8, BK: 16},
}

// The few tables hold geometries of matmul_forward for the few rows that sampling has, one a sequence: reading w is all the work.
// On lavapipe (GB/s of w, best of 60, 768 -> 3072 and 768 -> 12576): one row with 1x8 sums a thread 7.8 and 8.6, with 4x4, which
// read x as often as w, 4.2 and 7.0; two rows 8.1 and 7.1, with 4x4 4.2 and 3.9; four rows 4.7 and 7.9, with 4x4 4.4 and 7.2.
// There the split lines reach 2.8 at best. GPUs want neighbours to read neighbours; on one they were not timed.
var (
	matmulFewSoftware = []matmulTile{
		{TM: 1, TN4: 2, WX: 8, WY: 1},
		{TM: 2, TN4: 2, WX: 8, WY: 1},
		{TM: 4, TN4: 2, WX: 8, WY: 1},
	}
	matmulFewGPU = []matmulTile{
		{TM: 1, TN4: 1, WX: 64, WY: 1, Split: true},
		{TM: 2, TN4: 1, WX: 64, WY: 1, Split: true},
		{TM: 4, TN4: 1, WX: 64, WY: 1, Split: true},
		{TM: 8, TN4: 1, WX: 64, WY: 1, Split: true},
	}
)

// matmulTable replaces the device's tables in tests.
var matmulTable []matmulTile

// matmulTileFor returns the first line of the device's tables that fits the result.
func matmulTileFor(d *gpu.Device, m matmul) matmulTile {
	table, few := matmulGPU, matmulFewGPU
	if d.Info.Software() {
		table, few = matmulSoftware, matmulFewSoftware
	}
	if matmulTable != nil {
		table, few = matmulTable, nil
	}
	for _, t := range few {
		if m.name == "matmul_forward" && m.rows <= t.rows() {
			return t
		}
	}
	for _, t := range table {
		if t.Panel.WG > 0 && !t.Panel.suits(d) {
			continue
		}
		if m.rows >= t.MinRows && m.cols >= t.MinCols && m.sums >= t.MinSums && ceilDiv(m.rows, t.rows())*ceilDiv(m.cols, t.cols()) >= t.MinGroups {
			return t
		}
	}
	return table[len(table)-1]
}
