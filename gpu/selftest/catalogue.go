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
// On a GPU the tables of CPUs and of other backends are left out. Shapes are one past the tiles, or have a part of a
// last tile, in every dimension.
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
	for _, t := range tables(target, l) {
		t, f := t.Tiles()
		add(&tiles, t)
		add(&few, f)
	}
	var list []Entry
	adding := func(s gpu.Storage) adder {
		return func(name string, shape any, run func(c *Case)) {
			list = append(list, Entry{name, s.String(), dims(shape), run})
		}
	}
	for _, s := range []gpu.Storage{gpu.F32, gpu.BF16} {
		add := adding(s)
		addMatmul(add, s)
		addAttention(add, s, target, l)
		addRows(add, s)
		addValues(add, s)
		addClassifier(add, s)
		// Sums in slices of 64, as software devices take long ones.
		addForms(add, "sliced", BackwardForms(s, 17, 68, 200), func(t op.Target) op.Target { return t.WithSlice(64) })
		// Long sums in parts, as GPUs may take them where there are few results.
		for _, parts := range []int{2, 4, 8} {
			tile := op.MatmulTile{Algorithm: "tiled", TM: 4, TN4: 1, WX: 8, WY: 8, BK: 16, Parts: parts}
			on := func(t op.Target) op.Target { return t.WithProduct(tile) }
			if target.Suits(tile) {
				addForms(add, tile.Name(), BackwardForms(s, 33, 68, 300), on)
			}
		}
		for _, tile := range tiles {
			addTile(add, s, tile, false)
		}
		for _, tile := range few {
			addTile(add, s, tile, true)
		}
	}
	addFloat32(adding(gpu.F32))
	return list
}

// ForTile lists the cases of a tile that u may take: those of its op, in its storage.
func ForTile(tile op.Tile, u op.Use) (list []Entry) {
	s := u.Storage()
	add := func(name string, shape any, run func(c *Case)) {
		if strings.HasPrefix(name, u.Op) {
			list = append(list, Entry{name, s.String(), dims(shape), run})
		}
	}
	switch {
	case tile.Matmul != nil:
		addTile(add, s, *tile.Matmul, u.Op == "matmul_forward")
	case tile.Attention != nil:
		rule := op.AttentionRule{Tile: *tile.Attention, MaxHS: 128}
		for _, d := range []heads{{2, 33, 3, u.Numbers["hs"]}, {1, 130, 1, u.Numbers["hs"]}} {
			d.add(add, s, rule)
		}
	case tile.Classifier != nil:
		n := tile.Classifier.Rows + 1
		add("classifier", struct{ N int }{n}, func(c *Case) { Classifier(c, s, n, 20, 257, n-1, 0, true) })
	}
	return list
}

// tables are the targets whose tiles a device with this target tries. A GPU leaves out those of CPUs, whose long texts
// some compilers of GPUs need minutes for, and those of backends that clear more or less workgroup memory: DX12's FXC
// needs a minute for others' attention. A CPU tries all.
func tables(target op.Target, l gpu.Limits) []op.Target {
	all := append(op.Targets(l), target)
	return slices.DeleteFunc(all, func(t op.Target) bool {
		return !target.OnCPU() && (t.OnCPU() || t.TileBytes != target.TileBytes)
	})
}

// adder adds a case; shape is a struct of its dimensions, or text.
type adder func(name string, shape any, run func(c *Case))

// dims prints a struct of dimensions as N=3 C=20, and text as it is.
func dims(shape any) string {
	return strings.NewReplacer("{", "", "}", "", ":", "=").Replace(fmt.Sprintf("%+v", shape))
}

type product struct{ N, K, OC int }

func addMatmul(add adder, s gpu.Storage) {
	epilogues := func(d product, forward, dx []string) {
		for _, e := range forward {
			if e != "store_f32" || s != gpu.F32 { // there it is store
				add("matmul_forward/"+e, d, func(c *Case) { MatmulForward(c, s, e, d.N, d.K, d.OC) })
			}
		}
		for _, e := range dx {
			if e != "store_f32" || s != gpu.F32 {
				add("matmul_backward_dx/"+e, d, func(c *Case) { MatmulBackwardDX(c, s, e, 0, d.N, d.K, d.OC) })
			}
		}
	}
	for _, d := range []product{{3, 8, 12}, {17, 36, 132}, {65, 260, 100}} {
		epilogues(d, ForwardEpilogues, BackwardDXEpilogues)
		add("matmul_backward_dw", d, func(c *Case) { MatmulBackwardDW(c, s, 0, d.N, d.K, d.OC) })
	}
	// The ends that addTile leaves out, in products that fill a tile of each target for large ones.
	epilogues(product{130, 196, 132}, []string{"bias", "bias_residual"}, []string{"dgelu"})
}

