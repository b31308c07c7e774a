package data

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/lock"
	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// tree writes files by name, whose content says which they are, and returns their directory.
func tree(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, n := range names {
		path := filepath.Join(dir, filepath.FromSlash(n))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		text := strings.Repeat(mark(n)+" ", 40)
		switch filepath.Ext(n) {
		case ".jsonl":
			write(t, path, jsonLines(text))
		case ".parquet":
			parquetFile(t, path, 10, false, text)
		case ".npy":
			write(t, path, npyFile(tokensOfText(t, text)...))
		default:
			write(t, path, []byte(text))
		}
	}
	return dir
}

// mark is a word that stands for a file in the text that comes out.
func mark(name string) string {
	return "<" + strings.ToLower(strings.NewReplacer("/", "_", "-", "_", ".", "_").Replace(name)) + ">"
}

func tokensOfText(t testing.TB, text string) (ids []uint16) {
	for _, id := range mustTokenizer(t, "bytes").Encode(text) {
		ids = append(ids, uint16(id))
	}
	return ids
}

var marks = regexp.MustCompile(`<[a-z0-9_]+>`)

// filesIn returns the files whose marks ids hold, in their order.
func markedIn(t testing.TB, ids []uint16) string {
	var found []string
	for _, m := range marks.FindAllString(mustTokenizer(t, "bytes").Decode(widen(ids)), -1) {
		if len(found) == 0 || found[len(found)-1] != m {
			found = append(found, m)
		}
	}
	return strings.Join(found, " ")
}

// splitCases are the ways in which data sets name their splits. What train and val hold is written as the files' names.
var splitCases = []struct {
	files            string
	train, val, left string
}{
	{"train.txt valid.txt test.txt", "train.txt", "valid.txt", "test.txt"},
	{"train.txt test.txt", "train.txt", "test.txt", ""},
	{"train.md validation.md", "train.md", "validation.md", ""},
	{"train-00000-of-00002.txt train-00001-of-00002.txt validation-00000-of-00001.txt", "train-00000-of-00002.txt " +
		"train-00001-of-00002.txt", "validation-00000-of-00001.txt", ""},
	{"train/0.txt train/sub/1.txt validation/0.txt test/0.txt", "train/0.txt train/sub/1.txt", "validation/0.txt",
		"test/0.txt"},
	{"data/train/0.txt data/test/0.txt", "data/train/0.txt", "data/test/0.txt", ""},
	{"Train.txt VAL.txt", "Train.txt", "VAL.txt", ""},
	{"TinyStories-train.txt TinyStories-valid.txt", "TinyStories-train.txt", "TinyStories-valid.txt", ""},
	{"wiki.train.txt wiki.dev.txt", "wiki.train.txt", "wiki.dev.txt", ""},
	{"train.txt eval.txt", "train.txt", "eval.txt", ""},
	{"train.txt notes.txt", "train.txt", "", "notes.txt"},
	{"book.txt valid.txt", "book.txt", "valid.txt", ""},
	{"train.txt val.txt notes.txt test.txt", "train.txt", "val.txt", "notes.txt test.txt"},
	{"training.txt dev.txt", "training.txt", "dev.txt", ""},
	{"medieval.txt modern.txt", "medieval.txt modern.txt", "", ""},
	{"training.md dev-notes.md evaluation.md intro.md", "dev-notes.md evaluation.md intro.md training.md", "", ""},
	{"constrain.txt evaluate.txt trainer.txt validate.txt contest.txt", "constrain.txt contest.txt evaluate.txt " +
		"trainer.txt validate.txt", "", ""},
	{"a.txt b.md", "a.txt b.md", "", ""},
	{"README.md book.txt", "README.md book.txt", "", ""},
}

func asMarks(files string) string {
	var m []string
	for _, f := range strings.Fields(files) {
		m = append(m, mark(f))
	}
	return strings.Join(m, " ")
}

