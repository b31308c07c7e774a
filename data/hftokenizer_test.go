package data

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tokenizerFixtures are folders that testdata/tokenizers/make.py has written with Hugging Face's libraries.
// GPT2WGPU_TOKENIZERS names a folder with more of them, of random texts.
func tokenizerFixtures(t *testing.T) []string {
	t.Helper()
	dirs := []string{filepath.Join("testdata", "tokenizers")}
	if more := os.Getenv("GPT2WGPU_TOKENIZERS"); more != "" {
		dirs = append(dirs, more)
	}
	var out []string
	for _, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(dir, "*", "ids.jsonl"))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: no fixtures, %v", dir, err)
		}
		for _, f := range found {
			out = append(out, filepath.Dir(f))
		}
	}
	return out
}

type idsLine struct {
	Text string `json:"text"`
	IDs  []int  `json:"ids"`
}

func readIDs(t *testing.T, dir string) (lines []idsLine) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "ids.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(bytes.NewReader(raw))
	s.Buffer(nil, 1<<24)
	for s.Scan() {
		var l idsLine
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		lines = append(lines, l)
	}
	return lines
}

// TestHuggingFaceTokenizers compares ids with those of Hugging Face's AutoTokenizer and tokenizers, which agree.
func TestHuggingFaceTokenizers(t *testing.T) {
	for _, dir := range tokenizerFixtures(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			tok, err := NewTokenizer(dir)
			if err == nil {
				err = TextError(tok)
			}
			if err != nil {
				t.Fatal(err)
			}
			wrong := 0
			for _, l := range readIDs(t, dir) {
				got := tok.Encode(l.Text)
				if !slices.Equal(got, l.IDs) {
					t.Errorf("%q: %v, want %v", l.Text, got, l.IDs)
					if wrong++; wrong > 5 {
						t.FailNow()
					}
				}
				if prompt, err := EncodePrompt(tok, l.Text); err != nil || !slices.Equal(prompt, l.IDs) {
					t.Fatalf("as a prompt %q: %v, %v, want %v", l.Text, prompt, err, l.IDs)
				}
				if tok.(*bpe).gaps || tok.(*bpe).prefixSpace || strings.Contains(dir, "unknown") ||
					strings.Contains(l.Text, "<pad>") {
					continue // they don't keep the whole text
				}
				if back := tok.Decode(got); back != l.Text && !tok.(*bpe).strips() {
					t.Fatalf("%q decodes to %q", l.Text, back)
				}
				for _, chunk := range []int{1, 5} {
					parts, err := encodeChunks(tok, l.Text, chunk)
					if err != nil || !slices.Equal(widen(parts), l.IDs) {
						t.Fatalf("%q in chunks of %d: %v, %v, want %v", l.Text, chunk, parts, err, l.IDs)
					}
				}
			}
		})
	}
}

// strips reports whether an added token takes white space that is not in its text.
func (t *bpe) strips() bool {
	return slices.ContainsFunc(t.added.all, func(a addedToken) bool { return a.LStrip || a.RStrip })
}

