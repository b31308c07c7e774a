package model

import "github.com/gpt2wgpu/gpt2wgpu/gpu"

// exchangeValues is the most values that leave the device or come back in one go: 32 MiB.
const exchangeValues = 8 << 20

// GradientWindows returns all gradients as flat windows of at most 32 MiB, for an exchange with other ranks between the
// last Micro and the Update.
func (tr *Training) GradientWindows() (out []gpu.Tensor) {
	for _, f := range tr.grads.flat() {
		out = append(out, windows(f, 0, f.Len())...)
	}
	return out
}

// windows cuts the values [lo,hi) of a flat tensor.
func windows(flat gpu.Tensor, lo, hi int) (out []gpu.Tensor) {
	for ; lo < hi; lo += exchangeValues {
		out = append(out, flat.Rows(lo, min(lo+exchangeValues, hi)))
	}
	return out
}

// ParameterWindows returns all parameters as flat windows of at most 32 MiB, with zeros between tensors.
func (m *Model) ParameterWindows() (out []gpu.Tensor) {
	for _, f := range m.params.flat() {
		out = append(out, windows(f, 0, f.Len())...)
	}
	return out
}
