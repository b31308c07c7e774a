package data

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Tokenizer turns text into ids and back. Its methods are safe for concurrent use.
type Tokenizer interface {
	// Name is the word the command line knows it by: "gpt2" or "bytes".
	Name() string
	// VocabSize is one more than the largest id: 50257 or 256.
	VocabSize() int
	// Encode returns the ids of text. The text of special tokens ("<|endoftext|>") is encoded as ordinary text.
	Encode(text string) []int
	// Decode returns the text of ids, the special token's own included. Ids outside the vocabulary, such as the
	// padding rows 50257 to 50303, decode to "". A character cut in two by a token border decodes to its bytes.
	Decode(ids []int) string
	// EOT is the id that separates documents; ok is false for tokenizers that have none.
	EOT() (id int, ok bool)
}

// NewTokenizer returns the tokenizer of that name: "gpt2" (byte pair encoding, 50,257 ids) or "bytes" (256 ids).
// The ranks of gpt2 are part of the program; nothing is read or downloaded.
func NewTokenizer(name string) (Tokenizer, error) {
	switch name {
	case "gpt2":
		return loadGPT2()
	case "bytes":
		return byteTokenizer{}, nil
	}
	return nil, fmt.Errorf("tokenizer %q: no such tokenizer; hint: gpt2 or bytes", name)
}

// byteTokenizer has one id per byte.
type byteTokenizer struct{}

func (byteTokenizer) Name() string               { return "bytes" }
func (byteTokenizer) VocabSize() int             { return 256 }
func (byteTokenizer) EOT() (id int, ok bool)     { return 0, false }
func (t byteTokenizer) Encode(text string) []int { return widen(t.appendIDs(nil, text)) }

func (byteTokenizer) Decode(ids []int) string {
	var b strings.Builder
	for _, id := range ids {
		if id >= 0 && id < 256 {
			b.WriteByte(byte(id))
		}
	}
	return b.String()
}

func (byteTokenizer) appendIDs(dst []uint16, text string) []uint16 {
	for i := range len(text) {
		dst = append(dst, uint16(text[i]))
	}
	return dst
}

// idAppender is what our own tokenizers offer beside Tokenizer: ids in the two bytes that shards hold.
type idAppender interface {
	appendIDs(dst []uint16, text string) []uint16
}

func widen(ids []uint16) []int {
	out := make([]int, len(ids))
	for i, id := range ids {
		out[i] = int(id)
	}
	return out
}

// appendIDs appends the ids of text as tok encodes it. An id that takes more than two bytes is an error.
func appendIDs(tok Tokenizer, dst []uint16, text string) ([]uint16, error) {
	if a, ok := tok.(idAppender); ok {
		return a.appendIDs(dst, text), nil
	}
	for _, id := range tok.Encode(text) {
		if id < 0 || id > 0xffff {
			return nil, fmt.Errorf("tokenizer %s: id %d, want 0 to 65535: tokens are stored in two bytes; hint: use gpt2 or bytes",
				tok.Name(), id)
		}
		dst = append(dst, uint16(id))
	}
	return dst, nil
}

// encodeChunk is how much text a worker takes at a time: long enough that the cut costs nothing, short enough that
// the last worker isn't waited for.
const encodeChunk = 1 << 20

// encodeText is appendIDs(tok, nil, text) on all cores, id for id.
func encodeText(tok Tokenizer, text string) ([]uint16, error) {
	return encodeChunks(tok, text, encodeChunk)
}

func encodeChunks(tok Tokenizer, text string, chunk int) ([]uint16, error) {
	var pieces []string
	for len(text) > 0 {
		n := safeCut(text, chunk)
		pieces = append(pieces, text[:n])
		text = text[n:]
	}
	if _, ours := tok.(idAppender); len(pieces) <= 1 || !ours { // safeCut knows our own tokenizers alone
		return appendIDs(tok, nil, strings.Join(pieces, ""))
	}
	parts := make([][]uint16, len(pieces))
	errs := make([]error, len(pieces))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, p := range pieces {
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-slots; wg.Done() }()
			parts[i], errs[i] = appendIDs(tok, make([]uint16, 0, len(p)/3), p)
		}()
	}
	wg.Wait()
	total := 0
	for i := range parts {
		if errs[i] != nil {
			return nil, errs[i]
		}
		total += len(parts[i])
	}
	out := make([]uint16, 0, total)
	for _, p := range parts {
		out = append(out, p...)
	}
	return out, nil
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
