package op

import (
	"math"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// Muon takes one step of the optimizer Muon on matrices of equal shape: with g' = G times the clip scale
//
//	M = Mu M + g'      U = g' + Mu M      X = U / (|U| + 1e-7), turned if it has more rows than columns
//	five times: A = X X^T,  X = 3.4445 X + (-4.7750 A + 2.0315 A A) X
//	W = (1 - rate decay) W - rate sqrt(max(1, Rows/Cols)) X, turned back
//
// The five rounds bring the singular values of X near 1 (Newton-Schulz). Several matrices go through them together, as
// many as the scratch holds.
type Muon struct {
	Parts      []MuonPart
	Rows, Cols int // of each part, as PyTorch's Linear holds it (out,in)
	Scratch    MuonScratch
	Scalars    gpu.Tensor // (4) float32, uploaded each step: MuonScalars
	Norm       gpu.Tensor // (4) float32, GradientNorm's Out: nothing changes if skip is set
	Mu         float32
}

// MuonPart is Rows rows of a matrix of Cols columns, from row First on.
type MuonPart struct {
	W, M, G gpu.Tensor // (ROWS,Cols) float32: parameter and momentum, which are updated, and gradient
	Packed  gpu.Tensor // none, or (ROWS,Cols) bf16: takes W rounded
	First   int
}

// MuonScratch is memory that all shapes share, one after the other: MuonScratchLen values each, and Scale as many as
// there are parts at most.
type MuonScratch struct{ X, Y, Z, Scale gpu.Tensor }

// MuonScalars returns the factors of a step, computed in float64: 1 - rate*decay, rate, 0, 0.
func MuonScalars(rate, decay float64) [4]float32 {
	return [4]float32{float32(1 - rate*decay), float32(rate), 0, 0}
}

// muonScratch bounds the scratch, in bytes. For GPT-2 124M it is four of the largest matrices, whose products are 576
// groups of 64x64 sums at least: enough for a large GPU.
const muonScratch = 128 << 20

// MuonScratchLen returns the float32 values of X, Y and Z for this many matrices of Rows x Cols.
func (s *Setup) MuonScratchLen(parts, rows, cols int) int {
	return s.muonChunk(parts, rows, cols) * s.muonSlot(rows*cols)
}

// muonChunk returns how many of the parts share a dispatch.
func (s *Setup) muonChunk(parts, rows, cols int) int {
	return min(parts, max(1, muonScratch/3/4/s.muonSlot(rows*cols)))
}

// muonSlot returns the values from one matrix of a stack to the next, so that each may be bound by itself.
func (s *Setup) muonSlot(values int) int {
	unit := max(4, int(s.dev.Limits.OffsetAlignment/4))
	return ceilDiv(values, unit) * unit
}

// stack is matrices of equal shape, one after another in memory.
type stack struct {
	gpu.Tensor // flat float32
	count      int
	rows, cols int
	slot       int // values from one matrix to the next
}

// stackIn returns the stack of count matrices in scratch.
func (p *Builder) stackIn(t gpu.Tensor, count, rows, cols int) stack {
	s := stack{count: count, rows: rows, cols: cols, slot: p.muonSlot(rows * cols)}
	s.Tensor = t.Rows(0, count*s.slot)
	return s
}

// one returns the i-th matrix.
func (s stack) one(i int) gpu.Tensor {
	return s.Rows(i*s.slot, i*s.slot+s.rows*s.cols).View(s.rows, s.cols)
}

// dense says whether there is nothing between the matrices.
func (s stack) dense() bool { return s.slot == s.rows*s.cols }

// AddTo checks shapes and appends the dispatches. Rows % 4 == 0, Cols % 4 == 0.
func (op Muon) AddTo(p *Builder) {
	const name = "muon"
	p.wantQuads(name, "rows", op.Rows)
	p.wantQuads(name, "columns", op.Cols)
	p.Want(name, "scalars", op.Scalars, 4)
	p.Want(name, "norm", op.Norm, 4)
	for _, part := range op.Parts {
		all := part.W.Dim(0)
		for what, t := range map[string]gpu.Tensor{"w": part.W, "m": part.M, "g": part.G} {
			p.Want(name, what, t, all, op.Cols)
		}
		if part.First < 0 || part.First+op.Rows > all {
			p.Fail("%s: rows [%d,%d) of %v", name, part.First, part.First+op.Rows, part.W)
		}
		if !part.Packed.None() {
			p.Want(name, "packed", part.Packed, all, op.Cols)
		}
	}
	need := p.MuonScratchLen(len(op.Parts), op.Rows, op.Cols)
	for _, t := range []gpu.Tensor{op.Scratch.X, op.Scratch.Y, op.Scratch.Z} {
		if t.None() || t.Dim(0) < need {
			p.Fail("%s: scratch %v, want at least %d values (MuonScratchLen)", name, t, need)
		}
	}
	chunk := p.muonChunk(len(op.Parts), op.Rows, op.Cols)
	for lo := 0; lo < len(op.Parts) && p.Err() == nil; lo += chunk {
		op.addChunk(p, op.Parts[lo:min(lo+chunk, len(op.Parts))])
	}
}

// addChunk appends the step of parts that the scratch holds together.
func (op Muon) addChunk(p *Builder, parts []MuonPart) {
	n, tall := len(parts), op.Rows > op.Cols
	short, long := min(op.Rows, op.Cols), max(op.Rows, op.Cols)
	s := op.Scratch
	u := p.stackIn(s.Z, n, op.Rows, op.Cols)
	quads, slot := op.Rows*op.Cols/4, u.slot/4
	wg, per := p.Target.Reduce, p.Target.AdamW
	for i, part := range parts {
		p.Add(gpu.Dispatch{
			Source: source(p, "muon_momentum", nil, shaders.Spec{"WG": wg, "PER": per}),
			Bind:   map[string]gpu.Tensor{"m": part.M, "u": u.Tensor, "grad": part.G, "norm": op.Norm},
			Params: struct {
				COUNT, FROM, TO uint32
				MU              float32
			}{u32(quads), u32(part.First * op.Cols / 4), u32(i * slot), op.Mu},
			Groups: p.Groups1D(ceilDiv(quads, wg*per)),
			FLOPs:  5 * 4 * float64(quads),
			Bytes:  16 * 4 * float64(quads),
		})
	}
	scale := s.Scale.Rows(0, n)
	p.Add(gpu.Dispatch{
		Source: source(p, "muon_norm", nil, shaders.Spec{"WG": wg}),
		Bind:   map[string]gpu.Tensor{"scale": scale, "u": u.Tensor},
		Params: struct{ COUNT, SLOT uint32 }{u32(quads), u32(slot)},
		Groups: [3]uint32{u32(n), 1, 1},
		FLOPs:  8 * float64(n*quads),
		Bytes:  16 * float64(n*quads),
	})
	// X as (short,long) and turned.
	x, turned := p.stackIn(s.X, n, short, long), p.stackIn(s.Y, n, long, short)
	kept, to := x, turned
	if tall {
		kept, to = turned, x
	}
	p.Add(gpu.Dispatch{
		Source: source(p, "muon_start", nil, nil),
		Bind:   map[string]gpu.Tensor{"kept": kept.Tensor, "to": to.Tensor, "u": u.Tensor, "scale": scale},
		Params: struct{ ROWS, COLS, SLOT uint32 }{u32(op.Rows), u32(op.Cols), u32(slot)},
		Groups: turnGroups(u),
		FLOPs:  4 * float64(n*quads),
		Bytes:  48 * float64(n*quads),
	})
	// Each tensor holds one value after another, so that three are enough: X stays where it is until the next X is in
	// the third, whose A is used up by then.
	free := s.Z
	for round := range 5 {
		a := p.stackIn(free, n, short, short)
		stackProducts(p, a, turned, turned, "epilogue_store", stack{})
		b := p.stackIn(turned.Tensor, n, short, short)
		stackProducts(p, b, a, a, "epilogue_muon_square", a) // A is symmetric
		next := p.stackIn(free, n, short, long)
		stackProducts(p, next, b, x, "epilogue_muon_step", x) // and so is b A + c A A
		if free, x = x.Tensor, next; round < 4 || tall {
			turned = p.stackIn(turned.Tensor, n, long, short)
			p.Add(gpu.Dispatch{
				Source: source(p, "muon_turn", nil, nil),
				Bind:   map[string]gpu.Tensor{"to": turned.Tensor, "x": x.Tensor},
				Params: struct{ ROWS, COLS, SLOT uint32 }{u32(short), u32(long), u32(slot)},
				Groups: turnGroups(x),
				Bytes:  32 * float64(n*quads),
			})
		}
	}
	if tall {
		x = turned
	}
	for i, part := range parts {
		choice, moved := shaders.Choice{"copy": "copy_none"}, 12.0
		bind := map[string]gpu.Tensor{"param": part.W, "x": x.Tensor, "scalars": op.Scalars, "norm": op.Norm}
		if !part.Packed.None() {
			choice["copy"], bind["packed"] = "copy_"+part.Packed.Storage().String(), part.Packed
			moved = 14
		}
		p.Add(gpu.Dispatch{
			Source: source(p, "muon_update", choice, shaders.Spec{"WG": wg, "PER": per}),
			Bind:   bind,
			Params: struct {
				COUNT, FROM, TO uint32
				RATIO           float32
			}{u32(quads), u32(part.First * op.Cols / 4), u32(i * slot),
				float32(math.Sqrt(max(1, float64(op.Rows)/float64(op.Cols))))},
			Groups: p.Groups1D(ceilDiv(quads, wg*per)),
			FLOPs:  4 * 4 * float64(quads),
			Bytes:  4 * moved * float64(quads),
		})
	}
}

// turnGroups returns the groups of kernels whose threads turn 4 x 4 values each, 8 x 8 threads a group.
func turnGroups(s stack) [3]uint32 {
	return [3]uint32{u32(ceilDiv(s.cols, 32)), u32(ceilDiv(s.rows, 32)), u32(s.count)}
}

// stackProducts appends out_i = a_i^T b_i, finished by an epilogue that reads base_i: all in one dispatch where the
// tile's algorithm can do that.
func stackProducts(p *Builder, out, a, b stack, epilogue string, base stack) {
	if p.Err() != nil {
		return
	}
	m := product{op: "muon", rows: out.rows, cols: out.cols, sums: a.rows, epilogue: epilogue, batch: out.count,
		more: map[string]gpu.Tensor{}}
	m.a = operand{Tensor: a.Tensor, stride: a.cols, byColumns: true}
	m.b = operand{Tensor: b.Tensor, stride: b.cols}
	m.out = operand{Tensor: out.Tensor, stride: out.cols}
	tile := p.Target.productFor(m)
	if tile.algorithm().batches() && out.dense() && a.dense() && b.dense() {
		if base.count > 0 {
			m.more["base"] = base.Tensor
		}
		tile.algorithm().add(p, tile, m)
		return
	}
	m.batch = 0
	for i := range out.count {
		m.a.Tensor, m.b.Tensor, m.out.Tensor = a.one(i), b.one(i), out.one(i)
		if base.count > 0 {
			m.more = map[string]gpu.Tensor{"base": base.one(i)}
		}
		tile.algorithm().add(p, tile, m)
	}
}
