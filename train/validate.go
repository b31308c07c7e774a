package train

import (
	"errors"
	"fmt"
	"os"

	"github.com/gpt2wgpu/gpt2wgpu/data"
)

// Validate reports everything that is wrong with c, joined: a line each, with the flag, what it is, what it may be, and
// a hint. It asks whether the tokenizer's file is there, and reads none; whether data and weights exist shows when they
// are opened.
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
			bad("--tokenizer is %q, no such tokenizer; hint: gpt2, bytes, or a directory with tokenizer.json or "+
				"vocab.json and merges.txt", c.Tokenizer)
		}
	}
	if need := vocabularies[c.Tokenizer]; c.VocabSize > 0 && c.VocabSize < need && !c.Resume {
		bad("--vocab-size is %d, --tokenizer %s has %d ids; hint: --vocab-size %d", c.VocabSize, c.Tokenizer, need,
			need)
	}

	for _, setting := range Settings {
		if setting.check != nil {
			add(setting.check("--"+setting.Flag(), setting.value(c)))
		}
	}
	add(count(0, "processes that share the batch")("ranks", c.Ranks))
	c.batchErrors(bad)
	if c.ValEvery > 0 && c.ValSteps == 0 {
		bad("--val-every is %d, but --val-steps is 0; hint: --val-steps 20, or --val-every 0", c.ValEvery)
	}
	if c.SyncEvery > 1 && c.SaveEvery%c.SyncEvery != 0 {
		bad("--save-every is %d, want a multiple of --sync-every %d; hint: --save-every %d", c.SaveEvery, c.SyncEvery,
			(c.SaveEvery/c.SyncEvery+1)*c.SyncEvery)
	}
	if c.Resume && c.Out == "" {
		bad("--resume needs the run's directory; hint: --out DIR --resume")
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
		bad("--seq-len is %d, longer than --block-size %d; hint: --block-size %d, or --seq-len %d", c.SeqLen,
			c.BlockSize, c.SeqLen, c.BlockSize)
		return
	}
	r := c.Resolved()
	for _, n := range []int{r.BatchSize, r.SeqLen, r.ranks()} {
		if n < 1 || n > maxCount { // reported above, or T is still the weights' to say
			return
		}
	}
	if r.BatchSize > maxStepTokens/r.SeqLen/r.ranks() {
		bad("--batch-size is %d sequences of %d tokens on %d ranks, want at most %d tokens; hint: --batch-size 8",
			r.BatchSize, r.SeqLen, r.ranks(), maxStepTokens)
		return
	}
	if c.TotalBatchSize < 0 || c.TotalBatchSize > maxStepTokens {
		bad("--total-batch-size is %d, want 0 to %d; hint: tokens of an optimizer step, 0 is one micro-step",
			c.TotalBatchSize, maxStepTokens)
		return
	}
	if micro := c.MicroTokens(); c.TotalBatchSize%micro != 0 {
		below := max(c.TotalBatchSize/micro*micro, micro)
		bad("--total-batch-size is %d, want a multiple of the micro-step, %d (--batch-size %d x --seq-len %d x %d "+
			"ranks); hint: --total-batch-size %d",
			c.TotalBatchSize, micro, r.BatchSize, r.SeqLen, r.ranks(), below)
	}
}

// shapeErrors checks the model's shape: each number, then, if all are possible, how they go together.
func (c Config) shapeErrors() (errs []error) {
	complete := true
	for _, s := range ModelSettings() {
		got := s.value(Job{Config: c}).(int)
		if got < 1 {
			complete = false
		}
		if got < 0 || got == 0 && !c.FromWeights() {
			errs = append(errs, fmt.Errorf("--%s is %d, want 1 or more; hint: GPT-2 124M has 12 layers, 12 heads, "+
				"768 channels, context 1024, vocabulary 50257", s.Flag(), got))
		}
	}
	if complete {
		if err := c.Model().Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
