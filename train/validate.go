package train

import (
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// maxCount bounds every number of steps, sequences and the like, and maxStepTokens the tokens of a step, so that a run's
// tokens fit in an int64.
const (
	maxCount      = 1 << 30
	maxStepTokens = 1 << 32
	maxMinutes    = 1e6 // two years
)

// Validate reports everything that is wrong with c, joined: a line each, with the flag, what it is, what it may be, and
// a hint. It asks whether the tokenizer's file is there, and reads none; whether data and weights exist shows when they are
// opened.
func (c Job) Validate() error {
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	for _, err := range c.shapeErrors() {
		add(err)
	}
	if c.Init == "" {
		bad(`--init is empty; hint: scratch, gpt2, a directory or a .bin file`)
	}
	if c.Data == "" {
		bad("--data is empty; hint: sample, shakespeare, a .txt or .md file, or a directory of texts or shards")
	}
	if c.Tokenizer == "" && !c.FromWeights() || data.IsPath(c.Tokenizer) && !c.Resume {
		if _, err := os.Stat(c.Tokenizer); err != nil {
			bad("--tokenizer is %q, no such tokenizer; hint: gpt2, bytes, or a directory with tokenizer.json or vocab.json and merges.txt", c.Tokenizer)
		}
	}
	if need := vocabularies[c.Tokenizer]; c.VocabSize > 0 && c.VocabSize < need && !c.Resume {
		bad("--vocab-size is %d, --tokenizer %s has %d ids; hint: --vocab-size %d", c.VocabSize, c.Tokenizer, need, need)
	}

	for _, f := range []struct {
		flag     string
		got, min int
		hint     string
	}{
		{"--batch-size", c.BatchSize, 1, "sequences of a micro-step"},
		{"--seq-len", c.SeqLen, 0, "tokens of a sequence; 0 is --block-size"},
		{"--steps", c.Steps, 1, "optimizer steps of the whole run"},
		{"--warmup-steps", c.WarmupSteps, 0, "0 starts at the full learning rate"},
		{"--save-every", c.SaveEvery, 0, "0 saves at the end alone"},
		{"--keep", c.Keep, 0, "0 keeps every checkpoint"},
		{"--stop-after", c.StopAfter, 0, "0 goes on to --steps"},
		{"--val-every", c.ValEvery, 0, "0 is never"},
		{"--val-steps", c.ValSteps, 0, "batches of a validation"},
		{"--hellaswag-every", c.HellaswagEvery, 0, "0 is never"},
		{"--sample-every", c.SampleEvery, 0, "0 is never"},
		{"--sync-every", c.SyncEvery, 1, "1 sums gradients every step"},
		{"--check-every", c.CheckEvery, 0, "0 compares the ranks at the start alone"},
		{"ranks", c.Ranks, 0, "processes that share the batch"},
	} {
		if f.got < f.min || f.got > maxCount {
			bad("%s is %d, want %d to %d; hint: %s", f.flag, f.got, f.min, maxCount, f.hint)
		}
	}
	c.batchErrors(bad)
	if c.ValEvery > 0 && c.ValSteps == 0 {
		bad("--val-every is %d, but --val-steps is 0; hint: --val-steps 20, or --val-every 0", c.ValEvery)
	}
	if c.SyncEvery > 1 && c.SaveEvery%c.SyncEvery != 0 {
		bad("--save-every is %d, want a multiple of --sync-every %d; hint: --save-every %d", c.SaveEvery, c.SyncEvery, (c.SaveEvery/c.SyncEvery+1)*c.SyncEvery)
	}
	if c.Resume && c.Out == "" {
		bad("--resume needs the run's directory; hint: --out DIR --resume")
	}

	add(schedules.check(c.Schedule))
	add(decays.check(c.Decay))
	add(dtypes.check(c.DType))
	add(recomputes.check(c.Recompute))
	add(gradDTypes.check(c.GradDType))
	for _, f := range []struct {
		flag string
		got  float64
		ok   bool
		want string
		hint string
	}{
		{"--lr", c.LR, c.LR >= 0, "0 or more", "3e-4 suits most small models"},
		{"--min-lr", c.MinLR, c.MinLR >= 0, "0 or more", "a tenth of --lr"},
		{"--save-minutes", c.SaveMinutes, c.SaveMinutes >= 0 && c.SaveMinutes <= maxMinutes, "0 to a million", "10, or 0 to save by steps only"},
		{"--weight-decay", c.WeightDecay, c.WeightDecay >= 0, "0 or more", "0.1, or 0 for none"},
		{"--beta1", c.Beta1, c.Beta1 >= 0 && c.Beta1 < 1, "at least 0 and below 1", "0.9"},
		{"--beta2", c.Beta2, c.Beta2 >= 0 && c.Beta2 < 1, "at least 0 and below 1", "0.95 or 0.999"},
		// Below the least normal float32 a GPU has 0, and a parameter without gradient gets 0/0.
		{"--eps", c.Eps, c.Eps >= 0x1p-126, "1.2e-38 or more", "1e-8"},
		{"--outer-lr", c.OuterLR, c.OuterLR > 0, "above 0", "0.7, or 1 to take the ranks' mean"},
		{"--outer-momentum", c.OuterMomentum, c.OuterMomentum >= 0 && c.OuterMomentum < 1, "at least 0 and below 1", "0.9, or 0 for none"},
		{"--val-fraction", c.ValFraction, c.ValFraction == AutoFraction || c.ValFraction >= 0 && c.ValFraction < 1, "0 or more and below 1", "0.1, or 0 for no validation on a part of --data"},
		{"--grad-clip", c.GradClip, c.GradClip >= 0, "0 or more", "1, or 0 for no clipping"},
	} {
		if !f.ok || math.IsInf(f.got, 0) || f.got > math.MaxFloat32 { // NaN is never ok
			bad("%s is %v, want a number, %s; hint: %s", f.flag, f.got, f.want, f.hint)
		}
	}
	if c.Schedule != "constant" && c.LR >= 0 && c.MinLR > c.LR {
		bad("--min-lr is %v, above --lr %v; hint: --min-lr %.3g", c.MinLR, c.LR, c.LR/10)
	}
	return errors.Join(errs...)
}

// Validate is [Job.Validate] for one process that trains from the start.
func (c Config) Validate() error { return Job{Config: c}.Validate() }

// batchErrors checks B, T and the total against each other, once each is possible in itself.
func (c Job) batchErrors(bad func(format string, args ...any)) {
	if c.BlockSize > 0 && c.SeqLen > c.BlockSize {
		bad("--seq-len is %d, longer than --block-size %d; hint: --block-size %d, or --seq-len %d", c.SeqLen, c.BlockSize, c.SeqLen, c.BlockSize)
		return
	}
	r := c.Resolved()
	for _, n := range []int{r.BatchSize, r.SeqLen, r.ranks()} {
		if n < 1 || n > maxCount { // reported above, or T is still the weights' to say
			return
		}
	}
	if r.BatchSize > maxStepTokens/r.SeqLen/r.ranks() {
		bad("--batch-size is %d sequences of %d tokens on %d ranks, want at most %d tokens; hint: --batch-size 8", r.BatchSize, r.SeqLen, r.ranks(), maxStepTokens)
		return
	}
	if c.TotalBatchSize < 0 || c.TotalBatchSize > maxStepTokens {
		bad("--total-batch-size is %d, want 0 to %d; hint: tokens of an optimizer step, 0 is one micro-step", c.TotalBatchSize, maxStepTokens)
		return
	}
	if micro := c.MicroTokens(); c.TotalBatchSize%micro != 0 {
		below := max(c.TotalBatchSize/micro*micro, micro)
		bad("--total-batch-size is %d, want a multiple of the micro-step, %d (--batch-size %d x --seq-len %d x %d ranks); hint: --total-batch-size %d",
			c.TotalBatchSize, micro, r.BatchSize, r.SeqLen, r.ranks(), below)
	}
}

// shapeErrors checks the model's shape: each number, then, if all are possible, how they go together.
func (c Config) shapeErrors() (errs []error) {
	complete := true
	for _, f := range []struct {
		flag string
		got  int
	}{
		{"--n-layer", c.NLayer}, {"--n-head", c.NHead}, {"--n-embd", c.NEmbd}, {"--block-size", c.BlockSize}, {"--vocab-size", c.VocabSize},
	} {
		if f.got < 1 {
			complete = false
		}
		if f.got < 0 || f.got == 0 && !c.FromWeights() {
			errs = append(errs, fmt.Errorf("%s is %d, want 1 or more; hint: GPT-2 124M has 12 layers, 12 heads, 768 channels, context 1024, vocabulary 50257",
				f.flag, f.got))
		}
	}
	if complete {
		shape := gpt2.Config{NLayer: c.NLayer, NHead: c.NHead, NEmbd: c.NEmbd, BlockSize: c.BlockSize, VocabSize: c.VocabSize}
		if err := shape.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
