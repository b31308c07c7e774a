package train

import "math"

// wsdDecay is the default of --decay-fraction, the part of the steps that the schedule wsd spends on its way down: the
// 20% of Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations" (arXiv:2405.18392).
const wsdDecay = 0.2

// LearningRate returns the rate of that step, counted from 0. With W = WarmupSteps and S = Steps, the first W steps
// rise in a line, lr (step+1) / W, so that step 0 already moves; then, with r = (step-W) / (S-W):
//
//	constant  lr
//	cosine    min_lr + (lr - min_lr) (1 + cos(pi r)) / 2
//	linear    lr + (min_lr - lr) r
//	wsd       lr; over the last D = decay_fraction S, at most S-W, in a line to min_lr (warmup, stable, decay)
//
// Every schedule that falls would reach min_lr at step S, one after the last, and stays there.
//
// cosine is that of build-nanogpt and of PyTorch runs that copy it, number for number.
func LearningRate(c Config, step int) float64 {
	if step < c.WarmupSteps {
		return c.LR * float64(step+1) / float64(c.WarmupSteps)
	}
	if c.Schedule == "constant" {
		return c.LR
	}
	if step >= c.Steps {
		return c.MinLR
	}
	// The conversions keep the compiler from fusing a multiply-add, so that every platform computes the same rate.
	r := float64(step-c.WarmupSteps) / float64(c.Steps-c.WarmupSteps)
	switch c.Schedule {
	case "linear":
		return c.LR + float64((c.MinLR-c.LR)*r)
	case "wsd":
		decay := max(1, min(int(math.Round(c.DecayFraction*float64(c.Steps))), c.Steps-c.WarmupSteps))
		if in := step - (c.Steps - decay); in > 0 {
			return c.LR + float64((c.MinLR-c.LR)*(float64(in)/float64(decay)))
		}
		return c.LR
	default: // cosine
		return c.MinLR + float64(0.5*(1+math.Cos(math.Pi*r))*(c.LR-c.MinLR))
	}
}
