package train

import (
	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// Settled returns j after other settings have overridden the preset's: the shape and tokenizer of Init weights, and
// rates that suit them, a vocabulary that holds the tokenizer, a sequence no longer than the context. given reports
// whether a flag ("seq-len") was given on the command line or in a file; theirs, whether weights may set it.
// Error: the tokenizer of Data's token shards is not known.
func (j Job) Settled(preset Config, given, theirs func(flag string) bool) (Job, error) {
	if j.FromWeights() {
		for _, s := range ModelSettings() {
			if theirs(s.Flag()) {
				*s.In(&j).(*int) = 0
			}
		}
		if theirs("tokenizer") {
			j.Tokenizer = ""
		}
	} else if err := j.takeTokenizer(given); err != nil {
		return j, err
	}
	j.shorten(given)
	if j.FromWeights() && !j.Resume {
		j.Config, j.FineTuned = j.FineTune(preset, given)
	}
	return j, nil
}

// shorten limits a sequence length that was not given to the context, which Init weights bring where no flag sets it,
// and makes the preset's step a multiple of it.
func (j *Job) shorten(given func(flag string) bool) {
	context := j.BlockSize
	if context == 0 && j.FromWeights() {
		if shape, err := gpt2.Shape(j.Init); err == nil { // else reading the weights reports it
			context = shape.BlockSize
		}
	}
	if given("seq-len") || context < 1 || j.SeqLen <= context {
		return
	}
	j.SeqLen = context
	if micro := j.BatchSize * j.SeqLen; micro > 0 && !given("total-batch-size") {
		j.TotalBatchSize -= j.TotalBatchSize % micro
	}
}

// takeTokenizer settles the tokenizer of a run from scratch, the one that made its shards unless another was asked for,
// and the vocabulary that holds it. A run that is resumed has its own.
func (j *Job) takeTokenizer(given func(flag string) bool) error {
	if j.Resume {
		return nil
	}
	preset := j.Tokenizer
	if !given("tokenizer") {
		made, err := data.TokenizerOf(j.Data)
		if err != nil {
			return err
		}
		if made != "" {
			j.Tokenizer = made
		}
	}
	tok, err := data.NewTokenizer(j.Tokenizer)
	if err != nil {
		return nil // Validate or Run reports it
	}
	j.Tokenizer = tok.Name()
	if given("vocab-size") {
		return nil
	}
	j.VocabSize = max(j.VocabSize, tok.VocabSize())
	if data.IsPath(j.Tokenizer) && j.Tokenizer != preset && tok.VocabSize() > 0 {
		j.VocabSize = tok.VocabSize()
	}
	return nil
}
