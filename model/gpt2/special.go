package gpt2

import (
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// GenerationFile says in a Hugging Face directory how text is generated.
const GenerationFile = "generation_config.json"

// Special are a model's own ids of special tokens, as its files have them.
type Special struct {
	Fields     map[string]any // of config.json, those that end in _token_id; absent ones are not there
	Generation []byte         // generation_config.json; nil if the model has none
}

// ReadSpecial reads the ids of a model's directory. What is missing or no JSON leaves them empty.
func ReadSpecial(dir string) (s Special) {
	var fields map[string]any
	raw, err := plainfile.Read(filepath.Join(dir, configFile), maxConfig)
	if err != nil || unmarshalNumbers(raw, &fields) != nil {
		return s
	}
	maps.DeleteFunc(fields, func(name string, _ any) bool { return !strings.HasSuffix(name, "_token_id") })
	s.Fields = fields
	if raw, err := plainfile.Read(filepath.Join(dir, GenerationFile), maxConfig); err == nil {
		if raw = bytes.TrimPrefix(raw, byteOrderMark); json.Valid(raw) {
			s.Generation = raw
		}
	}
	return s
}

func unmarshalNumbers(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(raw, byteOrderMark)))
	d.UseNumber() // so that ids are written as they were read
	return d.Decode(v)
}

// Complete returns s with the ids of documents' ends where it names none: eot, or none if that is negative.
func (s Special) Complete(eot int) Special {
	fields := map[string]any{"bos_token_id": nil, "eos_token_id": nil}
	if eot >= 0 {
		fields["bos_token_id"], fields["eos_token_id"] = json.Number(strconv.Itoa(eot)), json.Number(strconv.Itoa(eot))
	}
	for name, v := range s.Fields {
		if v != nil || fields[name] == nil { // null is not an id
			fields[name] = v
		}
	}
	s.Fields = fields
	if s.Generation == nil {
		g := maps.Clone(fields)
		maps.DeleteFunc(g, func(_ string, v any) bool { return v == nil })
		g["_from_model_config"] = true
		if raw, err := json.MarshalIndent(g, "", "  "); err == nil {
			s.Generation = append(raw, '\n')
		}
	}
	return s
}

// IDs returns the tokens of a field such as eos_token_id, which may be a number or a list; generation_config.json's
// count before config.json's. Ids that are not of a vocabulary of that size are left out.
func (s Special) IDs(field string, vocab int) []int {
	var of map[string]any
	if unmarshalNumbers(s.Generation, &of) != nil || of[field] == nil {
		of = s.Fields
	}
	list, ok := of[field].([]any)
	if !ok {
		list = []any{of[field]}
	}
	var ids []int
	for _, v := range list {
		n, _ := v.(json.Number)
		if id, err := n.Int64(); err == nil && id >= 0 && id < int64(vocab) && !slices.Contains(ids, int(id)) {
			ids = append(ids, int(id))
		}
	}
	return ids
}

// Write puts generation_config.json into a model's directory.
func (s Special) Write(dir string) error {
	if s.Generation == nil {
		return nil
	}
	return writeBytes(filepath.Join(dir, GenerationFile), s.Generation)
}
