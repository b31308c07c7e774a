package ref

import (
	"math"
	"strings"
	"testing"
)

// The checker is trusted by every other test, so it must pass what is right and fail what is nearly right.
func TestGradientError(t *testing.T) {
	f := func(x []float64) float64 { return x[0]*x[0]*x[1] + math.Exp(x[2]) }
	x := []float64{1.5, -2, 0.25}
	right := []float64{2 * x[0] * x[1], x[0] * x[0], math.Exp(x[2])}

	if err := gradientError(f, x, right); err != nil {
		t.Errorf("the right gradient fails: %v", err)
	}
	if x[0] != 1.5 || x[1] != -2 || x[2] != 0.25 {
		t.Errorf("x is not restored: %v", x)
	}
	for _, wrong := range []struct {
		i     int
		value float64
	}{{0, right[0] * (1 + 1e-6)}, {1, -right[1]}, {2, 0}, {2, math.NaN()}, {2, math.Inf(1)}} {
		grad := append([]float64(nil), right...)
		grad[wrong.i] = wrong.value
		err := gradientError(f, x, grad)
		if err == nil || !strings.HasPrefix(err.Error(), "["+string(rune('0'+wrong.i))+"]") {
			t.Errorf("gradient %v: got %v, want an error at [%d]", grad, err, wrong.i)
		}
	}
	if gradientError(f, x, right[:2]) == nil {
		t.Error("a gradient that is too short passes")
	}
}
