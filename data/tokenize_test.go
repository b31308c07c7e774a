package data

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

func identified(t testing.TB, path string) input {
	t.Helper()
	inputs, err := identifyAll([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	return inputs[0]
}

func jsonLines(docs ...string) []byte {
	var b bytes.Buffer
	for i, d := range docs {
		line, _ := json.Marshal(map[string]any{"id": i, "text": d, "meta": map[string]string{"text": "not this"}})
		b.Write(append(line, '\n'))
	}
	return b.Bytes()
}

// parquetFile writes docs with `group` rows in a row group; every seventh document of an optional column is null.
func parquetFile(t testing.TB, path string, group int, optional bool, docs ...string) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if optional {
		type row struct {
			ID   int64   `parquet:"id"`
			Text *string `parquet:"text,optional,zstd"`
		}
		err = writeRows(f, group, docs, func(i int, d string) row {
			if d == "" {
				return row{ID: int64(i)}
			}
			return row{int64(i), &d}
		})
	} else {
		type row struct {
			Text string  `parquet:"text,snappy"`
			URL  string  `parquet:"url"`
			Skor float64 `parquet:"score"`
		}
		err = writeRows(f, group, docs, func(i int, d string) row { return row{d, "http://x", 0.5} })
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func writeRows[R any](w io.Writer, group int, docs []string, row func(int, string) R) error {
	pw := parquet.NewGenericWriter[R](w, parquet.PageBufferSize(4096))
	for i, d := range docs {
		if _, err := pw.Write([]R{row(i, d)}); err != nil {
			return err
		}
		if (i+1)%group == 0 {
			if err := pw.Flush(); err != nil {
				return err
			}
		}
	}
	return pw.Close()
}

func makeDocs(seed uint64, n, words int) []string {
	r := rand.New(rand.NewPCG(seed, 0))
	docs := make([]string, n)
	for i := range docs {
		docs[i] = randomText(r, r.IntN(words))
		docs[i] = strings.ToValidUTF8(docs[i], "?")
		docs[i] = strings.ReplaceAll(docs[i], "\x00", "0")
	}
	docs[n/2] = ""
	return docs
}

// expected is what the shards must hold together.
func expected(tok Tokenizer, docs ...string) []uint16 {
	var ids []uint16
	for _, d := range docs {
		if eot, ok := tok.EOT(); ok {
			ids = append(ids, uint16(eot))
		}
		for _, id := range tok.Encode(d) {
			ids = append(ids, uint16(id))
		}
	}
	return ids
}

func mustTokenize(t testing.TB, inputs []string, o TokenizeOptions) TokenizeResult {
	t.Helper()
	r, err := Tokenize(context.Background(), inputs, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// dirFiles returns the contents of a directory.
func dirFiles(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() != ".tokenize.lock" {
			files[e.Name()] = string(b)
		}
	}
	return files
}

// mixedInputs is a directory with all three formats, in the order of its names, and its documents.
func mixedInputs(t testing.TB) (dir string, docs []string) {
	dir = t.TempDir()
	a, b, c, d := makeDocs(1, 40, 200), makeDocs(2, 60, 200), makeDocs(3, 30, 200), makeDocs(4, 50, 100)
	write(t, filepath.Join(dir, "a.jsonl"), []byte("\ufeff"), jsonLines(a...), []byte("\n  \n"), jsonLines("the end"))
	parquetFile(t, filepath.Join(dir, "b.parquet"), 7, false, b...)
	parquetFile(t, filepath.Join(dir, "c.parquet"), 1000, true, c...)
	long := strings.Join(d, " ")
	write(t, filepath.Join(dir, "d.txt"), []byte(long))
	if err := os.Mkdir(filepath.Join(dir, "e"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "e", "last.txt"), []byte("No newline"))
	write(t, filepath.Join(dir, ".hidden.txt"), []byte("not this"))
	write(t, filepath.Join(dir, "readme.md"), []byte("nor this, beside .jsonl and .parquet"))
	c = slices.DeleteFunc(c, func(d string) bool { return d == "" }) // nulls
	docs = append(append(append(a, "the end"), b...), c...)
	return dir, append(docs, long, "No newline")
}

func TestTokenize(t *testing.T) {
	in, docs := mixedInputs(t)
	want := expected(mustTokenizer(t, "gpt2"), docs...)
	const size, val = 1000, 300
	for _, format := range []string{"npy", "bin"} {
		out := t.TempDir()
		var last TokenizeProgress
		r := mustTokenize(t, []string{in}, TokenizeOptions{Out: out, Format: format, Name: "mix", ShardTokens: size,
			ValTokens: val,
			Progress:  func(p TokenizeProgress) { last = p }})
		if r.Tokens != int64(len(want)) || r.Documents != int64(len(docs)) || r.ValTokens != val || r.Resumed != 0 {
			t.Errorf("%+v, want %d tokens, %d documents", r, len(want), len(docs))
		}
		if last.Tokens != r.Tokens || last.Bytes != last.TotalBytes || last.Shards != len(r.Shards) ||
			last.TokensPerSecond <= 0 {
			t.Errorf("last progress: %+v", last)
		}
		v := mustOpen(t, out, nil, 50257, WithSplit(Val))
		c := mustOpen(t, out, nil, 50257)
		if len(v.shards) != 1 || v.Len() != val || len(c.shards) != (len(want)-val+size-1)/size {
			t.Errorf("%d tokens in %d validation shards, %d training shards", v.Len(), len(v.shards), len(c.shards))
		}
		for i, s := range c.shards[:len(c.shards)-1] {
			if s.len() != size {
				t.Errorf("shard %d has %d tokens, want %d", i, s.len(), size)
			}
		}
		if got := append(all(v), all(c)...); !slices.Equal(got, want) {
			t.Errorf("%s: the shards hold other tokens than the documents", format)
		}
		if names := []string{filepath.Base(r.Shards[0]), filepath.Base(r.Shards[1])}; names[0] != "mix_val_000000."+
			format || names[1] != "mix_train_000001."+format {
			t.Errorf("names %v", names)
		}
		if files := dirFiles(t, out); len(files) != len(r.Shards)+1 {
			t.Errorf("files %v", files)
		}
	}
}

// TestTokenizeIsDeterministic: any number of workers gives the same bytes.
func TestTokenizeIsDeterministic(t *testing.T) {
	in, _ := mixedInputs(t)
	var want map[string]string
	for _, workers := range []int{1, 2, 7} {
		out := t.TempDir()
		mustTokenize(t, []string{in}, TokenizeOptions{Out: out, Name: "x", ShardTokens: 777, Workers: workers})
		if got := dirFiles(t, out); want == nil {
			want = got
		} else if !mapsEqual(got, want) {
			t.Errorf("%d workers give other files", workers)
		}
	}
}

func mapsEqual(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// TestTokenizeResumes takes away shards and stops runs at many places; the next run ends with the same bytes.
func TestTokenizeResumes(t *testing.T) {
	in, _ := mixedInputs(t)
	o := TokenizeOptions{Name: "x", ShardTokens: 2000, ValTokens: 123, Workers: 2}
	o.Out = t.TempDir()
	full := mustTokenize(t, []string{in}, o)
	want := dirFiles(t, o.Out)

	again := mustTokenize(t, []string{in}, o) // nothing to do
	if again.Resumed != len(full.Shards) || again.Tokens != full.Tokens || again.Documents != full.Documents {
		t.Errorf("a second run: %+v, want %+v", again, full)
	}
	for k := 0; k < len(full.Shards); k += 3 {
		for _, s := range full.Shards[k:] {
			if err := os.Remove(s); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(o.Out, ".x_train_000002.npy.tmp-123"), []byte("left behind"))
		r := mustTokenize(t, []string{in}, o)
		if r.Resumed != k || r.Tokens != full.Tokens || r.Documents != full.Documents {
			t.Errorf("from shard %d: %+v, want %+v", k, r, full)
		}
		if !mapsEqual(dirFiles(t, o.Out), want) {
			t.Fatalf("from shard %d: other files", k)
		}
	}
	if err := os.Truncate(full.Shards[3], 300); err != nil {
		t.Fatal(err)
	}
	if r := mustTokenize(t, []string{in}, o); r.Resumed != 3 || !mapsEqual(dirFiles(t, o.Out), want) {
		t.Errorf("after a truncated shard: resumed %d", r.Resumed)
	}
}

// TestTokenizeStops cancels in the middle, again and again, over an input of several chunks.
func TestTokenizeStops(t *testing.T) {
	text := manyWords(5 << 20)
	in := write(t, filepath.Join(t.TempDir(), "long.txt"), []byte(text))
	o := TokenizeOptions{ShardTokens: 100_000}
	o.Out = t.TempDir()
	mustTokenize(t, []string{in}, o)
	want := dirFiles(t, o.Out)

	o.Out = t.TempDir()
	stops := 0
	for {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { // stop when one more shard is there
			defer close(done)
			before := len(dirNames(o.Out))
			for ctx.Err() == nil && len(dirNames(o.Out)) < before+3 {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		_, err := Tokenize(ctx, []string{in}, o)
		cancel()
		<-done
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "hint: run the same command again") {
			t.Fatal(err)
		}
		stops++
		for _, name := range dirNames(o.Out) {
			if strings.Contains(name, ".tmp-") {
				t.Errorf("%s is left behind", name)
			}
		}
	}
	if !mapsEqual(dirFiles(t, o.Out), want) {
		t.Errorf("after %d stops the files differ", stops)
	}
	t.Logf("stopped %d times", stops)
}

func dirNames(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestTokenizeSmall: an input that doesn't fill the validation shard is split one to nine.
func TestTokenizeSmall(t *testing.T) {
	dir := t.TempDir()
	text := manyWords(20_000)
	in := write(t, filepath.Join(dir, "my train.txt"), []byte(text))
	out := filepath.Join(dir, "out")
	want := expected(mustTokenizer(t, "gpt2"), text)
	for range 2 {
		r := mustTokenize(t, []string{in}, TokenizeOptions{Out: out})
		if len(r.Shards) != 2 || r.ValTokens != r.Tokens/10 {
			t.Fatalf("%+v", r)
		}
		if got := append(tokensOf(t, out, WithSplit(Val)), tokensOf(t, out)...); !slices.Equal(got, want) {
			t.Error("the shards hold other tokens than the text")
		}
		if filepath.Base(r.Shards[1]) != "my_train_train_000001.npy" {
			t.Errorf("name %s", r.Shards[1])
		}
		os.Remove(r.Shards[1])
	}
}

func TestTokenizeOneSplit(t *testing.T) {
	dir := t.TempDir()
	a := write(t, filepath.Join(dir, "a.txt"), []byte(manyWords(4000)))
	b := write(t, filepath.Join(dir, "b.txt"), []byte(manyWords(9000)))
	out := filepath.Join(dir, "out")
	o := TokenizeOptions{Out: out, Name: "t", ShardTokens: 700, Format: "bin"}
	o.Split = Val
	v := mustTokenize(t, []string{a}, o)
	o.Split = Train
	r := mustTokenize(t, []string{b}, o)
	if filepath.Base(v.Shards[0]) != "t_val_000000.bin" || filepath.Base(r.Shards[0]) != "t_train_000001.bin" ||
		v.ValTokens != v.Tokens || r.ValTokens != 0 {
		t.Errorf("%v %v", v, r)
	}
	if got := mustOpen(t, out, nil, 0).Len(); got != r.Tokens {
		t.Errorf("%d training tokens, want %d", got, r.Tokens)
	}
	o = TokenizeOptions{Out: t.TempDir(), Name: "t", ShardTokens: 700, ValTokens: -1}
	if r := mustTokenize(t, []string{b}, o); r.ValTokens != 0 || filepath.Base(r.Shards[0]) != "t_train_000001.npy" {
		t.Errorf("without validation: %v", r)
	}
}

func TestTokenizeSeparator(t *testing.T) {
	const sep = "<|endoftext|>"
	dir := t.TempDir()
	docs := []string{"Once upon", "a time\n\nthere was", "  a  ", strings.Repeat("long story ", 300_000), "the end"}
	in := write(t, filepath.Join(dir, "s.txt"), []byte(sep+"\n"+strings.Join(docs, "\n"+sep+"\n")+"\r\n"+sep+sep+"\n"))
	r := mustTokenize(t, []string{in}, TokenizeOptions{Out: dir, Separator: sep, ValTokens: -1})
	want := expected(mustTokenizer(t, "gpt2"), docs...)
	if got := tokensOf(t, dir); !slices.Equal(got, want) || r.Documents != int64(len(docs)) {
		t.Errorf("%d tokens of %d documents, want %d of %d", len(got), r.Documents, len(want), len(docs))
	}
}

func TestTokenizeBytes(t *testing.T) {
	dir := t.TempDir()
	in := write(t, filepath.Join(dir, "s.txt"), []byte("some bytes\x00\xff, no separator"))
	mustTokenize(t, []string{in}, TokenizeOptions{Out: dir, Tokenizer: mustTokenizer(t, "bytes"), ValTokens: -1})
	if got := mustOpen(t, dir, nil, 256); got.Len() != 26 {
		t.Errorf("%d tokens, want 26", got.Len())
	}
}

// TestTextSource cuts texts into tiny chunks at every place where a run may be resumed.
func TestTextSource(t *testing.T) {
	tok := mustTokenizer(t, "gpt2").(*bpe)
	r := rand.New(rand.NewPCG(9, 9))
	path := filepath.Join(t.TempDir(), "a.txt")
	for range 60 {
		text := strings.ReplaceAll(randomText(r, 60), "\x00", "")
		write(t, path, []byte(text))
		for _, sep := range []string{"", "ab", "\n"} {
			var want []uint16
			docs := []string{text}
			if sep != "" {
				docs = strings.Split(text, sep)
				for i := range docs {
					docs[i] = strings.Trim(docs[i], "\r\n")
				}
				docs = slices.DeleteFunc(docs, func(s string) bool { return s == "" })
			}
			for _, d := range docs {
				want = tok.appendIDs(append(want, gpt2EOT), d)
			}
			read := func(from position, size int) (ids []uint16, starts []position) {
				for c, err := range identified(t, path).chunks(from, sep, tok, size) {
					if err != nil {
						t.Fatal(err)
					}
					starts = append(starts, c.from)
					for _, d := range c.docs {
						if d.begin {
							ids = append(ids, gpt2EOT)
						}
						ids = tok.appendIDs(ids, d.text)
					}
				}
				return ids, starts
			}
			for _, size := range []int{1, 3, 17, 1000} {
				got, starts := read(position{}, size)
				if !slices.Equal(got, want) {
					t.Fatalf("%q, separator %q, size %d: %v, want %v", text, sep, size, got, want)
				}
				for _, p := range starts {
					tail, _ := read(p, size)
					if !slices.Equal(tail, want[len(want)-len(tail):]) {
						t.Fatalf("%q, separator %q, size %d, from %+v: %v, want the end of %v", text, sep, size, p,
							tail, want)
					}
				}
			}
		}
	}
}

func TestTokenizeErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, parts ...[]byte) string { return write(t, filepath.Join(dir, name), parts...) }
	good := file("good.txt", []byte(manyWords(4000)))
	pq := parquetFile(t, filepath.Join(dir, "good.parquet"), 10, false, makeDocs(1, 30, 50)...)
	raw, err := os.ReadFile(pq)
	if err != nil {
		t.Fatal(err)
	}
	damaged := slices.Clone(raw)
	for i := 100; i < len(damaged)/2; i++ {
		damaged[i] ^= 0x5a
	}
	type other struct{ Body string }
	var noText bytes.Buffer
	if err := writeRows(&noText, 10, []string{"a"}, func(_ int, d string) other { return other{d} }); err != nil {
		t.Fatal(err)
	}
	type list struct {
		Text []string `parquet:"text"`
	}
	var lists bytes.Buffer
	if err := writeRows(&lists, 10, []string{"a"},
		func(_ int, d string) list { return list{[]string{d}} }); err != nil {
		t.Fatal(err)
	}
	void := filepath.Join(dir, "void")
	if err := os.Mkdir(void, 0o755); err != nil {
		t.Fatal(err)
	}
	taken := t.TempDir()
	write(t, filepath.Join(taken, "good_val_000000.npy"), npyFile(1))
	used := t.TempDir()
	mustTokenize(t, []string{good}, TokenizeOptions{Out: used})
	corrupt := t.TempDir()
	write(t, filepath.Join(corrupt, "good.tokenize.json"), []byte("{"))

	for i, c := range []struct {
		inputs []string
		o      TokenizeOptions
		want   []string
	}{
		{nil, TokenizeOptions{}, []string{"no input"}},
		{[]string{filepath.Join(dir, "gone.txt")}, TokenizeOptions{}, []string{"gone.txt"}},
		{[]string{void}, TokenizeOptions{}, []string{"void", "no .txt"}},
		{[]string{file("a.csv", []byte("a"))}, TokenizeOptions{}, []string{".csv"}},
		{[]string{file("empty.txt")}, TokenizeOptions{}, []string{"empty.txt", "no text"}},
		{[]string{file("bad.jsonl", jsonLines("a"), []byte("{\"text\": \n"))}, TokenizeOptions{},
			[]string{"bad.jsonl", "byte 47", "unexpected end"}},
		{[]string{file("field.jsonl", []byte(`{"body": "x"}`))}, TokenizeOptions{}, []string{"field.jsonl", "byte 0",
			`no field "text"`}},
		{[]string{file("number.jsonl", []byte(`{"text": 5}`))}, TokenizeOptions{}, []string{"number.jsonl", "byte 0"}},
		{[]string{file("utf16.txt", []byte("h\x00i\x00"))}, TokenizeOptions{}, []string{"utf16.txt", "byte 1",
			"UTF-16"}},
		{[]string{file("not.parquet", []byte("hello"))}, TokenizeOptions{}, []string{"not.parquet"}},
		{[]string{file("cut.parquet", raw[:len(raw)/2])}, TokenizeOptions{}, []string{"cut.parquet"}},
		{[]string{file("damaged.parquet", damaged)}, TokenizeOptions{}, []string{"damaged.parquet", "row "}},
		{[]string{file("body.parquet", noText.Bytes())}, TokenizeOptions{}, []string{"body.parquet", `no column "text"`,
			"Body"}},
		{[]string{file("list.parquet", lists.Bytes())}, TokenizeOptions{}, []string{"list.parquet",
			"one string a row"}},
		{[]string{good}, TokenizeOptions{Format: "csv"}, []string{`"csv"`}},
		{[]string{good}, TokenizeOptions{ShardTokens: -1}, []string{"-1 tokens"}},
		{[]string{good}, TokenizeOptions{ShardTokens: 1 << 31, Format: "bin"}, []string{"2147483648 tokens"}},
		{[]string{good}, TokenizeOptions{Split: "test"}, []string{`"test"`}},
		{[]string{good}, TokenizeOptions{ValTokens: 1 << 20}, []string{"tokens", "1048576", "--val-tokens"}},
		{[]string{file("six.txt", []byte("Hi"))}, TokenizeOptions{}, []string{"too few"}},
		{[]string{good}, TokenizeOptions{Out: taken}, []string{"good_val_000000.npy", "there already"}},
		{[]string{good}, TokenizeOptions{Out: used, ShardTokens: 5}, []string{"other options", "ShardTokens:5"}},
		{[]string{pq, good}, TokenizeOptions{Out: used}, []string{"other inputs"}},
		{[]string{good}, TokenizeOptions{Out: corrupt}, []string{"good.tokenize.json"}},
		{[]string{good}, TokenizeOptions{Out: good}, []string{"good.txt"}},
	} {
		if c.o.Out == "" {
			c.o.Out = t.TempDir()
		}
		_, err := Tokenize(context.Background(), c.inputs, c.o)
		if err == nil {
			t.Errorf("case %d: no error, want %q", i, c.want)
			continue
		}
		for _, w := range append(c.want, "hint: ", "tokenize: ") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("case %d: %v\nwant %q in it", i, err, w)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("case %d: more than one line: %q", i, err)
		}
		for _, n := range dirNames(c.o.Out) {
			if strings.Contains(n, ".tmp-") {
				t.Errorf("case %d: %s is left behind", i, n)
			}
		}
	}
	// The hint of a failed run works in the same directory.
	out := t.TempDir()
	if _, err := Tokenize(context.Background(), []string{good}, TokenizeOptions{Out: out,
		ValTokens: 1 << 20}); err == nil {
		t.Error("no error")
	}
	mustTokenize(t, []string{good}, TokenizeOptions{Out: out, ValTokens: 100})
}

func TestTokenizeWarnsOfInvalidUTF8(t *testing.T) {
	in := write(t, filepath.Join(t.TempDir(), "latin1.txt"), []byte("caf\xe9 \xe9t\xe9 "), []byte(manyWords(1000)))
	var buf bytes.Buffer
	r := mustTokenize(t, []string{in}, TokenizeOptions{Out: t.TempDir(), Log: slog.New(slog.NewTextHandler(&buf, nil))})
	if r.InvalidUTF8 != 3 || !strings.Contains(buf.String(), "first_at=3") {
		t.Errorf("%d invalid bytes, log %s", r.InvalidUTF8, &buf)
	}
}

func BenchmarkTokenize(b *testing.B) {
	dir := b.TempDir()
	var docs []string
	for range 2000 {
		docs = append(docs, manyWords(4000))
	}
	for name, in := range map[string]string{
		"jsonl":   write(b, filepath.Join(dir, "a.jsonl"), jsonLines(docs...)),
		"parquet": parquetFile(b, filepath.Join(dir, "a.parquet"), 500, false, docs...),
		"txt":     write(b, filepath.Join(dir, "a.txt"), []byte(strings.Join(docs, "\n"))),
	} {
		b.Run(name, func(b *testing.B) {
			var tokens int64
			for i := 0; b.Loop(); i++ {
				r := mustTokenize(b, []string{in}, TokenizeOptions{Out: filepath.Join(dir, fmt.Sprint(name, i)),
					ShardTokens: 1 << 20})
				tokens += r.Tokens
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// TestDamagedDictionary: a dictionary that does not match its checksum is an error, in the first row group too.
func TestDamagedDictionary(t *testing.T) {
	type row struct {
		Text string `parquet:"text,dict"`
	}
	var good bytes.Buffer
	w := parquet.NewGenericWriter[row](&good)
	if _, err := w.Write([]row{{"alpha"}, {"beta"}, {"alpha"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{"": "alpha", "checksum mismatch": "alphb"} {
		raw := bytes.Replace(good.Bytes(), []byte("alpha"), []byte(text), 1)
		in := write(t, filepath.Join(t.TempDir(), "a.parquet"), raw)
		_, err := Tokenize(t.Context(), []string{in}, TokenizeOptions{Out: t.TempDir(), ValTokens: -1})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestTokenizeParquetOfOtherWriters reads what hyparquet-writer wrote: 2 rows, "a" and 100 times "b". Its footer has
// one of the two flags is_min_value_exact and is_max_value_exact, as pyarrow's has since 22 where a statistic is cut
// short.
func TestTokenizeParquetOfOtherWriters(t *testing.T) {
	out := t.TempDir()
	r := mustTokenize(t, []string{filepath.Join("testdata", "one_exact_flag.parquet")}, TokenizeOptions{Out: out,
		ValTokens: -1})
	want := expected(mustTokenizer(t, "gpt2"), "a", strings.Repeat("b", 100))
	if got := tokensOf(t, out); r.Documents != 2 || !slices.Equal(got, want) {
		t.Errorf("%d documents, %v, want 2 and %v", r.Documents, got, want)
	}
}
