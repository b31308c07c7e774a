package ref

import "math"

// NewtonSchulz is the coefficients of its polynomial: X becomes a X + (b A + c A^2) X with A = X X^T.
var NewtonSchulz = struct{ A, B, C float64 }{3.4445, -4.7750, 2.0315}

// Orthogonalize brings the singular values of u (ROWS,COLS) close to 1 and keeps its singular vectors: Newton-Schulz as
// Muon has it. With X = u / (|u| + 1e-7), turned if it has more rows than columns, five times
//
//	A = X X^T      X = a X + (b A + c A^2) X
//
// and X is turned back. The coefficients rise small values fast and leave all between about 0.7 and 1.2.
func Orthogonalize(u []float64, rows, cols int) []float64 {
	if rows > cols {
		return transpose(Orthogonalize(transpose(u, rows, cols), cols, rows), cols, rows)
	}
	x := make([]float64, rows*cols)
	scale := 1 / (GlobalNorm(u) + 1e-7)
	for i := range u {
		x[i] = u[i] * scale
	}
	a, square := make([]float64, rows*rows), make([]float64, rows*rows)
	for range 5 {
		MatmulForward(a, x, x, nil, rows, cols, rows)
		MatmulForward(square, a, a, nil, rows, rows, rows) // A is symmetric
		for i := range a {
			a[i] = NewtonSchulz.B*a[i] + NewtonSchulz.C*square[i]
		}
		next := make([]float64, rows*cols)
		MatmulBackwardDX(next, a, x, rows, cols, rows)
		for i := range x {
			x[i] = NewtonSchulz.A*x[i] + next[i]
		}
	}
	return x
}

// Muon takes one step of Muon on a matrix w (ROWS,COLS), as PyTorch's Linear holds it, with its momentum m:
//
//	g' = g * gradScale      m = mu m + g'      u = g' + mu m
//	w  = (1 - lr decay) w - lr sqrt(max(1, ROWS/COLS)) Orthogonalize(u)
//
// w and m are updated in place; m is zero before the first step.
func Muon(w, m, g []float64, rows, cols int, lr, mu, decay, gradScale float64) {
	u := make([]float64, len(w))
	for i := range m {
		m[i] = mu*m[i] + g[i]*gradScale
		u[i] = g[i]*gradScale + mu*m[i]
	}
	x := Orthogonalize(u, rows, cols)
	rate := lr * math.Sqrt(max(1, float64(rows)/float64(cols)))
	for i := range w {
		w[i] = (1-lr*decay)*w[i] - rate*x[i]
	}
}

// transpose returns x (ROWS,COLS) as (COLS,ROWS).
func transpose(x []float64, rows, cols int) []float64 {
	out := make([]float64, len(x))
	for r := range rows {
		for c := range cols {
			out[c*rows+r] = x[r*cols+c]
		}
	}
	return out
}
