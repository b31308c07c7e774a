package op_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

// planned returns the setup of a target on a plan.
func planned(target op.Target) (*gpu.Device, *op.Setup) {
	d := gpu.Plan(gpu.AdapterInfo{Limits: lavapipeLimits()})
	s := op.NewSetup(d)
	s.Target = target
	return d, s
}

// tunedUses lists the uses of every tuned op with odd shapes.
func tunedUses(t *testing.T, target op.Target, tuning op.Tuning) (uses []op.Use) {
	t.Helper()
	d, setup := planned(target)
	setup.Tuning = tuning
	setup.OnUse = func(u op.Use) { uses = append(uses, u) }
	p := setup.NewProgram("uses")
	tensor := func(s gpu.Storage, name string, shape ...int) gpu.Tensor {
		x, err := d.NewTensor(gpu.Scratch, name, s, shape...)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	const B, T, C, NH, V = 2, 69, 36, 3, 301
	const n = B * T
	f := func(name string, shape ...int) gpu.Tensor { return tensor(gpu.F32, name, shape...) }
	x, w, bias, out := f("x", n, C), f("w", 4*C, C), f("bias", 4*C), f("out", n, 4*C)
	op.MatmulForward{Out: out, Pre: f("pre", n, 4*C), X: x, W: w, Bias: bias}.AddTo(p)
	op.MatmulForward{Out: f("out", 3, 4*C), X: f("x", 3, C), W: w}.AddTo(p) // few rows
	op.MatmulBackwardDX{DX: f("dx", n, C), DOut: out, W: w, Add: true}.AddTo(p)
	op.MatmulBackwardDW{DW: f("dw", 4*C, C), DOut: out, X: x}.AddTo(p)
	qkv, att, lse := f("qkv", n, 3*C), f("att", n, C), f("lse", B, NH, T)
	op.AttentionForward{Out: att, LSE: lse, QKV: qkv, NH: NH}.AddTo(p)
	op.AttentionBackward{DQKV: f("dqkv", n, 3*C), DOut: x, QKV: qkv, Out: att, LSE: lse, D: f("d", B, NH, T),
		NH: NH}.AddTo(p)
	r, vp := setup.LogitsShape(n, V)
	op.Classifier{
		Losses: f("losses", n), DX: f("dx", n, C), DWTE: f("dwte", V, C), X: x, WTE: f("wte", V, C),
		Targets: tensor(gpu.U32, "targets", n), Logits: f("logits", r, vp), Scale: 1,
	}.AddTo(p)
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	return uses
}

// TestCandidatesAreTried: every tile that may be chosen, on every target, has kernels and geometries that a case of the
// catalogue holds to the reference.
func TestCandidatesAreTried(t *testing.T) {
	for _, target := range op.Targets(lavapipeLimits()) {
		for _, u := range tunedUses(t, target, nil) {
			tiles := op.Candidates(target, u)
			if len(tiles) < 2 && u.Op != "classifier" { // see TestClassifierCandidates
				t.Errorf("%s on %s: %d candidates", u.Class, target.Name, len(tiles))
			}
			for _, tile := range tiles {
				what := fmt.Sprintf("%s: %s with %v", target.Name, u.Class, tile)
				wantTried(t, what, planUse(t, target, u, op.Tuning{u.Class: tile}))
			}
		}
	}
}

// TestClassifierCandidates: a GPU may take larger chunks as far as a binding holds them, and the use has the rows of
// the largest; a CPU may take smaller ones.
func TestClassifierCandidates(t *testing.T) {
	large := gpu.DefaultLimits()
	large.MaxBindingSize, large.MaxBufferSize = 768<<20, 2<<30
	for kind, want := range map[string][]int{"discrete": {1280, 2560}, "cpu": {320, 192, 128}} {
		d := gpu.Plan(gpu.AdapterInfo{Type: kind, Limits: large})
		setup := op.NewSetup(d)
		var use op.Use
		setup.OnUse = func(u op.Use) {
			if u.Op == "classifier" {
				use = u
			}
		}
		p := setup.NewProgram("uses")
		f := func(name string, shape ...int) gpu.Tensor {
			x, err := d.NewTensor(gpu.Scratch, name, gpu.F32, shape...)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
		const n, C, V = 16384, 8, 50257
		r, vp := setup.LogitsShape(n, V)
		op.Classifier{
			Losses: f("losses", n), DX: f("dx", n, C), DWTE: f("dwte", V, C), X: f("x", n, C), WTE: f("wte", V, C),
			Targets: f("targets", n).Reinterpret("targets", gpu.U32, n), Logits: f("logits", r, vp), Scale: 1,
		}.AddTo(p)
		var got []int
		for _, tile := range op.Candidates(setup.Target, use) {
			got = append(got, tile.Classifier.Rows)
		}
		rows := use.Tensors["logits"].Shape[0]
		if !slices.Equal(got, want) || rows < slices.Max(got) || p.Err() != nil {
			t.Errorf("%s: chunks of %v of %d rows, want %v; %v", kind, got, rows, want, p.Err())
		}
	}
}

// TestPartsCandidates: sums are split where there are many for few results, in float32, with nothing behind them.
func TestPartsCandidates(t *testing.T) {
	target := op.Targets(lavapipeLimits())[0]
	out := func(s gpu.Storage) map[string]*op.Operand { return map[string]*op.Operand{"out": {Storage: s}} }
	size := func(rows, cols, sums int) map[string]int {
		return map[string]int{"rows": rows, "cols": cols, "sums": sums}
	}
	for _, c := range []struct {
		why  string
		use  op.Use
		want []int
	}{
		{"dw", op.Use{Op: "matmul_backward_dw", Tensors: out(gpu.F32), Numbers: size(768, 768, 16384)}, []int{2, 4, 8}},
		{"sums for two parts", op.Use{Op: "matmul_backward_dw", Tensors: out(gpu.F32), Numbers: size(768, 768, 1024)},
			[]int{2}},
		{"short sums", op.Use{Op: "matmul_backward_dw", Tensors: out(gpu.F32), Numbers: size(768, 768, 512)}, nil},
		{"many results", op.Use{Op: "matmul_backward_dw", Tensors: out(gpu.F32), Numbers: size(50257, 768, 4096)}, nil},
		{"bf16", op.Use{Op: "matmul_backward_dx", Tensors: out(gpu.BF16), Numbers: size(768, 768, 16384)}, nil},
		{"forward", op.Use{Op: "matmul_forward", Tensors: out(gpu.F32), Numbers: size(768, 768, 16384)}, nil},
	} {
		var got []int
		for _, tile := range op.Candidates(target, c.use) {
			if p := tile.Matmul.Parts; p > 1 && !slices.Contains(got, p) {
				got = append(got, p)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: parts %v, want %v", c.why, got, c.want)
		}
	}
}

// TestValidateKnowsTheOp: a tile that doesn't compute a class's op is refused: a thread of direct has 1, 2 or a
// multiple of 4 rows, but reads a transposed matrix four rows at a time.
func TestValidateKnowsTheOp(t *testing.T) {
	target := op.Targets(lavapipeLimits())[0]
	tile := op.Tile{Matmul: &op.MatmulTile{Algorithm: "direct", TM: 2, TN4: 2, WX: 8, WY: 1}}
	if err := (op.Tuning{"matmul_forward/f32/4x4x4": tile}).Validate(target); err != nil {
		t.Error(err)
	}
	err := (op.Tuning{"matmul_backward_dw/f32/4x4x4": tile}).Validate(target)
	if err == nil || !strings.Contains(err.Error(), "does not compute matmul_backward_dw") {
		t.Errorf("got %v", err)
	}
}

// TestValidateAttention: a tile whose groups have other rows than the kernels, or teams that don't meet, is refused.
func TestValidateAttention(t *testing.T) {
	target := op.Targets(lavapipeLimits())[0]
	good := target.Attention[0].Tile
	for why, change := range map[string]func(*op.AttentionTile){
		"":                          func(*op.AttentionTile) {},
		"other rows":                func(t *op.AttentionTile) { t.Forward.Rows = 48 },
		"no power of two":           func(t *op.AttentionTile) { t.DQ.Spec.WX, t.DQ.Rows = 48, 24 },
		"more keys than teams":      func(t *op.AttentionTile) { t.DQ.Spec.BK = 16 },
		"less than a turn":          func(t *op.AttentionTile) { t.DKV.Spec.BQ = 2 },
		"a query for each thread":   func(t *op.AttentionTile) { t.Forward.Spec.TQ, t.Forward.Rows = 1, 16 },
		"teams of another size":     func(t *op.AttentionTile) { t.DKV.Spec.TEAM = 16 },
		"the forward's team is set": func(t *op.AttentionTile) { t.Forward.Spec.TEAM = 8 },
		"tiles without a team":      func(t *op.AttentionTile) { t.DQ.Spec.TEAM, t.DQ.Rows = 1, 64*t.DQ.Spec.TQ },
	} {
		tile := good
		change(&tile)
		err := (op.Tuning{"attention_forward/f32/HS64/16x1024": {Attention: &tile}}).Validate(target)
		if (err == nil) != (why == "") {
			t.Errorf("%q: got %v", why, err)
		}
	}
}

// planUse returns the listing of a use with a tuning.
func planUse(t *testing.T, target op.Target, u op.Use, tuning op.Tuning) string {
	t.Helper()
	d, setup := planned(target)
	setup.Tuning = tuning
	p, tensors := setup.NewProgram("p"), map[string]gpu.Tensor{}
	for name, o := range u.Tensors {
		var err error
		if tensors[name], err = d.NewTensor(gpu.Scratch, name, o.Storage, o.Shape...); err != nil {
			t.Fatal(err)
		}
	}
	u.AddTo(p, tensors)
	if p.Err() != nil {
		t.Fatal(p.Err())
	}
	return p.String()
}

// TestCandidates runs one use of each op with the tile of the device's own target and with the last that may be chosen,
// and compares. What the others compute, the catalogue holds to the reference.
func TestCandidates(t *testing.T) {
	target := ownTarget(t)
	seen := map[string]bool{}
	for _, u := range tunedUses(t, target, nil) {
		if seen[u.Op] {
			continue
		}
		seen[u.Op] = true
		t.Run(u.Class, func(t *testing.T) {
			tiles := op.Candidates(target, u)
			last := tiles[len(tiles)-1]
			want := runUse(t, target, u, op.Tuning{u.Class: tiles[0]})
			got := runUse(t, target, u, op.Tuning{u.Class: last})
			for name, values := range got {
				// Both have float32 sums of up to 301 addends below 1 in size, and what softmax makes of them.
				if err := gputest.Compare(values, want[name], gputest.Tolerance{Terms: 400, Scale: 1}); err != nil {
					t.Errorf("%v: %s: %v", last, name, err)
				}
			}
		})
	}
}

// useOn is a use on tensors.
type useOn struct {
	op.Use
	tensors map[string]gpu.Tensor
}

func (u useOn) AddTo(p *op.Builder) { u.Use.AddTo(p, u.tensors) }

// runUse returns the outputs of u with a tuning.
func runUse(t *testing.T, target op.Target, u op.Use, tuning op.Tuning) map[string][]float64 {
	t.Helper()
	c := gputest.For(target)(t)
	c.Setup.Tuning = tuning
	tensors := map[string]gpu.Tensor{}
	for name, o := range u.Tensors {
		n := 1
		for _, k := range o.Shape {
			n *= k
		}
		values := gputest.Rand(uint64(len(name)), n, 0.3)
		row := o.Shape[len(o.Shape)-1]
		for i := range values {
			if o.Cols > 0 && i%row >= o.Cols {
				values[i] = 0
			}
		}
		switch {
		case o.Storage == gpu.U32:
			tensors[name] = c.InU32(name, gputest.Tokens(1, n, o.Below), o.Shape...)
		case o.Output || o.Scratch:
			tensors[name] = c.InOut(name, make([]float64, n), o.Shape...)
		default:
			tensors[name] = c.In(name, values, o.Shape...)
		}
	}
	c.Run(useOn{u, tensors})
	got := map[string][]float64{}
	for name, o := range u.Tensors {
		if o.Output {
			got[name] = c.Got(tensors[name])
		}
	}
	return got
}

// TestTuning: a tile comes back from JSON as it went; programs take it, and only uses of its class.
func TestTuning(t *testing.T) {
	for _, target := range op.Targets(gpu.DefaultLimits()) {
		fixed := tunedUses(t, target, nil)
		all := op.Tuning{}
		for _, u := range fixed {
			tiles := op.Candidates(target, u)
			all[u.Class] = tiles[len(tiles)-1]
		}
		raw, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		var back op.Tuning
		if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(back, all) {
			t.Errorf("went %s, came back %v, %v", raw, back, err)
		}
		if err := back.Validate(target); err != nil {
			t.Error(err)
		}
		listing := func(tuning op.Tuning, u op.Use) string { return planUse(t, target, u, tuning) }
		for _, u := range fixed[:3] {
			if listing(all, u) == listing(nil, u) || listing(back, u) != listing(all, u) {
				t.Errorf("%s: the program is not that of %v:\n%s", u.Class, all[u.Class], listing(back, u))
			}
			if listing(op.Tuning{"other": all[u.Class]}, u) != listing(nil, u) {
				t.Errorf("%s takes the tile of another class", u.Class)
			}
		}
		tuned := tunedUses(t, target, all) // a CPU's chunks are smaller now, the classifier's class is the same
		if a, b := fixed[len(fixed)-1], tuned[len(tuned)-1]; target.MoreLogits == 0 &&
			reflect.DeepEqual(a.Tensors, b.Tensors) {
			t.Errorf("the last product of the classifier has %v as before", b.Tensors)
		}
	}
}

// TestTuningBeforeSlices: what is sliced follows from the tile that measuring has chosen. A product that panels take
// whole is offered the other tiles in slices, as it would have without panels; a tile of an earlier version, which has
// none, takes it whole as it did.
func TestTuningBeforeSlices(t *testing.T) {
	lavapipe := targetNamed(t, "lavapipe", lavapipeLimits())
	const N, K, OC = 256, 128, 1200
	var use op.Use
	dispatches := func(tuning op.Tuning) (n int, first string) {
		d, setup := planned(lavapipe)
		setup.Tuning, setup.OnUse = tuning, func(u op.Use) { use = u }
		var x [3]gpu.Tensor
		for i, shape := range [][]int{{N, K}, {N, OC}, {OC, K}} {
			var err error
			if x[i], err = d.NewTensor(gpu.Scratch, "x", gpu.F32, shape...); err != nil {
				t.Fatal(err)
			}
		}
		p := setup.NewProgram("p")
		op.MatmulBackwardDX{DX: x[0], DOut: x[1], W: x[2]}.AddTo(p)
		if p.Err() != nil {
			t.Fatal(p.Err())
		}
		text := strings.TrimSpace(p.String())
		return strings.Count(text, "\n") + 1, strings.Fields(text)[1]
	}
	if n, first := dispatches(nil); n < 4 || !strings.HasPrefix(first, "matmul_panel") {
		t.Fatalf("%d dispatches, the first %s: not by panels", n, first)
	}
	tiles := op.Candidates(lavapipe, use)
	if len(tiles) < 2 {
		t.Fatalf("%d candidates", len(tiles))
	}
	for _, tile := range tiles[1:] {
		n, first := dispatches(op.Tuning{use.Class: tile})
		if tile.Matmul.Slice != 512 || n != 3 || !strings.HasPrefix(first, "matmul_direct/matmul_backward_dx") {
			t.Errorf("%v: %d dispatches, the first %s; want three slices", tile, n, first)
		}
		whole := *tile.Matmul
		whole.Slice = 0
		if n, _ := dispatches(op.Tuning{use.Class: op.Tile{Matmul: &whole}}); n != 1 {
			t.Errorf("%v of an earlier version: %d dispatches, want one", tile, n)
		}
	}
}

// TestTileJSON: a tile comes back from JSON as it went. Tiles in checkpoints and caches of earlier versions are read as
// they were meant.
func TestTileJSON(t *testing.T) {
	const attention = `{"Rows":48,"Spec":{"TQ":6,"WX":8}},"DQ":{"Rows":32,"Spec":{"TQ":4,"WX":8}},"DKV":{"Rows":32,` +
		`"Spec":{"TK":4,"WX":8}}}}`
	const walk = `{"Rows":128,"Spec":{"WX":128}},"DQ":{"Rows":128,"Spec":{"WX":128}},"DKV":{"Rows":128,` +
		`"Spec":{"WX":128}}}}`
	const tiled64 = `"Forward":{"Rows":64,"Spec":{"BK":16,"TQ":4,"WX":64}},"DQ":{"Rows":64,"Spec":{"BK":8,"WX":128}},` +
		`"DKV":{"Rows":64,"Spec":{"BQ":8,"WX":128}}}}`
	const tiled32 = `"Forward":{"Rows":64,"Spec":{"BK":16,"TQ":4,"WX":64}},"DQ":{"Rows":32,` +
		`"Spec":{"BK":8,"TQ":4,"WX":64}},"DKV":{"Rows":32,"Spec":{"BQ":8,"TK":4,"WX":64}}}}`
	const heads128 = `"Forward":{"Rows":64,"Spec":{"BK":8,"TQ":2,"WX":128}},` +
		`"DQ":{"Rows":64,"Spec":{"BK":4,"WX":128}},"DKV":{"Rows":64,"Spec":{"BQ":4,"WX":128}}}}`
	const teams2 = `"Forward":{"Rows":32,"Spec":{"BK":8,"TQ":2,"WX":64}},"DQ":{"Rows":16,` +
		`"Spec":{"BK":8,"TQ":2,"WX":64}},"DKV":{"Rows":16,"Spec":{"BQ":8,"TK":2,"WX":64}}}}`
	for old, want := range map[string]string{
		`{"matmul":{"TM":16,"TN4":3,"WX":8,"WY":1}}`: `{"matmul":{` +
			`"Algorithm":"direct","TM":16,"TN4":3,"WX":8,"WY":1}}`,
		`{"matmul":{"TM":16,"TN4":3,"WX":8,"WY":1,"Slice":512}}`: `{"matmul":{` +
			`"Algorithm":"direct","TM":16,"TN4":3,"WX":8,"WY":1,"Slice":512}}`,
		`{"matmul":{"TM":8,"TN4":2,"WX":16,"WY":16,"BK":8}}`: `{"matmul":{` +
			`"Algorithm":"tiled","TM":8,"TN4":2,"WX":16,"WY":16,"BK":8}}`,
		`{"matmul":{"TM":1,"TN4":1,"WX":64,"WY":1,"Split":true}}`: `{"matmul":{` +
			`"Algorithm":"split","TM":1,"TN4":1,"WX":64,"WY":1}}`,
		`{"matmul":{"TM":0,"TN4":0,"WX":0,"WY":0,"Panel":{"WG":512,"TC4":5,"KS4":64}}}`: `{"matmul":{` +
			`"Algorithm":"panels","TM":1,"TN4":5,"WX":1,"WY":512,"BK":256}}`,
		`{"attention":{"Suffix":"_direct","Forward":` +
			attention: `{"attention":{"Algorithm":"direct","Forward":` + attention,
		`{"attention":{"Suffix":"_tiled",` + tiled64:       `{"attention":{"Algorithm":"tiled",` + tiled32,
		`{"attention":{"Algorithm":"tiled",` + heads128:    `{"attention":{"Algorithm":"tiled",` + teams2,
		`{"attention":{"Suffix":"_step","Forward":` + walk: `{"attention":{"Algorithm":"walk","Forward":` + walk,
		`{"classifier":{"Rows":128}}`:                      `{"classifier":{"Rows":128}}`,
	} {
		for _, text := range []string{old, want} {
			var tile op.Tile
			if err := json.Unmarshal([]byte(text), &tile); err != nil || tile.String() != want {
				t.Errorf("went %s, came back %v, %v, want %s", text, tile, err, want)
			}
			var found error
			class := map[byte]string{'m': "matmul_forward", 'a': "attention_forward", 'c': "classifier"}[text[2]]
			for _, target := range op.Targets(lavapipeLimits()) {
				if found = (op.Tuning{class: tile}).Validate(target); found == nil {
					break
				}
			}
			if found != nil {
				t.Errorf("no target takes %s: %v", text, found)
			}
		}
	}
}