// addForms adds cases with a changed target.
func addForms(add adder, name string, forms []Entry, on func(op.Target) op.Target) {
	for _, e := range forms {
		add(e.Name+"/"+name, e.Shape, func(c *Case) {
			c.Setup.Target = on(c.Setup.Target)
			e.Try(c)
		})
	}
}

// addTile adds the forms of matmul with a geometry, into or from windows of wider rows. Few: only the forward has it.
func addTile(add adder, s gpu.Storage, tile op.MatmulTile, few bool) {
	rows, cols, depth := tile.Rows()+1, tile.Cols()+4, max(tile.BK, 8)+4
	on := func(t op.Target) op.Target { return t.WithProduct(tile) }
	if few {
		addForms(add, tile.Name(), ForwardForms(s, rows, cols, 4*tile.Threads()+4), on)
		return
	}
	addForms(add, tile.Name(), ForwardForms(s, rows, cols, depth), on)
	addForms(add, tile.Name(), BackwardForms(s, rows, cols, depth), on)
}

// ForwardForms are cases of the forward that have a result of rows x cols (of a window: one column less) and sums of
// depth addends.
func ForwardForms(s gpu.Storage, rows, cols, depth int) []Entry {
	return []Entry{
		{"matmul_forward/bias_gelu", s.String(), dims(product{rows, depth, cols}), func(c *Case) {
			MatmulForward(c, s, "bias_gelu", rows, depth, cols)
		}},
		{"matmul_forward/window", s.String(), dims(product{rows, depth, cols - 1}), func(c *Case) {
			MatmulForwardWindow(c, s, rows, depth, cols-1)
		}},
	}
}

// BackwardForms are cases of both backwards, from windows, with a result of rows x cols and sums of depth-1 addends.
func BackwardForms(s gpu.Storage, rows, cols, depth int) []Entry {
	dx := func(epilogue string) func(c *Case) {
		return func(c *Case) { MatmulBackwardDX(c, s, epilogue, windowCol, rows, cols, depth-1) }
	}
	shape := dims(product{rows, cols, depth - 1})
	return []Entry{
		{"matmul_backward_dx/window", s.String(), shape, dx("store")},
		{"matmul_backward_dx/window_add", s.String(), shape, dx("add")},
		{"matmul_backward_dw/window", s.String(), dims(product{depth - 1, cols, rows}), func(c *Case) {
			MatmulBackwardDW(c, s, windowCol, depth-1, cols, rows)
		}},
	}
}

type heads struct{ B, T, NH, HS int }

var attentionShapes = []heads{{2, 33, 3, 20}, {1, 65, 2, 64}, {1, 130, 1, 128}}

// add adds both forms with the kernels of the rules.
func (d heads) add(add adder, s gpu.Storage, rules ...op.AttentionRule) {
	addForms(add, rules[0].Tile.Name(), []Entry{
		{"attention_forward", "", dims(d), func(c *Case) { AttentionForward(c, s, d.B, d.T, d.NH, d.HS) }},
		{"attention_backward", "", dims(d), func(c *Case) { AttentionBackward(c, s, d.B, d.T, d.NH, d.HS) }},
	}, func(t op.Target) op.Target { return t.WithAttention(rules...) })
}

func addAttention(add adder, s gpu.Storage, target op.Target, l gpu.Limits) {
	done := map[string]bool{}
	once := func(shapes []heads, rules ...op.AttentionRule) {
		for _, d := range shapes {
			i := slices.IndexFunc(rules, func(r op.AttentionRule) bool { return d.HS <= r.MaxHS && d.T >= r.MinT })
			if i < 0 {
				continue
			}
			if what := fmt.Sprint(rules[i].Tile, d); !done[what] {
				done[what] = true
				d.add(add, s, rules[i:]...)
			}
		}
	}
	for _, t := range tables(target, l) {
		if !target.Takes(t) {
			continue
		}
		shapes := attentionShapes
		if t.Attention[0].MinT > 0 {
			shapes = []heads{{1, 130, 3, 20}, {1, 161, 1, 64}}
		}
		once(shapes, t.Attention...)
		for _, r := range t.MoreAttention {
			once(attentionShapes, r)
		}
	}
	add("cache_append", "B=3 S=9 T=1 C=20", func(c *Case) { CacheAppend(c, s, 9, 1, 20, []uint32{8, 0, 4}, false) })
	add("cache_append", "B=2 S=7 T=5 C=132", func(c *Case) { CacheAppend(c, s, 7, 5, 132, []uint32{2, 4}, false) })
	first := []uint32{0, 2, 1}
	add("cache_append/shared", "B=3 S=5 T=3 C=768", func(c *Case) { CacheAppend(c, s, 5, 3, 768, first, true) })
	decode := func(name string, S, NH, HS int, scale float64, positions ...uint32) {
		shape := struct{ B, S, NH, HS int }{len(positions), S, NH, HS}
		add("attention_decode"+name, shape, func(c *Case) { AttentionDecode(c, s, S, NH, HS, scale, positions) })
	}
	decode("", 70, 2, 20, 1.5, 62, 63, 64, 69)
	decode("", 520, 3, 64, 1.5, 14, 511, 519)
	decode("", 130, 1, 128, 1.5, 129, 15)
	decode("/large", 65, 2, 64, 8, 64, 33)
}

