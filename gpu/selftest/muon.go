package selftest

import (
	"fmt"
	"math"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
)

// muonMatrix is a matrix of some parts and the state of Muon on it.
type muonMatrix struct {
	parts   int
	w, m, g []float64 // (parts*ROWS,COLS)
	op.MuonPart
}

// newMuon makes the op on matrices of these many parts each, of rows x cols. With s bf16 it writes copies in it too.
// The parameters are small, so that the orthogonal matrix shows at the rate 1.
func newMuon(c *Case, s gpu.Storage, parts []int, rows, cols int) (k op.Muon, matrices []*muonMatrix) {
	k = op.Muon{Rows: rows, Cols: cols}
	for i, n := range parts {
		seed, size := uint64(10*i), n*rows*cols
		x := &muonMatrix{parts: n, w: Rand(seed+1, size, 0.01), m: Rand(seed+2, size, 1), g: Rand(seed+3, size, 1)}
		name := func(what string) string { return fmt.Sprint(what, i) }
		x.W, x.M = c.InOut(name("w"), x.w, n*rows, cols), c.InOut(name("m"), x.m, n*rows, cols)
		x.G = c.In(name("g"), x.g, n*rows, cols)
		if s == gpu.BF16 {
			x.Packed = c.OutAs(gpu.BF16, name("packed"), n*rows, cols)
		}
		for j := range n {
			part := x.MuonPart
			part.First = j * rows
			k.Parts = append(k.Parts, part)
		}
		matrices = append(matrices, x)
	}
	values := c.Setup.MuonScratchLen(len(k.Parts), rows, cols)
	k.Scratch = op.MuonScratch{X: c.Out("x", values), Y: c.Out("y", values), Z: c.Out("z", values),
		Scale: c.Out("scale", len(k.Parts))}
	return k, matrices
}

// muonLimit bounds the error of the orthogonal matrix, in float32's eps: it was up to 18 for 4x4 values, whose sizes
// are about 1, and up to 7 for larger ones.
const muonLimit = 40

// Muon takes a step on matrices of these many parts each, of rows x cols.
func Muon(c *Case, s gpu.Storage, parts []int, rows, cols int) {
	const rate, mu, decay, clip = 1, 0.95, 0.1, 0.25
	k, matrices := newMuon(c, s, parts, rows, cols)
	scalars := make([]float64, 4)
	for i, x := range op.MuonScalars(rate, decay) {
		scalars[i] = float64(x)
	}
	k.Mu, k.Scalars, k.Norm = mu, c.In("scalars", scalars, 4), c.In("norm", []float64{3, clip, 0, 0}, 4)
	c.Run(k)
	ratio := math.Sqrt(max(1, float64(rows)/float64(cols)))
	for _, x := range matrices {
		for part := range x.parts {
			lo, hi := part*rows*cols, (part+1)*rows*cols
			ref.Muon(x.w[lo:hi], x.m[lo:hi], x.g[lo:hi], rows, cols, rate, mu, decay, clip)
		}
		c.Check(x.M, x.m, Tolerance{Terms: 2, Scale: 1})
		c.Check(x.W, x.w, Tolerance{Bound: muonLimit * eps * rate * ratio})
		if s == gpu.BF16 {
			c.same(x.Packed, Round(gpu.BF16, slices.Clone(c.Got(x.W))))
		}
	}
}

// MuonSkip: a step whose norm is not finite changes nothing, though gradients are NaN.
func MuonSkip(c *Case) {
	const rows, cols = 8, 12
	k, matrices := newMuon(c, gpu.F32, []int{2}, rows, cols)
	x := matrices[0]
	x.Packed = c.InOutAs(gpu.BF16, "packed", Round(gpu.BF16, slices.Clone(x.w)), 2*rows, cols)
	bad := slices.Clone(x.g)
	bad[5] = math.NaN()
	g := c.In("bad", bad, 2*rows, cols)
	for i := range k.Parts {
		k.Parts[i].G, k.Parts[i].Packed = g, x.Packed
	}
	k.Mu, k.Scalars = 0.95, c.In("scalars", []float64{0.998, 0.02, 0, 0}, 4)
	k.Norm = c.In("norm", []float64{math.NaN(), 0, 1, 0}, 4)
	c.Run(k)
	c.same(x.W, x.w)
	c.same(x.M, x.m)
	c.same(x.Packed, Round(gpu.BF16, slices.Clone(x.w)))
}
