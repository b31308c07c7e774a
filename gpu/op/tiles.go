package op

import (
	"fmt"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

// MatmulTile is a line of the tables of matmul geometries, for tests and gpu/selftest, which run them all on any device.
type MatmulTile struct {
	Name              string
	Rows, Cols, Depth int // of the tile; depth 0 for kernels without tiles in memory
	Threads           int
	Bytes             int // of workgroup memory
	tile              matmulTile
}

// MatmulTiles returns the lines of all tables.
func MatmulTiles() []MatmulTile {
	return matmulTiles(matmulSoftware, matmulGPU)
}

// MatmulFewTiles returns the lines of the tables for few rows, which matmul_forward alone has.
func MatmulFewTiles() []MatmulTile {
	return matmulTiles(matmulFewSoftware, matmulFewGPU)
}

// MatmulMoreTiles returns what tuning may choose beside the tables, on software devices or on others.
func MatmulMoreTiles(software bool) []MatmulTile {
	if software {
		return matmulTiles(matmulMoreSoftware)
	}
	return matmulTiles(matmulMoreGPU)
}

func matmulTiles(tables ...[]matmulTile) (out []MatmulTile) {
	for _, table := range tables {
		for _, t := range table {
			algorithm := "direct"
			switch {
			case t.BK > 0:
				algorithm = "tiled"
			case t.Split:
				algorithm = "split"
			case t.Panel.WG > 0:
				algorithm = "panels"
			}
			name, depth := fmt.Sprintf("%s%dx%d", algorithm, t.rows(), t.cols()), t.BK
			threads := t.WX * t.WY
			if t.Panel.WG > 0 {
				threads, depth = t.Panel.WG, t.Panel.depth()
				name += fmt.Sprintf("x%d", depth)
			}
			if t.BK > 0 {
				name += fmt.Sprintf("x%dt%d", t.BK, t.WX*t.WY) // several have the same tile
			}
			out = append(out, MatmulTile{name, t.rows(), t.cols(), depth, threads, t.bytes(), t})
		}
	}
	return out
}

// Fits says whether d has the threads and the workgroup memory that the line needs.
func (t MatmulTile) Fits(d *gpu.Device) bool {
	if t.tile.Panel.WG > 0 {
		return t.tile.Panel.suits(d)
	}
	return t.Threads <= int(d.Limits.MaxInvocations) && t.Bytes <= int(d.Limits.MaxWorkgroupBytes)
}

// Force makes every matmul use the line until undo is called.
func (t MatmulTile) Force() (undo func()) {
	matmulTable = []matmulTile{t.tile}
	return func() { matmulTable = nil }
}

// SliceMatmul makes the backward forms take rows addends a dispatch until undo is called.
func SliceMatmul(rows int) (undo func()) {
	matmulSlice = rows
	return func() { matmulSlice = 0 }
}

// ForceAttention makes attention use its kernels for CPUs ("direct", "step") or for GPUs ("tiled") until undo is called. Shapes that
// the step kernels don't take go to the direct ones.
func ForceAttention(kernels string) (undo func()) {
	attentionTable = map[string][]attentionTile{"direct": attentionSoftware[1:], "step": attentionSoftware, "tiled": attentionGPU}[kernels]
	return func() { attentionTable = nil }
}

// RoundAttention makes the step kernels take so many heads at a time until undo is called.
func RoundAttention(heads int) (undo func()) {
	stepsHeads = heads
	return func() { stepsHeads = 0 }
}

// AttentionTile is a geometry of attention's kernels.
type AttentionTile struct {
	Name  string
	MaxHS int // channels of a head that it holds
	tile  attentionTile
}

// AttentionMoreTiles returns what tuning may choose beside the tables, on software devices or on others.
func AttentionMoreTiles(software bool) (out []AttentionTile) {
	table := attentionMoreGPU
	if software {
		table = attentionMoreSoftware
	}
	for _, t := range table {
		out = append(out, AttentionTile{fmt.Sprintf("%s%dx%dx%d", t.Suffix[1:], t.Forward.Rows, t.DQ.Rows, t.DKV.Rows), t.MaxHS, t})
	}
	return out
}

// Force makes attention use the geometry until undo is called.
func (t AttentionTile) Force() (undo func()) {
	attentionTable = []attentionTile{t.tile}
	return func() { attentionTable = nil }
}
