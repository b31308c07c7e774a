package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

func sampleFlagsOf(t *testing.T, args ...string) *sampleFlags {
	t.Helper()
	fs := newFlagSet("sample")
	s := newSampleFlags(fs)
	if err := fs.parse(args); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSampleUsage(t *testing.T) {
	wantFlags(t, "sample", "model prompt prompt-ids n max-tokens temperature top-k top-p greedy seed json device "+
		"tokenizer")
	for _, x := range []struct {
		args  []string
		words []string
	}{
		{[]string{"sample"}, []string{"--model is missing"}},
		{[]string{"sample", "--model", "x", "--n", "0"}, []string{"--n is 0"}},
		{[]string{"sample", "--model", "x", "--prompt", "a", "--prompt-ids", "1"}, []string{"--prompt-ids"}},
		{[]string{"sample", "--model", "x", "--prompt-ids", "1,b"}, []string{`"b"`}},
		{[]string{"sample", "--model", "x", "--prompt-ids", "1,-2"}, []string{`"-2"`}},
		{[]string{"sample", "--model", "x", "--tokenizer", "words"}, []string{"--tokenizer", "gpt2 or bytes"}},
	} {
		wantFailure(t, exitUsage, x.args, x.words...)
	}
	wantFailure(t, exitFailed, []string{"sample", "--model", "no/such/model"}, "--model no/such/model")
}

func TestPrompt(t *testing.T) {
	hello := []int{15496, 11, 314, 1101, 257, 3303, 2746, 11}
	for _, x := range []struct {
		args  []string
		stdin string
		tok   string
		want  []int
	}{
		{[]string{"--prompt", "Hello, I'm a language model,"}, "not read", "gpt2", hello},
		{[]string{"--prompt-ids", "15496, 11"}, "not read", "gpt2", []int{15496, 11}},
		{nil, "Hello, I'm a language model,\n", "gpt2", hello},
		{nil, "a\n\n", "bytes", []int{'a', '\n'}},
		{nil, "a\r\n", "bytes", []int{'a'}},
		{nil, "", "gpt2", []int{50256}},
		{nil, "", "bytes", []int{'\n'}},
		{[]string{"--prompt", ""}, "not read", "bytes", []int{'\n'}},
	} {
		s := sampleFlagsOf(t, x.args...)
		tok, err := data.NewTokenizer(x.tok)
		if err != nil {
			t.Fatal(err)
		}
		text, err := s.promptText(context.Background(), &env{stdin: strings.NewReader(x.stdin),
			log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		start, _ := train.Bounds(tok, gpt2.Special{}, 50257)
		if got, err := s.promptTokens(text, tok, start, 50257); err != nil || !slices.Equal(got, x.want) {
			t.Errorf("%q, standard input %q: %v, %v, want %v", x.args, x.stdin, got, err, x.want)
		}
	}
	s := sampleFlagsOf(t, "--prompt-ids", "5,256")
	tok, _ := data.NewTokenizer("bytes")
	if _, err := s.promptTokens("", tok, -1, 256); err == nil || !strings.Contains(err.Error(),
		"token 1 of the prompt is 256") {
		t.Errorf("an id outside the vocabulary: %v", err)
	}
}

// TestSampleWriter checks that text is the same bytes however it is made, and that JSON has the contract's fields.
func TestSampleWriter(t *testing.T) {
	tok, err := data.NewTokenizer("bytes")
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"<é>", "two"}
	for asJSON, want := range map[bool]string{
		false: "Hi <é>\n---\nHi two\n",
		true: `{"prompt_ids":[72,105,32],"ids":[60,195,169,62],"text":"<é>"}
{"prompt_ids":[72,105,32],"ids":[116,119,111],"text":"two"}
`,
	} {
		var b strings.Builder
		s := &sampleWriter{w: &b, tok: tok, prompt: tok.Encode("Hi "), shown: "Hi ", asJSON: asJSON}
		all := make([][]int, 2)
		for i := range 4 {
			for seq, text := range texts {
				if i < len(text) {
					all[seq] = append(all[seq], int(text[i]))
					s.emit(seq, int(text[i]))
				}
			}
			if i == 0 && b.Len() > 0 {
				t.Errorf("%q was printed before the second token, while kernels compile", b.String())
			}
		}
		if first := len("Hi <é"); !asJSON && b.Len() < first {
			t.Errorf("%q was all that came while the text was made", b.String())
		}
		if err := s.finish(all); err != nil || b.String() != want {
			t.Errorf("%q, %v, want %q", b.String(), err, want)
		}
	}

	var b strings.Builder
	s := &sampleWriter{w: &b, tok: tok, shown: "Hi "}
	s.emit(0, 'a')
	if err := s.finish([][]int{{'a'}}); err != nil || b.String() != "Hi a\n" {
		t.Errorf("a text of one token: %q, %v", b.String(), err)
	}
	b.Reset()
	s = &sampleWriter{w: &b, tok: tok, prompt: []int{'\n'}, asJSON: true}
	if err := s.finish([][]int{nil, {0xc3}}); err != nil || b.String() != `{"prompt_ids":[10],"ids":[],"text":""}
{"prompt_ids":[10],"ids":[195],"text":"�"}
` {
		t.Errorf("%q, %v", b.String(), err)
	}
	s = &sampleWriter{w: brokenWriter{}, tok: tok}
	if err := s.finish([][]int{{'a'}, {'b'}}); !errors.Is(err, errBroken) {
		t.Errorf("a broken pipe gives %v", err)
	}
}

var errBroken = errors.New("broken pipe")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

// TestOpenInput: standard input that stays open is said to be read, and an interrupt ends that.
func TestOpenInput(t *testing.T) {
	defer func(d time.Duration) { promptPatience = d }(promptPatience)
	promptPatience = time.Millisecond
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(context.Background())
	var stderr strings.Builder
	say := writerFunc(func(p []byte) (int, error) {
		cancel() // whoever reads the line presses Ctrl-C
		return stderr.Write(p)
	})
	code := run(ctx, []string{"sample", "--model", "x"}, r, io.Discard, say)
	if text := stderr.String(); code != exitInterrupted || !strings.Contains(text, "reading the prompt from "+
		"standard input") || !strings.Contains(text, "gpt2wgpu sample: interrupted while reading the prompt") {
		t.Errorf("code %d: %s", code, text)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
