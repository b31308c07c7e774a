package gpt2

import (
	"math"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/parallel"
)

// initStd is GPT-2's standard deviation of initial weights. wpe uses it too (OpenAI's code has 0.01 there), as the
// reference model and build-nanogpt do.
const initStd = 0.02

// Init returns the weights that PyTorch's reference model has after torch.manual_seed(seed): matrices N(0, 0.02), those
// that end a residual branch N(0, 0.02/sqrt(2 L)), layernorm weights 1, biases 0. c must be valid; nil if it isn't.
// PyTorch uses the low 32 bits of seed, and so does Init.
//
// Draws and arithmetic follow PyTorch's CPU generator and its AVX2 kernel step by step: all 124,439,808 values of gpt2
// at seed 1337 equal those of PyTorch 1.13 on x86-64 bit for bit, and come out alike on every platform of this program.
// PyTorch itself computes other last bits on CPUs without AVX2.
//
// The order of draws: the constructor of each Embedding and Linear draws a default initialisation, in the order wte,
// wpe, blocks, output layer; then the model initialises all of them again, in the same order. Of all that, only the
// second pass is kept, and of the tied matrix only the last draw, as the output layer.
func Init(c Config, seed uint64) *Weights {
	if c.Validate() != nil {
		return nil
	}
	w := newWeights(c)
	table := Table(c)
	g := newMT19937(uint32(seed))

	// First pass. Embeddings draw normals, Linear weights and biases one uniform an element, layernorms nothing.
	wte, wpe := table[0], table[1]
	g.skip(normalDraws(wte.Size()))
	g.skip(normalDraws(wpe.Size()))
	for _, p := range table[2:] {
		if !isNorm(p) {
			g.skip(p.Size())
		}
	}
	g.skip(wte.Size()) // the output layer, which has no bias

	// Second pass. wte as an embedding is overwritten by the output layer below.
	g.skip(normalDraws(wte.Size()))
	for i, p := range table {
		switch {
		case p.Short == "wte":
		case isProjection(p):
			g.fill(w.Tensors[i], initStd*math.Pow(float64(2*c.NLayer), -0.5))
		case p.Matrix():
			g.fill(w.Tensors[i], initStd)
		case isNorm(p) && strings.HasSuffix(p.Short, "w"):
			for j := range w.Tensors[i] {
				w.Tensors[i][j] = 1
			}
		}
	}
	g.fill(w.Tensors[0], initStd)
	return w
}

// ZeroProjections sets the matrices that end a residual branch to zero, so that each block begins as the identity. The
// others stay what they are.
func (w *Weights) ZeroProjections() {
	for i, p := range Table(w.Config) {
		if isProjection(p) {
			clear(w.Tensors[i])
		}
	}
}

// isProjection says whether a matrix ends a residual branch.
func isProjection(p Param) bool { return p.Short == "attprojw" || p.Short == "fcprojw" }

func isNorm(p Param) bool { return strings.HasPrefix(p.Short, "ln") }

// group is the number of elements that PyTorch's normal_ turns from uniform to normal at a time. A tensor with fewer
// takes another path altogether.
const group = 16

// normalDraws returns how many words PyTorch's normal_ draws for n float32 elements.
func normalDraws(n int) int {
	switch {
	case n < group:
		return (n + 1) / 2 * 4 // two float64 uniforms, of two words each, make two normals
	case n%group != 0:
		return n + group // the last 16 are drawn again
	}
	return n
}

const fillChunk = 1 << 16 // elements; a multiple of group, and small enough for a cache

// fill is normal_(0, std). Draws follow one another; the transformation, which costs several times as much, runs on all
// cores.
func (g *mt19937) fill(x []float32, std float64) {
	if len(x) < group {
		g.fillFew(x, std)
		return
	}
	g.float32s(x)
	whole := x[:len(x)/group*group]
	parallel.Do((len(whole)+fillChunk-1)/fillChunk, func(i int) error {
		for some := range slices.Chunk(whole[i*fillChunk:min((i+1)*fillChunk, len(whole))], group) {
			boxMuller(some, float32(std))
		}
		return nil
	})
	if len(x) > len(whole) { // the last 16 are drawn again
		tail := x[len(x)-group:]
		g.float32s(tail)
		boxMuller(tail, float32(std))
	}
}

// boxMuller turns 16 uniforms into normals in place: with u1 = 1 - x[j] in (0,1] and u2 = x[j+8],
//
//	x[j] = std sqrt(-2 ln u1) cos(2 pi u2)    x[j+8] = std sqrt(-2 ln u1) sin(2 pi u2)
//
// rounded to float32 where PyTorch rounds.
func boxMuller(x []float32, std float32) {
	const twoPi = float32(2 * math.Pi)
	a, b := x[:8:8], x[8:16:16]
	for j := range a {
		r := float32(math.Sqrt(float64(-2 * logf(1-a[j]))))
		sin, cos := sincosf(twoPi * b[j])
		a[j] = fma(r*cos, std, 0) // PyTorch adds the mean: 0 turns -0 into +0
		b[j] = fma(r*sin, std, 0)
	}
}

// fillFew is normal_ on fewer than 16 elements: float64 throughout, two samples from two uniforms. PyTorch would carry
// an odd sample over to the next tensor; no tensor here has an odd size, because C is a multiple of 4.
func (g *mt19937) fillFew(x []float32, std float64) {
	for i := 0; i < len(x); i += 2 {
		u1, u2 := g.float64(), g.float64()
		r := math.Sqrt(-2 * math.Log1p(-u2))
		sin, cos := math.Sincos(2 * math.Pi * u1)
		x[i] = float32(r * cos * std)
		if i+1 < len(x) {
			x[i+1] = float32(r * sin * std)
		}
	}
}
