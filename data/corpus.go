package data

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
	"github.com/gpt2wgpu/gpt2wgpu/data/filemap"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// Corpus is a read-only sequence of tokens: one text, or a list of shards in the order of their names. Any number of
// loaders may read one at the same time.
type Corpus struct {
	name    string
	files   []string // that were opened, in order
	shards  []*shard
	total   int64 // tokens
	vocab   int   // ids must be below; 0: unchecked
	settled bool  // vocab is a model's
	log     *slog.Logger

	whole *Corpus // of which Divide made this a part; nil: this is a whole

	mu     sync.RWMutex // held for reading while tokens are copied: Close mustn't unmap under a reader
	closed bool
}

// Option adjusts [Open].
type Option func(*openOptions)

type openOptions struct {
	split        Split
	join         bool
	mark         bool
	trainingOnly bool
	model        bool
}

// KeepMark reads a byte order mark as part of a text. Runs that started before --val-fraction existed were trained so,
// and are resumed so.
func KeepMark() Option { return func(o *openOptions) { o.mark = true } }

// Joined makes one sequence of a glob's texts, as Open does with those of a directory: the tokenizer's EOT stands
// before each. Without it each text is a shard of its own.
func Joined() Option { return func(o *openOptions) { o.join = true } }

// TrainingOnly leaves out the files of spec that are named for validation, and the log lists them as left out.
func TrainingOnly() Option { return func(o *openOptions) { o.trainingOnly = true } }

// OfModel means that tok is the tokenizer of weights, which no flag can change. Errors about shards of another
// tokenizer then ask for other shards.
func OfModel() Option { return func(o *openOptions) { o.model = true } }

// WithSplit chooses files of a directory or a glob by the splits in their names: see [Parts]. The
// default is [Train]. A file that is named itself is taken whole.
func WithSplit(s Split) Option { return func(o *openOptions) { o.split = s } }

// Open opens what spec names:
//
//	sample                                   the text that is part of the program
//	shakespeare, tinystories, fineweb-edu    a dataset fetched before (see package data/fetch)
//	FILE.txt, FILE.md                        a text, encoded now by tok, all of it in memory
//	FILE.npy, FILE.bin                       a token shard of NumPy or llm.c, mapped into memory
//	DIR                                      such shards, or such texts, in the order of their names
//	'GLOB'                                   any such files
//
// Names win over files; write ./sample for a file of that name. tok encodes texts; shards must have been made with it,
// as far as they say, unless it is nil. Every id must be below vocabSize (0: no check): texts are checked whole, shards
// here in part and then batch by batch as they are read. Loading a text logs "loaded N tokens". A nil log is silent.
//
// Errors: a file that is missing, empty, truncated, of another format or with an id outside the vocabulary, each with
// the file and the offset; a dataset that hasn't been fetched.
func Open(spec string, tok Tokenizer, vocabSize int, log *slog.Logger, opts ...Option) (*Corpus, error) {
	o := openOptions{split: Train}
	for _, f := range opts {
		f(&o)
	}
	log = cmp.Or(log, slog.New(slog.DiscardHandler))
	c := &Corpus{name: spec, vocab: vocabSize, settled: o.model || o.split == Val, log: log}
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
	p, err := find(spec)
	if err != nil {
		return err
	}
	paths, err := p.of(o.split, spec)
	if err != nil {
		return err
	}
	if p.Left != nil || p.Texts && p.Validation() != nil {
		if line := p.use(o, paths); line != "" {
			c.log.Info(spec + ": " + line)
		}
	}
	if p.foreign != nil && o.split == Train {
		c.log.Info(fmt.Sprintf("%s: left out, neither .txt nor .md: %s", spec, someNames(p.foreign)))
	}
	c.files = paths
	plain := len(filter(paths, isPlain))
	if plain > 1 && plain == len(paths) && (p.dir || o.join) {
		return c.addTexts(spec, paths, tok)
	}
	for _, p := range paths {
		if !isPlain(p) {
			s, err := openShard(p)
			if err != nil {
				return err
			}
			c.add(s)
			continue
		}
		text, err := readText(p, o.mark)
		if err == nil {
			err = c.addText(p, text, tok)
		}
		if err != nil {
			return err
		}
	}
	if plain == len(paths) {
		return nil
	}
	c.log.Info(fmt.Sprintf("found %d shards with %d tokens", len(paths)-plain, c.total))
	if err := c.checkMaker(paths, tok, c.settled); err != nil {
		return err
	}
	for _, s := range c.shards {
		if err := c.checkIDs(s, 0, c.checked(s)); err != nil {
			return err
		}
	}
	return nil
}

