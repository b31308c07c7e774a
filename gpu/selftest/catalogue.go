package selftest

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

// Entry is a case of the catalogue.
type Entry struct {
	Name  string // kernel, its end, and the geometry where that is forced
	DType string // storage of matrices and activations
	Shape string
	Try   func(c *Case)
}

// Catalogue lists the cases for d: every kernel with the geometry that d gets, matmul and attention with every tile of
// all targets, those that tuning may choose included, that suits d's. A tile that several targets share is there once.
// Shapes are one past the tiles, or have a part of a last tile, in every dimension.
func Catalogue(d *gpu.Device) []Entry { return CatalogueFor(op.TargetFor(d.Info, d.Limits), d.Limits) }

// CatalogueFor is the catalogue of a device with these limits that has another target.
func CatalogueFor(target op.Target, l gpu.Limits) []Entry {
	var tiles, few []op.MatmulTile
	add := func(to *[]op.MatmulTile, from []op.MatmulTile) {
		for _, tile := range from {
			if target.Suits(tile) && !slices.Contains(*to, tile) {
				*to = append(*to, tile)
			}
		}
	}
	for _, t := range append(op.Targets(l), target) {
		t, f := t.Tiles()
		add(&tiles, t)
		add(&few, f)
	}
	var list []Entry
	for _, s := range []gpu.Storage{gpu.F32, gpu.BF16} {
		add := func(name, shape string, run func(c *Case)) { list = append(list, Entry{name, s.String(), shape, run}) }
		addMatmul(add, s)
		addSlices(add, s)
		addAttention(add, s, target, l)
		addRows(add, s)
		addValues(add, s)
		addClassifier(add, s)
		for _, tile := range tiles {
			addTile(add, s, tile, false)
		}
		for _, tile := range few {
			addTile(add, s, tile, true)
		}
	}
	addFloat32(func(name, shape string, run func(c *Case)) {
		list = append(list, Entry{name, gpu.F32.String(), shape, run})
	})
	return list
}

// ForTile lists the cases of a tile that u may take: those of its op, in its storage.
func ForTile(tile op.Tile, u op.Use) (list []Entry) {
	s := u.Storage()
	add := func(name, shape string, run func(c *Case)) {
		if strings.HasPrefix(name, u.Op) {
			list = append(list, Entry{name, s.String(), shape, run})
		}
	}
	switch {
	case tile.Matmul != nil:
		addTile(add, s, *tile.Matmul, u.Op == "matmul_forward")
	case tile.Attention != nil:
		rule := op.AttentionRule{Tile: *tile.Attention, MaxHS: 128}
		for _, d := range []attentionShape{{2, 33, 3, u.Numbers["hs"]}, {1, 130, 1, u.Numbers["hs"]}} {
			d.add(add, s, rule.Tile.Name(), rule)
		}
	case tile.Classifier != nil:
		n := tile.Classifier.Rows + 1
		add("classifier", fmt.Sprintf("N=%d", n), func(c *Case) { Classifier(c, s, n, 20, 257, n-1, 0, true) })
	}
	return list
}

type adder func(name, shape string, run func(c *Case))

