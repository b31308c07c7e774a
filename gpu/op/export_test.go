package op

import "fmt"

// MatmulTile is a line of the tables of matmul geometries, for tests that run them all on any device.
type MatmulTile struct {
	Name              string
	Rows, Cols, Depth int // of the tile; depth 0 for the _direct kernels
	Threads           int
	tile              matmulTile
}

// MatmulTiles returns the lines of all tables.
func MatmulTiles() []MatmulTile {
	var out []MatmulTile
	for _, t := range append(append([]matmulTile(nil), matmulSoftware...), matmulGPU...) {
		algorithm := "direct"
		if t.BK > 0 {
			algorithm = "tiled"
		}
		out = append(out, MatmulTile{fmt.Sprintf("%s%dx%d", algorithm, t.rows(), t.cols()), t.rows(), t.cols(), t.BK, t.WX * t.WY, t})
	}
	return out
}

// Force makes every matmul use the line until undo is called.
func (t MatmulTile) Force() (undo func()) {
	matmulTable = []matmulTile{t.tile}
	return func() { matmulTable = nil }
}
