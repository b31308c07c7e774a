package op

// namesGCN are AMD's GPUs before RDNA, with waves of 64: the code names that Mesa shows, and product names. All other
// names count as RDNA, such as AMD Radeon Graphics, which is all that Windows says of integrated ones.
var namesGCN = word(
	`tahiti|pitcairn|verde|oland|hainan|bonaire|kaveri|kabini|mullins|hawaii|tonga|iceland|carrizo|` +
		`stoney|fiji|polaris1\d|vegam|vega ?\d*|raven2?|picasso|renoir|cezanne|lucienne|barcelo|` +
		`gfx[6-9]\w\w|mi\d+\w?|firepro|radeon vii|pro vii|hd [78]\d+\w*|r[579]|rx ?[456]\d0x?|5[34]0x?|` +
		`6[23]0|wx \d+|pro [45]\d\dx?`)

// targetRDNA suits AMD's GPUs with waves of 32: the RX 5000 and later, and what is integrated since.
//
// The numbers are upper bounds as a fraction of the peak rate on navi21 and navi31, from what Mesa's compiler makes of
// the tile in bf16, the least of the three products (make isa). None spills. 4x4 sums need 2 bytes of workgroup memory
// per multiply-add and 8x4 need 1.5, where RDNA3 has 1.
func targetRDNA() Target {
	return unstagedDQ(gpuTarget("amd-rdna", 4, []ProductRule{
		{Tile: staged(8, 8, 16, 16, 16), MinGroups: 128}, // 128x128 on 256: .944, .906
		{Tile: staged(8, 8, 16, 16, 8), MinGroups: 128},  // the same in half of the memory: .933, .886
		{Tile: staged(8, 8, 8, 16, 16), MinGroups: 128},  // 128x64 on 128: .927, .872; CLBlast's first on RDNA1 and 2
		{Tile: staged(8, 8, 8, 8, 16), MinGroups: 32},    // 64x64 on 64: .909, .843
		{Tile: staged(4, 4, 8, 8, 16)},                   // 32x32 on 64: .837, .444
	},
		staged(8, 8, 16, 8, 16),  // 64x128 on 128: .924, .872
		staged(16, 8, 16, 8, 16), // 128x128 on 128: .949, .910; half of the waves
		staged(8, 4, 16, 8, 16),  // 64x64 on 128: .898, .615; more waves
		staged(4, 4, 16, 16, 16), // 64x64 on 256: .901, .471; most waves
		unstaged(8, 8, 8, 8),     // 64x64 on 64: .711, .579
	))
}

// targetGCN suits AMD's GPUs with waves of 64, GCN, Vega and CDNA. The numbers are bounds on raven (Vega). What others
// measured is the first candidate: of CLBlast's 23 devices 15 take 256 threads, and 8, as llama.cpp, 64x64.
func targetGCN() Target {
	return unstagedDQ(gpuTarget("amd-gcn", 4, []ProductRule{
		{Tile: staged(8, 8, 16, 16, 16), MinGroups: 128}, // 128x128 on 256: .944
		{Tile: staged(8, 8, 16, 16, 8), MinGroups: 128},  // the same in half of the memory: .933
		{Tile: staged(8, 8, 8, 16, 16), MinGroups: 128},  // 128x64 on 128: .927
		{Tile: staged(8, 8, 8, 8, 16), MinGroups: 32},    // 64x64 on 64: .909
		{Tile: staged(4, 4, 8, 8, 16)},                   // 32x32 on 64: .837
	},
		staged(4, 4, 16, 16, 32), // 64x64 on 256: .905; Radeon VII, MI50, Fury X
		staged(4, 4, 16, 16, 16), // the same within 16 KiB: .901
		staged(8, 4, 16, 16, 16), // 128x64 on 256: .918
		staged(4, 8, 16, 16, 16), // 64x128 on 256: .919
		unstaged(8, 8, 8, 8),     // 64x64 on 64: .711
	))
}

// unstagedDQ returns a target of AMD's whose dq has no tiles: .936 on navi21 and raven and .913 on navi31, where the
// tiled kernel has .774, .773 and .658. A wave's threads want the same keys and values, which Mesa's compiler reads
// with scalar loads. The tiled kernel is the first candidate. The direct forward has .624 and .607 at most, and the
// direct dkv spills 50 registers and more.
func unstagedDQ(t Target) Target {
	tiled := t.Attention[0]
	t.MoreAttention = append([]AttentionRule{tiled}, t.MoreAttention...)
	t.Attention[0].Tile = tiled.Tile.unstagedQueries(64, false)
	return t
}