func addMatmul(add adder, s gpu.Storage) {
	for _, d := range []struct{ N, K, OC int }{{3, 8, 12}, {17, 36, 132}, {65, 260, 100}} {
		shape := fmt.Sprintf("N=%d K=%d OC=%d", d.N, d.K, d.OC)
		for _, e := range ForwardEpilogues {
			if e == "store_f32" && s == gpu.F32 {
				continue // it is store
			}
			add("matmul_forward/"+e, shape, func(c *Case) { MatmulForward(c, s, e, d.N, d.K, d.OC) })
		}
		for _, e := range BackwardDXEpilogues {
			if e == "store_f32" && s == gpu.F32 {
				continue
			}
			add("matmul_backward_dx/"+e, shape, func(c *Case) { MatmulBackwardDX(c, s, e, d.N, d.K, d.OC) })
		}
		add("matmul_backward_dw", shape, func(c *Case) { MatmulBackwardDW(c, s, d.N, d.K, d.OC) })
	}
	// The ends that addTile leaves out, in products that fill a tile of each target for large ones.
	const N, K, OC = 130, 196, 132
	shape := fmt.Sprintf("N=%d K=%d OC=%d", N, K, OC)
	for _, e := range []string{"bias", "bias_residual"} {
		add("matmul_forward/"+e, shape, func(c *Case) { MatmulForward(c, s, e, N, K, OC) })
	}
	add("matmul_backward_dx/dgelu", shape, func(c *Case) { MatmulBackwardDX(c, s, "dgelu", N, K, OC) })
}

// addSlices adds the backward forms with their sums in slices of 64, as software devices take long ones.
func addSlices(add adder, s gpu.Storage) {
	const rows, cols, depth = 17, 68, 200
	sliced := func(name, shape string, run func(c *Case)) {
		add(name+"/sliced", shape, func(c *Case) {
			c.Setup.Target = c.Setup.Target.WithSlice(64)
			run(c)
		})
	}
	sliced("matmul_backward_dx", fmt.Sprintf("N=%d K=%d OC=%d", rows, cols, depth-1),
		func(c *Case) { MatmulBackwardDXWindow(c, s, false, rows, cols, depth) })
	sliced("matmul_backward_dw", fmt.Sprintf("N=%d K=%d OC=%d", depth-1, cols, rows),
		func(c *Case) { MatmulBackwardDWWindow(c, s, depth-1, cols, rows) })
}

// addTile adds the forms of matmul with a geometry, into or from windows of wider rows. Few: only the forward has it.
func addTile(add adder, s gpu.Storage, tile op.MatmulTile, few bool) {
	rows, cols, depth := tile.Rows()+1, tile.Cols()+4, max(tile.BK, 8)+4
	if few {
		depth = 4*tile.Threads() + 4
	}
	forced := func(name, shape string, run func(c *Case)) {
		add(name+"/"+tile.Name(), shape, func(c *Case) {
			c.Setup.Target = c.Setup.Target.WithProduct(tile)
			run(c)
		})
	}
	forced("matmul_forward/bias_gelu", fmt.Sprintf("N=%d K=%d OC=%d", rows, depth, cols),
		func(c *Case) { MatmulForward(c, s, "bias_gelu", rows, depth, cols) })
	forced("matmul_forward/window", fmt.Sprintf("N=%d K=%d OC=%d", rows, depth, cols-1),
		func(c *Case) { MatmulForwardWindow(c, s, rows, depth, cols) })
	if few {
		return
	}
	forced("matmul_backward_dx/window", fmt.Sprintf("N=%d K=%d OC=%d", rows, cols, depth-1),
		func(c *Case) { MatmulBackwardDXWindow(c, s, false, rows, cols, depth) })
	forced("matmul_backward_dx/window_add", fmt.Sprintf("N=%d K=%d OC=%d", rows, cols, depth-1),
		func(c *Case) { MatmulBackwardDXWindow(c, s, true, rows, cols, depth) })
	forced("matmul_backward_dw/window", fmt.Sprintf("N=%d K=%d OC=%d", depth-1, cols, rows),
		func(c *Case) { MatmulBackwardDWWindow(c, s, depth-1, cols, rows) })
}

type attentionShape struct{ B, T, NH, HS int }

var attentionShapes = []attentionShape{{2, 33, 3, 20}, {1, 65, 2, 64}, {1, 130, 1, 128}}

