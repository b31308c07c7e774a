package gpt2

import "math"

// The logarithm, sine and cosine behind PyTorch's normal_: Moshier's single-precision Cephes routines (logf, sinf,
// cosf: netlib.org/cephes), in the order of operations of PyTorch's AVX2 kernel, multiply-adds fused where GCC fuses
// them. Go's math package is more exact and so differs from PyTorch in the last bits; with these, every bit is
// PyTorch's.

// fma returns a*b+c rounded once. The product of two float32 is exact in float64, so hardware that fuses this
// expression gets the same; the sum is rounded to 53 bits before it is to 24, which goes wrong about once in 2^29.
func fma(a, b, c float32) float32 { return float32(float64(a)*float64(b) + float64(c)) }

// logf returns ln(x) for normal x > 0: x = m 2^e with m in [sqrt(1/2), sqrt(2)), then a polynomial in m-1. ln 2 is
// added in two parts, the larger of which times e is exact.
func logf(x float32) float32 {
	bits := math.Float32bits(x)
	e := float32(int(bits>>23) - 126)
	m := math.Float32frombits(bits&0x007fffff | 0x3f000000)
	if m < 0.707106781186547524 {
		e--
		m = m - 1 + m
	} else {
		m--
	}
	z := m * m
	y := fma(7.0376836292e-2, m, -1.1514610310e-1)
	y = fma(y, m, 1.1676998740e-1)
	y = fma(y, m, -1.2420140846e-1)
	y = fma(y, m, 1.4249322787e-1)
	y = fma(y, m, -1.6668057665e-1)
	y = fma(y, m, 2.0000714765e-1)
	y = fma(y, m, -2.4999993993e-1)
	y = fma(y, m, 3.3333331174e-1)
	y = fma(float32(y*m), z, float32(e*-2.12194440e-4))
	y = fma(z, -0.5, y)
	return fma(e, 0.693359375, m+y)
}

// sincosf returns sin(x) and cos(x) for 0 <= x <= 2 pi: x less the nearest even multiple j of pi/4, in three parts
// whose first two products are exact, then a polynomial each, exchanged and signed by the octant.
func sincosf(x float32) (sin, cos float32) {
	j := (int(float32(x*1.27323954473516)) + 1) &^ 1
	q := float32(j)
	x = fma(q, -0.78515625, x)
	x = fma(q, -2.4187564849853515625e-4, x)
	x = fma(q, -3.77489497744594108e-8, x)
	z := float32(x * x)

	cos = fma(2.443315711809948e-5, z, -1.388731625493765e-3)
	cos = fma(cos, z, 4.166664568298827e-2)
	cos = fma(float32(cos*z), z, float32(-0.5*z)) + 1

	sin = fma(-1.9515295891e-4, z, 8.3321608736e-3)
	sin = fma(sin, z, -1.6666654611e-1)
	sin = fma(float32(sin*z), x, x)

	switch j & 7 {
	case 2:
		sin, cos = cos, -sin
	case 4:
		sin, cos = -sin, -cos
	case 6:
		sin, cos = -cos, sin
	}
	return sin, cos
}
