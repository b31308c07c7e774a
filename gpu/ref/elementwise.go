package ref

// Fill: out[i] = value; any shape.
func Fill(out []float64, value float64) {
	for i := range out {
		out[i] = value
	}
}

// Scale: out[i] = x[i] * s; any shape.
func Scale(out, x []float64, s float64) {
	for i := range x {
		out[i] = x[i] * s
	}
}

// Add: out[i] = a[i] + b[i]; any shape. Its backward is a copy: da = dout, db = dout.
func Add(out, a, b []float64) {
	for i := range a {
		out[i] = a[i] + b[i]
	}
}
