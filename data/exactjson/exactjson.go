package exactjson

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Error says what is wrong with a JSON text.
type Error struct {
	At   int64  // byte of a syntax error; -1: the text is JSON, with a value of another kind
	Key  string // the value's path, such as "config.n_layer"; empty: the whole text
	What string
	Hint string // how to mend it; empty: the reader of the file knows better
}

func (e *Error) Error() string {
	switch {
	case e.At >= 0:
		return fmt.Sprintf("byte %d: %s", e.At, e.What)
	case e.Key != "":
		return fmt.Sprintf("%q is %s", e.Key, e.What)
	}
	return e.What
}

// Hint returns the hint of an error of this package, or other if it has none.
func Hint(err error, other string) string {
	var e *Error
	if errors.As(err, &e) && e.Hint != "" {
		return e.Hint
	}
	return other
}

// Unmarshal is json.Unmarshal with exact keys. A null at the top is an error, as is any text after the value.
// Errors: *Error.
func Unmarshal(text []byte, v any) error {
	if err := check(text); err != nil {
		return err
	}
	target := reflect.ValueOf(v).Elem()
	if Kind(text) == "null" && slices.Contains([]string{"an object", "a list"}, want(target.Type())) {
		return &Error{At: -1, What: "null, want " + want(target.Type())}
	}
	return decode(text, target, "")
}

// Object returns the fields of a JSON object. Errors: *Error.
func Object(text []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) == nil && fields != nil {
		return fields, nil
	}
	return nil, Unmarshal(text, &fields) // which says what is wrong
}

// OneLine returns a JSON value as a part of an error: without line breaks and control characters.
func OneLine(value []byte) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, strings.Join(strings.Fields(string(value)), " "))
}

// Kind says of which kind a JSON value is: "a string", "a number", "a list", "an object", "true or false", "null".
func Kind(value []byte) string {
	value = bytes.TrimLeft(value, " \t\r\n")
	if len(value) == 0 {
		return "nothing"
	}
	switch value[0] {
	case '"':
		return "a string"
	case '[':
		return "a list"
	case '{':
		return "an object"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// maxDepth bounds how deep lists and objects may lie in each other. Every level of a type is decoded anew, so the time
// would grow with depth times size. No file of ours or of the Hugging Face libraries has ten.
const maxDepth = 64

// deeper returns where more than n lists and objects are open, -1 if they never are.
func deeper(text []byte, n int) int64 {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > n {
				return int64(i)
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return -1
}

// check returns an error if text is not JSON.
func check(text []byte) error {
	if at := deeper(text, maxDepth); at >= 0 {
		return &Error{At: at, What: fmt.Sprintf("more than %d lists and objects in each other", maxDepth)}
	}
	var raw json.RawMessage
	err := json.Unmarshal(text, &raw)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	e := &Error{At: max(syntax.Offset-1, 0), What: syntax.Error()}
	rest := text[min(e.At, int64(len(text))):]
	begins := func(in []byte, s string) bool { return bytes.HasPrefix(in, []byte(s)) }
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		e.At, e.What = 0, "nothing, want JSON"
	case len(rest) == 0 || strings.HasPrefix(e.What, "unexpected end"):
		e.At = int64(len(text))
	case pythons.Match(rest):
		e.What = string(pythons.Find(rest)) + ", which JSON does not have (Python's json module writes it)"
		e.Hint = "write null instead; json.dumps(..., allow_nan=False) finds such values"
	case begins(text, "\xff\xfe") || begins(text, "\xfe\xff"):
		e.What, e.Hint = "the text is UTF-16, want UTF-8", "convert it with iconv -f UTF-16 -t UTF-8"
	case begins(rest, "'"):
		e.Hint = "strings stand in double quotes: write with json.dumps, not str()"
	}
	return e
}

var (
	pythons     = regexp.MustCompile("^(NaN|Infinity)")
	unmarshaler = reflect.TypeFor[json.Unmarshaler]()
)

// decode stores a JSON value in v. path is the value's place in the whole text.
func decode(value []byte, v reflect.Value, path string) error {
	t := v.Type()
	kind := t.Kind()
	if Kind(value) == "null" || reflect.PointerTo(t).Implements(unmarshaler) {
		kind = reflect.Invalid // encoding/json decodes it
	}
	var fields map[string]json.RawMessage // the last of equal keys
	var list []json.RawMessage
	switch {
	case kind == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		return decode(value, v.Elem(), path)
	case kind == reflect.Struct && json.Unmarshal(value, &fields) == nil:
		return decodeStruct(fields, v, path)
	case kind == reflect.Map && t.Key().Kind() == reflect.String && json.Unmarshal(value, &fields) == nil:
		v.Set(reflect.MakeMapWithSize(t, len(fields)))
		for key, value := range fields {
			element := reflect.New(t.Elem()).Elem()
			if err := decode(value, element, join(path, key)); err != nil {
				return err
			}
			v.SetMapIndex(reflect.ValueOf(key).Convert(t.Key()), element)
		}
		return nil
	case kind == reflect.Slice && json.Unmarshal(value, &list) == nil:
		v.Set(reflect.MakeSlice(t, len(list), len(list)))
		for i, value := range list {
			if err := decode(value, v.Index(i), path); err != nil {
				return err
			}
		}
		return nil
	}
	err := json.Unmarshal(value, v.Addr().Interface())
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	got, want := Kind(value), want(wrong.Type)
	if got == "a number" && strings.Contains(want, "number") {
		got = string(bytes.TrimSpace(value)) // which is too large, negative or not whole
	}
	return &Error{At: -1, Key: path, What: got + ", want " + want}
}

// decodeStruct stores values in the fields with exactly these names. A field of an embedded struct is an object's own.
func decodeStruct(values map[string]json.RawMessage, v reflect.Value, path string) error {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag := f.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		var err error
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			err = decodeStruct(values, v.Field(i), path)
		} else if value, ok := values[cmp.Or(name, f.Name)]; ok && tag != "-" && f.IsExported() {
			err = decode(value, v.Field(i), join(path, cmp.Or(name, f.Name)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func join(path, key string) string { return strings.TrimPrefix(path+"."+key, ".") }

// want says what a field takes.
func want(t reflect.Type) string {
	switch k := t.Kind(); {
	case k == reflect.Pointer:
		return want(t.Elem())
	case k == reflect.Bool:
		return "true or false"
	case k >= reflect.Int && k <= reflect.Int64:
		return "a whole number"
	case k >= reflect.Uint && k <= reflect.Uint64:
		return "a whole number, 0 or more"
	case k == reflect.Float32 || k == reflect.Float64:
		return "a number"
	case k == reflect.String:
		return "a string"
	case k == reflect.Slice || k == reflect.Array:
		return "a list"
	}
	return "an object"
}
