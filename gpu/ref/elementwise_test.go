package ref

import "testing"

func TestElementwise(t *testing.T) {
	out := poison(3)
	Fill(out, 2.5)
	expectClose(t, "fill", out, []float64{2.5, 2.5, 2.5}, 0)

	a, b := []float64{1, -2, 3}, []float64{10, 20, 30}
	out = poison(3)
	Scale(out, a, -2)
	expectClose(t, "scale", out, []float64{-2, 4, -6}, 0)

	out = poison(3)
	Add(out, a, b)
	expectClose(t, "add", out, []float64{11, 18, 33}, 0)

	Add(a, a, b) // an output may be an input
	expectClose(t, "add in place", a, []float64{11, 18, 33}, 0)
}

// The backwards are one-liners: of Scale, Scale itself; of Add, a copy.
func TestElementwiseBackward(t *testing.T) {
	rng := source()
	a, b, dout := normals(rng, 7), normals(rng, 7), normals(rng, 7)
	out, dx := poison(7), poison(7)

	Scale(dx, dout, -0.7)
	CheckGradient(t, func(a []float64) float64 { Scale(out, a, -0.7); return dot(out, dout) }, a, dx, "scale dx")

	sum := func([]float64) float64 { Add(out, a, b); return dot(out, dout) }
	CheckGradient(t, sum, a, dout, "add da")
	CheckGradient(t, sum, b, dout, "add db")
}
