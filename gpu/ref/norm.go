package ref

import "math"

// GlobalNorm is the Euclidean norm of all tensors taken as one vector: sqrt(sum x^2).
func GlobalNorm(tensors ...[]float64) float64 {
	sum := 0.0
	for _, x := range tensors {
		for i := range x {
			sum += x[i] * x[i]
		}
	}
	return math.Sqrt(sum)
}

// ClipScale is the factor that brings gradients of this norm down to maxNorm, and never up, as in
// torch.nn.utils.clip_grad_norm_:
//
//	min(1, maxNorm / (norm + 1e-6))
//
// maxNorm <= 0 turns clipping off: 1. A norm of NaN gives NaN.
func ClipScale(norm, maxNorm float64) float64 {
	if maxNorm <= 0 {
		return 1
	}
	return math.Min(1, maxNorm/(norm+1e-6))
}
