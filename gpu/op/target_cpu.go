package op

// targetCPU suits software Vulkan on CPUs, SwiftShader's for one: a group runs on one core, eight threads in step, and only
// registers save loads. All numbers were measured with lavapipe.
func targetCPU() Target {
	return Target{
		Name: "cpu", Logits: logitsBytes,
		// More than some dozens of threads gain nothing. Where threads take several quads, a group apart, a larger group is run
		// eight threads at a time, each through the whole of its memory in strides: of the rate of copies, norm_partials reaches
		// 0.38 with 64 threads and 0.9 with 8, adamw 0.6 and 1.0. With 4 quads per thread adamw reaches 0.6, with 8 and 12 all of it.
		Threads: 64, Reduce: 8, AdamW: 8,
		// embedding_forward reaches 0.4 of the rate of copies with a look-up per quad and 0.6 with one for 24; more would compile
		// for long.
		LookUp: LookUpTarget{8, 24},
		// A barrier costs time for each thread, and rows in sequence save the loads of w and b. At (1024,768) the backward reaches 0.8
		// of the rate of copies with 16 threads, as with 8 and 24 quads, which compile for 1.1 s instead of 0.6; the forward 0.75 with
		// a thread per row, 0.61 with groups of threads.
		LayerNorm: LayerNormTarget{Threads: 8, Quads: 12, Rows: 16, ThreadRow: 64},
		// 16 threads and more were not faster at 16, 256 or 1024 keys.
		Decode: 8,
		// The backward forms walk down columns, each row in another page of memory: beyond 256 to 512 rows a CPU's caches and page
		// tables hold them no longer. 16x16 sums per thread, GFLOP/s of 90, whole and sliced: dx of 256x768, depth 8192, 23 and 34; of
		// 512x768, depth 2304, 28 and 36; dw of 768x768, depth 4096, 21 and 31.
		Slice: SliceTarget{DX: 512, DW: 256},

		// The few rows of sampling, where reading w is all the work; GB/s of w, best of 60, 768 -> 3072 and 768 -> 12576: one row with
		// 1x8 sums per thread 7.8 and 8.6, with 4x4, which read x as often as w, 4.2 and 7.0; two rows 8.1 and 7.1, with 4x4 4.2 and
		// 3.9; four rows 4.7 and 7.9, with 4x4 4.4 and 7.2. The GPUs' split tiles reach 2.8 at best.
		// Then GFLOP/s of 1024x768x3072: 16x16 sums per thread 41, 16x8 32, 8x8 29, 4x4 18. 16x12 are as fast as 16x16 and compile for
		// 0.5 to 0.7 s at the first use, where those take up to 1.0; larger ones are no faster in any form and take 1 to 3 s.
		Products: []ProductRule{
			{Tile: MatmulTile{TM: 1, TN4: 2, WX: 8, WY: 1}, Forward: true, MaxRows: 1},
			{Tile: MatmulTile{TM: 2, TN4: 2, WX: 8, WY: 1}, Forward: true, MaxRows: 2},
			{Tile: MatmulTile{TM: 4, TN4: 2, WX: 8, WY: 1}, Forward: true, MaxRows: 4},
			{Tile: MatmulTile{TM: 16, TN4: 3, WX: 8, WY: 1}, MinRows: 9, MinCols: 65},
			{Tile: MatmulTile{TM: 8, TN4: 2, WX: 8, WY: 1}, MinRows: 5},
			{Tile: MatmulTile{TM: 4, TN4: 1, WX: 8, WY: 1}},
		},
		MoreProducts: []MatmulTile{
			{TM: 16, TN4: 2, WX: 8, WY: 1},
			{TM: 8, TN4: 4, WX: 8, WY: 1},
			{TM: 4, TN4: 2, WX: 8, WY: 1},
		},

		// T=1024, HS=64, of the device's 82 GFLOP/s and with the time of the first compilation: the forward reaches 20 with 4 queries
		// (0.4 s), 24 with 6 (0.6 s), 22 with 8 (0.7 s), where registers spill past the 48 KiB cache and the loop past the
		// instructions'; dq 28 with 4 (0.5 s), 27 with 6; dkv 19 with 2, 25 with 4 (0.7 s) and 5 (1.1 s).
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

// attentionDirect is kernels of wx threads with this many queries of the forward and of dq, and keys of dkv, per thread.
func attentionDirect(wx, forward, dq, dkv int) AttentionTile {
	return AttentionTile{"_direct",
		attentionGeometry{wx * forward, attentionSpec{WX: wx, TQ: forward}},
		attentionGeometry{wx * dq, attentionSpec{WX: wx, TQ: dq}},
		attentionGeometry{wx * dkv, attentionSpec{WX: wx, TK: dkv}}}
}