// TestSplitFilesOpen: --data DIR and --data GLOB.
func TestSplitFilesOpen(t *testing.T) {
	tok := mustTokenizer(t, "bytes")
	for _, c := range splitCases {
		dir := tree(t, strings.Fields(c.files)...)
		specs := []string{dir}
		if !strings.Contains(c.files, "/") {
			specs = append(specs, filepath.Join(dir, "*"))
		}
		for _, spec := range specs {
			p, err := Find(spec)
			if err != nil {
				t.Errorf("%s: %v", c.files, err)
				continue
			}
			if !p.Texts || (p.Validation() != nil) != (c.val != "") {
				t.Errorf("%s: %+v", c.files, p)
			}
			var log bytes.Buffer
			train, err := Open(spec, tok, 256, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Errorf("%s: %v", c.files, err)
				continue
			}
			if got := markedIn(t, all(train)); got != asMarks(c.train) {
				t.Errorf("%s: trains on %s, want %s", c.files, got, c.train)
			}
			if c.val != "" {
				if got := markedIn(t, all(mustOpen(t, spec, tok, 256, WithSplit(Val)))); got != asMarks(c.val) {
					t.Errorf("%s: validates on %s, want %s", c.files, got, c.val)
				}
			}
			for _, l := range strings.Fields(c.left) {
				if !strings.Contains(log.String(), "left out: ") || !strings.Contains(log.String(), filepath.Base(l)) {
					t.Errorf("%s: %s is left out silently: %s", c.files, l, &log)
				}
			}
		}
	}
}

// TestSplitFilesTokenize: data tokenize DIR, and the files or folders one by one; in all formats.
func TestSplitFilesTokenize(t *testing.T) {
	tok := mustTokenizer(t, "bytes")
	for _, ext := range []string{"", ".jsonl", ".parquet"} {
		cases := splitCases
		if ext != "" {
			cases = cases[:6] // the names decide, whatever the format
		}
		for _, c := range cases {
			if ext != "" {
				change := strings.NewReplacer(".txt", ext, ".md", ext)
				c.files, c.train, c.val, c.left = change.Replace(c.files), change.Replace(c.train),
					change.Replace(c.val), change.Replace(c.left)
			}
			dir := tree(t, strings.Fields(c.files)...)
			var each []string
			for _, n := range dirNames(dir) {
				each = append(each, filepath.Join(dir, n))
			}
			for _, in := range [][]string{{dir}, each} {
				if len(in) == 1 && in[0] != dir && strings.Contains(c.files, "/") {
					continue // a single folder is a directory
				}
				out := t.TempDir()
				var log bytes.Buffer
				r, err := Tokenize(context.Background(), in, TokenizeOptions{Out: out, Name: "x", Tokenizer: tok,
					Log: slog.New(slog.NewTextHandler(&log, nil))})
				if err != nil {
					t.Errorf("%s: %v", c.files, err)
					continue
				}
				train, val := tokensOf(t, out), tokensOf(t, out, WithSplit(Val))
				if c.val == "" { // the first tenth, of the first file
					train, val = append(val, train...), nil
				}
				if got := markedIn(t, train); got != asMarks(c.train) {
					t.Errorf("%s: trains on %s, want %s", c.files, got, c.train)
				}
				if got := markedIn(t, val); got != asMarks(c.val) {
					t.Errorf("%s: validates on %s, want %s", c.files, got, c.val)
				}
				if c.val != "" && r.ValTokens != int64(len(val)) || r.Tokens != int64(len(tokensOf(t, out))+
					len(tokensOf(t, out, WithSplit(Val)))) {
					t.Errorf("%s: %+v", c.files, r)
				}
				for _, l := range strings.Fields(c.left) {
					if !strings.Contains(log.String(), "left out: ") || !strings.Contains(log.String(),
						filepath.Base(l)) {
						t.Errorf("%s: %s is left out silently: %s", c.files, l, &log)
					}
				}
				// The same command again finds everything done.
				again, err := Tokenize(context.Background(), in, TokenizeOptions{Out: out, Name: "x", Tokenizer: tok})
				if err != nil || again.Resumed != len(r.Shards) || again.Tokens != r.Tokens {
					t.Errorf("%s again: %+v, %v", c.files, again, err)
				}
			}
		}
	}
}

