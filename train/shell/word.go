package shell

import (
	"regexp"
	"strings"
)

var plain = regexp.MustCompile(`^[\w./:+,@%=-]+$`)

// Word returns s as a POSIX shell reads it as one word, in quotes where it needs them.
func Word(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
