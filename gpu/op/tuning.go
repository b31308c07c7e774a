package op

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/bits"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

// Tuning is what measuring has chosen on a device: tiles by the class of their uses. Classes that it lacks take the
// target's own tile, as all do without a Tuning. It is JSON in the cache of gpu/tune and in checkpoints.
type Tuning map[string]Tile

// Use is one use of a tuned op in a program: what it takes to run it again on data of one's own.
type Use struct {
	Op      string              `json:"op"`
	Class   string              `json:"class"`  // shares a tile: op, storage, dimensions rounded up to powers of two
	Detail  string              `json:"detail"` // what makes it another kernel within its class
	Tensors map[string]*Operand `json:"tensors"`
	Numbers map[string]int      `json:"numbers"`
	FLOPs   float64             `json:"flops"`
}

// Operand is a tensor of a Use.
type Operand struct {
	Storage gpu.Storage `json:"storage"`
	Shape   []int       `json:"shape"`
	Output  bool        `json:"output"`
	Scratch bool        `json:"scratch"` // what it holds afterwards depends on the tile
	Cols    int         `json:"cols"`    // zero from this column on; 0: none is
	Below   int         `json:"below"`   // of U32: ids below this
}

// Storage returns what matrices and activations are stored as.
func (u Use) Storage() gpu.Storage {
	for _, o := range u.Tensors {
		if o.Storage == gpu.BF16 {
			return gpu.BF16
		}
	}
	return gpu.F32
}

// Validate refuses tiles that would not run on the target's device, and classes that this version has not, as a file
// that was written elsewhere or by hand can hold them.
func (t Tuning) Validate(target Target) error {
	for _, class := range slices.Sorted(maps.Keys(t)) {
		name, _, _ := strings.Cut(class, "/")
		hs := 0
		if m := headOfClass.FindStringSubmatch(class); m != nil {
			hs, _ = strconv.Atoi(m[1])
		}
		if err := target.check(name, hs, t[class]); err != nil {
			return fmt.Errorf("tile of %s: %w", class, err)
		}
	}
	return nil
}

const maxChunk = 1 << 24 // rows of logits that the classifier has at a time

var headOfClass = regexp.MustCompile(`/HS(\d{1,3})/`) // of attention: channels

// check refuses a tile for an op, of attention with heads of hs channels.
func (target Target) check(op string, hs int, t Tile) error {
	var threads, bytes int
	var algorithm string
	matmul, attention := t.Matmul != nil, t.Attention != nil
	ofOp, known := map[string]bool{"matmul_forward": matmul, "matmul_backward_dx": matmul, "matmul_backward_dw": matmul,
		"attention_forward": attention, "attention_backward": attention, "classifier": t.Classifier != nil}[op]
	if !known {
		return fmt.Errorf("this version tunes no %s", op)
	}
	if !ofOp {
		return fmt.Errorf("%v is not a tile of %s that this version knows", t, op)
	}
	impossible := fmt.Errorf("impossible geometry %v", t)
	switch {
	case matmul:
		if t.Matmul.impossible() {
			return impossible
		}
		if !t.Matmul.algorithm().fits(*t.Matmul, newProduct(op, 0, 0, 0)) {
			return fmt.Errorf("%v does not compute %s", t, op)
		}
		algorithm, threads, bytes = t.Matmul.Algorithm, t.Matmul.Threads(), t.Matmul.Bytes()
	case attention:
		if t.Attention.impossible() {
			return impossible
		}
		algorithm, threads, bytes = t.Attention.Algorithm, t.Attention.threads(), t.Attention.Bytes(hs)
	case t.Classifier != nil:
		if n := t.Classifier.Rows; n < windowRows || n%windowRows != 0 || n > maxChunk {
			return fmt.Errorf("%d rows, want a multiple of %d, at most %d", n, windowRows, maxChunk)
		}
		return nil
	}
	switch {
	case threads > target.GroupThreads || bytes > target.GroupBytes:
		return fmt.Errorf("%v: %d threads and %d bytes of workgroup memory, the device allows %d and %d",
			t, threads, bytes, target.GroupThreads, target.GroupBytes)
	case !slices.Contains(target.Algorithms, algorithm):
		return fmt.Errorf("%v: %s is not an algorithm for this device (%s), whose compiler may take minutes for it",
			t, algorithm, target.Name)
	}
	return nil
}

