package exactjson

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

func FuzzUnmarshal(f *testing.F) {
	for _, text := range []string{`{"a":1,"B":[{"a":2}],"c":{"x":"y"}}`, `[[[[[]]]]]`, `{"a":NaN}`, `"\ud83d"`,
		`{"a":1e999}`, strings.Repeat(`{"c":`, 70), "\ufeff{}", `{"a":"x","a":2}`} {
		f.Add([]byte(text))
	}
	type nested struct {
		A int               `json:"a"`
		B []nested          `json:"B"`
		C map[string]string `json:"c"`
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		needs.Bounded(t, func() {
			var v nested
			err := Unmarshal(text, &v)
			if err == nil && !json.Valid(text) {
				t.Error("no JSON, and no error")
			}
			if err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q", err)
			}
			Object(text)
		})
	})
}
