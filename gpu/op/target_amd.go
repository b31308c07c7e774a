package op

// namesGCN are AMD's GPUs before RDNA, with waves of 64: the code names that Mesa shows, and product names. Integrated
// ones that Windows only calls AMD Radeon Graphics count as RDNA, as every name that is not known.
var namesGCN = word(
	`tahiti|pitcairn|verde|oland|hainan|bonaire|kaveri|kabini|mullins|hawaii|tonga|iceland|carrizo|` +
		`stoney|fiji|polaris1\d|vegam|vega ?\d*|raven2?|picasso|renoir|cezanne|lucienne|barcelo|` +
		`gfx[6-9]\w\w|mi\d+\w?|firepro|radeon vii|pro vii|hd [78]\d+\w*|r[579]|rx ?[456]\d0x?|5[34]0x?|` +
		`6[23]0|wx \d+|pro [45]\d\dx?`)

// targetRDNA suits AMD's GPUs with waves of 32: the RX 5000 and later, and what is integrated since.
//
// Upper bounds as a fraction of the peak rate, by Mesa's compiler (bf16, the least of the three products):
//
//	sums per thread, threads, addends   navi21   navi31
//	8x8 on 256, 16                        .944     .897
//	8x8 on 256, 8                         .933     .873
//	8x8 on 64, 16                         .905     .838
//	8x8 on 64, 8                          .897     .831
//	4x4 on 256, 16                        .863     .471
//
// 4x4 sums need 2 bytes of workgroup memory per multiply-add, where RDNA3 has 1.
func targetRDNA() Target {
	return gpuTarget("amd-rdna", 4, []ProductRule{
		{Tile: staged(8, 8, 16, 16, 16), MinGroups: 128}, // 128x128
		{Tile: staged(8, 8, 16, 16, 8), MinGroups: 128},  // 128x128 in half of the memory
		{Tile: staged(8, 8, 8, 8, 16), MinGroups: 32},    // 64x64
		{Tile: staged(8, 8, 8, 8, 8), MinGroups: 32},     // 64x64 in half of the memory
		{Tile: staged(4, 4, 8, 8, 16)},                   // 32x32
	},
		staged(8, 8, 8, 16, 16),  // 128x64 on 128: CLBlast's first on RDNA1 and 2
		staged(8, 8, 16, 8, 16),  // 64x128 on 128
		staged(16, 8, 16, 8, 16), // 128x128 on 128: the bound is .928 on RDNA3
		staged(8, 4, 16, 8, 16),  // 64x64 on 128: more waves
		staged(4, 4, 16, 16, 16), // 64x64 on 256
		unstaged(8, 8, 8, 8),     // 64x64 on 64
	)
}

// targetGCN suits AMD's GPUs with waves of 64, GCN, Vega and CDNA. The bounds on raven (Vega) are those of navi21 above
// within .01. What others measured is the first candidate: of CLBlast's 23 devices 15 take 256 threads, and 8, as
// llama.cpp, 64x64.
func targetGCN() Target {
	return gpuTarget("amd-gcn", 4, []ProductRule{
		{Tile: staged(8, 8, 16, 16, 16), MinGroups: 128}, // 128x128
		{Tile: staged(8, 8, 16, 16, 8), MinGroups: 128},  // 128x128 in half of the memory
		{Tile: staged(8, 8, 8, 8, 16), MinGroups: 32},    // 64x64
		{Tile: staged(8, 8, 8, 8, 8), MinGroups: 32},     // 64x64 in half of the memory
		{Tile: staged(4, 4, 8, 8, 16)},                   // 32x32
	},
		staged(4, 4, 16, 16, 32), // 64x64 on 256: Radeon VII, MI50, Fury X
		staged(4, 4, 16, 16, 16), // the same within 16 KiB
		staged(8, 4, 16, 16, 16), // 128x64 on 256
		staged(4, 8, 16, 16, 16), // 64x128 on 256
		staged(8, 8, 8, 16, 16),  // 128x64 on 128
		unstaged(8, 8, 8, 8),     // 64x64 on 64
	)
}
