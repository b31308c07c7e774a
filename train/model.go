package train

import (
	"fmt"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// Model returns the model's shape.
func (c Config) Model() gpt2.Config {
	return gpt2.Config{NLayer: c.NLayer, NHead: c.NHead, NEmbd: c.NEmbd, BlockSize: c.BlockSize, VocabSize: c.VocabSize}
}

// options are what the model trades for memory.
func (c Config) options() []model.TrainingOption {
	return []model.TrainingOption{model.Storing(stored[c.DType]), model.Recomputing(recomputed[c.Recompute])}
}

// The words of --dtype and of --recompute.
var stored = map[string]gpu.Storage{"f32": gpu.F32, "bf16": gpu.BF16}
var recomputed = map[string]model.Recompute{"none": model.RecomputeNone, "gelu": model.RecomputeGELU, "block": model.RecomputeBlock}

// sameModel refuses to resume a run whose model or numerics were others, naming the difference. Batch shape, schedule and the
// number of steps may change; checkData compares the data.
func (c Config) sameModel(was Config) error {
	fraction := c.ValFraction
	if fraction == AutoFraction { // nobody asked for another
		fraction = was.ValFraction
	}
	for _, f := range []struct {
		flag     string
		now, was any
	}{
		{"--n-layer", c.NLayer, was.NLayer}, {"--n-head", c.NHead, was.NHead}, {"--n-embd", c.NEmbd, was.NEmbd},
		{"--block-size", c.BlockSize, was.BlockSize}, {"--vocab-size", c.VocabSize, was.VocabSize},
		{"--tokenizer", c.Tokenizer, was.Tokenizer}, {"--val-fraction", fraction, was.ValFraction}, {"--dtype", c.DType, was.DType},
	} {
		if f.now != f.was {
			return fmt.Errorf("%s is %v, the run has %v; hint: leave the flag out, or start a new run with another --out", f.flag, f.now, f.was)
		}
	}
	return nil
}
