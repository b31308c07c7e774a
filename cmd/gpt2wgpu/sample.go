package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

var sampleCommand = &command{
	group: "Models",
	name:  "sample",
	short: "Generate text",
	long: `
The prompt is --prompt, --prompt-ids, or standard input without the newline at its end. Without a prompt the text
starts as a document does: after <|endoftext|>, or after a newline with the tokenizer bytes. Several texts are
separated by a line ---. In a prompt, <|endoftext|> and a model's other added tokens are the tokens themselves.`,
	examples: []string{
		`gpt2wgpu sample --model runs/first --prompt "MARROW:" --n 1 --max-tokens 300`,
	},
	setup: func(fs *flagSet) runFunc { return newSampleFlags(fs).run },
}

// sampleFlags are the flags of sample.
type sampleFlags struct {
	modelFlags
	fs                        *flagSet
	device, prompt, promptIDs string
	n                         int
	asJSON                    bool
	options                   model.SampleOptions
}

func newSampleFlags(fs *flagSet) *sampleFlags {
	s := &sampleFlags{fs: fs}
	o := &s.options
	s.define(fs)

	f := fs.section("Prompt")
	f.StringVar(&s.prompt, "prompt", "", "`text` to continue")
	f.StringVar(&s.promptIDs, "prompt-ids", "", "tokens to continue, as `ids` with commas: 15496,11,314")

	f = fs.section("Sampling")
	f.IntVarP(&s.n, "n", "n", 5, "`texts` to write")
	f.IntVar(&o.MaxTokens, "max-tokens", 30, "longest text, in new `tokens`")
	f.Float64Var(&o.Temperature, "temperature", 1, "`divisor` of the logits: below 1 is safer, above 1 is wilder")
	f.IntVar(&o.TopK, "top-k", 50, "draw among the `k` likeliest tokens, 0 is all")
	f.Float64Var(&o.TopP, "top-p", 1, "draw among the likeliest tokens that together reach this `probability`, 1 is "+
		"all")
	f.BoolVar(&o.Greedy, "greedy", false, "take the likeliest token always")
	f.Uint64Var(&o.Seed, "seed", 42, "`seed` of the draws; the same gives the same texts")

	f = fs.section("Device")
	f.StringVar(&s.device, "device", "auto", train.DeviceUsage)

	f = fs.section("Output")
	f.BoolVar(&s.asJSON, "json", false,
		`print a JSON object per text: {"prompt_ids":[...],"ids":[...],"text":"..."}, ids and text being the new part`)
	fs.logFlags(f)
	return s
}

// maxTexts bounds --n: beyond it the logits take gigabytes.
const maxTexts = 4096

func (s *sampleFlags) validate() error {
	bad := &mistakes{fs: s.fs}
	s.check(bad)
	bad.when(s.n < 1 || s.n > maxTexts, "--n is %d, want 1 to %d; hint: --n 5", s.n, maxTexts)
	bad.when(s.fs.Changed("prompt") && s.fs.Changed("prompt-ids"),
		"--prompt and --prompt-ids are both given; hint: use one")
	_, err := parseIDs(s.promptIDs)
	bad.errs = append(bad.errs, err, s.options.Validate())
	const why, hint = "with --greedy, which draws nothing", "leave one of them out"
	bad.idle(s.options.Greedy, "temperature top-k seed", why, hint)
	bad.idle(s.options.Greedy && s.options.TopP != 1, "top-p", why, hint)
	return bad.err()
}

func (s *sampleFlags) run(ctx context.Context, e *env, _ []string) error {
	if err := s.validate(); err != nil {
		return err
	}
	text, err := s.promptText(ctx, e)
	if err != nil {
		return err
	}
	w, err := s.load(ctx, e)
	if err != nil {
		return err
	}
	tok, vocab := w.tok, w.Config.VocabSize
	start, _ := train.Bounds(tok, w.source.Special, vocab)
	prompt, err := s.promptTokens(text, tok, start, vocab)
	if err != nil {
		return &train.UsageError{Err: err}
	}
	if tok.Name() != "bytes" && !utf8.ValidString(text) {
		e.log.Warn("the prompt isn't valid UTF-8: each invalid byte is read as U+FFFD")
	}
	opts := train.Sampling(s.options, tok, w.source.Special, vocab)

	d, done, err := e.open(s.device)
	if err != nil {
		return err
	}
	defer done()
	sampler, err := model.NewSampler(d, w.Weights, s.n)
	if err != nil {
		return err
	}
	out := &sampleWriter{w: e.stdout, tok: tok, prompt: prompt, asJSON: s.asJSON}
	// Without a prompt of the user's the start token is not part of the text.
	if text != "" || s.promptIDs != "" {
		out.shown = tok.Decode(prompt)
	}
	all, err := sampler.Generate(ctx, prompt, opts, out.emit)
	switch {
	case errors.Is(err, context.Canceled):
		err = fmt.Errorf("%w; the texts are not complete", train.ErrInterrupted)
	case err != nil:
		if out.started {
			out.print("\n")
		}
		return fmt.Errorf("--model %s: %w", s.model, err)
	}
	return errors.Join(err, out.finish(all))
}