// TestSplitShards: shards go by the same words, and in folders; an unnamed pair of files is none.
func TestSplitShards(t *testing.T) {
	for files, want := range map[string][2]string{
		"medieval_0.npy modern_0.npy":                 {"medieval_0.npy modern_0.npy", ""},
		"x_val_000000.npy x_train_000001.npy":         {"x_train_000001.npy", "x_val_000000.npy"},
		"train/0.npy val/0.npy":                       {"train/0.npy", "val/0.npy"},
		"tokens.npy val.npy":                          {"tokens.npy", "val.npy"},
		"train.npy val.npy readme.md":                 {"train.npy", "val.npy"},
		"train_val_000000.npy train_train_000001.npy": {"train_train_000001.npy", "train_val_000000.npy"},
		"test_0.npy train_0.npy":                      {"train_0.npy", "test_0.npy"},
	} {
		dir := tree(t, strings.Fields(files)...)
		p, err := Find(dir)
		if err != nil || p.Texts {
			t.Errorf("%s: %+v, %v", files, p, err)
			continue
		}
		if got := markedIn(t, tokensOf(t, dir)); got != asMarks(want[0]) {
			t.Errorf("%s: trains on %s, want %s", files, got, want[0])
		}
		if (p.Validation() != nil) != (want[1] != "") {
			t.Errorf("%s: validation %v, want %s", files, p.Validation(), want[1])
		} else if want[1] != "" {
			if got := markedIn(t, tokensOf(t, dir, WithSplit(Val))); got != asMarks(want[1]) {
				t.Errorf("%s: validates on %s, want %s", files, got, want[1])
			}
		}
	}
}

// TestOnlyTest: a directory of test data is refused for training; its files are accepted one by one.
func TestOnlyTest(t *testing.T) {
	for _, files := range []string{"test.txt", "test-0.txt test-1.txt", "test/a.txt", "validation.txt"} {
		dir := tree(t, strings.Fields(files)...)
		_, err := Open(dir, mustTokenizer(t, "bytes"), 256, nil)
		_, err2 := Tokenize(context.Background(), []string{dir}, TokenizeOptions{Out: t.TempDir()})
		for _, err := range []error{err, err2} {
			if err == nil || !strings.Contains(err.Error(), "by their names") || !strings.Contains(err.Error(),
				"hint: ") {
				t.Errorf("%s: %v", files, err)
			}
		}
	}
	dir := tree(t, "test-0.txt", "test-1.txt")
	if got := markedIn(t, all(mustOpen(t, filepath.Join(dir, "test-*"), mustTokenizer(t, "bytes"),
		256))); got != asMarks("test-0.txt test-1.txt") {
		t.Errorf("a glob of test files: %s", got)
	}
	mustTokenize(t, []string{filepath.Join(dir, "test-0.txt"), filepath.Join(dir, "test-1.txt")},
		TokenizeOptions{Out: t.TempDir()})
}

func TestSplitsAndValTokens(t *testing.T) {
	dir := tree(t, "train.txt", "valid.txt")
	tok := mustTokenizer(t, "bytes")
	_, err := Tokenize(context.Background(), []string{dir}, TokenizeOptions{Out: t.TempDir(), Tokenizer: tok,
		ValTokens: 5})
	if err == nil || !strings.Contains(err.Error(), "valid.txt") || !strings.Contains(err.Error(), "--val-tokens -1") {
		t.Errorf("%v", err)
	}
	out := t.TempDir()
	if r := mustTokenize(t, []string{dir}, TokenizeOptions{Out: out, Tokenizer: tok,
		ValTokens: -1}); r.ValTokens != 0 || markedIn(t, tokensOf(t, out)) != asMarks("train.txt") {
		t.Errorf("%+v", r)
	}
}

