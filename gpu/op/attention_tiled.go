package op

// attentionTiled has the kernels attention_*_tiled with groups of this many threads, whose teams share 2 or 4 rows, for
// heads of at most 64 channels, or with 2 rows of 128: at most 16 KiB of workgroup memory.
func attentionTiled(threads, rows int) AttentionTile {
	return AttentionTile{"tiled", 0,
		attentionGeometry{threads / 4 * rows, attentionSpec{WX: threads, TQ: rows, BK: threads / 16 * rows}},
		attentionGeometry{threads / 8 * rows, attentionSpec{WX: threads, TQ: rows, BK: threads / 8}},
		attentionGeometry{threads / 8 * rows, attentionSpec{WX: threads, TK: rows, BQ: threads / 8}},
	}
}
