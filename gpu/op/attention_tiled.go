package op

// attentionTiled has the kernels attention_*_tiled with groups of this many threads, whose teams share 2 or 4 rows, and
// keys a tile of the forward: 16 with 64 channels a head and 8 with 128 take at most 16 KiB of workgroup memory.
func attentionTiled(threads, rows, keys int) AttentionTile {
	return AttentionTile{"tiled", 0,
		attentionGeometry{threads / 4 * rows, attentionSpec{WX: threads, TQ: rows, BK: keys}},
		attentionGeometry{threads / 8 * rows, attentionSpec{WX: threads, TQ: rows, BK: threads / 8}},
		attentionGeometry{threads / 8 * rows, attentionSpec{WX: threads, TK: rows, BQ: threads / 8}},
	}
}

// unstagedQueries returns a tile whose dq, and with both also the forward, has no tiles: threads with a query each.
func (t AttentionTile) unstagedQueries(threads int, both bool) AttentionTile {
	t.DQ = attentionGeometry{threads, attentionSpec{WX: threads, TEAM: 1, TQ: 1}}
	if both {
		t.Forward = t.DQ
	}
	return t
}

// attentionFXC is what DX12's compiler takes in less than 3 CPU seconds a kernel with heads of up to 64 channels: its
// time grows with the workgroup memory, all of which naga 0.19 clears by code, and with the accesses to it. With
// attentionTiled(64, 4, 16) it takes a minute.
func attentionFXC() AttentionTile {
	return AttentionTile{"tiled", 0,
		attentionGeometry{16, attentionSpec{WX: 32, TQ: 2, BK: 4}},
		attentionGeometry{16, attentionSpec{WX: 32, TEAM: 4, TQ: 2, BK: 4}},
		attentionGeometry{8, attentionSpec{WX: 16, TEAM: 4, TK: 2, BQ: 4}},
	}
}
