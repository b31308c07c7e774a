package ref

// Add: out[i] = a[i] + b[i]; any shape. Its backward is a copy: da = dout, db = dout.
func Add(out, a, b []float64) {
	for i := range a {
		out[i] = a[i] + b[i]
	}
}
