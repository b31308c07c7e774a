package op

import "github.com/gpt2wgpu/gpt2wgpu/gpu"

// threads returns the workgroup size of kernels with a value or a quad a thread. Software devices run a group on one core, eight
// threads in step, and gain nothing from more than some dozens.
func threads(d *gpu.Device) int {
	if d.Info.Software() {
		return 64
	}
	return 256
}

// marching returns the workgroup size of kernels whose threads take several quads, a group apart, or add up in a tree. A software
// device runs a larger group eight threads at a time, each through the whole of its memory in strides: norm_partials reaches
// 0.38 of the copy rate with 64 threads and 0.9 with 8 (lavapipe), adamw 0.6 and 1.0.
func marching(d *gpu.Device) int {
	if d.Info.Software() {
		return 8
	}
	return 256
}

// rowTile is the geometry of kernels that look up a row and copy or add it: cols groups a row, each of wg threads with per quads.
type rowTile struct{ wg, per, cols int }

// rowTileFor returns the device's tile for rows of c values. On lavapipe embedding_forward reaches 0.4 of the copy rate with a
// look-up a quad, 0.6 with one for 24.
func rowTileFor(d *gpu.Device, c int) rowTile {
	t := rowTile{wg: 64, per: 1}
	if d.Info.Software() {
		t = rowTile{wg: 8, per: min(24, ceilDiv(c/4, 8))} // more would compile for long
	}
	t.cols = ceilDiv(c/4, t.wg*t.per)
	return t
}
