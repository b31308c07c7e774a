package op

// targetCPU suits software Vulkan on CPUs, SwiftShader's for one: a group runs on one core, eight threads in step, and
// only registers save loads. All numbers were measured with lavapipe.
func targetCPU() Target {
	return Target{
		Name: "cpu", Algorithms: []string{"direct", "tiled", "split"}, Logits: logitsBytes,
		// A group runs on one core: more than some dozens of threads gain nothing. Where threads take several quads, a
		// group apart, or add up in a tree, a group of more than eight runs eight threads at a time, each through the
		// whole of its memory in strides. Part of the rate of copies that is reached:
		//
		//	                       64 threads   8 threads
		//	norm_partials                0.38         0.9
		//	adamw, 8 quads each           0.6         1.0
		//	adamw, 4 quads each                       0.6
		Threads: 64, Reduce: 8, AdamW: 8,
		// embedding_forward reaches 0.4 of the rate of copies with one look-up per quad, and 0.6 with one for 24 quads.
		// More quads would compile for long.
		LookUp: LookUpTarget{8, 24},
		// A barrier costs time for each thread, and rows in sequence save the loads of w and b. Part of the rate of
		// copies at (1024,768): the forward 0.61 with groups of threads, 0.75 with a thread per row; the backward 0.8
		// with 16 threads of 12 quads, and as much with 8 of 24, which compile for 1.1 s instead of 0.6.
		LayerNorm: LayerNormTarget{Threads: 8, Quads: 12, Rows: 16, ThreadRow: 64},
		// 16 threads and more were not faster at 16, 256 or 1024 keys.
		Decode: 8,
		// The backward forms walk down columns, each row in another page of memory: beyond 256 to 512 rows a CPU's
		// caches and page tables hold them no longer. GFLOP/s with 16x16 sums per thread:
		//
		//	                             whole   sliced
		//	dx of 256x768, depth 8192       23       34
		//	dx of 512x768, depth 2304       28       36
		//	dw of 768x768, depth 4096       21       31
		Slice: SliceTarget{DX: 512, DW: 256},

		// Reading w is all the work of the few rows of sampling. GB/s of w, best of 60:
		//
		//	rows   sums per thread   768 -> 3072   768 -> 12576
		//	   1               1x8           7.8            8.6
		//	   1               4x4           4.2            7.0
		//	   2               2x8           8.1            7.1
		//	   2               4x4           4.2            3.9
		//	   4               4x8           4.7            7.9
		//	   4               4x4           4.4            7.2
		//	   the GPUs' split tiles         2.8 at best
		//
		// For more rows registers save loads. GFLOP/s of 1024x768x3072: 16x16 sums per thread 41, 16x8 32, 8x8 29,
		// 4x4 18. 16x12 are as fast as 16x16 and compile for 0.5 to 0.7 s at the first use, where those take up to
		// 1.0 s. Larger ones are no faster in any form and compile for 1 to 3 s.
		Products: []ProductRule{
			{Tile: MatmulTile{Algorithm: "direct", TM: 1, TN4: 2, WX: 8, WY: 1}, Forward: true, MaxRows: 1},
			{Tile: MatmulTile{Algorithm: "direct", TM: 2, TN4: 2, WX: 8, WY: 1}, Forward: true, MaxRows: 2},
			{Tile: MatmulTile{Algorithm: "direct", TM: 4, TN4: 2, WX: 8, WY: 1}, Forward: true, MaxRows: 4},
			{Tile: MatmulTile{Algorithm: "direct", TM: 16, TN4: 3, WX: 8, WY: 1}, MinRows: 9, MinCols: 65},
			{Tile: MatmulTile{Algorithm: "direct", TM: 8, TN4: 2, WX: 8, WY: 1}, MinRows: 5},
			{Tile: MatmulTile{Algorithm: "direct", TM: 4, TN4: 1, WX: 8, WY: 1}},
		},
		MoreProducts: []MatmulTile{
			{Algorithm: "direct", TM: 16, TN4: 2, WX: 8, WY: 1},
			{Algorithm: "direct", TM: 8, TN4: 4, WX: 8, WY: 1},
			{Algorithm: "direct", TM: 4, TN4: 2, WX: 8, WY: 1},
		},

		// GFLOP/s at T=1024, HS=64 by queries (keys, for dkv) per thread, with the time of the first compilation:
		//
		//	forward   4: 20 (0.4 s)   6: 24 (0.6 s)   8: 22 (0.7 s)
		//	dq        4: 28 (0.5 s)   6: 27
		//	dkv       2: 19           4: 25 (0.7 s)   5: 25 (1.1 s)
		//
		// With 8 in the forward registers spill past the 48 KiB cache, and the loop past the instructions' cache.
		Attention: []AttentionRule{
			{MaxHS: 32, Tile: attentionDirect(8, 8, 6, 6)},
			{MaxHS: 64, Tile: attentionDirect(8, 6, 4, 4)},
			{MaxHS: 128, Tile: attentionDirect(8, 3, 2, 2)},
		},
		MoreAttention: []AttentionRule{
			{MaxHS: 32, Tile: attentionDirect(8, 6, 4, 4)}, {MaxHS: 64, Tile: attentionDirect(8, 4, 6, 2)},
			{MaxHS: 128, Tile: attentionDirect(8, 4, 3, 3)},
		},
	}
}

// attentionDirect is kernels of wx threads with this many queries of the forward and of dq, and keys of dkv, per
// thread.
func attentionDirect(wx, forward, dq, dkv int) AttentionTile {
	return AttentionTile{"direct", 0,
		attentionGeometry{wx * forward, attentionSpec{WX: wx, TQ: forward}},
		attentionGeometry{wx * dq, attentionSpec{WX: wx, TQ: dq}},
		attentionGeometry{wx * dkv, attentionSpec{WX: wx, TK: dkv}}}
}