// TestDataSetCard: the README beside a data set's files is not part of it.
func TestDataSetCard(t *testing.T) {
	for _, files := range []string{"README.md LICENSE.txt a.jsonl b.jsonl", "README.md train.parquet " +
		"validation.parquet"} {
		out := t.TempDir()
		var log bytes.Buffer
		mustTokenize(t, []string{tree(t, strings.Fields(files)...)}, TokenizeOptions{Out: out,
			Tokenizer: mustTokenizer(t, "bytes"), Log: slog.New(slog.NewTextHandler(&log, nil))})
		if got := markedIn(t, append(tokensOf(t, out, WithSplit(Val)), tokensOf(t, out)...)); strings.Contains(got,
			"readme") || strings.Contains(got, "license") || !strings.Contains(log.String(), "left out: README.md") &&
			!strings.Contains(log.String(), "README.md") {
			t.Errorf("%s: %s, log %s", files, got, &log)
		}
	}
}

// TestJoinedTexts: the texts of a directory are one sequence, however short each is.
func TestJoinedTexts(t *testing.T) {
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("n%02d.md", i))
	}
	dir := tree(t, names...)
	write(t, filepath.Join(dir, "empty.txt"))
	for name, eots := range map[string]int{"bytes": 0, "gpt2": 20} {
		tok := mustTokenizer(t, name)
		c := mustOpen(t, dir, tok, 50257)
		if len(c.shards) != 1 {
			t.Fatalf("%s: %d shards, want 1", name, len(c.shards))
		}
		n := 0
		for _, id := range all(c) {
			if id == gpt2EOT {
				n++
			}
		}
		if n != eots {
			t.Errorf("%s: %d times <|endoftext|>, want %d", name, n, eots)
		}
	}
	tok := mustTokenizer(t, "bytes")
	write(t, filepath.Join(dir, "z.npy"), npyFile(1, 2, 3))
	if c := mustOpen(t, filepath.Join(dir, "[nz]*"), tok, 256, Joined()); len(c.shards) != 21 {
		t.Errorf("texts and a shard: %d shards, want 21", len(c.shards))
	}
	if c := mustOpen(t, filepath.Join(dir, "n*"), tok, 256); len(c.shards) != 20 {
		t.Errorf("a glob: %d shards, want 20", len(c.shards))
	}
	if c := mustOpen(t, filepath.Join(dir, "n*"), tok, 256, Joined()); len(c.shards) != 1 {
		t.Errorf("a glob, joined: %d shards, want 1", len(c.shards))
	}
}

func TestCleanTexts(t *testing.T) {
	dir := t.TempDir()
	tok := mustTokenizer(t, "gpt2")
	for _, name := range []string{"a.txt", "a.md", "A.TXT"} {
		path := write(t, filepath.Join(dir, name), []byte("\ufeffHello there"))
		want := expected(tok, "Hello there")
		if got := all(mustOpen(t, path, tok, 50257)); !equal(got, want[1:]) {
			t.Errorf("%s: %v, want %v", name, got, want[1:])
		}
		out := t.TempDir()
		mustTokenize(t, []string{path}, TokenizeOptions{Out: out, ValTokens: -1})
		if got := tokensOf(t, out); !equal(got, want) {
			t.Errorf("tokenize %s: %v, want %v", name, got, want)
		}
	}
}

func equal(a, b []uint16) bool { return bytes.Equal(tokenBytes(a...), tokenBytes(b...)) }

