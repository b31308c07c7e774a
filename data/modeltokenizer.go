package data

import (
	"fmt"
	"os"
)

// ModelTokenizer returns the tokenizer of weights read from path, of a vocabulary of vocab ids: that of the files
// beside them; else stated, what a checkpoint says; else the one whose vocabulary has that size, gpt2 (50257, or 50304
// with its padding) or bytes (256); else one that counts ids only. flag is what --tokenizer asks for, or empty. Errors:
// it names another tokenizer than the weights'; a tokenizer that can't be read.
func ModelTokenizer(flag, stated, path string, vocab int) (Tokenizer, error) {
	own, known, err := ownTokenizer(stated, path, vocab)
	if err != nil || flag == "" {
		return own, err
	}
	tok, err := NewTokenizer(flag)
	if err != nil {
		return nil, fmt.Errorf("--%w", err)
	}
	if !known || tok.Name() == "ids" || SameTokenizer(tok, own) {
		return tok, nil
	}
	if TextError(own) != nil && IsPath(tok.Name()) && tok.VocabSize() <= vocab { // the same ids, in files that say more
		return tok, nil
	}
	return nil, fmt.Errorf("--tokenizer is %s, the weights of %s have %s; hint: leave --tokenizer out", flag, path,
		own.Name())
}

// ownTokenizer is ModelTokenizer without a flag; known says that it is not a guess.
func ownTokenizer(stated, path string, vocab int) (tok Tokenizer, known bool, err error) {
	switch stated {
	case "gpt2", "bytes", "ids":
		tok, err = NewTokenizer(stated)
		return tok, stated != "ids", err
	}
	if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
		if tok, err = FindTokenizer(path); tok != nil || err != nil {
			return tok, true, err
		}
	}
	if stated != "" { // where a run found it
		if tok, err = NewTokenizer(stated); err != nil {
			err = fmt.Errorf("the checkpoint's %w", err)
		}
		return tok, true, err
	}
	switch vocab {
	case gpt2Vocab, paddedVocab:
		tok, err = NewTokenizer("gpt2")
	case 256:
		tok, err = NewTokenizer("bytes")
	default:
		tok = &idsOnly{name: "ids", eot: -1, reason: fmt.Sprintf("%s has no tokenizer's files, and a vocabulary of "+
			"%d ids is neither GPT-2's nor that of bytes", path, vocab)}
	}
	return tok, false, err
}

// paddedVocab is GPT-2's vocabulary rounded up to a multiple of 64, as the recipe trains it.
const paddedVocab = 50304
