package op

import "slices"

// targetLavapipe suits Mesa's software Vulkan on CPUs: targetCPU, with panels of products and walks of attention where
// a product or a sequence fills them. Of a product of 1024x768x3072 panels reach 56 to 72 GFLOP/s, where the best
// direct tile has 41. Their long texts are made for its compiler (llvmpipe's); SwiftShader's takes minutes for them.
func targetLavapipe() Target {
	t := targetCPU()
	t.Name, t.Algorithms = "lavapipe", append(t.Algorithms, "panels", "walk")
	few := slices.IndexFunc(t.Products, func(r ProductRule) bool { return !r.Forward })
	t.Products = slices.Insert(t.Products, few,
		ProductRule{Tile: panelTile(512, 5, 64), MinRows: 257, MinCols: 96, MinSums: 192},
		ProductRule{Tile: panelTile(256, 5, 64), MinRows: 129, MinCols: 96, MinSums: 192},
		ProductRule{Tile: panelTile(256, 8, 32), MinRows: 129, MinCols: 96, MinSums: 128},
		ProductRule{Tile: panelTile(128, 8, 32), MinRows: 81, MinCols: 96, MinSums: 128},
	)
	// Shorter sequences would leave a block mostly empty. The texts grow with the channels: 64 compile in about a
	// second.
	t.Attention = slices.Insert(t.Attention, 0, AttentionRule{Tile: walkTile(), MaxHS: walkChannels, MinT: walkBlock})
	return t
}
