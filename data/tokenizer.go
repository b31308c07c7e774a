package data

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gpt2wgpu/gpt2wgpu/data/parallel"
)

// Tokenizer turns text into ids and back. Its methods are safe for concurrent use. All tokenizers are this package's.
type Tokenizer interface {
	// Name is its name on the command line: "gpt2", "bytes", "ids", or the path of a tokenizer's files.
	Name() string
	// VocabSize is one more than the largest id: 50257 for gpt2, 256 for bytes; 0 if it is not known.
	VocabSize() int
	// Encode returns the ids of text. For gpt2 the text of the special token ("<|endoftext|>") is ordinary text; a
	// tokenizer of Hugging Face's files finds its added tokens, as theirs does. It returns none if
	// [TextError] returns an error.
	Encode(text string) []int
	// Decode returns the text of ids, the special token's own included. Ids outside the vocabulary, such as the
	// padding rows 50257 to 50303, decode to "". A character cut in two by a token border decodes to its bytes.
	Decode(ids []int) string
	// EOT is the id that separates documents; ok is false for tokenizers that have none.
	EOT() (id int, ok bool)

	// appendPart appends the ids of a text, or of a part of one that safeCut made. begins: it is the first.
	appendPart(dst []uint16, text string, begins bool) []uint16
}

// NewTokenizer returns the tokenizer that spec names:
//
//	gpt2                  byte pair encoding, 50,257 ids; part of the program
//	bytes                 256 ids
//	ids                   none: token shards and --prompt-ids are used as they are
//	DIR, tokenizer.json   Hugging Face's files; see [FindTokenizer]
func NewTokenizer(spec string) (Tokenizer, error) {
	switch spec {
	case "gpt2":
		return loadGPT2()
	case "bytes":
		return byteTokenizer{}, nil
	case "ids":
		return &idsOnly{name: "ids", reason: "it is not known which they are", eot: -1}, nil
	}
	info, err := os.Stat(spec)
	switch {
	case errors.Is(err, fs.ErrNotExist) || spec == "":
		return nil, fmt.Errorf("tokenizer %q: no such tokenizer; hint: gpt2 or bytes, or a directory with "+
			"tokenizer.json or vocab.json and merges.txt", spec)
	case err != nil:
		return nil, fmt.Errorf("tokenizer: %w; hint: check the path", err)
	case info.IsDir():
		tok, err := FindTokenizer(spec)
		if err == nil && tok == nil {
			err = fmt.Errorf("tokenizer %s: no tokenizer.json or vocab.json in it; hint: gpt2, bytes, or another", spec)
		}
		return tok, err
	case filepath.Ext(spec) != ".json":
		return nil, fmt.Errorf("tokenizer %s: a file, want a tokenizer.json; hint: name its directory", spec)
	case filepath.Base(spec) == "tokenizer.json" || filepath.Base(spec) == "vocab.json":
		return NewTokenizer(filepath.Dir(spec))
	}
	raw, err := readTokenizerFile(spec)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return TokenizerOfFiles(spec, tokenizerFiles{"tokenizer.json": raw}), nil
}

// IsPath reports whether a tokenizer's name is the path of its files, not a name that the program knows.
func IsPath(name string) bool { return !slices.Contains([]string{"", "gpt2", "bytes", "ids"}, name) }

// FindTokenizer returns the tokenizer whose Hugging Face files are in dir, nil if there are none. A byte-level BPE
// encodes text, from tokenizer.json or from vocab.json and merges.txt; any other kind counts ids only (see
// [TextError]). Where the files are those of gpt2 or bytes, it is that.
func FindTokenizer(dir string) (Tokenizer, error) {
	files, err := readTokenizerFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if files == nil {
		return nil, nil
	}
	if !IsPath(dir) { // a directory that is called gpt2, with files of its own
		dir = "./" + dir
	}
	return TokenizerOfFiles(dir, files), nil
}

// TextError returns why tok cannot encode text; nil if it can.
func TextError(tok Tokenizer) error {
	if t, ok := tok.(*idsOnly); ok {
		where, other := "tokenizer "+t.name, "a directory with the same ids as a byte-level BPE"
		if t.name == "ids" {
			where, other = "tokenizer", "gpt2, bytes or a directory with a byte-level BPE"
		}
		return fmt.Errorf("%s: no text can be encoded: %s; hint: --prompt-ids and token shards work, or --tokenizer "+
			"with %s", where, t.reason, other)
	}
	return nil
}

// EncodePrompt returns the ids of a prompt: the text of special tokens ("<|endoftext|>") and of added tokens is the
// token.
func EncodePrompt(tok Tokenizer, text string) ([]int, error) {
	if err := TextError(tok); err != nil {
		return nil, err
	}
	if t, ok := tok.(*bpe); ok {
		return widen(t.appendText(nil, text, t.special, true)), nil
	}
	return tok.Encode(text), nil
}

// byteTokenizer has one id per byte.
type byteTokenizer struct{}

