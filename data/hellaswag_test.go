package data

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// In the dataset's shape; the sentences are ours.
const twoQuestions = `{"ind": 3, "ctx_a": "A man sits on a roof.", "ctx": "A man sits on a roof. He", "label": 2, ` +
	`"endings": ["eats a boat.", "is a roof.", "starts to sing.", "goes under it."], "split": "val"}

{"ind": 4, "ctx": "A dog", "label": 0, "endings": ["barks.", "reads.", "boils.", "rains."]}
`

func TestHellaSwagJSONL(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "v.jsonl"), []byte(twoQuestions))
	tok := mustTokenizer(t, "gpt2")
	got, err := ReadHellaSwag(path, tok)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Label != 2 || got[1].Label != 0 {
		t.Fatalf("%+v", got)
	}
	if s := tok.Decode(got[0].Context) + "|" + tok.Decode(got[0].Endings[2]); s != "A man sits on a roof. He| "+
		"starts to sing." {
		t.Errorf("first question: %q", s)
	}
	if got[0].Chars != [4]int{12, 10, 15, 14} {
		t.Errorf("characters %v", got[0].Chars)
	}
	if want := tok.Encode(" rains."); !cmp.Equal(got[1].Endings[3], want) {
		t.Errorf("ending %v, want %v", got[1].Endings[3], want)
	}
}

// evalBin writes examples as llm.c does.
func evalBin(examples []Example) []byte {
	var body []uint16
	longest := 0
	for i, e := range examples {
		one := []uint16{0xffff, 0, uint16(i), uint16(e.Label), 4}
		for _, ids := range [][]int{e.Context, e.Endings[0], e.Endings[1], e.Endings[2], e.Endings[3]} {
			one = append(one, uint16(len(ids)))
			for _, id := range ids {
				one = append(one, uint16(id))
			}
		}
		one[1] = uint16(2 * len(one))
		longest = max(longest, 2*len(one))
		body = append(body, one...)
	}
	return append(header(binEval, 1, int32(len(examples)), int32(longest)), tokenBytes(body...)...)
}

func TestHellaSwagBin(t *testing.T) {
	dir := t.TempDir()
	want, err := ReadHellaSwag(write(t, filepath.Join(dir, "v.jsonl"), []byte(twoQuestions)), mustTokenizer(t, "gpt2"))
	if err != nil {
		t.Fatal(err)
	}
	good := evalBin(want)
	path := write(t, filepath.Join(dir, "v.bin"), good)
	got, err := ReadHellaSwag(path, nil)
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v, %v", err, cmp.Diff(got, want))
	}
	info, err := Info(path)
	if err != nil || info.Format != "llm.c eval" || info.Documents != 2 || !strings.HasPrefix(info.Text, "A man sits") {
		t.Errorf("Info: %+v, %v", info, err)
	}
	for n := 0; n < len(good); n += 1 + n/(binHeader-8)*4 { // truncations are errors
		write(t, path, good[:n])
		if _, err := ReadHellaSwag(path, nil); err == nil || !strings.Contains(err.Error(), "hint:") {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	for at := binHeader; at < len(good); at += 3 { // no damage panics
		bad := slices.Clone(good)
		bad[at] ^= 0xff
		write(t, path, bad)
		_, _ = ReadHellaSwag(path, nil)
	}
}

const lfsText = "version https://git-lfs.github.com/spec/v1\noid " +
	"sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 3600000\n"

// TestHellaSwagLabels: labels as the hub's copy has them, keys in their exact case, a byte order mark, and characters
// of several bytes.
func TestHellaSwagLabels(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "v.jsonl"),
		[]byte("\ufeff"+`{"ctx": "a", "label": "2", "endings": ["bé", "c", "日本", ""], "Label": 0}
{"CTX": "x", "ctx": "b", "label": 3.0, "endings": ["b", "c", "d", "e"], "ENDINGS": 5}
{"ctx": "b", "label": " 1 ", "endings": ["b", "c", "d", "e"]}
`))
	got, err := ReadHellaSwag(path, mustTokenizer(t, "gpt2"))
	if err != nil || len(got) != 3 || got[0].Label != 2 || got[1].Label != 3 || got[2].Label != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got[0].Chars != [4]int{2, 1, 2, 0} {
		t.Errorf("characters %v", got[0].Chars)
	}
	bin := write(t, filepath.Join(t.TempDir(), "v.bin"), evalBin(got))
	if again, err := ReadHellaSwag(bin, mustTokenizer(t, "gpt2")); err != nil || again[0].Chars != got[0].Chars {
		t.Errorf("llm.c's: %+v, %v", again, err)
	}
	if _, err := ReadHellaSwag(bin, mustTokenizer(t, "bytes")); err == nil || !strings.Contains(err.Error(),
		"GPT-2 tokens") {
		t.Errorf("llm.c's with the tokenizer bytes: %v", err)
	}
	if _, err := ReadHellaSwag(write(t, bin, []byte(lfsText)), mustTokenizer(t, "bytes")); err == nil ||
		!strings.Contains(err.Error(), "git lfs pull") {
		t.Errorf("a pointer with the tokenizer bytes: %v", err)
	}
}

