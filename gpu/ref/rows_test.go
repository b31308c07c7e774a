package ref

import "testing"

func TestGatherRows(t *testing.T) {
	x := []float64{0, 1, 2, 10, 11, 12, 20, 21, 22} // (3,3)
	out := poison(12)
	GatherRows(out, x, []uint32{2, 0, 2, 1}, 3)
	expectClose(t, "out", out, []float64{20, 21, 22, 0, 1, 2, 20, 21, 22, 10, 11, 12}, 0)

	GatherRows(nil, x, nil, 3) // no rows, no work
}