// Candidates returns the tiles to try for u on a target, its own first. Fewer than two: nothing to choose.
func Candidates(target Target, u Use) []Tile {
	var all []Tile
	switch u.Op {
	case "attention_forward", "attention_backward":
		a := attention{t: u.Tensors["lse"].Shape[2], hs: u.Numbers["hs"]}
		first := target.attentionFor(a)
		all = append(all, Tile{Attention: &first})
		for _, r := range slices.Concat(target.Attention, target.MoreAttention) {
			if r.fits(a) {
				all = append(all, Tile{Attention: &r.Tile})
			}
		}
	case "classifier":
		rows := u.Numbers["chunk"]
		for n := 1; n <= max(target.MoreLogits, 4); n *= 2 {
			r := ceilDiv(rows, n)
			if target.MoreLogits > 0 {
				r = rows * n
			}
			if n == 1 || r <= u.Tensors["logits"].Shape[0] {
				all = append(all, Tile{Classifier: &classifierTile{ceilDiv(r, windowRows) * windowRows}})
			}
		}
	default:
		m := newProduct(u.Op, u.Numbers["rows"], u.Numbers["cols"], u.Numbers["sums"])
		first := target.productFor(m)
		all = append(all, Tile{Matmul: &first})
		tiles, few := target.Tiles()
		for _, t := range append(tiles, few...) {
			switch {
			case !t.algorithm().fits(t, m):
			case t.algorithm().longSums(): // only where it is the target's own
			case t.TM < 4 && m.rows > 4*t.TM, t.Algorithm == "split" && m.rows > 2*t.TM: // waste
			case t.Rows() >= 2*max(m.rows, 4) && t.Rows() > first.Rows(): // waste
			default:
				if n := target.Slice.of(u.Op); n < m.sums && first.algorithm().longSums() {
					t.Slice = n
				}
				all = append(all, Tile{Matmul: &t})
			}
		}
		all = append(all, inParts(tiles, first, u, m)...)
	}
	var out []Tile
	seen := map[string]bool{}
	for _, t := range all {
		if name := t.String(); !seen[name] && target.check(u.Op, u.Numbers["hs"], t) == nil {
			seen[name] = true
			out = append(out, t)
		}
	}
	return out
}

// inParts returns a product's own tile and the first of the table with sums split in parts, where they may be and where
// its results by themselves make too few groups for a large device (128 processors and more).
func inParts(tiles []MatmulTile, first MatmulTile, u Use, m product) (all []Tile) {
	if _, ends := u.Tensors["pre"]; u.Op == "matmul_forward" || ends || u.Tensors["out"].Storage != gpu.F32 {
		return nil
	}
	for _, t := range []MatmulTile{first, tiles[0]} {
		groups := ceilDiv(m.rows, t.Rows()) * ceilDiv(m.cols, t.Cols())
		for t.Parts = 2; t.Parts <= 8 && t.Algorithm == "tiled" && groups*t.Parts <= 1024; t.Parts *= 2 {
			if groups < 256 && m.sums >= 512*t.Parts && m.rows*m.cols*t.Parts <= partialBytes/4 {
				split := t
				all = append(all, Tile{Matmul: &split})
			}
		}
	}
	return all
}

// Fingerprint changes with the target, its tables and candidates included: what was chosen among others is not to be
// used.
func Fingerprint(target Target) string {
	raw, err := json.Marshal(target)
	if err != nil {
		panic(err) // strings and numbers
	}
	return string(raw)
}

// AddTo appends the use to a program, on tensors of its shapes.
func (u Use) AddTo(p *Builder, t map[string]gpu.Tensor) {
	col := u.Numbers["col"]
	switch u.Op {
	case "matmul_forward":
		MatmulForward{
			Out: t["out"], Pre: t["pre"], X: t["a"], W: t["b"], Bias: t["bias"], Residual: t["residual"], Col: col,
		}.AddTo(p)
	case "matmul_backward_dx":
		MatmulBackwardDX{
			DX: t["out"], DOut: t["a"], W: t["b"], Pre: t["pre"], Col: col, Add: u.Numbers["add"] == 1,
		}.AddTo(p)
	case "matmul_backward_dw":
		MatmulBackwardDW{DW: t["out"], DOut: t["a"], X: t["b"], Col: col}.AddTo(p)
	case "attention_forward":
		AttentionForward{Out: t["out"], LSE: t["lse"], QKV: t["qkv"], NH: u.Numbers["nh"]}.AddTo(p)
	case "attention_backward":
		AttentionBackward{
			DQKV: t["dqkv"], DOut: t["dout"], QKV: t["qkv"], Out: t["out"], LSE: t["lse"], D: t["d"],
			NH: u.Numbers["nh"],
		}.AddTo(p)
	case "classifier":
		logits := t["logits"]
		rows := u.Numbers["chunk"]
		if c := p.Tuning[u.Class].Classifier; c != nil {
			rows = c.Rows
		}
		logits = logits.Rows(0, min(rows, logits.Dim(0)))
		Classifier{
			Losses: t["losses"], DX: t["dx"], DWTE: t["dwte"], X: t["x"], WTE: t["wte"], Targets: t["targets"],
			Logits: logits,
			Scale:  1 / float32(t["x"].Dim(0)),
		}.AddTo(p)
	default:
		p.Fail("%q is not an op that is tuned", u.Op)
	}
}

