package data

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shardsOf makes shards of a text with a tokenizer and returns their directory.
func shardsOf(t *testing.T, tok Tokenizer, text string) string {
	t.Helper()
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	if err := os.WriteFile(in, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	if _, err := Tokenize(context.Background(), []string{in}, TokenizeOptions{Out: out, Name: "own",
		Tokenizer: tok}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestShardsSayTheirTokenizer: shards are read with the tokenizer that made them; another one is refused.
func TestShardsSayTheirTokenizer(t *testing.T) {
	foreign := mustTokenizer(t, filepath.Join("testdata", "tokenizers", "added"))
	other := mustTokenizer(t, filepath.Join("testdata", "tokenizers", "plain"))
	text := SampleText()[:20000]
	for _, x := range []struct {
		tok, wrong Tokenizer
	}{
		{mustTokenizer(t, "gpt2"), mustTokenizer(t, "bytes")},
		{mustTokenizer(t, "bytes"), mustTokenizer(t, "gpt2")},
		{foreign, mustTokenizer(t, "gpt2")},
		{foreign, other},
	} {
		dir := shardsOf(t, x.tok, text)
		shards, err := filepath.Glob(filepath.Join(dir, "*.npy"))
		if err != nil || len(shards) != 2 {
			t.Fatalf("%v, %v", shards, err)
		}
		for _, spec := range []string{dir, shards[0], filepath.Join(dir, "*.npy")} {
			said, err := TokenizerOf(spec)
			if err != nil {
				t.Fatal(err)
			}
			got := mustTokenizer(t, said)
			if !SameTokenizer(got, x.tok) {
				t.Errorf("%s: made with %s, says %s", spec, x.tok.Name(), said)
			}
			if c, err := Open(spec, got, 0, nil); err != nil {
				t.Errorf("%s with its own tokenizer: %v", spec, err)
			} else {
				c.Close()
			}
			if c, err := Open(spec, mustTokenizer(t, "ids"), 0, nil); err != nil {
				t.Errorf("%s by ids: %v", spec, err)
			} else {
				c.Close()
			}
			_, err = Open(spec, x.wrong, 0, nil)
			if err == nil || !strings.Contains(err.Error(), "hint: --tokenizer "+said) {
				t.Errorf("%s, made with %s, opened with %s: %v", spec, x.tok.Name(), x.wrong.Name(), err)
			}
			for _, o := range []Option{OfModel(), WithSplit(Val)} { // where --tokenizer would be refused
				if _, err = Open(spec, x.wrong, 0, nil, o); err == nil || !strings.Contains(err.Error(),
					"hint: make shards of the text with gpt2wgpu data tokenize --tokenizer "+x.wrong.Name()) {
					t.Errorf("%s, made with %s, opened with the model's %s: %v", spec, x.tok.Name(), x.wrong.Name(),
						err)
				}
			}
		}
		info, err := Info(shards[1])
		if err != nil || !strings.Contains(text, strings.TrimPrefix(strings.TrimPrefix(info.Text, endOfText), " ")) {
			t.Errorf("%s: %+v, %v", shards[1], info, err)
		}
		again := TokenizeOptions{Out: dir, Name: "own", Tokenizer: x.wrong}
		if _, err := Tokenize(context.Background(), []string{filepath.Join(filepath.Dir(dir), "in.txt")},
			again); err == nil || !strings.Contains(err.Error(), "other options") {
			t.Errorf("shards of two tokenizers in one directory: %v", err)
		}
	}
}

// TestShardsWithoutManifest: ids show which tokenizers can't have made them.
func TestShardsWithoutManifest(t *testing.T) {
	write := func(ids []uint16) string {
		path := filepath.Join(t.TempDir(), "x.npy")
		raw := npyHead(int64(len(ids)))
		for _, id := range ids {
			raw = append(raw, byte(id), byte(id>>8))
		}
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wide, narrow, alien := make([]uint16, 400), make([]uint16, 400), make([]uint16, 400)
	wide[7], alien[9] = 300, 60000
	var log bytes.Buffer
	open := func(path, tok string, vocab int) error {
		log.Reset()
		c, err := Open(path, mustTokenizer(t, tok), vocab, slog.New(slog.NewTextHandler(&log, nil)))
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := open(write(wide), "bytes", 50257); err == nil || !strings.Contains(err.Error(), "--tokenizer gpt2") ||
		strings.Contains(err.Error(), "--vocab-size") {
		t.Errorf("ids of gpt2 as bytes: %v", err)
	}
	if err := open(write(alien), "bytes", 65000); err == nil || !strings.Contains(err.Error(), "--tokenizer DIR") {
		t.Errorf("ids of neither as bytes: %v", err)
	}
	if err := open(write(narrow), "gpt2", 50257); err != nil || !strings.Contains(log.String(), "--tokenizer bytes") {
		t.Errorf("ids of bytes as gpt2: %v, logged %q", err, log.String())
	}
	if err := open(write(wide), "gpt2", 50257); err != nil || strings.Contains(log.String(), "WARN") {
		t.Errorf("ids of gpt2: %v, logged %q", err, log.String())
	}
	if err := open(write(narrow), "bytes", 256); err != nil || strings.Contains(log.String(), "WARN") {
		t.Errorf("ids of bytes: %v, logged %q", err, log.String())
	}
	// Ids that a model lacks: neither hint leads to a flag that eval lacks.
	if c, err := Open(write(alien), mustTokenizer(t, "ids"), 257, nil, OfModel()); err == nil ||
		!strings.Contains(err.Error(), "take shards that its own tokenizer has made") {
		t.Errorf("shards: %v, %v", c, err)
	}
	text := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(text, []byte("some words"), 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err := Open(text, mustTokenizer(t, "gpt2"), 257, nil, WithSplit(Val)); err == nil ||
		!strings.Contains(err.Error(), "--tokenizer with the model's own") {
		t.Errorf("a text: %v, %v", c, err)
	}
	for spec, want := range map[string]string{write(wide): "gpt2", write(narrow): "", write(alien): "", "sample": "",
		"fineweb-edu": "gpt2", "tinystories": "gpt2", "no/such": "", t.TempDir(): ""} {
		if got, err := TokenizerOf(spec); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", spec, got, err, want)
		}
	}
}

// TestForeignShards: a text that is read in chunks gives the ids of the whole, added tokens at the borders included.
func TestForeignShards(t *testing.T) {
	tok := mustTokenizer(t, filepath.Join("testdata", "tokenizers", "added"))
	text := strings.Repeat("The king <sep><sep>\n <mask> user<|user|>don't <pad>  \n", 2000)
	path := filepath.Join(t.TempDir(), "in.txt")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	want := tok.Encode(text)
	for _, size := range []int{17, 100, 4096} {
		var ids []uint16
		for c, err := range identified(t, path).chunks(position{}, "", tok, size) {
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range c.docs {
				if ids, err = appendPart(tok, ids, d.text, d.begin); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !slices.Equal(widen(ids), want) {
			t.Errorf("chunks of %d bytes give %d ids that differ from the whole's %d", size, len(ids), len(want))
		}
	}
}
