package ref

import "math"

// layerNormEps is added to the variance, as in GPT-2 and PyTorch.
const layerNormEps = 1e-5

// LayerNormForward normalises each row of x over its C channels, then scales and shifts:
//
//	mean[n]  = sum_c x[n,c] / C
//	rstd[n]  = 1 / sqrt(sum_c (x[n,c] - mean[n])^2 / C + 1e-5)
//	out[n,c] = (x[n,c] - mean[n]) * rstd[n] * w[c] + b[c]
//
// out (N,C), mean (N), rstd (N); x (N,C), w (C), b (C).
func LayerNormForward(out, mean, rstd, x, w, b []float64, N, C int) {
	for n := range N {
		m := 0.0
		for c := range C {
			m += x[n*C+c]
		}
		m /= float64(C)

		v := 0.0
		for c := range C {
			xshift := x[n*C+c] - m
			v += xshift * xshift
		}
		v /= float64(C)
		s := 1 / math.Sqrt(v+layerNormEps)

		for c := range C {
			out[n*C+c] = (x[n*C+c]-m)*s*w[c] + b[c]
		}
		mean[n] = m
		rstd[n] = s
	}
}

// LayerNormBackward. With xhat = (x - mean)*rstd and dxhat = dout*w, for one row:
//
//	db[c] += dout[c]
//	dw[c] += dout[c] * xhat[c]
//	dx[c] += rstd * ( dxhat[c]                        (1) x itself
//	                - sum_i dxhat[i] / C              (2) x through the mean
//	                - xhat[c] * sum_i dxhat[i]*xhat[i] / C )   (3) x through rstd
//
// (1) is d xhat[c]/d x[c] with mean and rstd held. (2): every xhat[i] falls by rstd/C when x[c] rises by 1. (3): d
// rstd/d x[c] = -rstd^3 * (x[c]-mean)/C = -rstd^2 * xhat[c]/C, since the variance's own derivative through the mean
// vanishes (sum_i (x[i]-mean) = 0), and each xhat[i] = (x[i]-mean)*rstd moves by (x[i]-mean) = xhat[i]/rstd times that.
//
// dx (N,C), dw (C), db (C), all accumulate (dx too: it joins the residual stream's gradient);
// dout (N,C), x (N,C), w (C), mean (N), rstd (N).
func LayerNormBackward(dx, dw, db, dout, x, w, mean, rstd []float64, N, C int) {
	for n := range N {
		dxhatMean := 0.0     // sum_i dxhat[i] / C
		dxhatXhatMean := 0.0 // sum_i dxhat[i]*xhat[i] / C
		for c := range C {
			xhat := (x[n*C+c] - mean[n]) * rstd[n]
			dxhat := dout[n*C+c] * w[c]
			dxhatMean += dxhat
			dxhatXhatMean += dxhat * xhat
		}
		dxhatMean /= float64(C)
		dxhatXhatMean /= float64(C)

		for c := range C {
			xhat := (x[n*C+c] - mean[n]) * rstd[n]
			dxhat := dout[n*C+c] * w[c]
			db[c] += dout[n*C+c]
			dw[c] += dout[n*C+c] * xhat

			d := dxhat                // (1)
			d -= dxhatMean            // (2)
			d -= xhat * dxhatXhatMean // (3)
			dx[n*C+c] += rstd[n] * d
		}
	}
}
