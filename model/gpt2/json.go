package gpt2

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// parseJSON decodes text into to, a pointer to a string, a number, a bool, a slice of whole numbers, or a map by key,
// whose keys then match exactly. A byte order mark is skipped. Its errors say what was found and wanted, without a word
// of Go.
func parseJSON(text []byte, to any) error {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	want := kindOf(reflect.TypeOf(to).Elem())
	if len(bytes.TrimSpace(text)) == 0 {
		return fmt.Errorf("missing, want %s", want)
	}
	err := json.Unmarshal(text, to)
	var syntax *json.SyntaxError
	switch {
	case err == nil && bytes.Equal(bytes.TrimSpace(text), []byte("null")):
		return fmt.Errorf("got null, want %s", want)
	case err == nil:
		return nil
	case errors.As(err, &syntax):
		return syntaxError(text, syntax)
	default: // of another type
		return fmt.Errorf("got %s, want %s", quoteJSON(text), want)
	}
}

// syntaxError names what is no JSON, above all the numbers that Python writes and JSON hasn't.
func syntaxError(text []byte, err *json.SyntaxError) error {
	at := max(0, int(err.Offset)-1)
	if at >= len(text) || strings.Contains(err.Error(), "unexpected end") {
		return fmt.Errorf("the text is cut short after %d bytes", len(text))
	}
	rest := text[at:]
	if at > 0 && text[at-1] == '-' {
		rest = text[at-1:]
	}
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(rest, []byte(word)) {
			return fmt.Errorf("byte %d is %s, which Python writes and JSON doesn't have: replace it by null or a number", at, word)
		}
	}
	return fmt.Errorf("byte %d: %w", at, err)
}

// quoteJSON shows a short value as it stands, a long one by its kind.
func quoteJSON(text []byte) string {
	text = bytes.TrimSpace(text)
	if len(text) <= 40 {
		return string(text)
	}
	switch text[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a text"
	}
	return string(text[:40]) + "..."
}

// kindOf says in JSON's words what a value of that type is.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Map:
		if t.Elem().Kind() == reflect.String {
			return "an object of texts"
		}
		return "an object"
	case reflect.Slice:
		return "a list of whole numbers, 0 or more"
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	}
	return "a number"
}
