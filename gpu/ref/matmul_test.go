package ref

import (
	"fmt"
	"testing"
)

func TestMatmulForward(t *testing.T) {
	x := []float64{1, 2, 3, 4, 5, 6} // (2,3)
	w := []float64{                  // (4,3)
		1, 0, 0,
		0, 1, 0,
		1, 1, 1,
		-1, 0, 2,
	}
	b := []float64{10, 20, 30, 40}
	out := poison(8)
	MatmulForward(out, x, w, b, 2, 3, 4)
	expectClose(t, "out", out, []float64{11, 22, 36, 45, 14, 25, 45, 48}, 0)

	out = poison(8)
	MatmulForward(out, x, w, nil, 2, 3, 4)
	expectClose(t, "out without bias", out, []float64{1, 2, 6, 5, 4, 5, 15, 8}, 0)
}

func TestMatmulBackward(t *testing.T) {
	for _, d := range []struct{ N, K, OC int }{{1, 1, 1}, {1, 5, 3}, {5, 3, 7}, {4, 7, 2}} {
		t.Run(fmt.Sprintf("N=%d,K=%d,OC=%d", d.N, d.K, d.OC), func(t *testing.T) {
			rng := source()
			x, w, b := normals(rng, d.N*d.K), normals(rng, d.OC*d.K), normals(rng, d.OC)
			dout := normals(rng, d.N*d.OC)
			out := poison(d.N * d.OC)
			loss := func([]float64) float64 {
				MatmulForward(out, x, w, b, d.N, d.K, d.OC)
				return dot(out, dout)
			}

			dx := poison(len(x))
			MatmulBackwardDX(dx, dout, w, d.N, d.K, d.OC)
			CheckGradient(t, loss, x, dx, "dx")

			dw := accumulated(rng, len(w), func(dw []float64) {
				MatmulBackwardDW(dw, dout, x, d.N, d.K, d.OC)
			})
			CheckGradient(t, loss, w, dw, "dw")

			db := accumulated(rng, len(b), func(db []float64) {
				BiasBackward(db, dout, d.N, d.OC)
			})
			CheckGradient(t, loss, b, db, "db")
		})
	}
}