// TestChunksOfAddedTokens cuts texts everywhere: no added token may be cut, and no white space that one takes.
func TestChunksOfAddedTokens(t *testing.T) {
	for _, name := range []string{"added", "decoder", "unsplit", "plain"} {
		dir := filepath.Join("testdata", "tokenizers", name)
		tok, err := NewTokenizer(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range readIDs(t, dir) {
			for chunk := 1; chunk < 40; chunk += 3 {
				got, err := encodeChunks(tok, l.Text, chunk)
				if err != nil || !slices.Equal(widen(got), l.IDs) {
					t.Fatalf("%s: %q in chunks of %d: %v, %v, want %v", name, l.Text, chunk, got, err, l.IDs)
				}
			}
		}
	}
}

// TestGPT2FilesAreGPT2 reads what we write: it is recognised, and not copied as a stranger's.
func TestTokenizerFilesOfOurs(t *testing.T) {
	for _, name := range []string{"gpt2", "bytes"} {
		dir := t.TempDir()
		if tok, err := FindTokenizer(dir); tok != nil || err != nil {
			t.Fatalf("an empty directory has the tokenizer %v, %v", tok, err)
		}
		if err := WriteTokenizerFiles(dir, mustTokenizer(t, name), 64); err != nil {
			t.Fatal(err)
		}
		tok, err := FindTokenizer(dir)
		if err != nil || tok == nil || tok.Name() != name {
			t.Fatalf("the files of %s are read as %v, %v", name, tok, err)
		}
	}
}

// TestForeignFilesAreCopied: what a model came with leaves as it came.
func TestForeignFilesAreCopied(t *testing.T) {
	from, to := filepath.Join("testdata", "tokenizers", "map"), t.TempDir()
	tok := mustTokenizer(t, from)
	if err := WriteTokenizerFiles(to, tok, 64); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json",
		tokenizerConfigFile} {
		want, _ := os.ReadFile(filepath.Join(from, name))
		got, err := os.ReadFile(filepath.Join(to, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs, %v", name, err)
		}
	}
	if back := mustTokenizer(t, to); !SameTokenizer(back, tok) || SameTokenizer(tok, mustTokenizer(t, "gpt2")) {
		t.Error("a copy is another tokenizer")
	}
}

// TestPromptTokens: in a prompt a special token's text is the token; in a text gpt2 and bytes spell it.
func TestPromptTokens(t *testing.T) {
	tok := mustTokenizer(t, "gpt2")
	got, err := EncodePrompt(tok, "<|endoftext|>Hello<|endoftext|>")
	if want := []int{50256, 15496, 50256}; err != nil || !slices.Equal(got, want) {
		t.Errorf("prompt %v, %v, want %v", got, err, want)
	}
	if got := tok.Encode("<|endoftext|>"); len(got) != 7 {
		t.Errorf("text %v, want its seven pieces", got)
	}
	if got, err := EncodePrompt(mustTokenizer(t, "bytes"), "<|"); err != nil || len(got) != 2 {
		t.Errorf("bytes: %v, %v", got, err)
	}
}

// TestOtherTokenizersAreRefused: a tokenizer that this program can't follow counts ids and says why it can't encode.
func TestOtherTokenizersAreRefused(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "tokenizers", "plain", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	change := func(edit func(top, model map[string]any)) string {
		var top map[string]any
		if err := json.Unmarshal(raw, &top); err != nil {
			t.Fatal(err)
		}
		edit(top, top["model"].(map[string]any))
		out, err := json.Marshal(top)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	step := func(kind string) map[string]any { return map[string]any{"type": kind} }
	for name, c := range map[string]struct {
		files map[string]string
		why   string
	}{
		"wordpiece":     {map[string]string{"vocab.txt": "[UNK]\na\n"}, "WordPiece"},
		"sentencepiece": {map[string]string{"tokenizer.model": "\n\x0e"}, "SentencePiece"},
		"no merges":     {map[string]string{"vocab.json": `{"a":0}`}, "merges.txt"},
		"no vocabulary": {map[string]string{"merges.txt": "a b\n"}, "vocab.json"},
		"cut":           {map[string]string{"tokenizer.json": string(raw[:len(raw)/2])}, "unexpected end"},
		"NaN":           {map[string]string{"vocab.json": `{"a":NaN}`, "merges.txt": ""}, "byte 5: NaN"},
		"ids as texts": {map[string]string{"vocab.json": `{"a":"0"}`, "merges.txt": ""}, "a string, want a whole " +
			"number"},
		"bad JSON":      {map[string]string{"tokenizer.json": "{"}, "bad JSON"},
		"not an object": {map[string]string{"tokenizer.json": "[]"}, "bad JSON"},
		"unigram": {map[string]string{"tokenizer.json": change(
			func(_, m map[string]any) { m["type"] = "Unigram" })}, "Unigram"},
		"normalizer": {map[string]string{"tokenizer.json": change(
			func(top, _ map[string]any) { top["normalizer"] = step("NFC") })}, "NFC"},
		"metaspace": {map[string]string{"tokenizer.json": change(
			func(top, _ map[string]any) { top["pre_tokenizer"] = step("Metaspace") })}, "Metaspace"},
		"no split": {map[string]string{"tokenizer.json": change(
			func(top, _ map[string]any) { top["pre_tokenizer"] = nil })}, "pre_tokenizer"},
		"digits": {map[string]string{"tokenizer.json": change(func(top, _ map[string]any) {
			top["pre_tokenizer"] = map[string]any{"type": "Sequence", "pretokenizers": []any{step("Digits"),
				step("ByteLevel")}}
		})}, "Digits"},
		"another pattern": {map[string]string{"tokenizer.json": change(func(top, _ map[string]any) {
			split := map[string]any{"type": "Split", "pattern": map[string]any{"Regex": `\d{1,3}`},
				"behavior": "Isolated", "invert": false}
			top["pre_tokenizer"] = map[string]any{"type": "Sequence", "pretokenizers": []any{split, step("ByteLevel")}}
		})}, "pattern"},
		"template": {map[string]string{"tokenizer.json": change(
			func(top, _ map[string]any) { top["post_processor"] = step("TemplateProcessing") })}, "TemplateProcessing"},
		"a token in front": {map[string]string{"tokenizer.json": change(func(top, _ map[string]any) {
			top["post_processor"] = map[string]any{"type": "Sequence", "processors": []any{step("ByteLevel"),
				map[string]any{"type": "TemplateProcessing",
					"single": []any{map[string]any{"SpecialToken": map[string]any{"id": "<|endoftext|>"}}, sequenceA}}}}
		})}, "Sequence"},
		"bos": {map[string]string{"tokenizer.json": string(raw),
			"tokenizer_config.json": `{"add_bos_token":true}`}, "add_bos_token"},
		"dropout": {map[string]string{"tokenizer.json": change(func(_, m map[string]any) { m["dropout"] = 0.1 })},
			"dropout"},
		"end of word": {map[string]string{"tokenizer.json": change(
			func(_, m map[string]any) { m["end_of_word_suffix"] = "</w>" })}, "end_of_word_suffix"},
		"wide ids": {map[string]string{"tokenizer.json": change(
			func(_, m map[string]any) { m["vocab"].(map[string]any)["zz"] = 65536 })}, "65536"},
		"lost merge": {map[string]string{"tokenizer.json": change(
			func(_, m map[string]any) { m["merges"] = []any{[]any{"z", "z"}} })}, "merge 0"},
		"another class": {map[string]string{"vocab.json": `{"a":0}`, "merges.txt": "",
			"tokenizer_config.json": `{"tokenizer_class":"CLIPTokenizer"}`}, "CLIPTokenizer"},
		"two prefixes": {map[string]string{"tokenizer.json": string(raw),
			"tokenizer_config.json": `{"tokenizer_class":"PreTrainedTokenizerFast","add_prefix_space":true}`},
			"add_prefix_space"},
		"two ids": {map[string]string{"tokenizer.json": string(raw),
			"tokenizer_config.json": `{"added_tokens_decoder":{"7":{"content":"<|endoftext|>"}}}`}, "<|endoftext|>"},
	} {
		dir := t.TempDir()
		for file, content := range c.files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		tok, err := NewTokenizer(dir)
		if err != nil {
			t.Errorf("%s: %v, want a tokenizer of ids", name, err)
			continue
		}
		if err := TextError(tok); err == nil || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(),
			"hint:") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want a line that names %s", name, err, c.why)
		}
		if _, err := encodeText(tok, "text"); err == nil {
			t.Errorf("%s: text is encoded", name)
		}
		if _, err := EncodePrompt(tok, "text"); err == nil {
			t.Errorf("%s: a prompt is encoded", name)
		}
		if got := tok.Decode([]int{7, 5}); got != "7 5 " {
			t.Errorf("%s: ids print as %q", name, got)
		}
		out := t.TempDir()
		if err := WriteTokenizerFiles(out, tok, 8); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if files, err := readTokenizerFiles(out); err != nil || !slices.Equal(slices.Sorted(maps.Keys(files)),
			slices.Sorted(maps.Keys(c.files))) {
			t.Errorf("%s: %d files are copied of %d, %v", name, len(files), len(c.files), err)
		}
	}
	lfs := t.TempDir()
	os.WriteFile(filepath.Join(lfs, "vocab.json"), []byte("version https://git-lfs.github.com/spec/v1\n"), 0o644)
	for _, spec := range []string{"gpt3", "", "no/such/dir", t.TempDir(), lfs, filepath.Join("testdata", "tokenizers",
		"make.py")} {
		if tok, err := NewTokenizer(spec); err == nil || !strings.Contains(err.Error(), "hint:") {
			t.Errorf("%q: %v, %v, want an error with a hint", spec, tok, err)
		}
	}
}

