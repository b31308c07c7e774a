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
	var errs []error // nil where nothing is wrong
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	possible := true
	for _, s := range ModelSettings() {
		n := s.value(c).(int)
		possible = possible && n > 0
		refuse(n < 0 || n == 0 && !c.FromWeights(), "--%s is %d, want 1 or more; hint: GPT-2 124M has 12 layers, "+
			"12 heads, 768 channels, context 1024, vocabulary 50257", s.Flag(), n)
	}
	if possible {
		errs = append(errs, c.Model().Validate())
	}
	refuse(c.Init == "", "--init is empty; hint: scratch, gpt2, a directory or a .bin file")
	refuse(c.Data == "", "--data is empty; hint: sample, shakespeare, a .txt or .md file, or a directory of texts or "+
		"shards")
	if c.Tokenizer == "" && !c.FromWeights() || data.IsPath(c.Tokenizer) && !c.Resume {
		_, err := os.Stat(c.Tokenizer)
		refuse(err != nil, "--tokenizer is %q, no such tokenizer; hint: gpt2, bytes, or a directory with "+
			"tokenizer.json or vocab.json and merges.txt", c.Tokenizer)
	}
	need := vocabularies[c.Tokenizer]
	refuse(c.VocabSize > 0 && c.VocabSize < need && !c.Resume, "--vocab-size is %d, --tokenizer %s has %d ids; hint: "+
		"--vocab-size %d", c.VocabSize, c.Tokenizer, need, need)
	for _, s := range Settings {
		if v := s.value(c); s.check != nil && !(s.Auto && v == float64(AutoFraction)) {
			errs = append(errs, s.check("--"+s.Flag(), v))
		}
	}
	errs = append(errs, count(0, "processes that share the batch")("ranks", c.Ranks))
	errs = append(errs, c.checkBatch())
	refuse(c.ValEvery > 0 && c.ValSteps == 0, "--val-every is %d, but --val-steps is 0; hint: --val-steps 20, or "+
		"--val-every 0", c.ValEvery)
	sync := max(c.SyncEvery, 1)
	refuse(c.SaveEvery%sync != 0, "--save-every is %d, want a multiple of --sync-every %d; hint: --save-every %d",
		c.SaveEvery, sync, (c.SaveEvery/sync+1)*sync)
	refuse(c.Resume && c.Out == "", "--resume needs the run's directory; hint: --out DIR --resume")
	refuse(c.Schedule != "constant" && c.LR >= 0 && c.MinLR > c.LR, "--min-lr is %v, above --lr %v; hint: --min-lr "+
		"%.3g", c.MinLR, c.LR, c.LR/10)
	return errors.Join(errs...)
}

// Validate is [Job.Validate] for one process that trains from the start.
func (c Config) Validate() error { return Job{Config: c}.Validate() }

// checkBatch checks B, T and the total against each other, once each is possible in itself.
func (c Job) checkBatch() error {
	if c.BlockSize > 0 && c.SeqLen > c.BlockSize {
		return fmt.Errorf("--seq-len is %d, longer than --block-size %d; hint: --block-size %d, or --seq-len %d",
			c.SeqLen, c.BlockSize, c.SeqLen, c.BlockSize)
	}
	r := c.Resolved()
	if least, most := min(r.BatchSize, r.SeqLen, r.ranks()), max(r.BatchSize, r.SeqLen, r.ranks()); least < 1 ||
		most > maxCount {
		return nil // Validate reports that, or T is still the weights' to say
	}
	micro, total := c.MicroTokens(), c.TotalBatchSize
	switch {
	case r.BatchSize > maxStepTokens/r.SeqLen/r.ranks():
		return fmt.Errorf("--batch-size is %d sequences of %d tokens on %d ranks, want at most %d tokens; hint: "+
			"--batch-size 8", r.BatchSize, r.SeqLen, r.ranks(), maxStepTokens)
	case total < 0 || total > maxStepTokens:
		return fmt.Errorf("--total-batch-size is %d, want 0 to %d; hint: tokens of an optimizer step, 0 is one "+
			"micro-step", total, maxStepTokens)
	case total%micro != 0:
		return fmt.Errorf("--total-batch-size is %d, want a multiple of the micro-step, %d (--batch-size %d x "+
			"--seq-len %d x %d ranks); hint: --total-batch-size %d", total, micro, r.BatchSize, r.SeqLen, r.ranks(),
			max(total/micro*micro, micro))
	}
	return nil
}
