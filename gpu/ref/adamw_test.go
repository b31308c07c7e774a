package ref

import (
	"math"
	"testing"
)

// Two steps by hand. beta1 = 1/2, beta2 = 3/4, eps = 1/2 (large, so that its place shows), lr = 1/10, decay = 1/2,
// so the decay factor is 0.95; gradScale = 1/2 halves gradients of 4 and 10 to 2 and 5.
//
//	step 1: m = 1    v = 1                 corrections 1/2 and 1/4
//	        denom = 1/sqrt(1/4) + 1/2 = 5/2
//	        p = 1*0.95 - 0.1/(1/2) * 1/(5/2) = 0.87
//	step 2: m = 3    v = 3/4 + 25/4 = 7    corrections 3/4 and 7/16
//	        denom = sqrt(7)/(sqrt(7)/4) + 1/2 = 9/2
//	        p = 0.87*0.95 - 0.1/(3/4) * 3/(9/2) = 0.8265 - 4/45
func TestAdamWTwoSteps(t *testing.T) {
	p, m, v := []float64{1}, []float64{0}, []float64{0}

	AdamW(p, []float64{4}, m, v, 0.1, 0.5, 0.75, 0.5, 0.5, 0.5, 1)
	expectClose(t, "m, v, p after step 1", []float64{m[0], v[0], p[0]}, []float64{1, 1, 0.87}, 1e-15)

	AdamW(p, []float64{10}, m, v, 0.1, 0.5, 0.75, 0.5, 0.5, 0.5, 2)
	expectClose(t, "m, v, p after step 2", []float64{m[0], v[0], p[0]}, []float64{3, 7, 0.8265 - 4.0/45}, 1e-15)
}

// A constant gradient g makes both corrected moments exact, m/(1-beta1^t) = g and v/(1-beta2^t) = g^2, so without decay
// every step is lr against the gradient's sign, whatever its size.
func TestAdamWConstantGradient(t *testing.T) {
	const lr = 0.01
	g := []float64{3, -0.001, 1e4}
	p, m, v := make([]float64, 3), make([]float64, 3), make([]float64, 3)
	for step := 1; step <= 50; step++ {
		AdamW(p, g, m, v, lr, 0.9, 0.95, 0, 0, 1, step)
		d := lr * float64(step)
		expectClose(t, "p", p, []float64{-d, d, -d}, 1e-12)
	}
}

// Without a gradient there is only the decay, and it never enters the moments.
func TestAdamWDecay(t *testing.T) {
	p, m, v := []float64{2, -5}, []float64{0, 0}, []float64{0, 0}
	for step := 1; step <= 3; step++ {
		AdamW(p, []float64{0, 0}, m, v, 0.1, 0.9, 0.999, 1e-8, 0.2, 1, step)
	}
	f := math.Pow(0.98, 3)
	expectClose(t, "p", p, []float64{2 * f, -5 * f}, 1e-15)
	expectClose(t, "m, v", append(m, v...), []float64{0, 0, 0, 0}, 0)
}