// checkBudget is how many tokens of shards Open looks at: 128 MiB, a tenth of a second from memory. Another
// vocabulary shows in the first thousand. Damage behind them is found when its batch is read.
const checkBudget = 64 << 20

// checked is how many tokens of a shard Open looks at.
func (c *Corpus) checked(s *shard) int64 { return min(s.len(), checkBudget/int64(len(c.shards))) }

// checkIDs reports the first of tokens begin to end (end not included) that is not an id of the vocabulary.
func (c *Corpus) checkIDs(s *shard, begin, end int64) error {
	if c.vocab <= 0 {
		return nil
	}
	bad, err := s.firstOutside(begin, end, c.vocab)
	if err == nil && bad >= 0 {
		err = s.outside(bad, c.vocab, c.settled)
	}
	return err
}

func (c *Corpus) add(s *shard) {
	c.shards = append(c.shards, s)
	c.total += s.len()
}

// byteOrderMark begins texts that some editors on Windows write. It is not part of the text.
const byteOrderMark = "\ufeff"

func readText(path string, keepMark bool) (string, error) {
	b, err := plainfile.Read(path, math.MaxInt64)
	if err != nil {
		return "", fmt.Errorf("text: %w; hint: check the path", err)
	}
	if err := misnamed(path, b[:min(len(b), sniffed)], "text"); err != nil {
		return "", err
	}
	if keepMark {
		return string(b), nil
	}
	return strings.TrimPrefix(string(b), byteOrderMark), nil
}

func (c *Corpus) addText(name, text string, tok Tokenizer) error {
	ids, err := c.encode(nil, name, text, tok)
	if err != nil {
		return err
	}
	return c.addIDs(name, ids, "")
}

// addTexts makes one sequence of several texts, each behind the tokenizer's EOT. It skips empty ones.
func (c *Corpus) addTexts(name string, paths []string, tok Tokenizer) error {
	var ids []uint16
	for _, p := range paths {
		text, err := readText(p, false)
		if err != nil {
			return err
		}
		if text == "" {
			c.log.Warn("skipping an empty text", "file", p)
			continue
		}
		if tok != nil {
			if eot, ok := tok.EOT(); ok {
				ids = append(ids, uint16(eot))
			}
		}
		if ids, err = c.encode(ids, p, text, tok); err != nil {
			return err
		}
	}
	if len(ids) == 0 {
		return fmt.Errorf("%s: all of its %d texts are empty; hint: check the path", name, len(paths))
	}
	return c.addIDs(name, ids, fmt.Sprintf(" of %d texts", len(paths)))
}

// addIDs adds a text's ids; of says in the log what else they are.
func (c *Corpus) addIDs(name string, ids []uint16, of string) error {
	s := memoryShard(name, ids)
	if err := c.checkIDs(s, 0, s.len()); err != nil {
		return err
	}
	c.add(s)
	c.log.Info(fmt.Sprintf("loaded %d tokens%s", len(ids), of))
	return nil
}

