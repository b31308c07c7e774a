package data

import (
	"slices"
	"testing"
)

// TestRows: every token but the first of a shard is a target once, behind the tokens that precede it.
func TestRows(t *testing.T) {
	for _, lengths := range [][]int{{10}, {1}, {2}, {3, 1, 7, 2}, {9, 9}, {1, 1}, {64}, {0, 5}} {
		for _, T := range []int{1, 2, 3, 4, 8, 100} {
			var shards [][]uint16
			var want [][2]uint32
			longest, id := 0, 0
			for _, n := range lengths {
				var ids []uint16
				for i := range n {
					ids = append(ids, uint16(id))
					if i > 0 {
						want = append(want, [2]uint32{uint32(id - 1), uint32(id)})
					}
					id++
				}
				shards = append(shards, ids)
				longest = max(longest, n-1)
			}
			r := NewRows(fromShards("x", shards...), T)
			var got [][2]uint32
			x, y := make([]uint32, T), make([]uint32, T)
			for {
				n, err := r.Next(x, y)
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					break
				}
				for i := range n {
					got = append(got, [2]uint32{x[i], y[i]})
				}
			}
			if !slices.Equal(got, want) || r.Total != int64(len(want)) || r.T != min(T, longest) {
				t.Errorf("shards of %v in rows of %d: T %d, %d targets, want %d", lengths, T, r.T, r.Total, len(want))
			}
		}
	}
}
