package exactjson

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type inner struct {
	Name string
	N    int `json:"n"`
}

type base struct {
	Base float64 `json:"base"`
}

type outer struct {
	base2
	base
	Text  *string           `json:"text"`
	List  []inner           `json:"list"`
	ByKey map[string]inner  `json:"by_key"`
	In    *inner            `json:"in,omitempty"`
	Words map[string]string `json:"words"`
	Raw   json.RawMessage   `json:"raw"`
	Skip  int               `json:"-"`
}

type base2 struct {
	Two int `json:"two"`
}

func TestUnmarshal(t *testing.T) {
	s := func(s string) *string { return &s }
	for text, want := range map[string]outer{
		`{"text":"real","Text":"SHOUTED"}`:               {Text: s("real")},
		`{"Text":"SHOUTED","text":"real","TEXT":"loud"}`: {Text: s("real")},
		`{"TEXT":"x"}`:                                          {},
		`{"text":"first","text":"last"}`:                        {Text: s("last")},
		`{"text":"first","text":null}`:                          {},
		`{"te\u0078t":"escaped key"}`:                           {Text: s("escaped key")},
		`{"list":[{"N":5,"n":1,"name":"no","Name":"yes"},{}]}`:  {List: []inner{{"yes", 1}, {}}},
		`{"by_key":{"a":{"N":5},"A":{"n":6}}}`:                  {ByKey: map[string]inner{"a": {}, "A": {N: 6}}},
		`{"in":{"n":3,"N":4},"IN":{"n":9},"base":1.5,"BASE":7}`: {In: &inner{N: 3}, base: base{1.5}},
		`{"words":{"Ab":"1","ab":"2"},"raw":{"X":1},"two":2}`: {Words: map[string]string{"Ab": "1", "ab": "2"},
			Raw: json.RawMessage(`{"X":1}`), base2: base2{2}},
		" {\"text\": \"\\ud83d \xff\", \"-\": 1, \"Skip\": 2}\n": {Text: s("\ufffd \ufffd")},
	} {
		var got outer
		if err := Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if d := cmp.Diff(want, got, cmp.AllowUnexported(outer{})); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{"text": NaN}`:            "byte 9: NaN, which JSON does not have (Python",
		`{"text": -Infinity}`:      "byte 10: Infinity, which JSON does not have (Python",
		`{"a": [1, Infinity]}`:     "byte 10: Infinity, which",
		`{"text": Nope}`:           "byte 9: invalid character 'N'",
		`{"text": "a"`:             "byte 12: unexpected end of JSON input",
		`{"text": 'a'}`:            "byte 9: invalid character '\\''",
		`{} {}`:                    "byte 3: invalid character '{' after top-level value",
		"":                         "byte 0: nothing, want JSON",
		" \n":                      "byte 0: nothing, want JSON",
		"\xff\xfe{\x00":            "byte 0: the text is UTF-16, want UTF-8",
		`[1]`:                      "a list, want an object",
		`"x"`:                      "a string, want an object",
		`5`:                        "a number, want an object",
		`null`:                     "null, want an object",
		`true`:                     "true or false, want an object",
		`{"text": 5}`:              `"text" is a number, want a string`,
		`{"text": {"a":1}}`:        `"text" is an object, want a string`,
		`{"list": 5}`:              `"list" is a number, want a list`,
		`{"list": [{"n": "one"}]}`: `"list.n" is a string, want a whole number`,
		`{"list": [{"n": 1.5}]}`:   `"list.n" is 1.5, want a whole number`,
		`{"in": [1]}`:              `"in" is a list, want an object`,
		`{"base": "x"}`:            `"base" is a string, want a number`,
	} {
		err := Unmarshal([]byte(text), &outer{})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
			continue
		}
		for _, alien := range []string{"Go ", "struct", "float64", "map[", "json:", "exactjson", "\n"} {
			if strings.Contains(err.Error(), alien) {
				t.Errorf("%q: %v has %q in it", text, err, alien)
			}
		}
	}
	if err := Unmarshal([]byte(`{"text": NaN}`), &outer{}); !strings.Contains(Hint(err, "other"), "null") {
		t.Errorf("hint %q", Hint(err, "other"))
	}
	if err := Unmarshal([]byte(`[`), &outer{}); Hint(err, "other") != "other" || Hint(nil, "x") != "x" {
		t.Errorf("hint %q", Hint(err, "other"))
	}
}

func TestObject(t *testing.T) {
	got, err := Object([]byte(`{"a": 1, "A": [2], "a": "3"}`))
	if err != nil || string(got["a"]) != `"3"` || string(got["A"]) != `[2]` || Kind(got["A"]) != "a list" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := Object([]byte("[]")); err == nil || err.Error() != "a list, want an object" {
		t.Errorf("%v", err)
	}
}
