package train

import (
	"math"
	"testing"
)

func TestLearningRate(t *testing.T) {
	c := Config{LR: 1e-3, MinLR: 1e-4, WarmupSteps: 10, Steps: 60, DecayFraction: 0.2}
	for _, x := range []struct {
		schedule string
		step     int
		want     float64
	}{
		// cosine: from the PyTorch reference run of these settings.
		{"cosine", 0, 0.0001},
		{"cosine", 4, 0.0005},
		{"cosine", 9, 0.001},
		{"cosine", 10, 0.001},
		{"cosine", 11, 0.0009991120277927223},
		{"cosine", 35, 0.00055},
		{"cosine", 59, 0.00010088797220727779},
		{"cosine", 60, 0.0001},
		{"cosine", 61, 0.0001},
		{"cosine", 1000, 0.0001},

		{"constant", 0, 0.0001},
		{"constant", 9, 0.001},
		{"constant", 10, 0.001},
		{"constant", 1000, 0.001},

		{"linear", 9, 0.001},
		{"linear", 10, 0.001},
		{"linear", 35, 0.00055},
		{"linear", 59, 0.000118},
		{"linear", 60, 0.0001},
		{"linear", 61, 0.0001},

		// wsd: 12 of 60 steps go down, from step 48.
		{"wsd", 0, 0.0001},
		{"wsd", 10, 0.001},
		{"wsd", 48, 0.001},
		{"wsd", 49, 0.000925},
		{"wsd", 54, 0.00055},
		{"wsd", 59, 0.000175},
		{"wsd", 60, 0.0001},
		{"wsd", 61, 0.0001},
	} {
		c.Schedule = x.schedule
		if got := LearningRate(c, x.step); math.Abs(got-x.want) > 1e-15 {
			t.Errorf("%s at step %d: %v, want %v", x.schedule, x.step, got, x.want)
		}
	}
	c.Schedule = "wsd"
	for _, x := range []struct {
		fraction float64
		step     int
		want     float64
	}{
		{0.5, 30, 0.001}, {0.5, 45, 0.00055}, // 30 of 60
		{1, 10, 0.001}, {1, 35, 0.00055}, {1, 60, 0.0001}, // all that the warmup leaves: linear
		{0.01, 59, 0.001}, {0.01, 60, 0.0001}, // one
	} {
		c.DecayFraction = x.fraction
		if got := LearningRate(c, x.step); math.Abs(got-x.want) > 1e-15 {
			t.Errorf("a fall over %v of the steps, step %d: %v, want %v", x.fraction, x.step, got, x.want)
		}
	}
}

// TestLearningRateEdges looks where a division by zero could hide.
func TestLearningRateEdges(t *testing.T) {
	for _, schedule := range []string{"constant", "cosine", "linear", "wsd"} {
		c := Config{LR: 3e-4, MinLR: 3e-5, Steps: 50, Schedule: schedule}
		if got := LearningRate(c, 0); got != 3e-4 {
			t.Errorf("%s without warmup starts at %v, want 3e-4", schedule, got)
		}
		for _, steps := range []int{1, 2, 3} {
			for _, warmup := range []int{0, 1, 2, 3, 9} {
				c.Steps, c.WarmupSteps = steps, warmup
				for step := range 12 {
					if lr := LearningRate(c, step); !(lr >= 3e-5 && lr <= 3e-4) { // also NaN
						t.Errorf("%s: %d steps, %d warmup, step %d: %v", schedule, steps, warmup, step, lr)
					}
				}
			}
		}
	}
}