func TestModelTokenizer(t *testing.T) {
	own, empty, wordpiece := filepath.Join("testdata", "tokenizers", "plain"), t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(wordpiece, "vocab.txt"), []byte("[UNK]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		flag, stated, path string
		vocab              int
		want               string // a name, or with a blank a part of the error
	}{
		{"", "", empty, 256, "bytes"},
		{"", "", empty, 300, "ids"},
		{"", "", empty, 32000, "ids"},
		{"", "", empty, 50257, "gpt2"},
		{"", "", empty, 50304, "gpt2"},
		{"", "bytes", empty, 50304, "bytes"},
		{"", "ids", empty, 50304, "ids"},
		{"gpt2", "", empty, 32000, "gpt2"},
		{"bytes", "", empty, 50257, "bytes"}, // the size is a guess
		{"", "", own, 500, own},
		{"", "runs/of/old", own, 500, own}, // a checkpoint has the files beside it
		{own, "", own, 500, own},
		{own + "/tokenizer.json", "", own, 500, own},
		{"ids", "", own, 500, "ids"},
		{"gpt2", "", own, 50257, "--tokenizer is gpt2, the weights"},
		{"bytes", "", wordpiece, 30522, "--tokenizer is bytes, the weights"},
		{own, "", wordpiece, 30522, own},
		{"", "", wordpiece, 50257, wordpiece},
		{"gpt2", "bytes", empty, 256, "--tokenizer is gpt2, the weights"},
		{"", "words", empty, 256, "the checkpoint's tokenizer"},
		{"words", "", empty, 256, `--tokenizer "words": no such tokenizer`},
	} {
		tok, err := ModelTokenizer(x.flag, x.stated, x.path, x.vocab)
		if err != nil && (!strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), "hint:")) ||
			err == nil && tok.Name() != x.want {
			t.Errorf("%+v: %v, %v", x, tok, err)
		}
	}
}

