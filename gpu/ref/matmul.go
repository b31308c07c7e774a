package ref

// Weights are stored (OC,K), one output channel a row, as in PyTorch's Linear; K is the number of input channels.

// MatmulForward applies a linear layer to each row of x:
//
//	out[n,o] = sum_k x[n,k] * w[o,k] + b[o]        out = x @ w^T + b
//
// out (N,OC); x (N,K), w (OC,K), b (OC) or nil for no bias.
func MatmulForward(out, x, w, b []float64, N, K, OC int) {
	for n := range N {
		for o := range OC {
			sum := 0.0
			if b != nil {
				sum = b[o]
			}
			for k := range K {
				sum += x[n*K+k] * w[o*K+k]
			}
			out[n*OC+o] = sum
		}
	}
}

// MatmulBackwardDX: x[n,k] meets w[o,k] in every out[n,o], so
//
//	dx[n,k] = sum_o dout[n,o] * w[o,k]             dx = dout @ w
//
// dx (N,K) is overwritten; dout (N,OC), w (OC,K).
func MatmulBackwardDX(dx, dout, w []float64, N, K, OC int) {
	for n := range N {
		for k := range K {
			sum := 0.0
			for o := range OC {
				sum += dout[n*OC+o] * w[o*K+k]
			}
			dx[n*K+k] = sum
		}
	}
}

// MatmulBackwardDW: w[o,k] meets x[n,k] in every out[n,o], so
//
//	dw[o,k] += sum_n dout[n,o] * x[n,k]            dw += dout^T @ x
//
// dw (OC,K) accumulates; dout (N,OC), x (N,K).
func MatmulBackwardDW(dw, dout, x []float64, N, K, OC int) {
	for o := range OC {
		for k := range K {
			sum := 0.0
			for n := range N {
				sum += dout[n*OC+o] * x[n*K+k]
			}
			dw[o*K+k] += sum
		}
	}
}

// BiasBackward: b[o] is added to every row, so
//
//	db[o] += sum_n dout[n,o]
//
// db (OC) accumulates; dout (N,OC).
func BiasBackward(db, dout []float64, N, OC int) {
	for o := range OC {
		sum := 0.0
		for n := range N {
			sum += dout[n*OC+o]
		}
		db[o] += sum
	}
}
