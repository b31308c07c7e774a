package ref

import "math"

// GELU in the tanh form, GPT-2's own ("gelu_new"; PyTorch: approximate='tanh'):
//
//	gelu(x) = x/2 * (1 + tanh(u)),  u = sqrt(2/pi) * (x + 0.044715*x^3)
func GELU(x float64) float64 {
	u := math.Sqrt(2/math.Pi) * (x + 0.044715*x*x*x)
	return 0.5 * x * (1 + math.Tanh(u))
}

// GELUGrad is GELU's derivative, by the product rule:
//
//	gelu'(x) = (1 + tanh(u))/2                  (1) the factor x
//	         + x/2 * sech^2(u) * du/dx          (2) the factor 1 + tanh(u)
//	du/dx = sqrt(2/pi) * (1 + 3*0.044715*x^2)
func GELUGrad(x float64) float64 {
	u := math.Sqrt(2/math.Pi) * (x + 0.044715*x*x*x)
	du := math.Sqrt(2/math.Pi) * (1 + 3*0.044715*x*x)
	sech := 1 / math.Cosh(u)
	return 0.5*(1+math.Tanh(u)) + // (1)
		0.5*x*sech*sech*du // (2)
}

// GELUForward: out[i] = GELU(x[i]); any shape.
func GELUForward(out, x []float64) {
	for i := range x {
		out[i] = GELU(x[i])
	}
}

// GELUBackward: dx[i] = dout[i] * GELUGrad(x[i]); any shape. dx is overwritten.
func GELUBackward(dx, dout, x []float64) {
	for i := range x {
		dx[i] = dout[i] * GELUGrad(x[i])
	}
}
