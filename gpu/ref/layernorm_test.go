package ref

import (
	"fmt"
	"math"
	"testing"
)

func TestLayerNormForward(t *testing.T) {
	// mean 3, variance 4; then a constant row, where only eps keeps rstd finite
	x := []float64{1, 5, 1, 5, 7, 7, 7, 7}
	w := []float64{1, 2, 3, 4}
	b := []float64{0, 10, 20, 30}
	out, mean, rstd := poison(8), poison(2), poison(2)
	LayerNormForward(out, mean, rstd, x, w, b, 2, 4)

	s := 1 / math.Sqrt(4+1e-5)
	expectClose(t, "mean", mean, []float64{3, 7}, 0)
	expectClose(t, "rstd", rstd, []float64{s, 1 / math.Sqrt(1e-5)}, 1e-15)
	expectClose(t, "out", out, []float64{-2 * s, 4*s + 10, -6*s + 20, 8*s + 30, 0, 10, 20, 30}, 1e-15)
}

func TestLayerNormBackward(t *testing.T) {
	for _, d := range []struct{ N, C int }{{1, 1}, {1, 2}, {5, 7}, {3, 12}} {
		t.Run(fmt.Sprintf("N=%d,C=%d", d.N, d.C), func(t *testing.T) {
			rng := source()
			x, w, b := normals(rng, d.N*d.C), normals(rng, d.C), normals(rng, d.C)
			dout := normals(rng, d.N*d.C)
			out, mean, rstd := poison(d.N*d.C), poison(d.N), poison(d.N)
			loss := func([]float64) float64 {
				LayerNormForward(out, mean, rstd, x, w, b, d.N, d.C)
				return dot(out, dout)
			}

			loss(nil) // leaves mean and rstd
			var dw, db []float64
			dx := accumulated(rng, len(x), func(dx []float64) {
				dw = accumulated(rng, len(w), func(dw []float64) {
					db = accumulated(rng, len(b), func(db []float64) {
						LayerNormBackward(dx, dw, db, dout, x, w, mean, rstd, d.N, d.C)
					})
				})
			})
			CheckGradient(t, loss, x, dx, "dx")
			CheckGradient(t, loss, w, dw, "dw")
			CheckGradient(t, loss, b, db, "db")
		})
	}
}
