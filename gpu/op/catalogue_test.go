package op_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// TestCatalogue: what a user would report fails here first. It is here and not beside the catalogue so that
// one process, with one device, compiles each text once.
func TestCatalogue(t *testing.T) {
	if testing.Short() {
		t.Skip("every kernel")
	}
	d := gputest.Device(t)
	before := d.TotalBytes()
	entries := selftest.Catalogue(d)
	if gputest.Fewer(t) {
		entries = fewer(entries)
	}
	r, err := selftest.Run(context.Background(), d, entries, func(r selftest.Row) {
		for _, f := range r.Failures {
			t.Errorf("%s %s %s: %s", r.Name, r.DType, r.Shape, f)
		}
	})
	if err != nil || r.Passed != len(r.Kernels) || r.Failed != 0 || len(r.Kernels) < 200 {
		t.Errorf("%d rows, %d passed, %d failed, %v", len(r.Kernels), r.Passed, r.Failed, err)
	}
	if d.TotalBytes() != before {
		t.Errorf("%d bytes left behind", d.TotalBytes()-before)
	}
}

// TestCatalogueNames: each case of each target has a name, storage and shape of its own. It needs no GPU.
func TestCatalogueNames(t *testing.T) {
	l := lavapipeLimits()
	for _, target := range op.Targets(l) {
		seen := map[string]bool{}
		for _, e := range selftest.CatalogueFor(target, l) {
			name := e.Name + " " + e.DType + " " + e.Shape
			if seen[name] {
				t.Errorf("%s: %s: twice", target.Name, name)
			}
			seen[name] = true
		}
	}
}

// enough are the forms of a product for a tile that is not the first of its algorithm: each storage, and each way to
// lay out an operand, once. The ends are fragments, which all tiles of an algorithm share.
var enough = map[string][]string{"f32": {"matmul_backward_dw/window"}, "bf16": {"matmul_forward/bias_gelu"}}

var tileName = regexp.MustCompile(`^(.*)/(([a-z]+)\d\w*)$`) // of a case: form, tile, algorithm

// fewer leaves out cases whose texts take a software device minutes to compile and show nothing new. The first tile of
// an algorithm has all forms in both storages, the others have those of enough; of attention the smallest heads in f32
// and those of 64 channels in bf16.
func fewer(entries []selftest.Entry) []selftest.Entry {
	first, heads := map[string]string{}, map[string]string{}
	return slices.DeleteFunc(entries, func(e selftest.Entry) bool {
		m := tileName.FindStringSubmatch(e.Name)
		if m == nil {
			return false
		}
		form, tile, product := m[1], m[2], strings.HasPrefix(e.Name, "matmul")
		algorithm := fmt.Sprint(product, m[3])
		if first[algorithm] == "" {
			first[algorithm] = tile
		}
		switch {
		case first[algorithm] == tile:
			return false
		case product:
			return !slices.Contains(enough[e.DType], form)
		}
		if heads[e.Name] == "" {
			heads[e.Name] = e.Shape
		}
		return e.DType == "f32" && e.Shape != heads[e.Name] || e.DType == "bf16" && !strings.HasSuffix(e.Shape, "HS=64")
	})
}

