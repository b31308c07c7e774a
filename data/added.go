package data

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is found in a text before the text is split and merged, as in Hugging Face's tokenizers.
type addedToken struct {
	ID         *int   `json:"id"` // nil only while files are read
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only where no letter, number or underscore touches it
	LStrip     bool   `json:"lstrip"`      // it takes the white space before it
	RStrip     bool   `json:"rstrip"`      // it takes the white space behind it
	Normalized *bool  `json:"normalized"`  // looked for after those that are not; default: whether it isn't special
	Special    bool   `json:"special"`
}

// addedTokens are the added tokens of a tokenizer, in the two passes that look for them.
type addedTokens struct {
	all    []addedToken
	passes [2]addedPass
	maxLen int // of a content, in bytes
}

// addedPass lists tokens by their first byte, the longest first.
type addedPass [256][]addedToken

func newAddedTokens(list []addedToken) addedTokens {
	a := addedTokens{all: list}
	for _, t := range list {
		pass := 0
		if t.Normalized != nil && *t.Normalized {
			pass = 1
		}
		first := t.Content[0]
		a.passes[pass][first] = append(a.passes[pass][first], t)
		a.maxLen = max(a.maxLen, len(t.Content))
	}
	for i := range a.passes {
		for _, of := range a.passes[i] {
			slices.SortStableFunc(of, func(x, y addedToken) int { return cmp.Compare(len(y.Content), len(x.Content)) })
		}
	}
	return a
}

// split calls emit for the parts of text in order: an added token's text with its id, anything else with -1.
func (a *addedTokens) split(text string, emit func(part string, id int)) {
	if len(a.all) == 0 {
		if text != "" {
			emit(text, -1)
		}
		return
	}
	a.passes[0].split(text, func(part string, id int) {
		if id >= 0 {
			emit(part, id)
			return
		}
		a.passes[1].split(part, emit)
	})
}

// split follows AddedVocabulary::find_matches of Hugging Face's tokenizers: the leftmost token, of several the longest.
func (p *addedPass) split(text string, emit func(part string, id int)) {
	done := 0
	for at := 0; at < len(text); {
		t, ok := p.at(text[at:])
		if !ok {
			at++
			continue
		}
		begin, end := at, at+len(t.Content)
		at = end
		before, _ := utf8.DecodeLastRuneInString(text[:begin]) // U+FFFD, not a word's, where there is none
		after, _ := utf8.DecodeRuneInString(text[end:])
		if t.SingleWord && (isWord(before) || isWord(after)) {
			continue
		}
		if t.LStrip {
			begin = max(done, len(strings.TrimRightFunc(text[:begin], unicode.IsSpace)))
		}
		if t.RStrip {
			end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
		}
		if begin > done {
			emit(text[done:begin], -1)
		}
		emit(text[begin:end], *t.ID)
		done = end
	}
	if done < len(text) {
		emit(text[done:], -1)
	}
}

// at returns the longest token that text begins with.
func (p *addedPass) at(text string) (addedToken, bool) {
	for _, t := range p[text[0]] {
		if strings.HasPrefix(text, t.Content) {
			return t, true
		}
	}
	return addedToken{}, false
}

// touches reports whether a token's text, as such, lies across byte `at` of text or touches it there.
func (a *addedTokens) touches(text string, at int) bool {
	window := text[max(0, at-a.maxLen):min(len(text), at+a.maxLen)]
	for _, t := range a.all {
		if strings.Contains(window, t.Content) {
			return true
		}
	}
	return false
}

// isWord is \w of Rust's regex, which follows Unicode's UTS 18.
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.Nl, unicode.Other_Alphabetic, unicode.M, unicode.Nd, unicode.Pc,
		unicode.Join_Control)
}
