package train

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// Writer writes text by a model as it is between two steps of a run.
type Writer struct {
	Step      int // steps done
	Sampler   *model.Sampler
	Tokenizer data.Tokenizer
	Special   gpt2.Special // ids that the weights came with
	Vocab     int          // ids of the model
}

// Write continues a prompt and returns the new text. Without a prompt the text begins as a document does. emit, if not
// nil, gets the text in pieces of whole characters as it is made, with U+FFFD for bytes that are not UTF-8.
// Errors: a prompt that the tokenizer cannot encode, [model.NotFiniteError], ctx's and the device's.
func (w Writer) Write(ctx context.Context, prompt string, o model.SampleOptions, emit func(text string)) (string,
	error) {
	start, _ := Bounds(w.Tokenizer, w.Special, w.Vocab)
	ids := []int{max(start, 0)}
	if prompt != "" {
		var err error
		if ids, err = data.EncodePrompt(w.Tokenizer, prompt); err != nil {
			return "", err
		}
	}
	piece := func(_, id int) {}
	pieces := characters{emit: emit}
	if emit != nil {
		piece = func(_, id int) { pieces.add(w.Tokenizer.Decode([]int{id})) }
	}
	out, err := w.Sampler.Generate(ctx, ids, Sampling(o, w.Tokenizer, w.Special, w.Vocab), piece)
	if emit != nil {
		pieces.flush()
	}
	if len(out) == 0 {
		return "", err
	}
	return w.Tokenizer.Decode(out[0]), err
}

// characters passes text on in whole characters.
type characters struct {
	emit   func(text string)
	held   []byte // the beginning of one
	broken bool   // the last piece ends in bytes that are not UTF-8
}

func (c *characters) add(text string) {
	c.held = append(c.held, text...)
	whole := len(c.held)
	for n := 1; n < utf8.UTFMax && n <= len(c.held); n++ {
		if tail := c.held[len(c.held)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				whole -= n
			}
			break
		}
	}
	c.say(whole)
}

// flush passes on what is held, though incomplete.
func (c *characters) flush() { c.say(len(c.held)) }

func (c *characters) say(n int) {
	invalid := func(r rune, size int) bool { return r == utf8.RuneError && size == 1 }
	text := c.held[:n]
	for c.broken && invalid(utf8.DecodeRune(text)) { // one U+FFFD stands for all of them
		text = text[1:]
	}
	if len(text) > 0 {
		c.broken = invalid(utf8.DecodeLastRune(text))
		c.emit(strings.ToValidUTF8(string(text), "\uFFFD"))
	}
	c.held = c.held[n:]
}
