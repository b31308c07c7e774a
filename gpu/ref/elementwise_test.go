package ref

import "testing"

func TestAdd(t *testing.T) {
	a, b, out := []float64{1, -2, 3}, []float64{10, 20, 30}, poison(3)
	Add(out, a, b)
	expectClose(t, "add", out, []float64{11, 18, 33}, 0)
	Add(a, a, b) // an output may be an input
	expectClose(t, "add in place", a, []float64{11, 18, 33}, 0)
}

func TestAddBackward(t *testing.T) {
	rng := source()
	a, b, dout, out := normals(rng, 7), normals(rng, 7), normals(rng, 7), poison(7)
	sum := func([]float64) float64 { Add(out, a, b); return dot(out, dout) }
	CheckGradient(t, sum, a, dout, "add da")
	CheckGradient(t, sum, b, dout, "add db")
}