// use describes a product.
func (m product) use() Use {
	tensors := maps.Clone(m.more)
	tensors["a"], tensors["b"], tensors["out"] = m.a.Tensor, m.b.Tensor, m.out.Tensor
	outputs := []string{"out"}
	if m.epilogue == "epilogue_bias_gelu" {
		outputs = append(outputs, "pre")
	}
	u := Use{
		Op: m.op, Detail: m.epilogue, Tensors: operands(tensors, outputs...),
		FLOPs:   2 * float64(m.rows) * float64(m.cols) * float64(m.sums),
		Numbers: map[string]int{"rows": m.rows, "cols": m.cols, "sums": m.sums, "col": max(m.a.col, m.out.col)},
	}
	if m.epilogue == "epilogue_add" {
		u.Numbers["add"] = 1
	}
	a := u.Tensors["a"]
	a.Cols = m.a.col + m.sums
	if m.a.byColumns {
		a.Cols = m.a.col + m.rows
	}
	u.Class = fmt.Sprintf("%s/%v/%dx%dx%d", m.op, a.Storage, class(m.rows), class(m.cols), class(m.sums))
	return u
}

// attentionUse describes an attention.
func attentionUse(name string, a attention, tensors map[string]gpu.Tensor, outputs []string) Use {
	u := Use{
		Op: name, Tensors: operands(tensors, outputs...), Numbers: map[string]int{"nh": a.nh, "hs": a.hs},
		Class: fmt.Sprintf("%s/%v/HS%d/%dx%d", name, tensors["qkv"].Storage(), a.hs, class(a.b*a.nh), class(a.t)),
	}
	products := map[string]float64{"attention_forward": 2, "attention_backward": 7}[name]
	u.FLOPs = products * float64(a.b*a.nh) * float64(a.t) * float64(a.t) * float64(a.hs)
	return u
}

// use describes a classifier with its backward, of the rows of the largest chunk to try: all chunks are alike.
func (op Classifier) use(s *Setup) Use {
	v, vp := op.WTE.Dim(0), op.Logits.Dim(1)
	chunk := op.Logits.Dim(0)
	r := chunk
	if more := s.Target.MoreLogits; more > 0 && chunk < op.X.Dim(0) {
		unit := max(s.Target.LogitsRows, windowRows)
		r = max(chunk, min(op.X.Dim(0), more*chunk, s.mostLogits(v)/unit*unit))
	}
	u := Use{
		Op: "classifier", Class: classifierClass(op.X.Dim(0), v),
		FLOPs: 6 * float64(op.X.Dim(0)) * float64(op.WTE.Len()),
		Tensors: operands(map[string]gpu.Tensor{
			"losses": op.Losses.Rows(0, r), "dx": op.DX.Rows(0, r), "dwte": op.DWTE, "x": op.X.Rows(0, r),
			"wte": op.WTE, "targets": op.Targets.Rows(0, r),
			"logits": op.Logits.Reinterpret("logits", op.Logits.Storage(), r, vp),
		}, "losses", "dx", "dwte"),
		Numbers: map[string]int{"chunk": chunk},
	}
	u.Tensors["targets"].Below, u.Tensors["logits"].Scratch = v, true
	return u
}

func classifierClass(n, v int) string { return fmt.Sprintf("classifier/%dx%d", class(n), class(v)) }

func operands(tensors map[string]gpu.Tensor, outputs ...string) map[string]*Operand {
	out := map[string]*Operand{}
	for name, t := range tensors {
		if !t.None() {
			out[name] = &Operand{Storage: t.Storage(), Shape: t.Shape(), Output: slices.Contains(outputs, name)}
		}
	}
	return out
}

// class rounds n up to a power of two.
func class(n int) int { return 1 << bits.Len(uint(n-1)) }
