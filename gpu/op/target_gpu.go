package op

import (
	"regexp"
	"slices"
)

// gpuClass is GPUs that share tables: those of a vendor, or those of its architectures whose names match.
type gpuClass struct {
	target   func() Target
	backends []string       // that drive them
	vendors  []uint32       // PCI ids
	word     *regexp.Regexp // in the name where the driver gives no such id, as Metal's; nil: of any vendor
	names    *regexp.Regexp // nil: all of the vendor
}

// gpus are the classes. A device is of the first one that it fits.
var gpus = []gpuClass{
	{targetNVIDIA, []string{"vulkan", "dx12"}, []uint32{0x10de}, word("nvidia"), nil},
	{targetGCN, []string{"vulkan", "metal", "dx12"}, []uint32{0x1002}, word("amd|radeon|radv"), namesGCN},
	{targetRDNA, []string{"vulkan", "metal", "dx12"}, []uint32{0x1002}, word("amd|radeon|radv"), nil},
	{targetIntel, []string{"vulkan", "metal", "dx12"}, []uint32{0x8086}, word("intel"), nil},
	{targetApple, []string{"vulkan", "metal"}, []uint32{0x106b}, word("apple"), nil},
	{targetMobile, []string{"vulkan", "dx12"}, []uint32{0x5143, 0x13b5}, word("adreno|mali|immortalis"), nil},
	{targetGPU, []string{"vulkan", "metal", "dx12"}, nil, nil, nil},
}

func word(words string) *regexp.Regexp { return regexp.MustCompile(`(?i)\b(` + words + `)\b`) }

func (c gpuClass) has(vendor uint32, name string) bool {
	ours := c.word == nil || slices.Contains(c.vendors, vendor) || c.word.MatchString(name)
	return ours && (c.names == nil || c.names.MatchString(name))
}

// targetOfGPU returns the target of a GPU's class.
func targetOfGPU(vendor uint32, name string) Target {
	return gpus[slices.IndexFunc(gpus, func(c gpuClass) bool { return c.has(vendor, name) })].target()
}

// clearedBytes is the TileBytes of backends for which naga 0.19 clears workgroup memory with one thread before each
// group begins. At 768 addends one thread's stores of 8 KiB take as long as 2 to 8% of the multiply-adds of a group of
// 64x64 sums.
var clearedBytes = map[string]int{"metal": 9 << 10, "dx12": 4 << 10}

// on returns the target with tables for a backend. It has a name of its own where they differ.
func (t Target) on(backend string) Target {
	bytes := clearedBytes[backend]
	if bytes == 0 || t.TileBytes > 0 && t.TileBytes <= bytes {
		return t
	}
	t.Name, t.TileBytes = t.Name+"-"+backend, bytes
	if backend == "dx12" {
		for i, r := range t.Products {
			t.Products[i].Tile = forFXC(r.Tile)
		}
		for i, m := range t.MoreProducts {
			t.MoreProducts[i] = forFXC(m)
		}
		t.Decode, t.DecodeQuads = 32, 64 // FXC takes 1 CPU second for heads of 64, with all 512 quads at a time 67

		t.Reduce = 64 // sum_strips keeps a vec4 per thread: FXC takes 9 CPU seconds for 256 of them
		// With heads of 128 FXC takes 4 to 11 CPU seconds for attentionFXC's kernels, and at most 2.3 for those without
		// workgroup memory. Their registers spill, which no preset meets: its heads have at most 64.
		t.Attention = []AttentionRule{
			{MaxHS: 64, Tile: attentionFXC()}, {MaxHS: 128, Tile: attentionDirect(32, 1, 1, 1)},
		}
		t.MoreAttention = []AttentionRule{{MaxHS: 64, Tile: attentionDirect(64, 1, 1, 1)}}
	}
	return t
}

// forFXC returns a tile with as few addends at a time as leave at most 16 quads to each of the eight variables that
// naga 0.19 clears, for DX12's compiler. CPU seconds of FXC for a product with bias and GELU in float32:
//
//	quads of a variable     16     32
//	64x64, 8x8 sums        1.6    4.3
//	64x64, 8x4 sums        1.0    3.2
//	32x32, 4x4 sums        0.7    2.5
func forFXC(m MatmulTile) MatmulTile {
	if quads := max(m.Rows(), m.Cols()) / 4; m.Algorithm == "tiled" && quads <= 16 {
		m.BK = min(m.BK, 16/quads*4)
	}
	return m
}

