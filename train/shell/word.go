package shell

import (
	"regexp"
	"strings"
)

var plain = regexp.MustCompile(`^[\w./:+,@%=-]+$`)

// Word quotes a word, where that is needed.
func Word(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
