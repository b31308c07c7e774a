package op

// targetIntel suits Intel's GPUs, integrated and Arc. A thread has 128 registers of 32 bytes: 64 sums per thread spill
// in Mesa's compiler (153 stores and 440 loads in the forward of 8x8), these do not on skl, tgl and dg2 (make isa). The
// numbers are the share of multiply-adds among the instructions of the innermost loop, the least of the three products.
// Workgroup memory allows 1 byte per multiply-add, of which 8x4 sums need 1.5: of CLBlast's 8 devices since Xe 5 take
// none, and 5 take 128 threads.
//
// Attention has no candidates: teams with 4 rows and queries without tiles spill in every kernel on all three. Stores
// and loads on tgl in bf16: forward 164:345 and 338:312, dq 95:271 and 288:303, dkv with 4 rows 195:574. The default's
// dkv has 66:128. Its 64 floats of rows and sums and 32 of scores are too many, and a team has 4 or 8 threads.
func targetIntel() Target {
	t := gpuTarget("intel", 2, []ProductRule{
		{Tile: staged(8, 4, 16, 8, 16), MinGroups: 32}, // 64x64 on 128: .82
		{Tile: staged(4, 4, 8, 8, 16)},                 // 32x32 on 64: .77; ONNX and tfjs on Intel
	},
		unstaged(8, 4, 16, 8),    // 64x64 on 128: .47; UHD 620, A750, A770
		unstaged(4, 8, 8, 8),     // 32x64 on 64: .49
		staged(4, 8, 16, 16, 16), // 64x128 on 256: .82
		staged(8, 4, 16, 16, 16), // 128x64 on 256: .82
		staged(4, 4, 8, 8, 32),   // 32x32 on 64: .63
		unstaged(4, 4, 8, 8),     // 32x32 on 64: .38, of twice as many lanes
	)
	t.MoreAttention = nil
	return t
}