// add adds both forms with the kernels of the rules.
func (d attentionShape) add(add adder, s gpu.Storage, geometry string, rules ...op.AttentionRule) {
	shape := fmt.Sprintf("B=%d T=%d NH=%d HS=%d", d.B, d.T, d.NH, d.HS)
	for _, form := range []struct {
		name string
		test func(c *Case, s gpu.Storage, B, T, NH, HS int)
	}{{"attention_forward/", AttentionForward}, {"attention_backward/", AttentionBackward}} {
		add(form.name+geometry, shape, func(c *Case) {
			c.Setup.Target = c.Setup.Target.WithAttention(rules...)
			form.test(c, s, d.B, d.T, d.NH, d.HS)
		})
	}
}

func addAttention(add adder, s gpu.Storage, target op.Target, l gpu.Limits) {
	var done [][]op.AttentionRule
	once := func(shapes []attentionShape, rules ...op.AttentionRule) {
		if slices.ContainsFunc(done, func(d []op.AttentionRule) bool { return slices.Equal(d, rules) }) {
			return
		}
		done = append(done, rules)
		for _, d := range shapes {
			if d.HS <= rules[len(rules)-1].MaxHS {
				d.add(add, s, rules[0].Tile.Name(), rules...)
			}
		}
	}
	for _, t := range append(op.Targets(l), target) {
		if !target.Takes(t) {
			continue
		}
		shapes := attentionShapes
		if t.Attention[0].MinT > 0 {
			shapes = []attentionShape{{1, 130, 3, 20}, {1, 161, 1, 64}}
		}
		once(shapes, t.Attention...)
		for _, r := range t.MoreAttention {
			once(attentionShapes, r)
		}
	}
	add("cache_append", "B=3 S=9 T=1 C=20", func(c *Case) { CacheAppend(c, s, 9, 1, 20, []uint32{8, 0, 4}, false) })
	add("cache_append", "B=2 S=7 T=5 C=132", func(c *Case) { CacheAppend(c, s, 7, 5, 132, []uint32{2, 4}, false) })
	add("cache_append/shared", "B=3 S=5 T=3 C=768", func(c *Case) {
		CacheAppend(c, s, 5, 3, 768, []uint32{0, 2, 1},
			true)
	})
	add("attention_decode", "B=4 S=70 NH=2 HS=20", func(c *Case) {
		AttentionDecode(c, s, 70, 2, 20, 1.5,
			[]uint32{62, 63, 64, 69})
	})
	add("attention_decode", "B=3 S=520 NH=3 HS=64", func(c *Case) {
		AttentionDecode(c, s, 520, 3, 64, 1.5,
			[]uint32{14, 511, 519})
	})
	add("attention_decode/large", "B=2 S=65 NH=2 HS=64", func(c *Case) {
		AttentionDecode(c, s, 65, 2, 64, 8,
			[]uint32{64, 33})
	})
}

func addRows(add adder, s gpu.Storage) {
	for _, d := range []struct{ N, C int }{{3, 20}, {17, 260}, {65, 772}, {1030, 12}} {
		shape := fmt.Sprintf("N=%d C=%d", d.N, d.C)
		add("layernorm_forward", shape, func(c *Case) { LayerNormForward(c, s, d.N, d.C) })
		add("layernorm_backward", shape, func(c *Case) { LayerNormBackward(c, s, d.N, d.C) })
	}
	for _, d := range []struct{ N, OC int }{{7, 20}, {65, 260}, {4097, 36}} {
		add("bias_backward", fmt.Sprintf("N=%d OC=%d", d.N, d.OC), func(c *Case) { BiasBackward(c, s, d.N, d.OC) })
	}
	for _, d := range []struct{ R, N, C int }{{5, 3, 20}, {3, 9, 260}, {11, 2, 772}} {
		add("gather_rows", fmt.Sprintf("R=%d N=%d C=%d", d.R, d.N, d.C),
			func(c *Case) { GatherRows(c, s, d.R, d.N, d.C) })
	}
}