// encode appends the ids of a text. It warns of invalid UTF-8, and of special tokens that are read as characters.
func (c *Corpus) encode(ids []uint16, name, text string, tok Tokenizer) ([]uint16, error) {
	if tok == nil {
		return nil, fmt.Errorf("%s: a text, but no tokenizer was given; hint: --tokenizer gpt2 or bytes", name)
	}
	if text == "" {
		return nil, fmt.Errorf("%s: the file is empty, want text; hint: check the path", name)
	}
	if tok.Name() != "bytes" {
		if err := checkZeros(name, 0, text); err != nil {
			return nil, err
		}
		if i, n := invalidUTF8(text); n > 0 {
			c.log.Warn("text isn't valid UTF-8: each invalid byte is read as U+FFFD", "file", name, "invalid", n,
				"first_at", i)
		}
	}
	if n := spelledEnds(tok, text); n > 0 {
		with := ""
		if tok.Name() == "bytes" { // tokenize's default is gpt2
			with = " --tokenizer bytes"
		}
		c.log.Warn(fmt.Sprintf("%s; hint: gpt2wgpu data tokenize %s --separator '%s'%s --out DIR, then --data DIR",
			spelled, name, endOfText, with), "file", name, "times", n)
	}
	more, err := encodeText(tok, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return append(ids, more...), nil
}

// checkZeros reports the first byte that is zero in a part of a text, which begins at byte `at`.
func checkZeros(path string, at int64, text string) error {
	if i := strings.IndexByte(text, 0); i >= 0 {
		return fmt.Errorf("%s: byte %d is zero, so this isn't UTF-8 text; hint: convert UTF-16 to UTF-8 first, or use "+
			"--tokenizer bytes for binary data", path, at+int64(i))
	}
	return nil
}

// endOfText is GPT-2's token between documents, as texts write it.
const endOfText = "<|endoftext|>"

const spelled = "the text holds " + endOfText + ", which is read as 13 characters and not as the token"

// spelledEnds counts the times that text has endOfText and tok reads its characters, not the token.
func spelledEnds(tok Tokenizer, text string) int {
	if t, ok := tok.(*bpe); ok && slices.ContainsFunc(t.added.all,
		func(a addedToken) bool { return a.Content == endOfText }) {
		return 0
	}
	return strings.Count(text, endOfText)
}

// invalidUTF8 returns where the first invalid byte of text is and how many there are.
func invalidUTF8(text string) (first, n int) {
	if utf8.ValidString(text) {
		return 0, 0
	}
	for i, r := range text {
		if _, size := utf8.DecodeRuneInString(text[i:]); r == utf8.RuneError && size == 1 {
			if n == 0 {
				first = i
			}
			n++
		}
	}
	return first, n
}

func memoryShard(name string, ids []uint16) *shard {
	raw, _ := binary.Append(nil, binary.LittleEndian, ids)
	return &shard{name: name, raw: raw}
}

// Name returns the spec that the corpus was opened with.
func (c *Corpus) Name() string { return c.name }

// Len returns the number of tokens in all shards together.
func (c *Corpus) Len() int64 { return c.total }

// Close unmaps the files. Loaders of the corpus return an error from then on.
func (c *Corpus) Close() error {
	if c.whole != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	var err error
	for _, s := range c.shards {
		err = errors.Join(err, s.close())
	}
	return err
}

// read copies tokens at, at+1, ... of a shard into x and the tokens one further into y; both have the same length.
func (c *Corpus) read(i int, at int64, x, y []uint32) error {
	whole := cmp.Or(c.whole, c)
	whole.mu.RLock()
	defer whole.mu.RUnlock()
	if whole.closed {
		return fmt.Errorf("%s: the corpus is closed; hint: close it after its last loader", c.name)
	}
	s := c.shards[i]
	end := at + int64(len(x)) + 1
	top := uint32(0)
	err := filemap.Guard(func() {
		raw := s.raw[2*at : 2*end]
		prev := uint32(binary.LittleEndian.Uint16(raw))
		top = prev
		for k := range x {
			next := uint32(binary.LittleEndian.Uint16(raw[2*k+2:]))
			x[k], y[k] = prev, next
			prev, top = next, max(top, next)
		}
	})
	if err != nil {
		return fmt.Errorf("%s: tokens %d to %d, from byte %d on: %w; hint: leave a shard in use as it is", s.name,
			s.first+at, s.first+end-1, s.at+2*at, err)
	}
	if int(top) >= c.vocab {
		return c.checkIDs(s, at, end)
	}
	return nil
}

// guard runs f, which reads the mapped file of that name: see [filemap.Guard].
func guard(name string, f func()) error {
	if err := filemap.Guard(f); err != nil {
		return fmt.Errorf("%s: %w; hint: leave a shard in use as it is", name, err)
	}
	return nil
}

// Find returns the files that spec names, by what they are for. It opens none of them. The text "sample" is not a file:
// its parts are empty. Errors: those of [Open] about the spec.
func Find(spec string) (Parts, error) {
	p, err := find(spec)
	if err == nil && p.Train == nil && p.dir {
		err = p.noTraining(spec)
	}
	return p, err
}

// cached returns the files of a corpus fetched before.
func cached(name string) (Parts, error) {
	path, files, err := cache.Open(name)
	if err != nil {
		return Parts{}, err
	}
	if len(files) == 1 && files[0] == path {
		return Parts{Train: files, Named: true}, nil
	}
	p := partition(path, files)
	if p.Train == nil || p.Val == nil {
		return Parts{}, fmt.Errorf("%s: no train or val shards in %s; hint: gpt2wgpu data fetch %s", name, path, name)
	}
	p.Named = true
	return p, nil
}

func find(spec string) (Parts, error) {
	switch {
	case spec == "sample":
		return Parts{Named: true}, nil
	case cache.Datasets[spec].Corpus:
		return cached(spec)
	case spec == "":
		return Parts{}, fmt.Errorf("data: no corpus was named; hint: sample, shakespeare, a .txt or .md file, or a " +
			"directory of texts or shards")
	}
	info, err := os.Stat(spec)
	switch {
	case err == nil && info.IsDir():
		return filesIn(spec)
	case isPattern(spec, err):
		return glob(spec)
	case err != nil:
		return Parts{}, fmt.Errorf("%s: %w; hint: %s", spec, atomicfile.Reason(err), missingHint(spec))
	}
	if err := checkKind(spec); err != nil {
		return Parts{}, err
	}
	return Parts{Train: []string{spec}, Texts: isPlain(spec)}, nil
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
	switch {
	case isPlain(path), isShard(path):
		return nil
	case isText(path):
		if err := refuseForeign(path, inputKind(path)); err != nil {
			return err
		}
		return fmt.Errorf("%s: a %s file, want tokens; %s", path, extension(path), tokenizeHint(path))
	default:
		hint := "rename a text to .txt"
		if bytes.IndexByte(readHead(path), 0) >= 0 {
			hint = "this looks like binary data; name a text, or a shard of tokens"
		}
		return fmt.Errorf("%s: extension %q, want .txt, .md, .npy or .bin; hint: %s", path, extension(path), hint)
	}
}

func tokenizeHint(path string) string {
	return fmt.Sprintf("hint: gpt2wgpu data tokenize %s --out DIR, then give DIR", path)
}

// extension is filepath.Ext in small letters: Windows' programs write FILE.TXT.
func extension(path string) string { return strings.ToLower(filepath.Ext(path)) }

// isPlain reports whether the name is that of a plain text.
func isPlain(path string) bool { e := extension(path); return e == ".txt" || e == ".md" }

// isText reports whether the name is that of a file that Tokenize reads.
func isText(path string) bool {
	e := extension(path)
	return isPlain(path) || e == ".jsonl" || e == ".parquet"
}

// isShard reports whether the name is that of a token file.
func isShard(path string) bool {
	ext := extension(path)
	return (ext == ".npy" || ext == ".bin") && !strings.HasPrefix(filepath.Base(path), ".")
}

func filter(paths []string, wanted func(path string) bool) (found []string) {
	for _, p := range paths {
		if wanted(p) {
			found = append(found, p)
		}
	}
	return found
}

// walk returns the files below dir, hidden ones left out, in the order of their paths.
func walk(dir string) (paths []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		hidden := strings.HasPrefix(d.Name(), ".")
		switch {
		case d.IsDir() && (hidden || strings.HasSuffix(d.Name(), tokenizerFolder)):
			return fs.SkipDir // merges.txt is not a text to train on
		case !d.IsDir() && !hidden:
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("data: %w; hint: check the directory's permissions", err)
	}
	return paths, nil
}

// filesIn returns the parts of a directory: its shards, those in it or else those in folders below it, or the texts in
// it and below.
func filesIn(dir string) (Parts, error) {
	all, err := walk(dir)
	if err != nil {
		return Parts{}, err
	}
	paths := filter(all, isShard)
	if own := filter(paths, func(p string) bool { return filepath.Dir(p) == filepath.Clean(dir) }); own != nil {
		paths = own
	}
	var foreign []string
	texts := paths == nil
	if texts {
		paths = filter(all, isText)
		if n := len(paths) - len(filter(paths, isPlain)); n > 0 {
			return Parts{}, fmt.Errorf("%s: no .npy or .bin shards, but %d .jsonl or .parquet files; %s", dir, n,
				tokenizeHint(dir))
		}
		foreign = filter(all, func(p string) bool { return !isText(p) && extension(p) != ".json" }) // it describes data
	}
	if len(paths) == 0 {
		return Parts{}, fmt.Errorf("%s: no .npy or .bin shards, .txt or .md texts in it; hint: check the path", dir)
	}
	p := partition(dir, paths)
	p.dir, p.Texts, p.foreign = true, texts, foreign
	return p, nil
}

func glob(pattern string) (Parts, error) {
	paths, err := matches(pattern)
	if err != nil {
		return Parts{}, err
	}
	paths = filter(paths, func(p string) bool {
		info, err := os.Stat(p)
		return err == nil && !info.IsDir() && extension(p) != ".json" // the manifests beside shards
	})
	if len(paths) == 0 {
		return Parts{}, fmt.Errorf("data: only directories and .json files match %q: %w; hint: name one of them",
			pattern, fs.ErrNotExist)
	}
	p := partition(globRoot(pattern), paths)
	for _, path := range slices.Concat(p.Train, p.Val) {
		if err := checkKind(path); err != nil {
			return Parts{}, err
		}
	}
	p.Texts = len(filter(paths, isPlain)) == len(paths)
	return p, nil
}
