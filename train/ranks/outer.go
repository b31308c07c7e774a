package ranks

import (
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// Outer is the outer optimizer of --sync-every H, for ranks between which gradients travel too slowly: DiLoCo
// (Douillard et al., arXiv:2311.08105, algorithm 1). Every rank k of n takes H steps of its optimizer by itself, on its
// own windows of the data, from the common parameters θ to θ_k. Then, with lr = LR and μ = Momentum, for all ranks
// alike:
//
//	Δ = 1/n Σ_k (θ - θ_k)     the outer gradient, summed over the ranks
//	b ← μ b + Δ               Nesterov momentum, as PyTorch's SGD(nesterov=True) has it
//	θ ← θ - lr (Δ + μ b)
//
// and all go on from θ. The optimizer's state stays each rank's own. lr = 1 and μ = 0 average the parameters.
type Outer struct {
	LR, Momentum float64
	Wire         Wire
	Momenta      [][]float32 // b, in the table's order

	theta [][]float32 // in the table's order
}

// Start makes θ the model's present parameters, and b zeros where Momenta is nil.
func (o *Outer) Start(m *model.Model) error {
	w, err := m.Weights()
	if err != nil {
		return err
	}
	o.theta = w.Tensors
	if o.Momenta == nil {
		for _, t := range o.theta {
			o.Momenta = append(o.Momenta, make([]float32, len(t)))
		}
	}
	return nil
}

// Step does the outer step and loads θ into the model. It is collective.
func (o *Outer) Step(g Group, m *model.Model) error {
	w, err := m.Weights()
	if err != nil {
		return err
	}
	n := float32(g.Size())
	lr, mu := float32(o.LR), float32(o.Momentum)
	for i, theta := range o.theta {
		delta, b := w.Tensors[i], o.Momenta[i]
		for j, local := range delta {
			delta[j] = (theta[j] - local) / n
		}
		if err := g.AllreduceSum(delta, o.Wire); err != nil {
			return err
		}
		// The conversions keep compilers from fusing multiply-adds, so that hosts of all kinds compute the same.
		for j, d := range delta {
			b[j] = float32(mu*b[j]) + d
			theta[j] -= float32(lr * (d + float32(mu*b[j])))
		}
	}
	return m.Load(&gpt2.Weights{Config: m.Config, Tensors: o.theta})
}
