package ref

import (
	"math"
	"testing"
)

func TestGELU(t *testing.T) {
	// tanh is odd, so gelu(x) - gelu(-x) = x exactly in mathematics
	for _, x := range []float64{1e-3, 0.5, 1, 2.75, 6, 40} {
		expectClose(t, "gelu(x)-gelu(-x)", []float64{GELU(x) - GELU(-x)}, []float64{x}, 1e-15)
	}
	// near x*Phi(x), the function it approximates, which separates it from other sigmoid shapes
	for x := -6.0; x <= 6; x += 0.25 {
		exact := x * 0.5 * math.Erfc(-x/math.Sqrt2)
		if math.Abs(GELU(x)-exact) > 5e-4 {
			t.Errorf("GELU(%g) = %g, x*Phi(x) = %g", x, GELU(x), exact)
		}
	}
	// and the tanh form, not the erf form: at 1 they differ in the fourth digit (0.841192 and 0.841345)
	expectClose(t, "gelu(1)", []float64{GELU(1)}, []float64{0.841192}, 1e-6)

	// large arguments saturate: no NaN
	out, dx := poison(4), poison(4)
	x := []float64{-1e30, -30, 30, 1e30}
	GELUForward(out, x)
	GELUBackward(dx, []float64{1, 1, 1, 1}, x)
	expectClose(t, "out", out, []float64{0, 0, 30, 1e30}, 0)
	expectClose(t, "dx", dx, []float64{0, 0, 1, 1}, 0)
}

func TestGELUBackward(t *testing.T) {
	rng := source()
	x := append(normals(rng, 19), 0, -0.75, 3, -3, 7, -7)
	dout := normals(rng, len(x))
	out, dx := poison(len(x)), poison(len(x))
	loss := func(x []float64) float64 {
		GELUForward(out, x)
		return dot(out, dout)
	}
	GELUBackward(dx, dout, x)
	CheckGradient(t, loss, x, dx, "dx")
}