func addValues(add adder, s gpu.Storage) {
	for _, shape := range [][]int{{13, 20}, {1028}} {
		name := strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), " ", "x")
		add("gelu_forward", name, func(c *Case) { GELUForward(c, s, shape...) })
		add("pack", name, func(c *Case) { Pack(c, s, shape...) })
	}
	add("adamw", "n=260 step=3", func(c *Case) { AdamW(c, s, 260, 3, 0, true, 0.25) })
	add("adamw", "n=4100 step=1000", func(c *Case) { AdamW(c, s, 4100, 1000, 0, true, 1) })
	add("adamw/windows", "n=644 step=7", func(c *Case) { AdamW(c, s, 644, 7, 1024+256, false, 1) })
}

func addClassifier(add adder, s gpu.Storage) {
	classifier := func(name string, N, C, V, R, limit int, backward bool) {
		add(name, fmt.Sprintf("N=%d C=%d V=%d R=%d", N, C, V, R), func(c *Case) {
			Classifier(c, s, N, C, V, R, limit,
				backward)
		})
	}
	classifier("classifier", 3, 8, 5, 64, 0, true)
	classifier("classifier", 129, 20, 257, 64, 0, true)
	classifier("classifier/losses", 129, 20, 257, 64, 0, false)
	limit := 84 << 10 // bytes a binding: windows of 128, 128 and 1 rows of the vocabulary
	if s == gpu.BF16 {
		limit /= 2
	}
	classifier("classifier/windows", 65, 128, 257, 64, limit, true)
	classifier("classifier/gpt2", 2, 4, 50257, 2, 0, true)
}

// addFloat32 adds what has only one storage.
func addFloat32(add adder) {
	for _, d := range []struct{ B, T, C, V int }{{3, 5, 20, 257}, {2, 8, 260, 100}, {7, 11, 772, 257}} {
		shape := fmt.Sprintf("B=%d T=%d C=%d V=%d", d.B, d.T, d.C, d.V)
		add("embedding_forward", shape, func(c *Case) { EmbeddingForward(c, d.B, d.T, d.C, d.V) })
		add("embedding_backward", shape, func(c *Case) { EmbeddingBackward(c, d.B, d.T, d.C, d.V) })
	}
	windows := func(c *Case) { c.BindAtMost(64*20*4 + 256) } // 64 rows and their guard words
	add("embedding_forward/windows", "B=3 T=5 C=20 V=257", func(c *Case) {
		windows(c)
		EmbeddingForward(c, 3, 5, 20,
			257)
	})
	add("embedding_backward/windows", "B=3 T=5 C=20 V=257", func(c *Case) {
		windows(c)
		EmbeddingBackward(c, 3, 5, 20,
			257)
	})
	for _, n := range []int{257, 65537} {
		add("mean_loss", fmt.Sprintf("N=%d", n), func(c *Case) { MeanLoss(c, n) })
	}
	add("gradient_norm", "n=252+260", func(c *Case) { GradientNorm(c, []int{252, 260}, 0, 1e6) })
	add("gradient_norm", "n=1048576", func(c *Case) { GradientNorm(c, []int{1 << 20}, 0, 1) })
	add("gradient_norm/windows", "n=644+708", func(c *Case) { GradientNorm(c, []int{644, 708}, 1024+256, 1) })

	for _, n := range []int{2, 66} { // a group a row, and on CPUs a thread a row
		add("layernorm_forward/extremes", fmt.Sprintf("N=%d C=64", n), func(c *Case) { LayerNormForwardExtremes(c, n) })
	}
	add("classifier/large", "N=2 C=4 V=300", ClassifierLargeLogits)
	for _, bad := range []float64{math.NaN(), math.Inf(1), 1e30} {
		add(fmt.Sprintf("gradient_norm/%v", bad), "n=1024", func(c *Case) { GradientNormNotFinite(c, bad, 300) })
	}
	add("adamw/skip", "n=1028", AdamWSkip)
	add("pack/edges", "n=52", PackEdges)
}
