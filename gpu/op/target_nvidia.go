package op

// targetNVIDIA suits NVIDIA's GPUs. Their compiler was not at hand; the tiles come from others' measurements:
// CLBlast's tuning database (52 devices from Pascal to Blackwell) has 128 threads first in 38, and 64x64 to 128x128.
func targetNVIDIA() Target {
	return gpuTarget("nvidia", 4, []ProductRule{
		{Tile: staged(8, 8, 8, 16, 16), MinGroups: 128}, // 128x64 on 128: CLBlast's first on Ampere and Ada
		{Tile: staged(8, 4, 16, 8, 16), MinGroups: 32},  // 64x64 on 128: llama.cpp's second size
		{Tile: staged(4, 4, 8, 8, 16)},                  // 32x32 on 64
	},
		staged(8, 8, 16, 16, 8),  // 128x128 on 256: Turing (T4, T2000), and 60 SM and more
		staged(8, 8, 16, 16, 16), // the same, 16 addends at a time
		staged(8, 8, 16, 8, 16),  // 64x128 on 128: RTX 3070, 3080
		staged(8, 4, 16, 8, 32),  // 64x64 on 128: RTX 3090, A6000
		staged(8, 4, 16, 16, 32), // 128x64 on 256: RTX 4090
		staged(8, 8, 8, 8, 16),   // 64x64 on 64
		staged(4, 4, 16, 16, 16), // 64x64 on 256
		unstaged(8, 8, 8, 8),     // 64x64 on 64
	)
}
