package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Corpus is a read-only sequence of tokens: one text, or a list of shards in the order of their names. Any number of
// loaders may read one at the same time.
type Corpus struct {
	name   string
	files  []string // that were opened, in order
	shards []*shard
	total  int64 // tokens
	vocab  int   // ids must be below; 0: unchecked
	log    *slog.Logger
	err    error // of FromTokens, which returns none

	mu     sync.RWMutex // held for reading while tokens are copied: Close mustn't unmap under a reader
	closed bool
}

// Split says which shards of a directory a corpus takes.
type Split string

const (
	Train Split = "train" // those with "train" in their names
	Val   Split = "val"   // those with "val" in their names
)

// Option adjusts [Open].
type Option func(*openOptions)

type openOptions struct {
	split Split
	cache string
}

// WithSplit chooses among the shards of a directory or a glob that has both, by name. The default is [Train]. Texts
// and shards named for neither are taken whole.
func WithSplit(s Split) Option { return func(o *openOptions) { o.split = s } }

// WithCacheDir looks for fetched datasets in dir, not in [CacheDir].
func WithCacheDir(dir string) Option { return func(o *openOptions) { o.cache = dir } }

// Open opens what spec names:
//
//	sample                                   the text that is part of the program
//	shakespeare, tinystories, fineweb-edu    a dataset fetched before (see [Fetch])
//	FILE.txt                                 a text, encoded now by tok, all of it in memory
//	FILE.npy, FILE.bin                       a token shard of NumPy or llm.c, mapped into memory
//	DIR, 'GLOB'                              such shards, in the order of their names
//
// Names win over files; write ./sample for a file of that name. tok encodes texts; for shards it isn't used and may be
// nil. Every id must be below vocabSize (0: no check): texts are checked whole, shards here in part and then batch by
// batch as they are read. Loading a text logs "loaded N tokens". A nil log is silent.
//
// Errors: a file that is missing, empty, truncated, of another format or with an id outside the vocabulary, each with
// the file and the offset; a dataset that hasn't been fetched.
func Open(spec string, tok Tokenizer, vocabSize int, log *slog.Logger, opts ...Option) (*Corpus, error) {
	o := openOptions{split: Train}
	for _, f := range opts {
		f(&o)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Corpus{name: spec, vocab: vocabSize, log: log}
	if err := c.open(spec, tok, o); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Corpus) open(spec string, tok Tokenizer, o openOptions) error {
	if spec == "sample" {
		return c.addText(spec, SampleText(), tok)
	}
	paths, err := resolve(spec, o)
	if err != nil {
		return err
	}
	c.files = paths
	shards := 0
	for _, p := range paths {
		if filepath.Ext(p) == ".txt" {
			b, err := os.ReadFile(p)
			if err != nil {
				return fmt.Errorf("text: %w; hint: check the path", err)
			}
			if err := c.addText(p, string(b), tok); err != nil {
				return err
			}
			continue
		}
		s, err := openShard(p)
		if err != nil {
			return err
		}
		c.add(s)
		shards++
	}
	if shards > 0 {
		c.log.Info(fmt.Sprintf("found %d shards with %d tokens", shards, c.total))
		return c.checkSome()
	}
	return nil
}

// checkBudget is how many tokens of shards Open looks at: 128 MiB, a tenth of a second from memory. An alien vocabulary
// shows in the first thousand; a damaged spot further on is found when its batch is read.
const checkBudget = 64 << 20

func (c *Corpus) checkSome() error {
	if c.vocab <= 0 {
		return nil
	}
	for _, s := range c.shards {
		n := min(s.len(), checkBudget/int64(len(c.shards)))
		bad := int64(-1)
		if err := guard(s.name, func() { bad = s.firstOutside(0, n, c.vocab) }); err != nil {
			return err
		}
		if bad >= 0 {
			return s.outside(bad, c.vocab)
		}
	}
	return nil
}

func (c *Corpus) add(s *shard) {
	c.shards = append(c.shards, s)
	c.total += s.len()
}

func (c *Corpus) addText(name, text string, tok Tokenizer) error {
	if tok == nil {
		return fmt.Errorf("%s: a text, but no tokenizer was given; hint: --tokenizer gpt2 or bytes", name)
	}
	if text == "" {
		return fmt.Errorf("%s: the file is empty, want text; hint: check the path", name)
	}
	if tok.Name() != "bytes" {
		if i := strings.IndexByte(text, 0); i >= 0 {
			return fmt.Errorf("%s: byte %d is zero, so this isn't UTF-8 text; hint: convert UTF-16 to UTF-8 first, or use --tokenizer bytes for binary data", name, i)
		}
		if i, n := invalidUTF8(text); n > 0 {
			c.log.Warn("text isn't valid UTF-8: each invalid byte is read as U+FFFD", "file", name, "invalid", n, "first_at", i)
		}
	}
	ids, err := encodeText(tok, text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s := memoryShard(name, ids)
	if c.vocab > 0 {
		if i := s.firstOutside(0, s.len(), c.vocab); i >= 0 {
			return s.outside(i, c.vocab)
		}
	}
	c.add(s)
	c.log.Info(fmt.Sprintf("loaded %d tokens", len(ids)))
	return nil
}

// invalidUTF8 returns where the first invalid byte of text is and how many there are.
func invalidUTF8(text string) (first, n int) {
	if utf8.ValidString(text) {
		return 0, 0
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			if n == 0 {
				first = i
			}
			n++
		}
		i += size
	}
	return first, n
}

func memoryShard(name string, ids []uint16) *shard {
	raw := make([]byte, 2*len(ids))
	for i, id := range ids {
		binary.LittleEndian.PutUint16(raw[2*i:], id)
	}
	return &shard{name: name, raw: raw}
}

// FromTokens returns a corpus of one shard that holds ids, for tests. Ids are 0 to 65535; NewLoader refuses a corpus with
// others.
func FromTokens[ID ~uint8 | ~uint16 | ~uint32 | ~int32 | ~int64 | ~int](name string, ids []ID) *Corpus {
	return FromShards(name, [][]ID{ids})
}

// FromShards is [FromTokens] for several shards.
func FromShards[ID ~uint8 | ~uint16 | ~uint32 | ~int32 | ~int64 | ~int](name string, shards [][]ID) *Corpus {
	c := &Corpus{name: name, log: slog.New(slog.DiscardHandler)}
	for _, ids := range shards {
		narrow := make([]uint16, len(ids))
		for i, id := range ids {
			if int64(id) < 0 || int64(id) > 0xffff {
				c.err = fmt.Errorf("%s: token %d has id %d, want 0 to 65535; hint: tokens are stored in two bytes", name, i, int64(id))
			}
			narrow[i] = uint16(id)
		}
		c.add(memoryShard(name, narrow))
	}
	return c
}

// Name returns the spec that the corpus was opened with.
func (c *Corpus) Name() string { return c.name }

// Len returns the number of tokens in all shards together.
func (c *Corpus) Len() int64 { return c.total }

// Shards returns the number of shards.
func (c *Corpus) Shards() int { return len(c.shards) }

// Close unmaps the files. Loaders of the corpus return an error from then on.
func (c *Corpus) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	var errs []error
	for _, s := range c.shards {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// read copies tokens at, at+1, ... of a shard into x and the tokens one further into y; both have the same length.
func (c *Corpus) read(i int, at int64, x, y []uint32) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return fmt.Errorf("%s: the corpus is closed; hint: close it after its last loader", c.name)
	}
	s := c.shards[i]
	bad := int64(-1)
	err := guard(s.name, func() {
		raw := s.raw[2*at : 2*(at+int64(len(x))+1)]
		prev := uint32(binary.LittleEndian.Uint16(raw))
		top := prev
		for k := range x {
			next := uint32(binary.LittleEndian.Uint16(raw[2*k+2:]))
			x[k], y[k] = prev, next
			prev, top = next, max(top, next)
		}
		if c.vocab > 0 && int(top) >= c.vocab {
			bad = s.firstOutside(at, at+int64(len(x))+1, c.vocab)
		}
	})
	if err != nil {
		return err
	}
	if bad >= 0 {
		return s.outside(bad, c.vocab)
	}
	return nil
}