// sequenceA is the text in a template.
var sequenceA = map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}

// TestEmptyTemplate: transformers 5 saves GPT-2's tokenizer with a post-processor that adds nothing.
func TestEmptyTemplate(t *testing.T) {
	plain := filepath.Join("testdata", "tokenizers", "plain")
	raw, err := os.ReadFile(filepath.Join(plain, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	template := map[string]any{"type": "TemplateProcessing", "single": []any{sequenceA},
		"special_tokens": map[string]any{}}
	for name, processor := range map[string]any{
		"template": template, "in a sequence": map[string]any{"type": "Sequence",
			"processors": []any{map[string]any{"type": "ByteLevel"}, template}},
	} {
		var top map[string]any
		if err := json.Unmarshal(raw, &top); err != nil {
			t.Fatal(err)
		}
		top["post_processor"] = processor
		out, err := json.Marshal(top)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), out, 0o666); err != nil {
			t.Fatal(err)
		}
		tok, err := NewTokenizer(dir)
		if err == nil {
			err = TextError(tok)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, l := range readIDs(t, plain) {
			if got := tok.Encode(l.Text); !slices.Equal(got, l.IDs) {
				t.Errorf("%s: %q: %v, want %v", name, l.Text, got, l.IDs)
			}
		}
	}
}

// A directory that is called as a tokenizer is has its own one, of the same size: here two ids have changed places.
func TestDirectoryNamedAsTokenizer(t *testing.T) {
	t.Chdir(t.TempDir())
	gpt2, err := NewTokenizer("gpt2")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("gpt2", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := WriteTokenizerFiles("gpt2", gpt2, 1024); err != nil {
		t.Fatal(err)
	}
	vocab, err := os.ReadFile("gpt2/vocab.json")
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(vocab), `"!": 0, "\"": 1`, `"!": 1, "\"": 0`, 1)
	if err := os.WriteFile("gpt2/vocab.json", []byte(other), 0o666); err != nil {
		t.Fatal(err)
	}
	tok, err := ModelTokenizer("", "", "gpt2", gpt2Vocab)
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.Encode("!"); !slices.Equal(got, []int{1}) {
		t.Errorf("! is %v in the directory's tokenizer, want [1]", got)
	}
	again, err := NewTokenizer(tok.Name())
	if err != nil || !SameTokenizer(again, tok) || SameTokenizer(tok, gpt2) {
		t.Errorf("%q: the name of another tokenizer (%v)", tok.Name(), err)
	}
}