func TestHellaSwagErrors(t *testing.T) {
	dir := t.TempDir()
	line := `{"ctx": "a", "label": 0, "endings": ["b", "c", "d", "e"]}` + "\n"
	for i, c := range []struct{ name, text, want string }{
		{"a.jsonl", line + "{", "byte 58"},
		{"a.jsonl", "", "no questions"},
		{"a.jsonl", strings.Replace(line, `"e"`, `"e", "f"`, 1), "5 endings"},
		{"a.jsonl", strings.Replace(line, `0`, `4`, 1), "label 4"},
		{"a.jsonl", strings.Replace(line, `0`, `"4"`, 1), `label "4"`},
		{"a.jsonl", strings.Replace(line, `0`, `"two"`, 1), `label "two"`},
		{"a.jsonl", strings.Replace(line, `0`, `1.5`, 1), "label 1.5"},
		{"a.jsonl", strings.Replace(line, `0`, `""`, 1), "no label"},
		{"a.jsonl", strings.Replace(line, `0`, `null`, 1), "no label"},
		{"a.jsonl", strings.Replace(line, `0`, `NaN`, 1), "NaN"},
		{"a.jsonl", strings.Replace(line, `0`, `[1]`, 1), "label [1]"},
		{"a.jsonl", strings.Replace(line, `label`, `Label`, 1), "no label"},
		{"a.jsonl", strings.Replace(line, `"a"`, `["a"]`, 1), "a list, want a string"},
		{"a.jsonl", strings.Replace(line, `"e"`, `7`, 1), "a number, want a string"},
		{"a.jsonl", "[" + strings.TrimSpace(line) + "]", "a list, want an object"},
		{"a.jsonl", lfsText, "git lfs pull"},
		{"a.bin", lfsText, "git lfs pull"},
		{"a.jsonl", "<!DOCTYPE html>", "HTML"},
		{"a.jsonl", strings.Replace(line, `"label": 0, `, ``, 1), "no label"},
		{"a.jsonl", strings.Replace(line, `ctx`, `text`, 1), "no ctx"},
		{"a.jsonl", strings.Replace(line, `"e"`, `null`, 1), "an ending is null"},
		{"a.jsonl", line + strings.Replace(line, `"e"`, "\"caf\xe9\"", 1), "58: invalid UTF-8 in its byte 56"},
		{"a.JSONL", "{", "byte 1"},
		{"a.json", line, ".jsonl"},
		{"a.parquet", line, "pandas"},
		{"a.csv", line, `".csv"`},
		{"a.bin", line, "no HellaSwag"},
		{"a.bin", string(binFile(count(0, 3)...)), "magic 20240520"},
		{"a.bin", string(header(binEval, 1, 0)), "no questions"},
		{"a.bin", string(header(binEval, 2, 0)), "byte 4: version 2"},
		{"a.bin", string(header(binEval, 1, 1)[:100]), "100 bytes, want a header of 1024"},
		{"a.bin", string(header(binEval, 1, 1)), "byte 1024: truncated at example 0 of 1"},
	} {
		path := write(t, filepath.Join(dir, c.name), []byte(c.text))
		_, err := ReadHellaSwag(path, mustTokenizer(t, "gpt2"))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "hint:") ||
			!strings.Contains(err.Error(), c.name) {
			t.Errorf("case %d: %v, want %q", i, err, c.want)
		}
	}
	emptyCache(t)
	if _, err := ReadHellaSwag("hellaswag", nil); err == nil || !strings.HasSuffix(err.Error(),
		"hint: gpt2wgpu data fetch hellaswag") {
		t.Errorf("not fetched: %v", err)
	}
	if _, err := ReadHellaSwag(filepath.Join(dir, "gone.jsonl"), nil); err == nil || !strings.Contains(err.Error(),
		"gone.jsonl") {
		t.Errorf("missing: %v", err)
	}
}

func TestInfo(t *testing.T) {
	dir := t.TempDir()
	ids := append([]uint16{gpt2EOT, 15496, 11, 314, 1101, 257, 3303, 2746, 11, gpt2EOT}, count(1000, 200)...)
	for name, format := range map[string]string{"a.npy": "npy", "a.bin": "llm.c"} {
		content := npyFile(ids...)
		if format == "llm.c" {
			content = binFile(ids...)
		}
		info, err := Info(write(t, filepath.Join(dir, name), content))
		if err != nil {
			t.Fatal(err)
		}
		if info.Format != format || info.Tokens != 210 || info.Documents != 2 || info.MinID != 11 ||
			info.MaxID != gpt2EOT || info.Bytes != int64(len(content)) ||
			len(info.First) != 64 || info.Tokenizer != "gpt2" || !strings.HasPrefix(info.Text, "<|endoftext|>Hello, "+
			"I'm a language model,<|endoftext|>") {
			t.Errorf("%s: %+v", name, info)
		}
	}
	info, err := Info(write(t, filepath.Join(dir, "b.npy"), npyFile('h', 'i')))
	if err != nil || info.Text != "hi" || info.Tokenizer != "bytes" {
		t.Errorf("bytes: %+v, %v", info, err)
	}
	for _, path := range []string{filepath.Join(dir, "gone.npy"), write(t, filepath.Join(dir, "a.csv"), []byte("x")),
		write(t, filepath.Join(dir, "cut.npy"), npyFile(1, 2)[:129])} {
		if _, err := Info(path); err == nil || !strings.Contains(err.Error(), "hint:") {
			t.Errorf("Info(%s): %v", path, err)
		}
	}
}
