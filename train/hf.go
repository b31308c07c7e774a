package train

import (
	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// WriteModel writes a model's directory as transformers reads it: weights, config.json, generation_config.json and the
// tokenizer's files. special are the ids that the weights came with; where they name none, the tokenizer's end of a
// document is it. values returns those of a parameter, see [gpt2.WriteDir].
func WriteModel(dir string, c gpt2.Config, values func(i int) ([]float32, error), tok data.Tokenizer,
	special gpt2.Special) error {
	special = special.Complete(endOf(tok, c.VocabSize))
	if err := gpt2.WriteDir(dir, c, values, special.Fields); err != nil {
		return err
	}
	if err := special.Write(dir); err != nil {
		return err
	}
	return data.WriteTokenizerFiles(dir, tok, c.BlockSize)
}

// endOf is the token between documents, -1 if a vocabulary of that size has none.
func endOf(tok data.Tokenizer, vocab int) int {
	if eot, ok := tok.EOT(); ok && eot < vocab {
		return eot
	}
	return -1
}

// Bounds returns what text of a model begins with, -1 if nothing is known, and what ends it: the ids that the weights
// came with, else the tokenizer's.
func Bounds(tok data.Tokenizer, special gpt2.Special, vocab int) (start int, stop []int) {
	special = special.Complete(endOf(tok, vocab))
	start, stop = -1, special.IDs("eos_token_id", vocab)
	if tok.Name() == "bytes" {
		start = '\n'
	}
	if begin := special.IDs("bos_token_id", vocab); len(begin) > 0 {
		start = begin[0]
	}
	return start, stop
}

// Sampling adds what the model and the tokenizer say to the options of a text.
func Sampling(o model.SampleOptions, tok data.Tokenizer, special gpt2.Special, vocab int) model.SampleOptions {
	_, o.Stop = Bounds(tok, special, vocab)
	o.Vocab = tok.VocabSize()
	return o
}
