package ref

import "math"

// CrossEntropyForward is the negative log likelihood of each row's target:
//
//	losses[n] = logsumexp(logits[n]) - logits[n,targets[n]]
//
// losses (N), in nats; logits (N,V), targets (N).
func CrossEntropyForward(losses, logits []float64, targets []uint32, N, V int) {
	for n := range N {
		row := logits[n*V : (n+1)*V]
		losses[n] = logSumExp(row) - row[targets[n]]
	}
}

// CrossEntropyBackward is the gradient of scale * sum_n losses[n]; scale = 1/N makes it the mean's:
//
//	dlogits[n,v] = ( exp(logits[n,v] - logsumexp(logits[n]))     (1) the gradient of logsumexp: softmax
//	               - [v = targets[n]] ) * scale                  (2) the target's own logit
//
// dlogits (N,V) is overwritten; logits (N,V), targets (N).
func CrossEntropyBackward(dlogits, logits []float64, targets []uint32, scale float64, N, V int) {
	for n := range N {
		row := logits[n*V : (n+1)*V]
		lse := logSumExp(row)
		for v := range V {
			d := math.Exp(row[v] - lse) // (1)
			if v == int(targets[n]) {
				d -= 1 // (2)
			}
			dlogits[n*V+v] = d * scale
		}
	}
}

// Classifier is the model's last step in one: linear layer, softmax, cross entropy, and the backward of all three. The
// kernels never hold all logits at once; here they are simply made.
//
//	logits  = x @ wte^T
//	losses  = cross entropy of logits and targets, one a row, not scaled
//	dlogits = (softmax(logits) - onehot(targets)) * scale
//	dx      = dlogits @ wte
//	dwte   += dlogits^T @ x
//
// losses (N), dx (N,C) is overwritten, dwte (V,C) accumulates; x (N,C), wte (V,C), targets (N).
// The gradients are those of scale * sum_n losses[n].
func Classifier(losses, dx, dwte, x, wte []float64, targets []uint32, scale float64, N, C, V int) {
	logits := make([]float64, N*V)
	dlogits := make([]float64, N*V)
	MatmulForward(logits, x, wte, nil, N, C, V)
	CrossEntropyForward(losses, logits, targets, N, V)
	CrossEntropyBackward(dlogits, logits, targets, scale, N, V)
	MatmulBackwardDX(dx, dlogits, wte, N, C, V)
	MatmulBackwardDW(dwte, dlogits, x, N, C, V)
}

// logSumExp returns log(sum_i exp(x[i])); the maximum comes out first, so that exp can't overflow.
func logSumExp(x []float64) float64 {
	maxval := math.Inf(-1)
	for i := range x {
		maxval = max(maxval, x[i])
	}
	sum := 0.0
	for i := range x {
		sum += math.Exp(x[i] - maxval)
	}
	return maxval + math.Log(sum)
}