func addRows(add adder, s gpu.Storage) {
	for _, d := range []struct{ N, C int }{{3, 20}, {17, 260}, {65, 772}, {1030, 12}} {
		add("layernorm_forward", d, func(c *Case) { LayerNormForward(c, s, d.N, d.C) })
		add("layernorm_backward", d, func(c *Case) { LayerNormBackward(c, s, d.N, d.C) })
	}
	for _, d := range []struct{ N, OC int }{{7, 20}, {65, 260}, {4097, 36}} {
		add("bias_backward", d, func(c *Case) { BiasBackward(c, s, d.N, d.OC) })
	}
	for _, d := range []struct{ R, N, C int }{{5, 3, 20}, {3, 9, 260}, {11, 2, 772}} {
		add("gather_rows", d, func(c *Case) { GatherRows(c, s, d.R, d.N, d.C) })
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
	for _, d := range muonShapes {
		add("muon", d, func(c *Case) { Muon(c, s, []int{3, 1}, d.R, d.C) })
	}
}

// muonShapes are tall, wide and square, one of them large enough for every target's tiles of small results.
var muonShapes = []struct{ R, C int }{{8, 20}, {20, 8}, {36, 36}, {132, 196}}

func addClassifier(add adder, s gpu.Storage) {
	type shape struct{ N, C, V, R int }
	classifier := func(name string, d shape, limit int, backward bool) {
		add("classifier"+name, d, func(c *Case) { Classifier(c, s, d.N, d.C, d.V, d.R, limit, backward) })
	}
	classifier("", shape{3, 8, 5, 64}, 0, true)
	classifier("", shape{129, 20, 257, 64}, 0, true)
	classifier("/losses", shape{129, 20, 257, 64}, 0, false)
	limit := 84 << 10 // bytes a binding: windows of 128, 128 and 1 rows of the vocabulary
	if s == gpu.BF16 {
		limit /= 2
	}
	classifier("/windows", shape{65, 128, 257, 64}, limit, true)
	classifier("/gpt2", shape{2, 4, 50257, 2}, 0, true)
}

// addFloat32 adds what has only one storage.
func addFloat32(add adder) {
	type embedding struct{ B, T, C, V int }
	embeddings := func(name string, d embedding, limit int) {
		add("embedding_forward"+name, d, func(c *Case) { EmbeddingForward(c, d.B, d.T, d.C, d.V, limit) })
		add("embedding_backward"+name, d, func(c *Case) { EmbeddingBackward(c, d.B, d.T, d.C, d.V, limit) })
	}
	for _, d := range []embedding{{3, 5, 20, 257}, {2, 8, 260, 100}, {7, 11, 772, 257}} {
		embeddings("", d, 0)
	}
	embeddings("/windows", embedding{3, 5, 20, 257}, 64*20*4+256) // 64 rows and their guard words
	for _, n := range []int{257, 65537} {
		add("mean_loss", struct{ N int }{n}, func(c *Case) { MeanLoss(c, n) })
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
	add("muon/skip", "R=8 C=12", MuonSkip)
	// Several products in one dispatch, on devices that have another algorithm too: sums of whole tiles, and of a part.
	tile := op.MatmulTile{Algorithm: "tiled", TM: 4, TN4: 1, WX: 8, WY: 8, BK: 16}
	for _, d := range []struct{ R, C int }{{64, 16}, {40, 72}} {
		e := Entry{"muon", "f32", dims(d), func(c *Case) { Muon(c, gpu.F32, []int{2, 3}, d.R, d.C) }}
		addForms(add, tile.Name(), []Entry{e}, func(t op.Target) op.Target { return t.WithProduct(tile) })
	}
	add("pack/edges", "n=52", PackEdges)
}
