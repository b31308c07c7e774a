package gpt2

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSpecial: ids of special tokens are kept as a model has them; where it has none, a document's end is both.
func TestSpecial(t *testing.T) {
	for _, x := range []struct {
		name, config, generation string
		eot                      int
		start, stop              []int // of a vocabulary of 100
		written                  string
	}{
		{"none", "", "", 7, []int{7}, []int{7}, `{"_from_model_config":true,"bos_token_id":7,"eos_token_id":7}`},
		{"no end", "", "", -1, nil, nil, `{"_from_model_config":true}`},
		{"its own", `{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3, "n_embd": 4}`, "", 7, []int{1}, []int{2},
			`{"_from_model_config":true,"bos_token_id":1,"eos_token_id":2,"pad_token_id":3}`},
		{"a list", `{"bos_token_id": 1, "eos_token_id": [2, 9, 2]}`, "", 7, []int{1}, []int{2, 9},
			`{"_from_model_config":true,"bos_token_id":1,"eos_token_id":[2,9,2]}`},
		{"null", `{"bos_token_id": null, "eos_token_id": null, "pad_token_id": null}`, "", 7, []int{7}, []int{7},
			`{"_from_model_config":true,"bos_token_id":7,"eos_token_id":7}`},
		{"half", `{"bos_token_id": 1}`, "", 7, []int{1}, []int{7},
			`{"_from_model_config":true,"bos_token_id":1,"eos_token_id":7}`},
		{"generation first", `{"bos_token_id": 1, "eos_token_id": 2}`, `{"eos_token_id": [5, 6], "top_k": 50}`, 7,
			[]int{1}, []int{5, 6},
			`{"eos_token_id":[5,6],"top_k":50}`},
		{"outside the vocabulary", `{"bos_token_id": 100, "eos_token_id": 50256}`, "", 7, nil, nil,
			`{"_from_model_config":true,"bos_token_id":100,"eos_token_id":50256}`},
		{"byte order marks", "\ufeff" + `{"bos_token_id": 1, "eos_token_id": 2}`, "\ufeff" + `{"eos_token_id": 5}`, 7,
			[]int{1}, []int{5}, `{"eos_token_id":5}`},
		{"a broken generation_config.json", `{"eos_token_id": 2}`, `{`, 7, []int{7}, []int{2},
			`{"_from_model_config":true,"bos_token_id":7,"eos_token_id":2}`},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{configFile: x.config, GenerationFile: x.generation} {
			if text != "" {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		s := ReadSpecial(dir).Complete(x.eot)
		if start, stop := s.IDs("bos_token_id", 100), s.IDs("eos_token_id", 100); !slices.Equal(start, x.start) ||
			!slices.Equal(stop, x.stop) {
			t.Errorf("%s: starts with %v, stops at %v, want %v and %v", x.name, start, stop, x.start, x.stop)
		}
		out := t.TempDir()
		if err := s.Write(out); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(out, GenerationFile))
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if again, _ := json.Marshal(got); string(again) != x.written {
			t.Errorf("%s: wrote %s, want %s", x.name, again, x.written)
		}
	}
}