// promptPatience is how long standard input may keep its end back before a line says that it is being read.
var promptPatience = 500 * time.Millisecond

// promptText returns the text to continue: of --prompt, else of standard input unless that is a terminal. An interrupt
// ends the reading at once.
func (s *sampleFlags) promptText(ctx context.Context, e *env) (string, error) {
	if s.fs.Changed("prompt") || s.fs.Changed("prompt-ids") || e.stdin == nil || isTerminal(e.stdin) {
		return s.prompt, nil
	}
	var text []byte
	var err error
	read := make(chan struct{})
	go func() { // stays behind where nothing comes, until the process ends
		defer close(read)
		text, err = io.ReadAll(e.stdin)
	}()
	notice := time.NewTimer(promptPatience)
	defer notice.Stop()
	for {
		select {
		case <-notice.C:
			e.log.Warn("reading the prompt from standard input until its end (Ctrl-D); hint: --prompt TEXT, or " +
				"</dev/null for none")
		case <-ctx.Done():
			return "", fmt.Errorf("%w while reading the prompt on standard input; hint: --prompt TEXT",
				train.ErrInterrupted)
		case <-read:
			if err != nil {
				return "", fmt.Errorf("reading the prompt on standard input: %w; hint: --prompt TEXT", err)
			}
			return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
		}
	}
}

// promptTokens returns the ids to continue, at least one and all below vocab. Without a prompt that is start, the id
// that begins a document (-1: not known).
func (s *sampleFlags) promptTokens(text string, tok data.Tokenizer, start, vocab int) ([]int, error) {
	ids, err := parseIDs(s.promptIDs)
	if err != nil {
		return nil, err
	}
	if text != "" {
		if ids, err = data.EncodePrompt(tok, text); err != nil {
			return nil, err
		}
	}
	if len(ids) == 0 {
		if start < 0 {
			hint := "--prompt TEXT or --prompt-ids"
			if data.TextError(tok) != nil {
				hint = "--prompt-ids"
			}
			return nil, fmt.Errorf("no prompt, and neither the model nor its tokenizer %s says what a document "+
				"begins with; hint: %s", tok.Name(), hint)
		}
		ids = []int{start}
	}
	for i, id := range ids {
		if id >= vocab {
			return nil, fmt.Errorf("token %d of the prompt is %d, the model has %d; hint: is --tokenizer %s the one "+
				"it was trained with?", i, id, vocab, tok.Name())
		}
	}
	return ids, nil
}

func parseIDs(list string) (ids []int, err error) {
	if list == "" {
		return nil, nil
	}
	for _, field := range strings.Split(list, ",") {
		id, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || id < 0 {
			return nil, fmt.Errorf("--prompt-ids has %q, want whole numbers with commas; hint: --prompt-ids "+
				"15496,11,314", field)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// sampleWriter prints texts: the first as it is made, the others, which are made at the same time, after it.
type sampleWriter struct {
	w      io.Writer
	tok    data.Tokenizer
	prompt []int
	shown  string // what stands before the new text
	asJSON bool
	// first is the first new token until there is a second: the kernels of both are then compiled, and no message cuts
	// the text.
	first   []int
	started bool
	err     error // the first of writing
}

func (s *sampleWriter) print(text string) {
	if s.err == nil {
		_, s.err = io.WriteString(s.w, text)
	}
}

// start prints the prompt and the token that was held back.
func (s *sampleWriter) start() {
	if !s.started {
		s.started = true
		s.print(s.shown + s.tok.Decode(s.first))
	}
}

func (s *sampleWriter) emit(seq, id int) {
	switch {
	case seq != 0 || s.asJSON:
	case !s.started && s.first == nil:
		s.first = []int{id}
	default:
		s.start()
		s.print(s.tok.Decode([]int{id})) // bytes: a character's halves meet on the terminal
	}
}

// finish prints what emit has not: all holds the new tokens of each text.
func (s *sampleWriter) finish(all [][]int) error {
	for i, ids := range all {
		if s.asJSON {
			s.json(ids)
			continue
		}
		if i == 0 {
			s.start()
		} else {
			s.print("---\n" + s.shown + s.tok.Decode(ids))
		}
		s.print("\n")
	}
	return s.err
}

func (s *sampleWriter) json(ids []int) {
	if ids == nil {
		ids = []int{}
	}
	text := ""
	if data.TextError(s.tok) == nil { // else the text is not known
		text = strings.ToValidUTF8(s.tok.Decode(ids), "\uFFFD")
	}
	if s.err == nil {
		s.err = writeJSON(s.w, struct {
			PromptIDs []int  `json:"prompt_ids"`
			IDs       []int  `json:"ids"`
			Text      string `json:"text"`
		}{s.prompt, ids, text})
	}
}
