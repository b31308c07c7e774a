package train

import (
	"fmt"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// Model returns the model's shape.
func (c Config) Model() gpt2.Config {
	return c.Config
}

// options are what the model trades for memory.
func (c Config) options() []model.TrainingOption {
	return []model.TrainingOption{model.Storing(stored[c.DType]), model.Recomputing(recomputed[c.Recompute])}
}

// The words of --dtype and of --recompute.
var stored = map[string]gpu.Storage{"f32": gpu.F32, "bf16": gpu.BF16}
var recomputed = map[string]model.Recompute{"none": model.RecomputeNone, "gelu": model.RecomputeGELU,
	"block": model.RecomputeBlock}

// sameModel refuses to resume a run whose model or numerics were others, naming the difference. Batch shape, schedule
// and the number of steps may change; checkData compares the data.
func (c Config) sameModel(was Config) error {
	if c.ValFraction == AutoFraction { // nobody asked for another
		c.ValFraction = was.ValFraction
	}
	for _, s := range Settings {
		if now, was := s.value(Job{Config: c}), s.value(Job{Config: was}); s.Fixed && now != was {
			return fmt.Errorf("--%s is %v, the run has %v; hint: leave the flag out, or start a new run with "+
				"another --out", s.Flag(), now, was)
		}
	}
	return nil
}
