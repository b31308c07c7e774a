package model

import (
	"fmt"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// What ranks that share a batch read and write between a step's backward and its update.

// TrainingOption adjusts [NewTraining].
type TrainingOption func(*Training)

// Buckets cuts the backward into segments where at least bytes of gradients are complete, at the ends of blocks, so
// that they can leave the device while the blocks before are still computed. The matrices of the blocks go first; those
// of the embeddings, which get gradients from both ends of the model, and all vectors go last. 0: no cuts.
func Buckets(bytes int) TrainingOption { return func(tr *Training) { tr.bucketBytes = bytes } }

// windowValues is the most values that leave the device or come back in one go: 32 MiB.
const windowValues = 8 << 20

// nextSegment starts a segment.
func (tr *Training) nextSegment() *op.Builder {
	name := "backward"
	if tr.bucketBytes > 0 {
		name = fmt.Sprintf("backward[%d]", len(tr.backward))
	}
	p := tr.Model.setup.NewProgram(name)
	tr.backward = append(tr.backward, p.Program)
	return p
}

// cutAfter reports whether the segment ends with the backward of block l, and makes its bucket.
func (tr *Training) cutAfter(l int) bool {
	bytes := 0
	for _, p := range tr.Model.table {
		if p.Matrix() && p.Layer >= l && p.Layer < tr.open {
			bytes += 4 * p.Size()
		}
	}
	if tr.bucketBytes == 0 || bytes < tr.bucketBytes {
		return false
	}
	tr.buckets = append(tr.buckets, tr.matrixWindows(l, tr.open))
	tr.open = l
	return true
}

// lastBucket holds the matrices of blocks and embeddings that no bucket has yet, and the vectors.
func (tr *Training) lastBucket() {
	last := tr.matrixWindows(-1, tr.open)
	for _, f := range tr.grads.vectors {
		last = append(last, windows(f, 0, f.Len())...)
	}
	tr.buckets = append(tr.buckets, last)
}

// matrixWindows returns the gradients of the matrices of blocks [lo,hi), -1 being the embeddings, as windows. The arena
// has them in this order, so they are one range in each of its buffers.
func (tr *Training) matrixWindows(lo, hi int) (out []gpu.Tensor) {
	for _, flat := range tr.grads.matrices {
		first, end := flat.Len(), 0
		for i, p := range tr.Model.table {
			g := tr.grads.byParam[i]
			if inside := p.Layer >= lo && p.Layer < hi; inside && p.Matrix() && g.SameBuffer(flat) {
				at := int(g.Offset() / 4)
				first, end = min(first, at), max(end, at+g.Len())
			}
		}
		out = append(out, windows(flat, first, end)...)
	}
	return out
}

// windows cuts the values [lo,hi) of a flat tensor.
func windows(flat gpu.Tensor, lo, hi int) (out []gpu.Tensor) {
	for ; lo < hi; lo += windowValues {
		out = append(out, flat.Rows(lo, min(lo+windowValues, hi)))
	}
	return out
}

// GradientBuckets returns what Backward hands over, segment by segment.
func (tr *Training) GradientBuckets() [][]gpu.Tensor { return tr.buckets }

// ParameterWindows returns all parameters as flat windows of at most 32 MiB, with zeros between tensors.
func (m *Model) ParameterWindows() (out []gpu.Tensor) {
	for _, f := range m.params.flat() {
		out = append(out, windows(f, 0, f.Len())...)
	}
	return out
}

// BucketBytes is a size for Buckets that suits the model: large enough for a network's full rate, and about six buckets
// where the model is small.
func BucketBytes(c gpt2.Config) int { return min(25<<20, 4*gpt2.ParamCount(c)/6) }
