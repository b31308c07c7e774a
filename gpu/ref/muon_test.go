package ref

import (
	"fmt"
	"math"
	"testing"
)

// reflect returns the Householder matrix I - 2 v v^T / |v|^2 (n,n) of a random v: orthogonal and symmetric.
func reflect(v []float64) []float64 {
	n, norm := len(v), GlobalNorm(v)
	h := make([]float64, n*n)
	for i := range n {
		for j := range n {
			h[i*n+j] = -2 * v[i] * v[j] / (norm * norm)
		}
		h[i*n+i]++
	}
	return h
}

// Of P D Q with orthogonal P and Q only the diagonal D changes: each singular value s goes the way of the scalar
// polynomial a s + b s^3 + c s^5, five times from s / |D|.
func TestOrthogonalize(t *testing.T) {
	rng := source()
	for _, shape := range [][2]int{{4, 4}, {6, 6}, {3, 8}, {8, 3}} {
		rows, cols := shape[0], shape[1]
		n := min(rows, cols)
		values := make([]float64, n)
		for i := range values {
			values[i] = math.Pow(10, -float64(i)/2) // 1, 0.3, 0.1, …
		}
		p, q := reflect(normals(rng, rows)), reflect(normals(rng, cols))
		matrix := func(values []float64) []float64 { // P D Q
			d, pd, out := make([]float64, rows*cols), make([]float64, rows*cols), make([]float64, rows*cols)
			for i, v := range values {
				d[i*cols+i] = v
			}
			MatmulBackwardDX(pd, p, d, rows, cols, rows)
			MatmulBackwardDX(out, pd, q, rows, cols, cols)
			return out
		}
		want := make([]float64, n)
		for i, s := range values {
			s /= GlobalNorm(values) + 1e-7
			for range 5 {
				s = 3.4445*s - 4.7750*math.Pow(s, 3) + 2.0315*math.Pow(s, 5)
			}
			want[i] = s
		}
		expectClose(t, fmt.Sprint("x of ", shape), Orthogonalize(matrix(values), rows, cols), matrix(want), 1e-11)
	}
}

// The norm of zeros divides nothing by zero.
func TestOrthogonalizeZero(t *testing.T) {
	expectClose(t, "x of zeros", Orthogonalize(make([]float64, 12), 3, 4), make([]float64, 12), 0)
}

// Two steps on matrices of one value, whose orthogonal form is its sign times the polynomial's path from 1 (the norm
// takes the size away). mu = 1/2, lr = 1/10, decay = 1/2, gradScale = 1/2 halves gradients of 4 and -20.
//
//	step 1: m = 2    u = 2 + 1 = 3         step 2: m = 1 - 10 = -9    u = -10 - 4.5 < 0
func TestMuonTwoSteps(t *testing.T) {
	x := 1 / (1 + 1e-7/3)
	for range 5 {
		x = 3.4445*x - 4.7750*math.Pow(x, 3) + 2.0315*math.Pow(x, 5)
	}
	w, m := []float64{1}, []float64{0}
	Muon(w, m, []float64{4}, 1, 1, 0.1, 0.5, 0.5, 0.5)
	expectClose(t, "m, w after step 1", []float64{m[0], w[0]}, []float64{2, 0.95 - 0.1*x}, 1e-9)
	before := w[0]
	Muon(w, m, []float64{-20}, 1, 1, 0.1, 0.5, 0.5, 0.5)
	expectClose(t, "m, w after step 2", []float64{m[0], w[0]}, []float64{-9, 0.95*before + 0.1*x}, 1e-6)
}

// A tall matrix takes sqrt(ROWS/COLS) as large a step, a wide one the rate itself.
func TestMuonRate(t *testing.T) {
	rng := source()
	g := normals(rng, 16)
	tall, wide, m := make([]float64, 16), make([]float64, 16), make([]float64, 16)
	Muon(tall, m, g, 8, 2, 1, 0, 0, 1)
	clear(m)
	Muon(wide, m, transpose(g, 8, 2), 2, 8, 1, 0, 0, 1)
	for i := range wide {
		wide[i] *= 2
	}
	expectClose(t, "w", tall, transpose(wide, 2, 8), 1e-12)
}