// labels returns the labels of a program's kernels.
func labels(listing string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^ *\d+ (\S+) \[`).FindAllStringSubmatch(listing, -1) {
		all = append(all, m[1])
	}
	return all
}

// parts are what a label's text is made of: the kernel with its geometry, and with each fragment that it takes. The
// channels of a head are not part of a geometry.
func parts(label string) (all []string) {
	words := strings.Split(label, "/")
	geometry := words[0]
	for _, w := range words[1:] {
		switch {
		case strings.HasPrefix(w, "HS="):
		case strings.Contains(w, "="):
			geometry += "/" + w
		default:
			all = append(all, words[0]+"/"+w)
		}
	}
	return append(all, geometry)
}

// tried returns the parts of all texts that the catalogue has, with every geometry, and TestMatmulPanels. It needs no
// GPU.
var tried = sync.OnceValues(func() (map[string]bool, error) {
	all := map[string]bool{}
	l := lavapipeLimits()
	targets := op.Targets(l)
	lavapipe := targets[len(targets)-1] // suits every tile
	for _, target := range geometries(append([]op.Target{lavapipe}, targets...)) {
		entries := fewer(selftest.CatalogueFor(target, l))
		for i, tile := range panels(target) {
			entries = append(entries, panelCases(tile, gpu.F32, i > 0)...)
		}
		for _, e := range entries {
			p, _, err := e.Plan(target, l)
			if err != nil {
				return nil, err
			}
			for _, label := range labels(p.String()) {
				for _, part := range parts(label) {
					all[part] = true
				}
			}
		}
	}
	return all, nil
})

// wantTried fails for each kernel, geometry and fragment of a program that no case holds to the reference.
func wantTried(t *testing.T, what, listing string) {
	t.Helper()
	known, err := tried()
	if err != nil {
		t.Fatal(err)
	}
	for _, label := range labels(listing) {
		for _, part := range parts(label) {
			if !known[part] {
				known[part] = true // report it once
				t.Errorf("%s: no case has %s of %s; hint: add one to selftest.Catalogue", what, part, label)
			}
		}
	}
}

// TestEveryKernelIsTried walks shaders/, so that a new kernel can't be left out.
func TestEveryKernelIsTried(t *testing.T) {
	known, err := tried()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range shaders.Names() {
		has := func(part string) bool { return part == name || strings.HasPrefix(part, name+"/") }
		if !strings.HasPrefix(name, "peak_") && !slices.ContainsFunc(keys(known), has) {
			t.Errorf("shaders/%s.wgsl: no case runs it; hint: add one to selftest.Catalogue", name)
		}
	}
}

func keys(m map[string]bool) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

// TestEveryTileIsTried plans products and attention of sizes for which every target has another choice: each kernel
// with each geometry, and with each fragment, is in a case that runs.
func TestEveryTileIsTried(t *testing.T) {
	for _, target := range op.Targets(lavapipeLimits()) {
		depths := []int{132}
		if target.Slice != (op.SliceTarget{}) { // long sums are another choice
			depths = []int{8, 132, 196, 1300}
		}
		for _, s := range []gpu.Storage{gpu.F32, gpu.BF16} {
			for _, rows := range []int{1, 2, 3, 5, 9, 40, 82, 130, 258, 600, 3000} {
				for _, cols := range []int{4, 60, 100, 804, 3000} {
					for _, sums := range depths {
						what := fmt.Sprintf("%s: products %dx%dx%d", target.Name, rows, cols, sums)
						wantTried(t, what, planProducts(t, target, s, rows, cols, sums))
					}
				}
			}
			for _, T := range []int{1, 40, 127, 128, 300} {
				for _, HS := range []int{4, 32, 36, 64, 68, 128} {
					what := fmt.Sprintf("%s: attention T=%d HS=%d", target.Name, T, HS)
					wantTried(t, what, planAttention(t, target, s, T, HS))
				}
			}
		}
	}
}

// alloc makes a tensor.
type alloc = func(s gpu.Storage, shape ...int) gpu.Tensor

// plan returns the listing of what add appends.
func plan(t *testing.T, target op.Target, add func(p *op.Builder, tensor alloc)) string {
	t.Helper()
	d, setup := planned(target)
	p := setup.NewProgram("plan")
	add(p, func(s gpu.Storage, shape ...int) gpu.Tensor {
		x, err := d.NewTensor(gpu.Scratch, "x", s, shape...)
		if err != nil {
			t.Fatal(err)
		}
		return x
	})
	if p.Err() != nil {
		t.Fatal(p.Err())
	}
	return p.String()
}

// planProducts plans the three products with every epilogue.
func planProducts(t *testing.T, target op.Target, s gpu.Storage, rows, cols, sums int) string {
	t.Helper()
	return plan(t, target, func(p *op.Builder, tensor alloc) {
		x, w, bias := tensor(s, rows, sums), tensor(s, cols, sums), tensor(gpu.F32, cols)
		out, wide := tensor(s, rows, cols), tensor(gpu.F32, rows, cols)
		op.MatmulForward{Out: out, X: x, W: w}.AddTo(p)
		op.MatmulForward{Out: wide, X: x, W: w}.AddTo(p)
		op.MatmulForward{Out: out, X: x, W: w, Bias: bias}.AddTo(p)
		op.MatmulForward{Out: out, X: x, W: w, Bias: bias, Pre: tensor(s, rows, cols)}.AddTo(p)
		op.MatmulForward{Out: tensor(gpu.F32, rows, cols), X: x, W: w, Bias: bias, Residual: wide}.AddTo(p)
		w = tensor(s, sums, cols)
		op.MatmulBackwardDX{DX: out, DOut: x, W: w}.AddTo(p)
		op.MatmulBackwardDX{DX: wide, DOut: x, W: w}.AddTo(p)
		op.MatmulBackwardDX{DX: wide, DOut: x, W: w, Add: true}.AddTo(p)
		op.MatmulBackwardDX{DX: out, DOut: x, W: w, Pre: tensor(s, rows, cols)}.AddTo(p)
		op.MatmulBackwardDW{DW: wide, DOut: tensor(s, sums, (rows+3)/4*4), X: w}.AddTo(p)
	})
}

// planAttention plans both directions with three heads.
func planAttention(t *testing.T, target op.Target, s gpu.Storage, T, HS int) string {
	t.Helper()
	return plan(t, target, func(p *op.Builder, tensor alloc) {
		const B, NH = 2, 3
		n, C := B*T, NH*HS
		qkv, out, lse := tensor(s, n, 3*C), tensor(s, n, C), tensor(gpu.F32, B, NH, T)
		op.AttentionForward{Out: out, LSE: lse, QKV: qkv, NH: NH}.AddTo(p)
		op.AttentionBackward{
			DQKV: tensor(s, n, 3*C), DOut: tensor(s, n, C), QKV: qkv, Out: out, LSE: lse, D: tensor(gpu.F32, B, NH, T),
			NH: NH,
		}.AddTo(p)
	})
}
