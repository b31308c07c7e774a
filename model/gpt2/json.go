package gpt2

import (
	"bytes"
	"errors"

	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
)

var byteOrderMark = []byte("\ufeff")

// parseJSON decodes text, which must be there and not null, into to. A byte order mark is skipped. Errors are
// exactjson's.
func parseJSON(text []byte, to any) error {
	text = bytes.TrimPrefix(text, byteOrderMark)
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return errors.New("missing")
	case bytes.Equal(bytes.TrimSpace(text), []byte("null")):
		return errors.New("null")
	}
	return exactjson.Unmarshal(text, to)
}