// TestTextsReport: what a text is not is said once, in every format.
func TestTextsReport(t *testing.T) {
	dir := t.TempDir()
	null := parquetFile(t, filepath.Join(dir, "null.parquet"), 2, true, "a", "", "b", "")
	bad := parquetFile(t, filepath.Join(dir, "bad.parquet"), 2, false, "good", "caf\xe9 bar")
	for _, c := range []struct {
		path  string
		docs  int64
		nulls int64
		wrong int64
		says  []string
	}{
		{write(t, filepath.Join(dir, "n.jsonl"), []byte(`{"text":"a"}`+"\n"+`{"text":null}`+"\n"+`{"text": null }`+"\n"+
			`{"text":"b"}`)), 2, 2, 0, []string{"null texts", "nulls=2"}},
		{null, 2, 2, 0, []string{"null texts", "nulls=2"}},
		{write(t, filepath.Join(dir, "l.jsonl"), []byte("{\"text\":\"x\"}\n{\"text\":\"caf\xe9 \xff\"}\n")), 2, 0, 2,
			[]string{"isn't valid UTF-8", "first_at=13"}},
		{write(t, filepath.Join(dir, "s.jsonl"), []byte(
			`{"text":"\ud83d and \ude00\ud83d, \\ud83d, \ud83d\ude00, \ufffd"}`)), 1, 0, 3,
			[]string{"isn't valid UTF-8", "first_at=0"}},
		{write(t, filepath.Join(dir, "ok.jsonl"), []byte(`{"text":"\\ud83d, \ud83d\ude00, \ufffd, \"\\"}`+"\n"+
			`{"text":"`+"\ufffd"+`"}`)), 2, 0, 0, nil},
		{bad, 2, 0, 1, []string{"isn't valid UTF-8", "first_row=1"}},
		{write(t, filepath.Join(dir, "l.md"), []byte("caf\xe9 bar")), 1, 0, 1, []string{"isn't valid UTF-8",
			"first_at=3"}},
		{write(t, filepath.Join(dir, "e.txt"), []byte("one<|endoftext|>two<|endoftext|>")), 1, 0, 0,
			[]string{"<|endoftext|>", "--separator", "times=2"}},
		{write(t, filepath.Join(dir, "e.jsonl"), []byte(`{"text":"one<|endoftext|>two"}`)), 1, 0, 0,
			[]string{"<|endoftext|>", "--separator", "times=1"}},
	} {
		var log bytes.Buffer
		r := mustTokenize(t, []string{c.path}, TokenizeOptions{Out: t.TempDir(), ValTokens: -1,
			Log: slog.New(slog.NewTextHandler(&log, nil))})
		if r.Documents != c.docs || r.Nulls != c.nulls || r.InvalidUTF8 != c.wrong {
			t.Errorf("%s: %+v, want %d documents, %d nulls, %d invalid", c.path, r, c.docs, c.nulls, c.wrong)
		}
		if n := strings.Count(log.String(), "level=WARN"); n != min(1, len(c.says)) {
			t.Errorf("%s: %d warnings: %s", c.path, n, &log)
		}
		for _, s := range c.says {
			if !strings.Contains(log.String(), s) {
				t.Errorf("%s: log %s, want %q", c.path, &log, s)
			}
		}
	}
	var log bytes.Buffer
	c, err := Open(filepath.Join(dir, "e.txt"), mustTokenizer(t, "bytes"), 256,
		slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil || !strings.Contains(log.String(), "--tokenizer bytes --out DIR") {
		t.Errorf("%v, log %s", err, &log)
	}
	c.Close()
	// With the separator there is nothing to warn of.
	log.Reset()
	if r := mustTokenize(t, []string{filepath.Join(dir, "e.txt")}, TokenizeOptions{Out: t.TempDir(), ValTokens: -1,
		Separator: "<|endoftext|>", Log: slog.New(slog.NewTextHandler(&log, nil))}); r.Documents != 2 ||
		strings.Contains(log.String(), "WARN") {
		t.Errorf("%+v, log %s", r, &log)
	}
}

// TestExactKeys: the field is "text", in this case only, and of two the last.
func TestExactKeys(t *testing.T) {
	for line, want := range map[string]string{
		`{"text":"the real text","Text":"SHOUTED"}`:              "the real text",
		`{"TEXT":"SHOUTED","text":"the real text","teXt":"odd"}`: "the real text",
		`{"text":"first","text":"last"}`:                         "last",
	} {
		out := t.TempDir()
		mustTokenize(t, []string{write(t, filepath.Join(t.TempDir(), "k.jsonl"), []byte(line))},
			TokenizeOptions{Out: out, ValTokens: -1, Tokenizer: mustTokenizer(t, "bytes")})
		if got := mustTokenizer(t, "bytes").Decode(widen(tokensOf(t, out))); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// TestTrueCauses: an error names what a file is in the place of data, in one line, without a Go type.
func TestTrueCauses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string { return write(t, filepath.Join(dir, name), []byte(content)) }
	const lfs = "version https://git-lfs.github.com/spec/v1\noid " +
		"sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
	nano := string(tokenBytes(count(5000, 4000)...))
	for _, c := range []struct {
		path string
		want []string
	}{
		{file("l.parquet", lfs), []string{"Git LFS pointer", "git lfs pull"}},
		{file("l.npy", lfs), []string{"Git LFS pointer"}},
		{file("l.bin", lfs), []string{"Git LFS pointer"}},
		{file("l.txt", lfs), []string{"Git LFS pointer"}},
		{file("l.md", lfs), []string{"Git LFS pointer"}},
		{file("l.jsonl", lfs), []string{"Git LFS pointer"}},
		{file("page.bin", "<!DOCTYPE html><html></html>"), []string{"web page"}},
		{file("page.parquet", "<html></html>"), []string{"web page"}},
		{file("z.jsonl", "\x1f\x8b\x08\x00abc"), []string{"gzip", "gunzip"}},
		{file("z.txt", "\x28\xb5\x2f\xfdabc"), []string{"zstd"}},
		{file("train.bin", nano), []string{"nanoGPT", "header", "np.save", "train.npy", "20240520"}},
		{file("small.bin", string(tokenBytes('h', 'i'))), []string{"nanoGPT", "np.save"}},
		{file("text.bin", "A text, which somebody renamed."), []string{"looks like text", ".txt"}},
		{file("torch.bin", "PK\x03\x04abcdefgh"), []string{"PyTorch", "--init"}},
		{file("odd.bin", "\xff\xff\xff\xff123"), []string{"no llm.c"[3:], "nanoGPT"}},
		{file("a.jsonl", "[1, 2]\n"), []string{"byte 0", "a list", "want an object", "jq"}},
		{file("pretty.jsonl", "[\n  {\"text\": \"a\"}\n]\n"), []string{"jq"}},
		{file("object.jsonl", "{\n  \"text\": \"a\"\n}\n"), []string{"byte", "jq"}},
		{file("n.jsonl", `{"text": 5}`), []string{`"text" is a number, want a string`}},
		{file("o.jsonl", `{"text": {"a": 1}}`), []string{`"text" is an object, want a string`}},
		{file("b.jsonl", `{"text": true}`), []string{`"text" is true or false`}},
		{file("w.jsonl", `"text"`), []string{"a string, want an object"}},
		{file("nan.jsonl", `{"score": NaN, "text": "a"}`), []string{"NaN, which JSON does not have (Python", "null"}},
		{file("case.jsonl", `{"TEXT": "x"}`), []string{`no field "text"`}},
		{file("q.jsonl", `{'text': 'x'}`), []string{"byte 1"}},
		{file("utf16.txt", "\xff\xfeh\x00i\x00"), []string{"UTF-16", "iconv"}},
		{file("list.json", `[{"text": "a"}]`), []string{".json", "jsonl"}},
		{file("t.csv", "text\na\n"), []string{".csv", "to_parquet"}},
	} {
		_, err := Tokenize(context.Background(), []string{c.path}, TokenizeOptions{Out: t.TempDir(), ValTokens: -1})
		if !isText(c.path) && isShard(filepath.Base(c.path)) {
			var corpus *Corpus
			if corpus, err = Open(c.path, mustTokenizer(t, "gpt2"), 0, nil); err == nil {
				corpus.Close()
			}
		}
		if err == nil {
			t.Errorf("%s: no error", c.path)
			continue
		}
		for _, w := range append(c.want, "hint: ", filepath.Base(c.path)) {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", c.path, err, w)
			}
		}
		for _, alien := range []string{"Go ", "struct", "map[", "json: cannot", "\n", "RawMessage"} {
			if strings.Contains(err.Error(), alien) {
				t.Errorf("%s: %v has %q in it", c.path, err, alien)
			}
		}
	}
	// The command of the hint makes what it says: the same bytes behind np.save's header.
	path := filepath.Join(dir, "train.npy")
	write(t, path, npyHead(4000), []byte(nano))
	if got := tokensOf(t, path); !equal(got, count(5000, 4000)) {
		t.Error("the .npy of nanoGPT's train.bin holds other tokens")
	}
}

// TestTokenizeLock: a second run into the same directory is refused while the first holds it, and names it.
func TestTokenizeLock(t *testing.T) {
	in := write(t, filepath.Join(t.TempDir(), "a.txt"), []byte(manyWords(1000)))
	out := t.TempDir()
	held, err := lock.Take(t.Context(), filepath.Join(out, ".tokenize.lock"), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Tokenize(t.Context(), []string{in}, TokenizeOptions{Out: out})
	host, _ := os.Hostname()
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d on %s", os.Getpid(), host)) ||
		!strings.Contains(err.Error(), "hint: ") {
		t.Errorf("%v, want it to name process %d on %s", err, os.Getpid(), host)
	}
	held.Release()
	mustTokenize(t, []string{in}, TokenizeOptions{Out: out})
}

// TestRefusedTokenize: a run that is refused or makes no shard leaves nothing that was not there before.
func TestRefusedTokenize(t *testing.T) {
	top := t.TempDir()
	file := func(name, content string) string { return write(t, filepath.Join(top, name), []byte(content)) }
	text := file("a.txt", manyWords(1000))
	list := func() (paths []string) {
		filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
			paths = append(paths, path)
			return err
		})
		return paths
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tok := mustTokenizer(t, filepath.Join("testdata", "tokenizers", "plain"))
	for name, x := range map[string]struct {
		ctx  context.Context
		in   string
		more TokenizeOptions
	}{
		"missing":     {t.Context(), filepath.Join(top, "none.txt"), TokenizeOptions{}},
		"not JSON":    {t.Context(), file("a.jsonl", "{\n"), TokenizeOptions{}},
		"not Parquet": {t.Context(), file("a.parquet", "PAR1"), TokenizeOptions{}},
		"no text":     {t.Context(), file("b.jsonl", `{"text":null}`+"\n"), TokenizeOptions{Tokenizer: tok}},
		"empty":       {t.Context(), file("b.txt", ""), TokenizeOptions{}},
		"too short":   {t.Context(), text, TokenizeOptions{ValTokens: 1 << 20}},
		"format":      {t.Context(), text, TokenizeOptions{Format: "zip"}},
		"in a file":   {t.Context(), text, TokenizeOptions{Out: filepath.Join(text, "out")}},
		"stopped":     {ctx, text, TokenizeOptions{Tokenizer: tok}},
		"not text":    {t.Context(), file("c.txt", "PAR1\x00\x00"), TokenizeOptions{}},
	} {
		for _, out := range []string{filepath.Join(top, "new", "out"), t.TempDir()} {
			o := x.more
			o.Out = cmp.Or(o.Out, out)
			before := list()
			if r, err := Tokenize(x.ctx, []string{x.in}, o); err == nil {
				t.Errorf("%s: %+v", name, r)
			}
			if after := list(); !slices.Equal(before, after) {
				t.Errorf("%s: %q is there now", name, after)
			}
			if entries, _ := os.ReadDir(out); len(entries) > 0 {
				t.Errorf("%s: %v was left", name, entries)
			}
		}
	}
	out := filepath.Join(top, "new", "out")
	mustTokenize(t, []string{text}, TokenizeOptions{Out: out})
	before := list()
	if _, err := Tokenize(t.Context(), []string{text}, TokenizeOptions{Out: out, ValTokens: 7}); err == nil {
		t.Error("other options")
	}
	if after := list(); !slices.Equal(before, after) {
		t.Errorf("other options: %q is there now, before %q", after, before)
	}
}

// TestInfoFiles: files beside shards are skipped, unless they are named one by one.
func TestInfoFiles(t *testing.T) {
	dir := tree(t, "x_train_000001.npy", "notes.txt", "a.jsonl", "b.parquet")
	for _, n := range []string{"x.tokenize.json", "complete.json", "plot.svg", ".tokenize.lock"} {
		write(t, filepath.Join(dir, n), []byte("{}"))
	}
	var each []string
	for _, n := range dirNames(dir) {
		each = append(each, filepath.Join(dir, n))
	}
	for _, in := range [][]string{{dir}, each} {
		files, left, err := InfoFiles(in)
		if err != nil || len(files) != 4 || len(left) != 1 || filepath.Base(left[0]) != "plot.svg" {
			t.Errorf("%v: %v, left %v, %v", in, files, left, err)
		}
		for _, f := range files {
			info, err := Info(f)
			if err != nil || info.Bytes == 0 || info.Documents == 0 != (filepath.Ext(f) == ".npy") ||
				!strings.Contains(info.Text, mark(filepath.Base(f))) {
				t.Errorf("%+v, %v", info, err)
			}
		}
	}
	if p, err := Find(tree(t, "train/0.txt", "test/0.txt")); err != nil || p.String() != "to train on: "+
		filepath.Join("train", "0.txt")+"; to validate on: "+filepath.Join("test", "0.txt") {
		t.Errorf("%v, %v", p, err)
	}
	// The hint of a directory of one split names files, also in folders: followed, it works.
	for _, files := range [][]string{{"valid.txt", "test.txt"}, {"data/test/0.txt", "data/test/1.txt"}} {
		_, err := Find(tree(t, files...))
		if err == nil {
			t.Fatalf("%v: no error", files)
		}
		_, rest, _ := strings.Cut(err.Error(), "quoted glob, '")
		glob, _, _ := strings.Cut(rest, "'")
		if p, err := Find(glob); err != nil || len(p.Train)+len(p.Val)+len(p.Left) != 2 {
			t.Errorf("%v: the hint %q gives %v, %v", files, glob, p, err)
		}
		if p, err := findInputs(mustExpand(t, glob)); err != nil || len(p.Train) != 2 || p.Left != nil {
			t.Errorf("%v: the hint %q tokenizes %v, %v", files, glob, p, err)
		}
	}
	// A tokenizer's merges.txt beside shards is not a text.
	if p, err := Find(tree(t, "a.txt", "b.txt", "x.tokenizer/merges.txt")); err != nil || len(p.Train) != 2 {
		t.Errorf("%v, %v", p, err)
	}
	needs.Symlinks(t)
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if files, left, err := InfoFiles([]string{dir}); err != nil || len(files) != 4 || len(left) != 2 {
		t.Errorf("a link to nothing: %v, left %v, %v", files, left, err)
	}
}

// TestInfoFilesNames: what is named by itself is Info's to judge.
func TestInfoFilesNames(t *testing.T) {
	dir := tree(t, "plot.svg")
	if _, _, err := InfoFiles([]string{t.TempDir()}); err == nil || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("an empty directory: %v", err)
	}
	if files, _, err := InfoFiles([]string{filepath.Join(dir, "plot.svg")}); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}

func mustExpand(t *testing.T, patterns ...string) []string {
	t.Helper()
	paths, err := Expand(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
