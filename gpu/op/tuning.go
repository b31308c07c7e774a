package op

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/bits"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// Tuning is what measuring has chosen on a device: tiles by the class of their uses. Classes that it lacks take the tile of the
// fixed tables, as all do on a device without a Tuning. It is JSON in the cache of gpu/tune and in checkpoints.
type Tuning map[string]Tile

// Tile is a choice among the kernels and geometries of an op: one of the fields is set.
type Tile struct {
	Matmul     *matmulTile     `json:"matmul,omitempty"`
	Attention  *attentionTile  `json:"attention,omitempty"`
	Classifier *classifierTile `json:"classifier,omitempty"`
}

// classifierTile is the rows of Classifier's chunks, a multiple of 64.
type classifierTile struct{ Rows int }

// String is the tile as JSON, for logs.
func (t Tile) String() string {
	raw, err := json.Marshal(t)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// Use is one use of a tuned op in a program: what it takes to run it again on data of one's own.
type Use struct {
	Op      string             `json:"op"`
	Class   string             `json:"class"`  // uses of one class share a tile: op, storage, and dimensions rounded up to powers of two
	Detail  string             `json:"detail"` // what makes it another kernel within its class
	Tensors map[string]Operand `json:"tensors"`
	Numbers map[string]int     `json:"numbers"`
	FLOPs   float64            `json:"flops"`
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

// The keys of what a device carries for this package.
type (
	tuningKey   struct{}
	listenerKey struct{}
)

// SetTuning makes programs that are built on d from now on take t's tiles; nil goes back to the fixed tables.
func SetTuning(d *gpu.Device, t Tuning) { d.Set(tuningKey{}, t) }

// TuningOf returns what SetTuning set.
func TuningOf(d *gpu.Device) Tuning {
	t, _ := d.Value(tuningKey{}).(Tuning)
	return t
}

// Listen calls heard for every use of a tuned op in the programs that are built on d from now on.
func Listen(d *gpu.Device, heard func(Use)) { d.Set(listenerKey{}, heard) }

// tuned tells the listener of a use and returns the tile that was chosen for it.
func tuned(d *gpu.Device, use func() Use) (Tile, bool) {
	heard, listened := d.Value(listenerKey{}).(func(Use))
	t := TuningOf(d)
	if !listened && t == nil {
		return Tile{}, false
	}
	u := use()
	if listened {
		heard(u)
	}
	tile, ok := t[u.Class]
	return tile, ok
}

// Validate refuses tiles that would not run on d, as a file that was written elsewhere or by hand can hold them.
func (t Tuning) Validate(d *gpu.Device) error {
	for _, class := range slices.Sorted(maps.Keys(t)) {
		if err := t[class].check(d); err != nil {
			return fmt.Errorf("tile of %s: %w", class, err)
		}
	}
	return nil
}

// mostTile bounds every number of a tile: far beyond all that compile, and far from overflow.
const mostTile = 1024

func (t Tile) check(d *gpu.Device) error {
	l := d.Limits
	positive := func(ns ...int) bool {
		for _, n := range ns {
			if n < 1 || n > mostTile {
				return false
			}
		}
		return true
	}
	switch {
	case t.Matmul != nil:
		m := *t.Matmul
		if m.Panel != (panelTile{}) {
			return m.Panel.check(t, m, d)
		}
		if !positive(m.TM, m.TN4, m.WX, m.WY) || m.BK < 0 || m.BK > mostTile || m.BK%4 != 0 || m.BK > 0 && m.TM%4 != 0 || m.Split && (m.BK > 0 || m.WY > 1) {
			return fmt.Errorf("impossible geometry %v", t)
		}
		if m.WX*m.WY > int(l.MaxInvocations) || m.bytes() > int(l.MaxWorkgroupBytes) {
			return fmt.Errorf("%v: %d threads and %d bytes of workgroup memory, the device allows %d and %d",
				t, m.WX*m.WY, m.bytes(), l.MaxInvocations, l.MaxWorkgroupBytes)
		}
	case t.Attention != nil:
		for _, g := range []attentionGeometry{t.Attention.Forward, t.Attention.DQ, t.Attention.DKV} {
			if !positive(g.Rows, g.number("WX")) || !positive(slices.Collect(g.numbers())...) {
				return fmt.Errorf("impossible geometry %v", t)
			}
			if g.number("WX") > int(l.MaxInvocations) {
				return fmt.Errorf("%v: %d threads, the device allows %d", t, g.number("WX"), l.MaxInvocations)
			}
		}
	case t.Classifier != nil:
		if t.Classifier.Rows < windowRows || t.Classifier.Rows%windowRows != 0 {
			return fmt.Errorf("%d rows, want a multiple of %d", t.Classifier.Rows, windowRows)
		}
	default:
		return fmt.Errorf("none of the tiles that this version knows")
	}
	return nil
}

func (g panelTile) check(t Tile, m matmulTile, d *gpu.Device) error {
	w := g.windows()
	if m.TM|m.TN4|m.WX|m.WY|m.BK != 0 || m.Split || g.TC4 < 1 || g.KS4 < 1 || g.TC4*g.KS4 > mostTile || g.cols() > panelWide ||
		g.WG < panelLeast || g.WG > panelMost || g.WG&(g.WG-1) != 0 || w*panelWindow != g.WG*g.depth() || w > 8 || w&(w-1) != 0 {
		return fmt.Errorf("impossible geometry %v", t)
	}
	if l := d.Limits; g.WG > int(l.MaxInvocations) || m.bytes() > int(l.MaxWorkgroupBytes) {
		return fmt.Errorf("%v: %d threads and %d bytes of workgroup memory, the device allows %d and %d",
			t, g.WG, m.bytes(), l.MaxInvocations, l.MaxWorkgroupBytes)
	}
	if !g.suits(d) {
		return fmt.Errorf("%v is for lavapipe alone, whose compiler takes it in a second; other devices' take minutes", t)
	}
	return nil
}

// Candidates returns the tiles to try for u on d, the one of the fixed tables first. Fewer than two: nothing to choose.
func Candidates(d *gpu.Device, u Use) []Tile {
	var all []Tile
	switch u.Op {
	case "attention_forward", "attention_backward":
		hs := u.Numbers["hs"]
		first := attentionTileFor(d, u.Tensors["lse"].Shape[2], hs)
		all = append(all, Tile{Attention: &first})
		for _, t := range attentionCandidates(d.Info.Software()) {
			if hs <= t.MaxHS && !t.steps() {
				all = append(all, Tile{Attention: &t})
			}
		}
	case "classifier":
		rows := u.Tensors["logits"].Shape[0]
		for _, part := range []int{1, 2, 4} {
			r := ceilDiv(ceilDiv(rows, part), windowRows) * windowRows
			all = append(all, Tile{Classifier: &classifierTile{r}})
		}
	default:
		m := matmul{name: u.Op, rows: u.Numbers["rows"], cols: u.Numbers["cols"], sums: u.Numbers["sums"]}
		first := matmulTileFor(d, m)
		all = append(all, Tile{Matmul: &first})
		for _, t := range matmulCandidates(d.Info.Software()) {
			switch {
			case t.Panel.WG > 0 && !t.Panel.suits(d):
			case t.Split && u.Op != "matmul_forward", t.TM%4 != 0 && u.Op == "matmul_backward_dw":
			case t.TM < 4 && m.rows > 4*t.TM, t.rows() >= 2*max(m.rows, 4) && t.rows() > first.rows(), t.Split && m.rows > 2*t.TM: // waste
			default:
				all = append(all, Tile{Matmul: &t})
			}
		}
	}
	var out []Tile
	seen := map[string]bool{}
	for _, t := range all {
		if name := t.String(); !seen[name] && t.check(d) == nil {
			seen[name] = true
			out = append(out, t)
		}
	}
	return out
}

// matmulMore are geometries worth a try beside those of the fixed tables. The GPU ones are what others report: 4x4 and 8x8 sums a
// thread without workgroup memory (jax-js, surfgrad), 32x32 tiles of depth 8 (ggml), 128x64 and 64x64 by 8x4 and 8x8 (meganeura).
var (
	matmulMoreSoftware = []matmulTile{
		{TM: 16, TN4: 2, WX: 8, WY: 1},
		{TM: 8, TN4: 4, WX: 8, WY: 1},
		{TM: 4, TN4: 2, WX: 8, WY: 1},
	}
	matmulMoreGPU = []matmulTile{
		{TM: 8, TN4: 2, WX: 16, WY: 16, BK: 16},
		{TM: 8, TN4: 1, WX: 16, WY: 16, BK: 16},
		{TM: 4, TN4: 2, WX: 16, WY: 16, BK: 16},
		{TM: 8, TN4: 2, WX: 8, WY: 8, BK: 16},
		{TM: 4, TN4: 1, WX: 16, WY: 16, BK: 32},
		{TM: 4, TN4: 1, WX: 8, WY: 8, BK: 8},
		{TM: 4, TN4: 1, WX: 8, WY: 8},
		{TM: 8, TN4: 2, WX: 8, WY: 8},
	}
)

func matmulCandidates(software bool) []matmulTile {
	if software {
		return slices.Concat(matmulSoftware, matmulMoreSoftware, matmulFewSoftware)
	}
	return slices.Concat(matmulGPU, matmulMoreGPU, matmulFewGPU)
}

// attentionMore are geometries worth a try: the fixed tables' with other numbers of threads, queries and keys, and for GPUs those
// without workgroup memory.
var (
	attentionMoreSoftware = []attentionTile{
		attentionDirect(32, 8, 6, 4, 4), attentionDirect(64, 8, 4, 6, 2), attentionDirect(128, 8, 4, 3, 3),
	}
	attentionMoreGPU = []attentionTile{
		attentionDirect(128, 64, 1, 1, 1), attentionDirect(128, 32, 1, 1, 1), attentionDirect(64, 32, 2, 2, 2),
	}
)

// attentionDirect is kernels of wx threads with so many queries of the forward and of dq, and keys of dkv.
func attentionDirect(maxHS, wx, forward, dq, dkv int) attentionTile {
	return attentionTile{"_direct", maxHS,
		attentionGeometry{wx * forward, shaders.Spec{"WX": wx, "TQ": forward}},
		attentionGeometry{wx * dq, shaders.Spec{"WX": wx, "TQ": dq}},
		attentionGeometry{wx * dkv, shaders.Spec{"WX": wx, "TK": dkv}}}
}

// UnmarshalJSON reads the constants as the whole numbers that they are.
func (g *attentionGeometry) UnmarshalJSON(raw []byte) error {
	var whole struct {
		Rows int
		Spec map[string]int
	}
	if err := json.Unmarshal(raw, &whole); err != nil {
		return err
	}
	*g = attentionGeometry{whole.Rows, shaders.Spec{}}
	for name, n := range whole.Spec {
		g.Spec[name] = n
	}
	return nil
}

// number returns a constant, 0 if there is none or it is no whole number.
func (g attentionGeometry) number(name string) int {
	n, _ := g.Spec[name].(int)
	return n
}

func (g attentionGeometry) numbers() iter.Seq[int] {
	return func(yield func(int) bool) {
		for name := range g.Spec {
			if !yield(g.number(name)) {
				return
			}
		}
	}
}

func attentionCandidates(software bool) []attentionTile {
	if software {
		return slices.Concat(attentionSoftware, attentionMoreSoftware)
	}
	return slices.Concat(attentionGPU, attentionMoreGPU)
}

// Fingerprint changes with the tables and the candidates: what was chosen among others is not to be used.
func Fingerprint() string {
	return fmt.Sprint(matmulCandidates(true), matmulCandidates(false), attentionCandidates(true), attentionCandidates(false), logitsBytes)
}

// AddTo appends the use to a program, on tensors of its shapes.
func (u Use) AddTo(p *gpu.Program, t map[string]gpu.Tensor) {
	col := u.Numbers["col"]
	switch u.Op {
	case "matmul_forward":
		MatmulForward{Out: t["out"], Pre: t["pre"], X: t["x"], W: t["w"], Bias: t["bias"], Residual: t["residual"], Col: col}.AddTo(p)
	case "matmul_backward_dx":
		MatmulBackwardDX{DX: t["out"], DOut: t["dout"], W: t["w"], Pre: t["pre"], Col: col, Add: u.Numbers["add"] == 1}.AddTo(p)
	case "matmul_backward_dw":
		MatmulBackwardDW{DW: t["out"], DOut: t["dout"], X: t["x"], Col: col}.AddTo(p)
	case "attention_forward":
		AttentionForward{Out: t["out"], LSE: t["lse"], QKV: t["qkv"], NH: u.Numbers["nh"]}.AddTo(p)
	case "attention_backward":
		AttentionBackward{DQKV: t["dqkv"], DOut: t["dout"], QKV: t["qkv"], Out: t["out"], LSE: t["lse"], D: t["d"], NH: u.Numbers["nh"]}.AddTo(p)
	case "classifier":
		logits := t["logits"]
		if c := TuningOf(p.Device())[u.Class].Classifier; c != nil {
			logits = logits.Rows(0, min(c.Rows, logits.Dim(0)))
		}
		Classifier{
			Losses: t["losses"], DX: t["dx"], DWTE: t["dwte"], X: t["x"], WTE: t["wte"], Targets: t["targets"], Logits: logits,
			Scale: 1 / float32(t["x"].Dim(0)),
		}.AddTo(p)
	default:
		p.Fail("%q is no op that is tuned", u.Op)
	}
}

// use describes a matmul.
func (m matmul) use() Use {
	u := Use{
		Op: m.name, Detail: m.epilogue, Tensors: operands(m.bind, "out"), FLOPs: 2 * float64(m.rows) * float64(m.cols) * float64(m.sums),
		Numbers: map[string]int{"rows": m.rows, "cols": m.cols, "sums": m.sums, "col": int(m.params.COL)},
	}
	if m.epilogue == "epilogue_bias_gelu" {
		u.setOutput("pre")
	}
	if m.epilogue == "epilogue_add" {
		u.Numbers["add"] = 1
	}
	data := "x"
	if dout, ok := u.Tensors["dout"]; ok {
		data = "dout"
		dout.Cols = int(m.params.COL + m.params.OC)
		u.Tensors[data] = dout
	}
	u.Class = fmt.Sprintf("%s/%v/%dx%dx%d", m.name, u.Tensors[data].Storage, class(m.rows), class(m.cols), class(m.sums))
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

// use describes a classifier with its backward, of the rows of a chunk: all chunks are alike.
func (op Classifier) use() Use {
	r, v := op.Logits.Dim(0), op.WTE.Dim(0)
	u := Use{
		Op: "classifier", Class: classifierClass(op.X.Dim(0), v), FLOPs: 6 * float64(op.X.Dim(0)) * float64(op.WTE.Len()),
		Tensors: operands(map[string]gpu.Tensor{
			"losses": op.Losses.Rows(0, r), "dx": op.DX.Rows(0, r), "dwte": op.DWTE, "x": op.X.Rows(0, r), "wte": op.WTE,
			"targets": op.Targets.Rows(0, r), "logits": op.Logits,
		}, "losses", "dx", "dwte"),
	}
	targets, logits := u.Tensors["targets"], u.Tensors["logits"]
	targets.Below, logits.Scratch = v, true
	u.Tensors["targets"], u.Tensors["logits"] = targets, logits
	return u
}

func classifierClass(n, v int) string { return fmt.Sprintf("classifier/%dx%d", class(n), class(v)) }

func operands(tensors map[string]gpu.Tensor, outputs ...string) map[string]Operand {
	out := map[string]Operand{}
	for name, t := range tensors {
		if !t.None() {
			out[name] = Operand{Storage: t.Storage(), Shape: t.Shape(), Output: slices.Contains(outputs, name)}
		}
	}
	return out
}

func (u Use) setOutput(name string) {
	o := u.Tensors[name]
	o.Output = true
	u.Tensors[name] = o
}

// class rounds n up to a power of two.
func class(n int) int { return 1 << bits.Len(uint(n-1)) }
