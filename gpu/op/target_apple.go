package op

// targetApple suits Apple's GPUs, all on Metal but those of Asahi Linux. llama.cpp takes no tiles above 64x64 there,
// with 128 threads; large groups leave one to a core. Metal.jl, tilelang and MLX report the same limits.
func targetApple() Target {
	t := gpuTarget("apple", 2, []ProductRule{
		{Tile: staged(8, 4, 16, 8, 16), MinGroups: 32}, // 64x64 on 128
		{Tile: staged(4, 4, 8, 8, 16)},                 // 32x32 on 64
	},
		staged(8, 8, 8, 8, 8),    // 64x64 on 64: gpu.cpp, 34% of peak on M1 Max
		staged(8, 8, 8, 8, 16),   // the same, 16 addends at a time
		staged(8, 8, 8, 16, 8),   // 128x64 on 128
		staged(4, 4, 16, 16, 16), // 64x64 on 256
		unstaged(4, 4, 8, 8),     // 32x32 on 64: jax-js, 40% of peak on M4 Max
		unstaged(8, 4, 16, 8),    // 64x64 on 128: CLBlast on M1 takes none
	)
	t.TileBytes = clearedBytes["metal"]
	return t
}
