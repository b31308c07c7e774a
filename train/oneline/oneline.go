package oneline

import (
	"strings"
	"unicode"
)

// Of returns text as a part of one line: breaks and tabs become spaces, and what a terminal would obey or not
// understand (control and format characters, invalid UTF-8) becomes U+FFFD. Marks stay, since names have them.
func Of(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsGraphic(r): // U+FFFD for invalid UTF-8 too
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return '\uFFFD'
	}, text)
}
