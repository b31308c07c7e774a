package op

import "github.com/gpt2wgpu/gpt2wgpu/gpu"

// Window is a range [Lo,Hi) of rows.
type Window struct{ Lo, Hi int }

// windowRows is what windows start on: 64 rows of 4 float32 values are 1 KiB, a multiple of every device's offset
// alignment.
const windowRows = 64

// Windows splits the rows of t, its first dimension, into as few ranges of about equal size as fit one binding each:
// the tied matrix of GPT-2, (50257,768) float32, is 154 MB and software Vulkan binds 134 MB. Each start is a multiple
// of 64 rows. Rows too wide for a binding come out in windows of 64, which Program.Add then refuses by name. Windows of
// others, which have rows of no more bytes, start on the device's alignment too.
func Windows(d *gpu.Device, t gpu.Tensor, others ...gpu.Tensor) []Window {
	rows := t.Dim(0)
	step := windowRows
	for _, o := range append(others, t) {
		for step < rows && o.Rows(0, step).Bytes()%d.Limits.OffsetAlignment != 0 {
			step *= 2 // flat bf16: 64 values are 128 bytes
		}
	}
	fit := max(1, int(d.Limits.MaxBindingSize/t.Rows(0, step).Bytes())) * step
	count := max(1, ceilDiv(rows, fit))
	size := ceilDiv(ceilDiv(rows, count), step) * step
	var out []Window
	for lo := 0; lo < rows; lo += size {
		out = append(out, Window{lo, min(lo+size, rows)})
	}
	return out
}
