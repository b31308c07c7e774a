package ref

import (
	"math"
	"math/rand/v2"
	"testing"
)

// source returns the random numbers of one test: the same on every run.
func source() *rand.Rand { return rand.New(rand.NewPCG(1337, 42)) }

// normals returns n standard normal numbers.
func normals(rng *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	return x
}

// indices returns n numbers below limit.
func indices(rng *rand.Rand, n, limit int) []uint32 {
	x := make([]uint32, n)
	for i := range x {
		x[i] = rng.Uint32N(uint32(limit))
	}
	return x
}

// poison returns n NaNs: an output that must be overwritten starts so, and any element left over shows.
func poison(n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = math.NaN()
	}
	return x
}

// accumulated runs an accumulating backward on a base of random values and returns what it added.
func accumulated(rng *rand.Rand, n int, backward func(grad []float64)) []float64 {
	base := normals(rng, n)
	grad := append([]float64(nil), base...)
	backward(grad)
	for i := range grad {
		grad[i] -= base[i]
	}
	return grad
}

// expectClose fails unless every element is within tolerance of the wanted one; NaN never is.
func expectClose(t *testing.T, name string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s has %d elements, want %d", name, len(got), len(want))
		return
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= tolerance*max(1, math.Abs(want[i]))) {
			t.Errorf("%s[%d] = %.15g, want %.15g", name, i, got[i], want[i])
			return
		}
	}
}
