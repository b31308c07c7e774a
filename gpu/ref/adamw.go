package ref

import "math"

// AdamW takes one step of PyTorch's torch.optim.AdamW, for each element:
//
//	g' = g * gradScale                              (ClipScale's factor; 1 for none)
//	p  = p * (1 - lr*weightDecay)                   decoupled decay, first
//	m  = beta1*m + (1-beta1)*g'
//	v  = beta2*v + (1-beta2)*g'^2
//	p  = p - lr/(1-beta1^step) * m / (sqrt(v)/sqrt(1-beta2^step) + eps)
//
// p, m, v are updated in place; g is left as it is. step counts from 1; m and v are zero before step 1.
func AdamW(p, g, m, v []float64, lr, beta1, beta2, eps, weightDecay, gradScale float64, step int) {
	correction1 := 1 - math.Pow(beta1, float64(step))
	correction2 := 1 - math.Pow(beta2, float64(step))
	for i := range p {
		grad := g[i] * gradScale
		p[i] *= 1 - lr*weightDecay
		m[i] = beta1*m[i] + (1-beta1)*grad
		v[i] = beta2*v[i] + (1-beta2)*grad*grad
		denom := math.Sqrt(v[i])/math.Sqrt(correction2) + eps
		p[i] -= lr / correction1 * m[i] / denom
	}
}
