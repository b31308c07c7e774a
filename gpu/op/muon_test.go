package op_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/ref"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

// TestMuon runs with and without the bf16 copy.
func TestMuon(t *testing.T) { storages(muon)(t, gputest.New) }

func muon(t *testing.T, newCase maker, s gpu.Storage) {
	for _, d := range []struct {
		parts      []int
		rows, cols int
	}{
		// around the quads of a group, 32 x 32 values of a turn, and the tiles
		{[]int{1}, 4, 4}, {[]int{1, 1}, 4, 36}, {[]int{3, 1}, 32, 32}, {[]int{1}, 68, 28}, {[]int{2}, 100, 132},
	} {
		t.Run(fmt.Sprintf("parts=%d,%dx%d", d.parts, d.rows, d.cols), func(t *testing.T) {
			selftest.Muon(newCase(t), s, d.parts, d.rows, d.cols)
		})
	}
}

func TestMuonSkip(t *testing.T) { selftest.MuonSkip(gputest.New(t)) }

// TestMuonSingularValues looks at the orthogonal matrix itself, the step from zeros at the rate 1. Its singular vectors
// are those of the gradient, and each singular value s of the gradient by its norm has gone five times the way of
// 3.4445 s - 4.7750 s^3 + 2.0315 s^5.
func TestMuonSingularValues(t *testing.T) {
	for _, d := range [][2]int{{48, 48}, {96, 32}, {32, 96}} {
		rows, cols := d[0], d[1]
		c := gputest.New(t)
		g := gputest.Rand(1, rows*cols, 1)
		k := op.Muon{Rows: rows, Cols: cols, Scalars: c.In("scalars", []float64{1, 1, 0, 0}, 4),
			Norm: c.In("norm", []float64{1, 1, 0, 0}, 4)}
		zeros := make([]float64, rows*cols)
		w := c.InOut("w", zeros, rows, cols)
		k.Parts = []op.MuonPart{{W: w, M: c.InOut("m", zeros, rows, cols), G: c.In("g", g, rows, cols)}}
		n := c.Setup.MuonScratchLen(1, rows, cols)
		k.Scratch = op.MuonScratch{X: c.Out("x", n), Y: c.Out("y", n), Z: c.Out("z", n), Scale: c.Out("scale", 1)}
		c.Run(k)
		x := c.Got(w)
		for i := range x {
			x[i] /= -math.Sqrt(max(1, float64(rows)/float64(cols)))
		}
		turned := func(a []float64) [][]float64 { // as columns, no more than there are singular values
			out := make([][]float64, min(rows, cols))
			for i := range out {
				for j := range max(rows, cols) {
					at := j*cols + i
					if rows < cols {
						at = i*cols + j
					}
					out[i] = append(out[i], a[at])
				}
			}
			return out
		}
		us, xs := turned(g), turned(x)
		orthogonal(us, xs)
		least, most := math.Inf(1), 0.0
		for i, u := range us {
			s := ref.GlobalNorm(u) / ref.GlobalNorm(g)
			way := s
			for range 5 {
				way = 3.4445*way - 4.7750*math.Pow(way, 3) + 2.0315*math.Pow(way, 5)
			}
			want := make([]float64, len(u))
			for j := range u {
				want[j] = u[j] * way / ref.GlobalNorm(u)
			}
			if err := gputest.Compare(xs[i], want, gputest.Tolerance{Terms: 40, Scale: 1}); err != nil {
				t.Errorf("%dx%d, singular value %.4f: %v", rows, cols, s, err)
			}
			if s > 0.003 { // smaller ones need more rounds
				least, most = min(least, ref.GlobalNorm(xs[i])), max(most, ref.GlobalNorm(xs[i]))
			}
		}
		if least < 0.6 || most > 1.3 {
			t.Errorf("%dx%d: singular values from %g to %g, want about 1", rows, cols, least, most)
		}
	}
}

// orthogonal rotates pairs of columns until all are orthogonal (Jacobi, one-sided): their lengths are then the singular
// values. The others take the same rotations.
func orthogonal(columns, others [][]float64) {
	dot := func(a, b []float64) (sum float64) {
		for i := range a {
			sum += a[i] * b[i]
		}
		return sum
	}
	for range 20 {
		for i := range columns {
			for j := range i {
				a, b, ab := dot(columns[i], columns[i]), dot(columns[j], columns[j]), dot(columns[i], columns[j])
				if math.Abs(ab) < 1e-15*math.Sqrt(a*b) {
					continue
				}
				sin, cos := math.Sincos(0.5 * math.Atan2(2*ab, a-b))
				for _, list := range [][][]float64{columns, others} {
					for k := range list[i] {
						x, y := list[i][k], list[j][k]
						list[i][k], list[j][k] = cos*x+sin*y, cos*y-sin*x
					}
				}
			}
		}
	}
}

// BenchmarkMuon is the orthogonalisation of the matrices of two blocks of GPT-2 124M, the product of 4C x C.
func BenchmarkMuon(b *testing.B) {
	const rows, cols = 3072, 768
	c := gputest.New(b)
	p := op.NewSetup(gputest.Device(b)).NewProgram(b.Name())
	k := op.Muon{Rows: rows, Cols: cols, Scalars: c.In("scalars", make([]float64, 4), 4),
		Norm: c.In("norm", []float64{1, 1, 0, 0}, 4)}
	for i := range 2 {
		k.Parts = append(k.Parts, op.MuonPart{W: c.Out(fmt.Sprint("w", i), rows, cols),
			M: c.Out(fmt.Sprint("m", i), rows, cols),
			G: c.In(fmt.Sprint("g", i), gputest.Rand(1, rows*cols, 1), rows, cols)})
	}
	n := p.MuonScratchLen(2, rows, cols)
	k.Scratch = op.MuonScratch{X: c.Out("x", n), Y: c.Out("y", n), Z: c.Out("z", n), Scale: c.Out("scale", 2)}
	k.AddTo(p)
	const short, long = min(rows, cols), max(rows, cols)
	benchmark(b, 2*5*2*(2*short*short*long+short*short*short), 0, p.Program)
}