// gpuTarget is what GPUs share; products are the class's tiles, those for many groups first. A team of attention's
// threads shares this many rows, 4 or 2. With heads of 64 channels, 4 rows take 128 floats of rows and sums per thread
// (96 in dq), and 2 take half of them.
func gpuTarget(name string, rows int, products []ProductRule, more ...MatmulTile) Target {
	return Target{
		Name: name, Algorithms: []string{"direct", "tiled", "split"},
		Threads: 256, Reduce: 256, AdamW: 2, LookUp: LookUpTarget{64, 1},
		LayerNorm: LayerNormTarget{Threads: 64, Quads: 4, Rows: 1}, Decode: 64,
		// 1280 rows of GPT-2's vocabulary, ten tiles of 128: 240 groups of 64x64 for the gradient of x, where 320 rows
		// had 60 of 32x32, and a quarter of the traffic for the tied matrix and its gradient, which each chunk reads
		// and writes.
		Logits: 256 << 20, LogitsRows: 128, MoreLogits: 4,

		// For the few rows that sampling has, one per sequence, reading w is all the work: neighbouring threads read
		// neighbouring values and split the sums.
		Products: append([]ProductRule{
			{Tile: MatmulTile{Algorithm: "split", TM: 1, TN4: 1, WX: 64, WY: 1}, Forward: true, MaxRows: 1},
			{Tile: MatmulTile{Algorithm: "split", TM: 2, TN4: 1, WX: 64, WY: 1}, Forward: true, MaxRows: 2},
			{Tile: MatmulTile{Algorithm: "split", TM: 4, TN4: 1, WX: 64, WY: 1}, Forward: true, MaxRows: 4},
			{Tile: MatmulTile{Algorithm: "split", TM: 8, TN4: 1, WX: 64, WY: 1}, Forward: true, MaxRows: 8},
		}, products...),
		MoreProducts: more,

		Attention: []AttentionRule{
			{MaxHS: 64, Tile: attentionTiled(64, rows, 16)},
			{MaxHS: 128, Tile: attentionTiled(64, 2, 8)},
		},
		// The other number of rows, and queries without workgroup memory: a thread's query fits into AMD's registers.
		// A second one fits nowhere, nor does a key of dkv without 50 spills.
		MoreAttention: []AttentionRule{
			{MaxHS: 64, Tile: attentionTiled(64, 6-rows, 16)},
			{MaxHS: 64, Tile: attentionTiled(64, rows, 16).unstagedQueries(64, true)},
			{MaxHS: 64, Tile: attentionTiled(64, rows, 16).unstagedQueries(32, true)},
		},
	}
}

// staged is a tile through workgroup memory: rows x cols sums per thread of wx x wy, bk addends at a time.
func staged(rows, cols, wx, wy, bk int) MatmulTile {
	return MatmulTile{Algorithm: "tiled", TM: rows, TN4: cols / 4, WX: wx, WY: wy, BK: bk}
}

// unstaged is a tile without workgroup memory.
func unstaged(rows, cols, wx, wy int) MatmulTile {
	return MatmulTile{Algorithm: "direct", TM: rows, TN4: cols / 4, WX: wx, WY: wy}
}

// targetGPU suits GPUs that no other class has: 32 sums per thread, which few registers hold, and tiles that others
// ship for all devices without measuring (32x32, 4x4 sums on 64 threads) for small results.
func targetGPU() Target {
	return gpuTarget("gpu", 2, []ProductRule{
		{Tile: staged(8, 4, 16, 8, 16), MinGroups: 32}, // 64x64 on 128 threads
		{Tile: staged(4, 4, 8, 8, 16)},                 // 32x32 on 64 threads: 25 to 40% of peak (tfjs, ggml, ONNX)
	},
		staged(8, 8, 16, 16, 8),  // 128x128 on 256: what a large device takes
		staged(8, 8, 8, 16, 16),  // 128x64 on 128
		staged(8, 8, 8, 8, 16),   // 64x64 on 64
		staged(4, 4, 16, 16, 16), // 64x64 on 256
		unstaged(4, 4, 8, 8),     // 32x32 on 64 (jax-js)
		unstaged(8, 4, 16, 8),    // 64x64 on 128 (CLBlast on GPUs of phones)
	)
}
