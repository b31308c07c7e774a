package op

// targetMobile suits Qualcomm's Adreno and ARM's Mali. Of CLBlast's 21 devices 16 stage nothing, with 8x4 sums per
// thread; llama.cpp found that large tiles hang or crash Adreno.
func targetMobile() Target {
	return gpuTarget("mobile", 2, []ProductRule{
		{Tile: unstaged(8, 4, 16, 8), MinGroups: 32}, // 64x64 on 128: 8 of 15 Adrenos
		{Tile: unstaged(4, 4, 8, 8)},                 // 32x32 on 64
	},
		unstaged(8, 4, 8, 8),    // 64x32 on 64: 4 of 6 Malis
		unstaged(4, 8, 8, 8),    // 32x64 on 64
		staged(4, 8, 8, 8, 16),  // 32x64 on 64
		staged(8, 4, 16, 8, 16), // 64x64 on 128
		staged(4, 4, 8, 8, 16),  // 32x32 on 64
	)
}
