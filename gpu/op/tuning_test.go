package op_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

// tunedUses lists the uses of every tuned op on a plan of the tests' device with odd shapes.
func tunedUses(t *testing.T, info gpu.AdapterInfo, tuning op.Tuning) (uses []op.Use) {
	t.Helper()
	d := gpu.Plan(info)
	op.SetTuning(d, tuning)
	op.Listen(d, func(u op.Use) { uses = append(uses, u) })
	p := d.NewProgram("uses")
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
	op.AttentionBackward{DQKV: f("dqkv", n, 3*C), DOut: x, QKV: qkv, Out: att, LSE: lse, D: f("d", B, NH, T), NH: NH}.AddTo(p)
	r, vp := op.LogitsShape(d, n, V)
	op.Classifier{
		Losses: f("losses", n), DX: f("dx", n, C), DWTE: f("dwte", V, C), X: x, WTE: f("wte", V, C),
		Targets: tensor(gpu.U32, "targets", n), Logits: f("logits", r, vp), Scale: 1,
	}.AddTo(p)
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	return uses
}

// TestCandidates holds every tile that may be chosen, on software devices and on GPUs, to the result of the fixed one.
func TestCandidates(t *testing.T) {
	d := gputest.Device(t)
	was := d.Info.Type
	defer func() { d.Info.Type = was; op.SetTuning(d, nil) }()
	for _, typ := range []string{"cpu", "discrete"} {
		d.Info.Type = typ
		seen := map[string]bool{}
		for _, u := range tunedUses(t, d.Info, nil) {
			if seen[u.Class] {
				continue
			}
			seen[u.Class] = true
			tiles := op.Candidates(d, u)
			if len(tiles) < 2 {
				t.Errorf("%s on %s: %d candidates", u.Class, typ, len(tiles))
			}
			var want map[string][]float64
			for i, tile := range tiles {
				t.Run(fmt.Sprintf("%s/%s/%d", typ, u.Class, i), func(t *testing.T) {
					got := runUse(t, u, op.Tuning{u.Class: tile})
					if i == 0 {
						want = got
						return
					}
					for name, values := range got {
						// Both have float32 sums of up to 301 addends below 1 in size, and what softmax makes of them.
						if err := gputest.Compare(values, want[name], gputest.Tolerance{Terms: 400, Scale: 1}); err != nil {
							t.Errorf("%v: %s: %v", tile, name, err)
						}
					}
				})
			}
		}
	}
}

// runUse returns the outputs of u with a tuning.
func runUse(t *testing.T, u op.Use, tuning op.Tuning) map[string][]float64 {
	t.Helper()
	c := gputest.New(t)
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
	op.SetTuning(gputest.Device(t), tuning)
	defer op.SetTuning(gputest.Device(t), nil)
	c.Run(func(p *gpu.Program) { u.AddTo(p, tensors) })
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
	for _, info := range []gpu.AdapterInfo{{Name: "llvmpipe", Type: "cpu", Limits: gpu.DefaultLimits()}, {Type: "discrete", Limits: gpu.DefaultLimits()}} {
		fixed := tunedUses(t, info, nil)
		all := op.Tuning{}
		for _, u := range fixed {
			tiles := op.Candidates(gpu.Plan(info), u)
			all[u.Class] = tiles[len(tiles)-1]
		}
		raw, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		var back op.Tuning
		if err := json.Unmarshal(raw, &back); err != nil || fmt.Sprint(back) != fmt.Sprint(all) {
			t.Errorf("went %s, came back %v, %v", raw, back, err)
		}
		if err := back.Validate(gpu.Plan(info)); err != nil {
			t.Error(err)
		}
		listing := func(tuning op.Tuning, u op.Use) string {
			d := gpu.Plan(info)
			op.SetTuning(d, tuning)
			p, tensors := d.NewProgram("p"), map[string]gpu.Tensor{}
			for name, o := range u.Tensors {
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
		for _, u := range fixed[:3] {
			if listing(all, u) == listing(nil, u) || listing(back, u) != listing(all, u) {
				t.Errorf("%s: the program is not that of %v:\n%s", u.Class, all[u.Class], listing(back, u))
			}
			if listing(op.Tuning{"other": all[u.Class]}, u) != listing(nil, u) {
				t.Errorf("%s takes the tile of another class", u.Class)
			}
		}
		tuned := tunedUses(t, info, all) // the classifier's chunks are smaller now, its class is the same
		if a, b := fixed[len(fixed)-1], tuned[len(tuned)-1]; reflect.DeepEqual(a.Tensors, b.Tensors) {
			t.Errorf("the last product of the classifier has %v as before", b.Tensors)
		}
	}
}

// TestTuningElsewhere: a tile of panels, chosen on lavapipe, is refused by other software devices, which would compile it for minutes.
func TestTuningElsewhere(t *testing.T) {
	lavapipe := gpu.AdapterInfo{Name: "llvmpipe (LLVM 15.0.6, 256 bits)", Type: "cpu", Limits: gpu.DefaultLimits()}
	lavapipe.Limits.MaxInvocations, lavapipe.Limits.MaxWorkgroupBytes = 1024, 32<<10
	d := gpu.Plan(lavapipe)
	panels := op.Tuning{}
	op.Listen(d, func(u op.Use) { panels[u.Class] = op.Candidates(d, u)[0] })
	p, tensors := d.NewProgram("uses"), [3]gpu.Tensor{}
	for i := range tensors {
		var err error
		if tensors[i], err = d.NewTensor(gpu.Scratch, "x", gpu.F32, 768, 768); err != nil {
			t.Fatal(err)
		}
	}
	op.MatmulForward{Out: tensors[0], X: tensors[1], W: tensors[2]}.AddTo(p)
	if p.Err() != nil || !strings.Contains(p.String(), "matmul_panels") || len(panels) != 1 {
		t.Fatalf("%v, %v, and not a product by panels:\n%s", p.Err(), panels, p)
	}
	if err := panels.Validate(gpu.Plan(lavapipe)); err != nil {
		t.Error(err)
	}
	other := lavapipe
	other.Name = "SwiftShader Device (LLVM 10.0.0)"
	if err := panels.Validate(gpu.Plan(other)); err == nil || !strings.Contains(err.Error(), "lavapipe alone") {
		t.Errorf("SwiftShader takes %v: %v", panels, err)
	}
}

// TestFingerprint: it is compared with that of another process, so it holds values and no addresses.
func TestFingerprint(t *testing.T) {
	if f := op.Fingerprint(); strings.Contains(f, "0x") || !strings.Contains(f, "{512 5 64}") {
		t.Errorf("%.200s…", f)
	}
}