func (byteTokenizer) Name() string               { return "bytes" }
func (byteTokenizer) VocabSize() int             { return 256 }
func (byteTokenizer) EOT() (id int, ok bool)     { return 0, false }
func (t byteTokenizer) Encode(text string) []int { return widen(t.appendPart(nil, text, true)) }

func (byteTokenizer) Decode(ids []int) string { return decode(byteTokens, ids) }

// decode joins tokens. Ids that are none of theirs are left out.
func decode(tokens []string, ids []int) string {
	var b strings.Builder
	for _, id := range ids {
		if id >= 0 && id < len(tokens) {
			b.WriteString(tokens[id])
		}
	}
	return b.String()
}

func (byteTokenizer) appendPart(dst []uint16, text string, _ bool) []uint16 {
	for i := range len(text) {
		dst = append(dst, uint16(text[i]))
	}
	return dst
}

func widen(ids []uint16) []int {
	out := make([]int, len(ids))
	for i, id := range ids {
		out[i] = int(id)
	}
	return out
}

// appendPart appends the ids of a part of a text, cut by safeCut, as tok encodes it; begins: it is the first.
func appendPart(tok Tokenizer, dst []uint16, text string, begins bool) ([]uint16, error) {
	if err := TextError(tok); err != nil {
		return nil, err
	}
	return tok.appendPart(dst, text, begins), nil
}

// encodeChunk is how much text a worker takes at a time: long enough that the cut costs nothing, short enough that
// nobody waits long for the last worker.
const encodeChunk = 1 << 20

// encodeText encodes a whole text as appendPart does, on all cores, id for id.
func encodeText(tok Tokenizer, text string) ([]uint16, error) {
	return encodeChunks(tok, text, encodeChunk)
}

func encodeChunks(tok Tokenizer, text string, chunk int) ([]uint16, error) {
	var pieces []string
	for len(text) > 0 {
		n := cutFor(tok, text, chunk)
		pieces = append(pieces, text[:n])
		text = text[n:]
	}
	parts := make([][]uint16, len(pieces))
	err := parallel.Do(len(pieces), func(i int) (err error) {
		parts[i], err = appendPart(tok, make([]uint16, 0, len(pieces[i])/3), pieces[i], i == 0)
		return err
	})
	return slices.Concat(parts...), err
}

// cutFor is safeCut for the tokenizer that encodes the halves.
func cutFor(tok Tokenizer, text string, at int) int {
	t, ok := tok.(*bpe)
	if !ok || !t.unsplit && len(t.added.all) == 0 {
		return safeCut(text, at)
	}
	if t.unsplit {
		return len(text)
	}
	for {
		if at = safeCut(text, at); at+t.added.maxLen > len(text) {
			return len(text)
		}
		if !t.added.touches(text, at) {
			return at
		}
		at++
	}
}

// lookBack is how many bytes before a cut cutFor must see.
func lookBack(tok Tokenizer) int {
	if t, ok := tok.(*bpe); ok {
		return max(t.added.maxLen, utf8.UTFMax)
	}
	return utf8.UTFMax
}

// safeCut returns the first place at or after byte `at` where text may be cut so that both halves, encoded apart, give
// the ids of the whole; len(text) if there is none.
//
// GPT-2's pattern matches runs of letters, of numbers, of white space and of anything else, and never looks back. A run
// that isn't white space ends where the next character is of another kind, whatever follows, so a cut there is a
// cut between two matches. White space is not like that (its last blank joins the next word), nor is an apostrophe
// before a letter ('s, 't, 're ... are matches of their own).
func safeCut(text string, at int) int {
	if at <= 0 || at >= len(text) {
		return len(text)
	}
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	r, _ := utf8.DecodeLastRuneInString(text[:at])
	before := kindOf(r)
	for at < len(text) {
		next, n := utf8.DecodeRuneInString(text[at:])
		after := kindOf(next)
		if before != after && before != kindSpace && !(r == '\'' && after == kindLetter) {
			return at
		}
		r, before = next, after
		at += n
	}
	return len(text)
}

// kind is what GPT-2's pattern asks of a character.
type kind uint8

const (
	kindOther  kind = iota // [^\s\p{L}\p{N}]
	kindLetter             // \p{L}
	kindNumber             // \p{N}
	kindSpace              // \s: Unicode's White_Space, as in tiktoken
)

var asciiKind = func() (t [utf8.RuneSelf]kind) {
	for r := range rune(utf8.RuneSelf) {
		t[r] = unicodeKind(r)
	}
	return
}()

func kindOf(r rune) kind {
	if uint32(r) < utf8.RuneSelf {
		return asciiKind[r]
	}
	return unicodeKind(r)
}

func unicodeKind(r rune) kind {
	switch {
	case unicode.IsLetter(r):
		return kindLetter
	case unicode.IsNumber(r):
		return kindNumber
	case unicode.IsSpace(r):
		return kindSpace
	}
	return kindOther
}
