package exactjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
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
	t := reflect.TypeOf(v).Elem()
	if k := t.Kind(); Kind(text) == "null" && (k == reflect.Struct || k == reflect.Map || k == reflect.Slice) {
		return &Error{At: -1, What: "null, want " + want(t)}
	}
	cleaned, err := clean(text, t)
	if err == nil {
		err = json.Unmarshal(cleaned, v)
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return &Error{At: -1, Key: keyPath(t, wrong.Field), What: got(wrong.Value) + ", want " + want(wrong.Type)}
	}
	return err
}

// Object returns the fields of a JSON object. Errors: *Error.
func Object(text []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) == nil && fields != nil {
		return fields, nil
	}
	return nil, Unmarshal(text, &fields) // which says what is wrong
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

// check returns an error if text is not JSON.
func check(text []byte) error {
	var raw json.RawMessage
	err := json.Unmarshal(text, &raw)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	e := &Error{At: max(syntax.Offset-1, 0), What: syntax.Error()}
	if len(bytes.TrimSpace(text)) == 0 {
		e.At, e.What = 0, "nothing, want JSON"
		return e
	}
	if e.At >= int64(len(text)) || strings.HasPrefix(e.What, "unexpected end") {
		e.At = int64(len(text))
		return e
	}
	rest := text[e.At:]
	for _, word := range []string{"NaN", "Infinity"} {
		if bytes.HasPrefix(rest, []byte(word)) {
			e.What = word + ", which JSON does not have (Python's json module writes it)"
			e.Hint = "write null instead; json.dumps(..., allow_nan=False) finds such values"
		}
	}
	switch {
	case bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")):
		e.What, e.Hint = "the text is UTF-16, want UTF-8", "convert it with iconv -f UTF-16 -t UTF-8"
	case rest[0] == '\'':
		e.Hint = "strings stand in double quotes: write with json.dumps, not str()"
	}
	return e
}

// clean returns value, which is JSON, without the keys that no field of type t has by exactly that name.
func clean(value []byte, t reflect.Type) ([]byte, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !hasFields(t, nil) {
		return value, nil
	}
	kind := Kind(value)
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		if kind != "an object" {
			return value, nil
		}
		var fields map[string]json.RawMessage // of equal keys the last
		if err := json.Unmarshal(value, &fields); err != nil {
			return nil, err
		}
		types := map[string]reflect.Type{}
		if t.Kind() == reflect.Struct {
			fieldTypes(t, types)
		}
		for key, v := range fields {
			of, known := types[key]
			if t.Kind() == reflect.Map {
				of, known = t.Elem(), true
			}
			if !known {
				delete(fields, key)
				continue
			}
			v, err := clean(v, of)
			if err != nil {
				return nil, err
			}
			fields[key] = v
		}
		return json.Marshal(fields)
	case reflect.Slice, reflect.Array:
		if kind != "a list" {
			return value, nil
		}
		var list []json.RawMessage
		if err := json.Unmarshal(value, &list); err != nil {
			return nil, err
		}
		for i, v := range list {
			v, err := clean(v, t.Elem())
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return json.Marshal(list)
	}
	return value, nil
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// hasFields reports whether values of type t have fields that encoding/json would match.
func hasFields(t reflect.Type, seen []reflect.Type) bool {
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return false // it decodes by itself
	}
	for _, s := range seen {
		if s == t {
			return false
		}
	}
	switch t.Kind() {
	case reflect.Struct:
		return true
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Array:
		return hasFields(t.Elem(), append(seen, t))
	}
	return false
}

// fieldTypes adds the JSON names of a struct's fields, embedded structs included, with their types.
func fieldTypes(t reflect.Type, into map[string]reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		embedded := f.Type
		if embedded.Kind() == reflect.Pointer {
			embedded = embedded.Elem()
		}
		switch {
		case f.Tag.Get("json") == "-":
		case f.Anonymous && name == "" && embedded.Kind() == reflect.Struct:
			inner := map[string]reflect.Type{}
			fieldTypes(embedded, inner)
			for n, of := range inner {
				if _, has := into[n]; !has { // the outer field wins
					into[n] = of
				}
			}
		case f.IsExported():
			if name == "" {
				name = f.Name
			}
			into[name] = f.Type
		}
	}
}

// keyPath takes the names of embedded structs, which are no keys, out of a path of encoding/json.
func keyPath(t reflect.Type, path string) string {
	var keys []string
	for _, name := range strings.Split(path, ".") {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
			t = t.Elem()
		}
		if t.Kind() == reflect.Struct {
			if f, ok := t.FieldByName(name); ok && f.Anonymous {
				t = f.Type
				continue
			}
			types := map[string]reflect.Type{}
			if fieldTypes(t, types); types[name] != nil {
				t = types[name]
			}
		} else if t.Kind() == reflect.Map {
			t = t.Elem()
		}
		keys = append(keys, name)
	}
	return strings.Join(keys, ".")
}

// got words the value of a json.UnmarshalTypeError: "string", "number 1.5", "array", "object", "bool".
func got(value string) string {
	switch {
	case value == "array":
		return "a list"
	case value == "object":
		return "an object"
	case value == "bool":
		return "true or false"
	case value == "string":
		return "a string"
	case value == "number":
		return "a number"
	}
	return strings.TrimPrefix(value, "number ")
}

// want says what a field takes.
func want(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return want(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, 0 or more"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "a list"
	}
	return "an object"
}