// guard runs f, which reads mapped memory. If the file was cut short or its disk failed meanwhile, the processor faults
// there; guard makes that an error instead of the end of the process.
func guard(name string, f func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: reading the mapped file: %v; hint: don't change a shard while it is in use; check the disk", name, r)
		}
	}()
	f()
	return nil
}

// resolve returns the files that spec names, in order.
func resolve(spec string, o openOptions) ([]string, error) {
	if d, ok := datasets[spec]; ok && d.corpus {
		return d.cached(spec, o)
	}
	if spec == "" {
		return nil, fmt.Errorf("data: no corpus was named; hint: sample, shakespeare, a .txt file, or a directory of shards")
	}
	info, err := os.Stat(spec)
	if err == nil && info.IsDir() {
		return shardsIn(spec, o.split)
	}
	if isPattern(spec, err) {
		return glob(spec, o.split)
	}
	if err != nil {
		return nil, fmt.Errorf("data: %w; hint: %s", err, missingHint(spec))
	}
	if err := checkKind(spec); err != nil {
		return nil, err
	}
	return []string{spec}, nil
}

// missingHint is the hint about a spec that cannot be found, whatever the error: systems differ in it.
func missingHint(spec string) string {
	switch {
	case strings.Contains(spec, "://"):
		return "an address is not read; download the file and name it"
	case !strings.ContainsAny(spec, `./\`):
		return "names are sample, shakespeare, tinystories, fineweb-edu; anything else is a path"
	}
	return "check the path"
}

// checkKind says what is wrong with a file whose extension isn't one that Open reads.
func checkKind(path string) error {
	switch ext := filepath.Ext(path); ext {
	case ".txt", ".npy", ".bin":
		return nil
	case ".jsonl", ".parquet":
		return fmt.Errorf("%s: a %s file must be tokenized first; hint: gpt2wgpu data tokenize %s --out DIR, then give DIR", path, ext, path)
	default:
		hint := "rename a text to .txt"
		if looksBinary(path) {
			hint = "this looks like binary data; make shards with gpt2wgpu data tokenize"
		}
		return fmt.Errorf("%s: extension %q, want .txt, .npy or .bin; hint: %s", path, ext, hint)
	}
}

func looksBinary(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 4096)
	n, _ := f.Read(head)
	return bytes.IndexByte(head[:n], 0) >= 0
}

// isShard reports whether the name is that of a token file.
func isShard(name string) bool {
	ext := filepath.Ext(name)
	return (ext == ".npy" || ext == ".bin") && !strings.HasPrefix(name, ".")
}

func shardsIn(dir string, split Split) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("data: %w; hint: check the path", err)
	}
	var paths []string
	texts := 0
	for _, e := range entries {
		if isShard(e.Name()) && !e.IsDir() {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
		switch filepath.Ext(e.Name()) {
		case ".txt", ".jsonl", ".parquet":
			texts++
		}
	}
	if len(paths) == 0 {
		hint := "make shards with gpt2wgpu data tokenize"
		if texts > 0 {
			hint = fmt.Sprintf("it has %d texts: gpt2wgpu data tokenize %s --out DIR, then give DIR", texts, dir)
		}
		return nil, fmt.Errorf("%s: no .npy or .bin shards in this directory; hint: %s", dir, hint)
	}
	chosen, others := choose(paths, split)
	if len(chosen) == 0 {
		return nil, fmt.Errorf("%s: none of its %d shards has %q in its name, %s has %q; hint: name the file or a quoted glob",
			dir, len(paths), split, filepath.Base(paths[0]), others)
	}
	return chosen, nil
}

func glob(pattern string, split Split) ([]string, error) {
	paths, err := matches(pattern)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	paths = slices.DeleteFunc(paths, func(p string) bool {
		info, err := os.Stat(p)
		return err != nil || info.IsDir()
	})
	if len(paths) == 0 {
		return nil, fmt.Errorf("data: only directories match %s: %w; hint: name one of them, or a pattern of files", pattern, fs.ErrNotExist)
	}
	if chosen, _ := choose(paths, split); len(chosen) > 0 {
		paths = chosen
	} // else a pattern that names the other split alone says what is wanted
	for _, p := range paths {
		if err := checkKind(p); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// choose returns the shards of a split. If none is named for either split, that is all of them. If some are named for
// the other split alone, it is none, and others says which split that is.
func choose(paths []string, split Split) (chosen []string, others Split) {
	for _, p := range paths {
		switch s := splitOf(filepath.Base(p)); {
		case s == split:
			chosen = append(chosen, p)
		case s != "":
			others = s
		}
	}
	if chosen == nil && others == "" {
		return paths, ""
	}
	return chosen, others
}

// splitOf returns the split that a file's name says: by the last of its words that says one (train-00_val_000000.npy is
// "val"), else by the letters anywhere in it; "" if it says neither.
func splitOf(name string) Split {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r < 'a' || r > 'z' })
	for _, w := range slices.Backward(words) {
		switch w {
		case "train", "training":
			return Train
		case "val", "valid", "validation":
			return Val
		}
	}
	for _, s := range []Split{Train, Val} {
		if strings.Contains(name, string(s)) {
			return s
		}
	}
	return ""
}
