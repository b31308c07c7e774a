package op

// targetGPU suits GPUs of any make. Its geometries are usual in the field; they are right on software Vulkan, which
// tests them, and were not timed on a GPU.
func targetGPU() Target {
	return Target{
		Name: "gpu", Algorithms: []string{"direct", "tiled", "split"},
		Threads: 256, Reduce: 256, AdamW: 2, LookUp: LookUpTarget{64, 1},
		LayerNorm: LayerNormTarget{Threads: 64, Quads: 4, Rows: 1}, Decode: 64, Logits: logitsBytes,

		// For the few rows that sampling has, one per sequence, reading w is all the work: neighbouring threads read
		// neighbouring values and split the sums. Beyond that, float32 through 8 KiB of workgroup memory: 128x128 by
		// 8x8 sums per thread where that makes enough groups to fill a large device, 64x64 by 4x4 below, 32x32 by 4x4
		// for small results.
		Products: []ProductRule{
			{Tile: MatmulTile{Algorithm: "split", TM: 1, TN4: 1, WX: 64, WY: 1}, Forward: true, MaxRows: 1},
			{Tile: MatmulTile{Algorithm: "split", TM: 2, TN4: 1, WX: 64, WY: 1}, Forward: true, MaxRows: 2},
			{Tile: MatmulTile{Algorithm: "split", TM: 4, TN4: 1, WX: 64, WY: 1}, Forward: true, MaxRows: 4},
			{Tile: MatmulTile{Algorithm: "split", TM: 8, TN4: 1, WX: 64, WY: 1}, Forward: true, MaxRows: 8},
			{Tile: MatmulTile{Algorithm: "tiled", TM: 8, TN4: 2, WX: 16, WY: 16, BK: 8}, MinGroups: 128},
			{Tile: MatmulTile{Algorithm: "tiled", TM: 4, TN4: 1, WX: 16, WY: 16, BK: 16}, MinGroups: 32},
			{Tile: MatmulTile{Algorithm: "tiled", TM: 4, TN4: 1, WX: 8, WY: 8, BK: 16}},
		},
		// What others report: 4x4 and 8x8 sums per thread without workgroup memory (jax-js, surfgrad), 32x32 tiles of
		// depth 8 (ggml), 128x64 and 64x64 by 8x4 and 8x8 (meganeura).
		MoreProducts: []MatmulTile{
			{Algorithm: "tiled", TM: 8, TN4: 2, WX: 16, WY: 16, BK: 16},
			{Algorithm: "tiled", TM: 8, TN4: 1, WX: 16, WY: 16, BK: 16},
			{Algorithm: "tiled", TM: 4, TN4: 2, WX: 16, WY: 16, BK: 16},
			{Algorithm: "tiled", TM: 8, TN4: 2, WX: 8, WY: 8, BK: 16},
			{Algorithm: "tiled", TM: 4, TN4: 1, WX: 16, WY: 16, BK: 32},
			{Algorithm: "tiled", TM: 4, TN4: 1, WX: 8, WY: 8, BK: 8},
			{Algorithm: "direct", TM: 4, TN4: 1, WX: 8, WY: 8},
			{Algorithm: "direct", TM: 8, TN4: 2, WX: 8, WY: 8},
		},

		// 16 KiB of workgroup memory, and 128 floats of rows and sums per thread in registers (96 in dq; 128, 192 and
		// 256 with heads of 128).
		Attention: []AttentionRule{
			{MaxHS: 64, Tile: AttentionTile{"tiled", 0,
				attentionGeometry{64, attentionSpec{WX: 64, TQ: 4, BK: 16}},
				attentionGeometry{64, attentionSpec{WX: 128, BK: 8}},
				attentionGeometry{64, attentionSpec{WX: 128, BQ: 8}}}},
			{MaxHS: 128, Tile: AttentionTile{"tiled", 0,
				attentionGeometry{64, attentionSpec{WX: 128, TQ: 2, BK: 8}},
				attentionGeometry{64, attentionSpec{WX: 128, BK: 4}},
				attentionGeometry{64, attentionSpec{WX: 128, BQ: 4}}}},
		},
		// The same without workgroup memory.
		MoreAttention: []AttentionRule{
			{MaxHS: 128, Tile: attentionDirect(64, 1, 1, 1)}, {MaxHS: 128, Tile: attentionDirect(32, 1, 1, 1)},
			{MaxHS: 64, Tile: attentionDirect(32, 2, 2, 2)},
		},
	}
}
