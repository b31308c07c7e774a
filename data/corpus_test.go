package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adrg/xdg"
	"github.com/sbinet/npyio"
)

func write(t testing.TB, path string, parts ...[]byte) string {
	t.Helper()
	if err := os.WriteFile(path, bytes.Join(parts, nil), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// fromShards returns a corpus in memory.
func fromShards(name string, shards ...[]uint16) *Corpus {
	c := &Corpus{name: name, log: slog.New(slog.DiscardHandler)}
	for _, ids := range shards {
		c.add(memoryShard(name, ids))
	}
	return c
}

func tokenBytes(ids ...uint16) []byte { return memoryShard("", ids).raw }

// count returns n ids: from, from+1, ...
func count(from, n int) []uint16 {
	ids := make([]uint16, n)
	for i := range ids {
		ids[i] = uint16(from + i)
	}
	return ids
}

func npyFile(ids ...uint16) []byte { return append(npyHead(int64(len(ids))), tokenBytes(ids...)...) }
func binFile(ids ...uint16) []byte { return append(binHead(int64(len(ids))), tokenBytes(ids...)...) }

func header(words ...int32) []byte {
	head := make([]byte, binHeader)
	for i, w := range words {
		binary.LittleEndian.PutUint32(head[4*i:], uint32(w))
	}
	return head
}

func all(c *Corpus) []uint16 {
	var ids []uint16
	for _, s := range c.shards {
		for i := range s.len() {
			ids = append(ids, s.token(i))
		}
	}
	return ids
}

// tokensOf returns all tokens of a corpus, closed again: systems that lock mapped files let it be changed afterwards.
func tokensOf(t testing.TB, spec string, opts ...Option) []uint16 {
	t.Helper()
	c, err := Open(spec, nil, 0, nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return all(c)
}

func mustOpen(t testing.TB, spec string, tok Tokenizer, vocab int, opts ...Option) *Corpus {
	t.Helper()
	c, err := Open(spec, tok, vocab, nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestOpenShakespeare(t *testing.T) {
	path, _ := shakespeare(t)
	var buf bytes.Buffer
	c, err := Open(path, mustTokenizer(t, "gpt2"), 50257, slog.New(slog.NewTextHandler(&buf, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !strings.Contains(buf.String(), `level=INFO msg="loaded 338025 tokens"`) {
		t.Errorf("log: %s", &buf)
	}
	l, err := NewLoader(c, 4, 32, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if c.Len() != 338025 || l.Batches() != 2640 {
		t.Errorf("%d tokens, %d batches, want 338025 and 2640", c.Len(), l.Batches())
	}
	x, y := make([]uint32, 128), make([]uint32, 128)
	if err := l.Next(x, y); err != nil {
		t.Fatal(err)
	}
	if want := []uint32{5962, 22307, 25, 198, 8421}; !slices.Equal(x[:5], want) || !slices.Equal(x[1:], y[:127]) {
		t.Errorf("first batch begins %v, want %v, and y one further", x[:5], want)
	}
}

func TestOpenSample(t *testing.T) {
	c := mustOpen(t, "sample", mustTokenizer(t, "bytes"), 256)
	if c.Len() != int64(len(SampleText())) || len(c.shards) != 1 {
		t.Errorf("%d tokens in %d shards, want %d in 1", c.Len(), len(c.shards), len(SampleText()))
	}
}

func TestHeaders(t *testing.T) {
	for _, n := range []int{1, 7, 1000, 65536} {
		ids := count(0, n)
		var theirs bytes.Buffer
		if err := npyio.Write(&theirs, ids); err != nil {
			t.Fatal(err)
		}
		var back []uint16
		if err := npyio.Read(bytes.NewReader(npyFile(ids...)), &back); err != nil || !slices.Equal(back, ids) {
			t.Errorf("npyio can't read our .npy: %v", err)
		}
		dir := t.TempDir()
		for _, path := range []string{
			write(t, filepath.Join(dir, "theirs.npy"), theirs.Bytes()),
			write(t, filepath.Join(dir, "ours.npy"), npyFile(ids...)),
			write(t, filepath.Join(dir, "llmc.bin"), binFile(ids...)),
		} {
			if got := all(mustOpen(t, path, nil, 0)); !slices.Equal(got, ids) {
				t.Errorf("%s: tokens differ", path)
			}
		}
	}
	// As np.save writes it for a shard of edufineweb.
	want := "\x93NUMPY\x01\x00v\x00{'descr': '<u2', 'fortran_order': False, 'shape': (100000000,), }" +
		strings.Repeat(" ", 52) + "\n"
	if got := string(npyHead(100_000_000)); got != want {
		t.Errorf("header %q, want %q", got, want)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, parts ...[]byte) string { return write(t, filepath.Join(dir, name), parts...) }
	sub := func(name string, files ...string) string {
		d := filepath.Join(dir, name)
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			write(t, filepath.Join(d, f), binFile(1, 2, 3))
		}
		return d
	}
	npy := func(dict string) []byte {
		return append([]byte("\x93NUMPY\x01\x00"), append([]byte{byte(len(dict)), 0}, dict...)...)
	}
	huge := npyHead(1)
	huge[8], huge[9] = 0xff, 0xff
	v2 := npyHead(1)
	v2[6] = 9
	for _, c := range []struct {
		spec string
		want []string
	}{
		{"", []string{"no corpus"}},
		{filepath.Join(dir, "gone.txt"), []string{"gone.txt"}},
		{"shakespear", []string{"shakespear", "shakespeare, tinystories"}},
		{filepath.Join(dir, "gone*.npy"), []string{"gone*.npy", "no file matches"}},
		{filepath.Join(dir, "[.npy"), []string{"pattern"}},
		{file("empty.txt"), []string{"empty.txt", "the file is empty"}},
		{file("zero.txt", []byte("ab\x00c")), []string{"zero.txt", "byte 2"}},
		{file("a.csv", []byte("a,b")), []string{"a.csv", `".csv"`, "rename"}},
		{file("noext", []byte("\x00\x01")), []string{"binary", "shard of tokens"}},
		{file("a.jsonl", []byte("{}")), []string{"data tokenize"}},
		{file("vocab.txt", []byte("hello First Citizen")), []string{"vocab.txt", "token 0", "id 31373", "300",
			"--vocab-size"}},
		{file("empty.bin"), []string{"empty.bin", "empty"}},
		{file("empty.npy"), []string{"empty.npy", "empty"}},
		{file("nano.bin", tokenBytes(count(5000, 4000)...)), []string{"nano.bin", "byte 0", "20240520", "nanoGPT"}},
		{file("tiny.bin", []byte{1, 2}), []string{"tiny.bin", "no header"}},
		{file("cut.bin", binFile(1, 2, 3)[:1028]), []string{"cut.bin", "truncated", "1028", "1030"}},
		{file("long.bin", binFile(1, 2, 3), []byte{0}), []string{"long.bin", "too long", "1031", "1030"}},
		{file("none.bin", binFile()), []string{"none.bin", "no tokens"}},
		{file("version.bin", header(binShard, 2, 0)), []string{"byte 4", "version 2"}},
		{file("negative.bin", header(binShard, 1, -5)), []string{"byte 8", "-5"}},
		{file("llama.bin", header(20240801, 7, 1)), []string{"Llama"}},
		{file("hs.bin", header(binEval, 1, 1)), []string{"--hellaswag"}},
		{file("model.bin", header(20240326, 3, 1)), []string{"--init"}},
		{file("no.npy", []byte("hello, this is text")), []string{"no.npy", "byte 0", "NUMPY"}},
		{file("cut.npy", npyFile(1, 2, 3)[:130]), []string{"cut.npy", "truncated", "130", "134"}},
		{file("head.npy", huge), []string{"head.npy", "byte 8"}},
		{file("ver.npy", v2), []string{"version 9"}},
		{file("i8.npy", npy("{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }")), []string{"'<i8'", "uint16"}},
		{file("2d.npy", npy("{'descr': '<u2', 'fortran_order': False, 'shape': (3, 4), }")), []string{"shape (3, 4)"}},
		{file("0d.npy", npy("{'descr': '<u2', 'fortran_order': False, 'shape': (), }")), []string{"shape ()"}},
		{file("big.npy", npy("{'descr': '<u2', 'fortran_order': False, 'shape': (9223372036854775807,), }")),
			[]string{"shape"}},
		{file("dict.npy", npy("{'shape': (3,)}")), []string{"descr"}},
		{file("alien.npy", npyFile(1, 2, 299, 300, 4)), []string{"alien.npy", "token 3 at byte 134", "id 300", "300"}},
		{sub("void"), []string{"void", "no .npy or .bin"}},
		{sub("texts", "a.jsonl", "b.txt"), []string{"1 .jsonl or .parquet", "data tokenize"}},
		{sub("vals", "x_val_0.bin"), []string{"vals", `"train"`, "x_val_0.bin"}},
	} {
		corpus, err := Open(c.spec, mustTokenizer(t, "gpt2"), 300, nil)
		if err == nil {
			corpus.Close()
			t.Errorf("Open(%q) succeeded, want an error with %q", c.spec, c.want)
			continue
		}
		for _, w := range append(c.want, "hint: ") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("Open(%q): %v\nwant %q in it", c.spec, err, w)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("Open(%q): more than one line: %q", c.spec, err)
		}
	}
	if _, err := Open(filepath.Join(dir, "gone.txt"), nil, 0, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v doesn't wrap fs.ErrNotExist", err)
	}
	if _, err := Open("sample", nil, 0, nil); err == nil {
		t.Error("a text without a tokenizer opens")
	}
	emptyCache(t)
	for _, name := range []string{"shakespeare", "fineweb-edu"} {
		_, err := Open(name, nil, 0, nil)
		if err == nil || !strings.HasSuffix(err.Error(), "hint: gpt2wgpu data fetch "+name) {
			t.Errorf("Open(%s): %v", name, err)
		}
	}
}

// emptyCache gives the test a cache of its own.
func emptyCache(t testing.TB) {
	old := xdg.CacheHome
	t.Cleanup(func() { xdg.CacheHome = old })
	xdg.CacheHome = t.TempDir()
}

func TestInvalidUTF8Warns(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "latin1.txt"), []byte("caf\xe9 \xe9t\xe9"))
	var buf bytes.Buffer
	c, err := Open(path, mustTokenizer(t, "gpt2"), 0, slog.New(slog.NewTextHandler(&buf, nil)))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if !strings.Contains(buf.String(), "invalid=3 first_at=3") {
		t.Errorf("log: %s", &buf)
	}
}

func TestSplits(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"e_val_000000.npy", "e_train_000002.npy", "e_train_000001.npy", ".tmp.npy",
		"notes.md"} {
		write(t, filepath.Join(dir, name), npyFile(uint16(10*i), uint16(10*i+1)))
	}
	for _, c := range []struct {
		spec string
		opts []Option
		want []uint16
	}{
		{dir, nil, []uint16{20, 21, 10, 11}},
		{dir, []Option{WithSplit(Val)}, []uint16{0, 1}},
		{filepath.Join(dir, "*.npy"), nil, []uint16{20, 21, 10, 11}},
		{filepath.Join(dir, "e_*_00000[02].npy"), []Option{WithSplit(Val)}, []uint16{0, 1}},
		{filepath.Join(dir, "e_val*"), nil, []uint16{0, 1}},
		{filepath.Join(dir, "e_train_000002.npy"), []Option{WithSplit(Val)}, []uint16{10, 11}},
	} {
		if got := all(mustOpen(t, c.spec, nil, 256, c.opts...)); !slices.Equal(got, c.want) {
			t.Errorf("Open(%s): %v, want %v", c.spec, got, c.want)
		}
	}
	for name, want := range map[string]Split{
		"edufineweb_train_000001.npy": Train, "fineweb_val_000000.bin": Val, "constrained_val_0.bin": Val,
		"val.bin":           Val,
		"validation-00.bin": Val, "tokens.bin": "", "trainset.bin": "", "interval_train.bin": Train,
		"medieval_0.npy": "", "evaluate.npy": "", "trainer.npy": "", "constrain.npy": "", "test-00.txt": test,
		"valid.txt": Val, "x/TRAIN/a.txt": Train, "train/test/a_train.txt": test, "training/a.txt": Train,
		"TinyStories-Train.bin": Train, "train-00000-of-4_val_000000.npy": Val,
	} {
		if got := SplitOf(name); got != want {
			t.Errorf("splitOf(%s) = %q, want %q", name, got, want)
		}
	}
}

// TestSplitsAreSaid: the line about a spec's files says what is done with them, whatever they are named for.
func TestSplitsAreSaid(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"train.txt", "valid.txt", "test.txt", "more/the_train.md", "more/ship.md",
		"odd/x.npy", "odd/y.npy"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		content := []byte("words")
		if extension(name) == ".npy" {
			content = npyFile(1, 2)
		}
		write(t, path, content)
	}
	write(t, filepath.Join(dir, "odd", "x.tokenize.json"), []byte("{}"))
	write(t, filepath.Join(dir, "odd", ".DS_Store"), []byte{0})
	for _, c := range []struct {
		spec string
		opts []Option
		want string
	}{
		{"*.txt", nil, "to train on: train.txt; to validate on: valid.txt; left out: test.txt"},
		{"*.txt", []Option{TrainingOnly()}, "to train on: train.txt; left out: valid.txt, test.txt"},
		{"*.txt", []Option{WithSplit(Val)}, "to validate on: valid.txt"},
		{"[tv]*[td].txt", nil, "to train on: valid.txt, test.txt"},
		{"more/*", []Option{WithSplit(Val)}, "to validate on: the_train.md; left out: ship.md"},
		{"more", []Option{TrainingOnly()}, "to train on: the_train.md; left out: ship.md"},
		{"odd/*", nil, ""},
	} {
		var log bytes.Buffer
		spec := filepath.Join(dir, filepath.FromSlash(c.spec))
		corpus, err := Open(spec, mustTokenizer(t, "bytes"), 256, slog.New(slog.NewTextHandler(&log, nil)), c.opts...)
		if err != nil {
			t.Errorf("%s: %v", c.spec, err)
			continue
		}
		corpus.Close()
		if want := spec + ": " + c.want + "\"\n"; c.want != "" && !strings.Contains(log.String(), want) ||
			strings.Count(log.String(), "to train on") > 1 || c.want == "" && strings.Contains(log.String(), " on: ") {
			t.Errorf("%s: %s, want %q", c.spec, &log, c.want)
		}
	}
}

// TestForeignFilesAreSaid: of a directory of texts, the log says how many they are and which other files it leaves out.
func TestForeignFilesAreSaid(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.txt", "b.md", "page.html", ".hidden", "about.json"} {
		write(t, filepath.Join(dir, name), []byte("words"))
	}
	for split, want := range map[Split]bool{Train: true, Val: false} {
		var log bytes.Buffer
		c, err := Open(dir, mustTokenizer(t, "bytes"), 256, slog.New(slog.NewTextHandler(&log, nil)), WithSplit(split))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if strings.Contains(log.String(), dir+": left out, neither .txt nor .md: page.html\"\n") != want ||
			!strings.Contains(log.String(), "loaded 10 tokens of 2 texts") {
			t.Errorf("%v: %s", split, &log)
		}
	}
}

// TestFileShrinks cuts a shard while it is mapped: an error, not the end of the process.
func TestFileShrinks(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "a.bin"), binFile(count(0, 50_000)...))
	c := mustOpen(t, path, nil, 0)
	l, err := NewLoader(c, 1, 100, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Skipf("a mapped file can't be cut here: %v", err)
	}
	if err := l.Next(make([]uint32, 100), make([]uint32, 100)); err == nil || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("reading a file cut short: %v", err)
	}
}

// FuzzOpenShard: no header makes Open or Info panic, and what opens can be read.
func FuzzOpenShard(f *testing.F) {
	f.Add(npyFile(1, 2, 3), true)
	f.Add(binFile(1, 2, 3), false)
	f.Add(evalBin([]Example{{Context: []int{1}, Endings: [4][]int{{2}, {3}, {4}, {5}}}}), false)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte, npy bool) {
		path := filepath.Join(dir, "a.bin")
		if npy {
			path = filepath.Join(dir, "a.npy")
		}
		write(t, path, content)
		if _, err := Info(path); err != nil && !strings.Contains(err.Error(), "hint:") {
			t.Errorf("no hint: %v", err)
		}
	})
}
