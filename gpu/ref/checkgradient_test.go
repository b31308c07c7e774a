package ref

import (
	"fmt"
	"math"
	"testing"
)

const (
	// diffStep balances the two errors of a central difference in float64: truncation, of order step^2 = 1e-12, and
	// the rounding of f divided by the step, of order eps/step = 2e-10.
	diffStep = 1e-6

	// diffTolerance is relative to the derivative: generous to steep functions, and still seven digits.
	diffTolerance = 1e-7
)

// CheckGradient fails the test unless grad, the claimed gradient of f at x, agrees with central differences:
//
//	df/dx[i] ~ (f(x + step*e_i) - f(x - step*e_i)) / (2*step)
//
// f is called with x itself, one element of it moved, so f may use its argument or a variable that shares its memory;
// x is as before afterwards. To prove an op's backward, f returns sum(out*dout) for a fixed random dout. name says
// which gradient it is in the message.
func CheckGradient(t testing.TB, f func(x []float64) float64, x, grad []float64, name string) {
	t.Helper()
	if err := gradientError(f, x, grad); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// gradientError returns nil where grad agrees with f's central differences at x, else an error that names the first
// element that does not.
func gradientError(f func(x []float64) float64, x, grad []float64) error {
	if len(grad) != len(x) {
		return fmt.Errorf("gradient has %d elements, x has %d", len(grad), len(x))
	}
	for i := range x {
		saved := x[i]
		hi, lo := saved+diffStep, saved-diffStep
		x[i] = hi
		fhi := f(x)
		x[i] = lo
		flo := f(x)
		x[i] = saved

		want := (fhi - flo) / (hi - lo) // hi-lo and not 2*step: both were rounded
		rounding := 8 * epsilon * max(1, math.Abs(fhi)) / diffStep
		limit := diffTolerance*math.Abs(want) + rounding
		if !(math.Abs(grad[i]-want) <= limit) { // this way round NaN fails
			return fmt.Errorf("[%d] got %.12g, want %.12g (off by %.2g, limit %.2g)",
				i, grad[i], want, math.Abs(grad[i]-want), limit)
		}
	}
	return nil
}

// epsilon is the distance from 1 to the next float64.
const epsilon = 0x1p-52
