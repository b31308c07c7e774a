package data

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/lock"
)

// TokenizeOptions states what [Tokenize] writes. The zero value of a field is its default.
type TokenizeOptions struct {
	Out         string    // the directory; required
	Format      string    // "npy" (NumPy, as build-nanogpt's) or "bin" (llm.c's); default npy
	Name        string    // what file names begin with; default: the first input's own name
	Tokenizer   Tokenizer // default gpt2
	ShardTokens int64     // tokens a shard; default 100,000,000

	// ValTokens is how many tokens at the start become the validation shard. 0: a whole shard, as the field has it; if
	// the input ends inside that shard, a tenth of it. Negative: none.
	ValTokens int64

	// Split, if set, makes every shard one of that split, whatever the inputs' names are.
	Split Split

	// Separator, if set, stands between the documents inside a .txt or .md file ("<|endoftext|>"), with any line breaks
	// around it. Otherwise such a file is one document.
	Separator string

	Workers  int                    // default: one a core
	Progress func(TokenizeProgress) // called about twice a second, and at the end
	Log      *slog.Logger           // default: silent
}

// TokenizeProgress is how far Tokenize has come.
type TokenizeProgress struct {
	Bytes, TotalBytes int64 // of the inputs, read and in all
	Tokens            int64 // written, in earlier runs too
	Documents         int64
	Shards            int           // complete
	TokensPerSecond   float64       // of this run
	ETA               time.Duration // until the end; 0: unknown
}

// TokenizeResult is what Tokenize has written.
type TokenizeResult struct {
	Counts
	Shards    []string // paths, in order
	Tokens    int64
	ValTokens int64 // of Tokens, those in validation shards
	Resumed   int   // shards that an earlier run had written
}

// Counts are what was read of documents.
type Counts struct {
	Documents   int64 `json:"documents"`
	InvalidUTF8 int64 `json:"invalid_utf8,omitempty"` // bytes and halves of characters read as U+FFFD
	Nulls       int64 `json:"nulls,omitempty"`        // rows and lines without a text, skipped
}

func (c *Counts) add(o Counts) {
	c.Documents += o.Documents
	c.InvalidUTF8 += o.InvalidUTF8
	c.Nulls += o.Nulls
}

// Tokenize encodes texts into shards: .txt and .md files (one document each), .jsonl (a document a line, in the field
// "text"), .parquet (a document a row, in the column "text"), and directories of these. Every document is preceded by
// the tokenizer's EOT, if it has one; documents run on from shard to shard, and every shard but the last holds exactly
// ShardTokens tokens. Files are named as build-nanogpt and llm.c name theirs: NAME_val_000000.npy,
// NAME_train_000001.npy, ...
//
// All cores encode; the tokens stand in the inputs' order nevertheless. Memory doesn't grow with the inputs (about 3
// MiB a core, and the longest document). Shards appear under their names only when complete and on disk. A run that was
// stopped, by ctx or by a power cut, is continued by the next one with the same inputs and options behind the last
// complete shard, and the files come out the same, byte for byte; NAME.tokenize.json in the directory keeps account.
//
// Inputs with a split in their names ([Parts]) keep it: those for training make the training shards, those for
// validation, else those for test, the validation shards, and ValTokens is unused. Each split then has an account of
// its own. Without such names the first ValTokens tokens validate.
//
// Errors: an input that is missing, damaged or without "text" (file, and byte or row); a directory that holds shards of
// other inputs or options, or that another process is writing to; a full disk; ctx's end, wrapped.
func Tokenize(ctx context.Context, inputs []string, o TokenizeOptions) (TokenizeResult, error) {
	r, err := tokenize(ctx, inputs, o)
	if err != nil {
		return r, fmt.Errorf("tokenize: %w", err)
	}
	return r, nil
}

func tokenize(ctx context.Context, paths []string, o TokenizeOptions) (all TokenizeResult, err error) {
	if err := o.setDefaults(paths); err != nil {
		return all, err
	}
	p, err := findInputs(paths)
	if err != nil {
		return all, err
	}
	if o.Split != "" {
		p = Parts{Train: slices.Concat(p.Train, p.Val, p.Left)}
	}
	if p.Val != nil && o.ValTokens > 0 {
		return all, fmt.Errorf("%d validation tokens, but there are files for validation: %s; hint: leave "+
			"--val-tokens out, or --val-tokens -1 for no validation shards", o.ValTokens, someNames(p.Val))
	}
	if p.Val != nil && o.ValTokens < 0 {
		p.Left, p.Val = append(p.Val, p.Left...), nil
	}
	if p.Val != nil || p.Left != nil {
		o.Log.Info(p.String())
	}
	if err := TextError(o.Tokenizer); err != nil {
		return all, err
	}
	release, err := o.claim(ctx)
	if err != nil {
		return all, err
	}
	defer func() { release(err != nil && len(all.Shards) == 0) }()
	train, err := identifyAll(p.Train)
	if err != nil {
		return all, err
	}
	if p.Val == nil {
		return tokenizeInputs(ctx, train, o)
	}
	val, err := identifyAll(p.Val)
	if err != nil {
		return all, err
	}
	last, before := TokenizeProgress{}, TokenizeProgress{TotalBytes: sizeOf(train)} // of the other split
	if report := o.Progress; report != nil {
		o.Progress = func(p TokenizeProgress) {
			last = p
			p.Bytes += before.Bytes // all of its bytes are done, or none are
			p.TotalBytes += before.TotalBytes
			p.Tokens += before.Tokens
			p.Documents += before.Documents
			p.Shards += before.Shards
			report(p)
		}
	}
	o.Split = Val
	if all, err = tokenizeInputs(ctx, val, o); err != nil {
		return all, err
	}
	o.Split, before = Train, last
	r, err := tokenizeInputs(ctx, train, o)
	all.add(r.Counts)
	all.Shards = append(all.Shards, r.Shards...)
	all.Tokens += r.Tokens
	all.Resumed += r.Resumed
	return all, err
}

const lockFile = ".tokenize.lock"

// claim makes the directory and holds its lock until release. release(true), for a run without
// shards, removes what this run made.
func (o *TokenizeOptions) claim(ctx context.Context) (release func(nothing bool), err error) {
	undo, err := atomicfile.MakeDir(o.Out)
	if err != nil {
		return nil, fmt.Errorf("%w; hint: check --out", err)
	}
	path := filepath.Join(o.Out, lockFile)
	_, locked := os.Lstat(path)
	held, err := lock.Take(ctx, path, 0, nil)
	var by *lock.HeldError
	switch {
	case errors.As(err, &by):
		return nil, fmt.Errorf("%s: %v is tokenizing into it; hint: wait until it is done, or another --out", o.Out,
			by.Owner)
	case errors.Is(err, lock.ErrUnsupported):
		o.Log.Warn("no other process may tokenize into this directory meanwhile", "dir", o.Out, "error", err)
	case err != nil:
		undo()
		return nil, fmt.Errorf("%w; hint: check the permissions of --out", err)
	}
	before := o.beside()
	return func(nothing bool) {
		if !nothing {
			held.Release()
			return
		}
		for _, path := range o.beside() {
			if !slices.Contains(before, path) {
				os.RemoveAll(path)
			}
		}
		if locked == nil {
			held.Release()
		} else {
			held.Remove()
		}
		undo()
	}, nil
}

// beside returns the paths of what is there of a run beside its shards.
func (o *TokenizeOptions) beside() (paths []string) {
	for _, name := range []string{o.Name + tokenizerFolder, manifestName(o.Name, ""), manifestName(o.Name, Train),
		manifestName(o.Name, Val)} {
		path := filepath.Join(o.Out, name)
		if _, err := os.Lstat(path); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// tokenizeInputs tokenizes inputs into one split, or into a validation shard and training shards.
func tokenizeInputs(ctx context.Context, inputs []input, o TokenizeOptions) (TokenizeResult, error) {
	t := &tokenizing{o: o, inputs: inputs, began: time.Now()}
	if err := t.resume(); err != nil {
		return TokenizeResult{}, err
	}
	if err := t.writeTokenizer(); err != nil {
		return TokenizeResult{}, err
	}
	if !t.m.Done {
		if err := t.run(ctx); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("stopped after %d complete shards: %w; hint: run the same command again to continue",
					len(t.m.Shards), ctx.Err())
			}
			return t.result(), err
		}
	}
	t.progress(true)
	t.warn()
	return t.result(), nil
}

const maxShardTokens = 1 << 40

func (o *TokenizeOptions) setDefaults(paths []string) error {
	if o.Out == "" {
		return errors.New("no directory for the shards; hint: --out DIR")
	}
	o.Format = cmp.Or(o.Format, "npy")
	if o.Format != "npy" && o.Format != "bin" {
		return fmt.Errorf("format %q, want npy or bin; hint: --format npy", o.Format)
	}
	o.ShardTokens = cmp.Or(o.ShardTokens, 100_000_000)
	const most = 1<<31 - 1 // .bin's header counts in 4 bytes
	if o.ShardTokens < 1 || o.Format == "bin" && o.ShardTokens > most || o.ShardTokens > maxShardTokens {
		return fmt.Errorf("%d tokens a shard, want 1 to %d; hint: --shard-tokens 100000000", o.ShardTokens, most)
	}
	if o.ValTokens > most {
		return fmt.Errorf("%d validation tokens, want at most %d; hint: --val-tokens 10485760", o.ValTokens, most)
	}
	if o.Split != "" && o.Split != Train && o.Split != Val {
		return fmt.Errorf("split %q, want train or val; hint: leave it out to have both", o.Split)
	}
	if o.Tokenizer == nil {
		tok, err := NewTokenizer("gpt2")
		if err != nil {
			return err
		}
		o.Tokenizer = tok
	}
	if o.Name == "" && len(paths) > 0 {
		base := filepath.Base(filepath.Clean(paths[0]))
		o.Name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	o.Name = unsafeName.ReplaceAllString(o.Name, "_")
	if strings.Trim(o.Name, "._-") == "" {
		o.Name = "tokens"
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return nil
}

var unsafeName = regexp.MustCompile(`[^\pL\pN._-]+`)

// tokenizing is one run of Tokenize.
type tokenizing struct {
	o      TokenizeOptions
	inputs []input
	m      manifest

	Counts
	resumed     int
	began       time.Time
	lastReport  time.Time
	startTokens int64 // written by earlier runs
	startBytes  int64
	tokens      int64 // written
	bytes       int64
	endings     int64 // times that endOfText was read as characters, in this run
	endingsIn   string

	shard *shardWriter // being written; nil between shards
}

func sizeOf(inputs []input) (n int64) {
	for _, in := range inputs {
		n += in.ID.Bytes
	}
	return n
}

// warn warns once of what the texts of this run may lack.
func (t *tokenizing) warn() {
	if t.Nulls > 0 {
		t.o.Log.Warn("skipped null texts", "nulls", t.Nulls)
	}
	if t.endings > 0 {
		t.o.Log.Warn(spelled+"; hint: --separator '"+endOfText+"' parts the documents of a .txt or .md file there",
			"times", t.endings, "first_in", t.endingsIn)
	}
}

func (t *tokenizing) result() TokenizeResult {
	r := TokenizeResult{Counts: t.Counts, Tokens: t.tokens, Resumed: t.resumed}
	for _, s := range t.m.Shards {
		r.Shards = append(r.Shards, filepath.Join(t.o.Out, s.File))
		if strings.HasPrefix(s.File, t.o.Name+"_"+string(Val)+"_") {
			r.ValTokens += s.Tokens
		}
	}
	return r
}

func (t *tokenizing) progress(last bool) {
	if t.o.Progress == nil || !last && time.Since(t.lastReport) < 500*time.Millisecond {
		return
	}
	t.lastReport = time.Now()
	p := TokenizeProgress{Bytes: t.bytes, TotalBytes: sizeOf(t.inputs), Tokens: t.tokens,
		Documents: t.Documents, Shards: len(t.m.Shards)}
	if s := time.Since(t.began).Seconds(); s > 0 {
		p.TokensPerSecond = float64(t.tokens-t.startTokens) / s
		if done := t.bytes - t.startBytes; done > 0 {
			p.ETA = time.Duration(s * float64(p.TotalBytes-p.Bytes) / float64(done) * float64(time.Second))
		}
	}
	t.o.Progress(p)
}

// job is a chunk on its way: the reader makes it, a worker fills in ids, and the writer, which takes jobs in the
// reader's order, waits for done.
type job struct {
	chunk
	Counts
	path    string
	ids     []uint16
	bad     int64 // where the first invalid byte is: that byte, or its line or row
	endings int64
	err     error
	done    chan struct{}
}

var idPool = sync.Pool{New: func() any { return new([]uint16) }}

func (t *tokenizing) run(parent context.Context) error {
	ctx, cancel := context.WithCancel(parent)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	defer func() { t.shard.abandon() }()

	var from position
	var skip int64
	if n := len(t.m.Shards); n > 0 {
		from, skip = t.m.Shards[n-1].Next, t.m.Shards[n-1].Skip
	}
	t.startBytes = sizeOf(t.inputs[:from.File])
	if from.File < len(t.inputs) && extension(t.inputs[from.File].path) != ".parquet" {
		t.startBytes += from.At
	}
	t.bytes = t.startBytes

	work := make(chan *job)
	ordered := make(chan *job, 2*t.o.Workers) // bounds what is under way
	wg.Add(1 + t.o.Workers)
	go func() {
		defer wg.Done()
		defer close(ordered)
		defer close(work)
		for j := range t.jobs(from) {
			for _, c := range []chan *job{ordered, work} {
				select {
				case c <- j:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	for range t.o.Workers {
		go func() {
			defer wg.Done()
			for j := range work {
				j.encode(t.o.Tokenizer)
				close(j.done)
			}
		}()
	}
	for j := range ordered {
		select {
		case <-j.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if j.err != nil {
			return j.err
		}
		if err := t.write(j, skip); err != nil {
			return err
		}
		skip = 0
		t.bytes = sizeOf(t.inputs[:j.from.File]) + j.to
		if j.InvalidUTF8 > 0 && t.InvalidUTF8 == 0 {
			at := "first_at"
			if extension(j.path) == ".parquet" {
				at = "first_row"
			}
			t.o.Log.Warn("text isn't valid UTF-8: each invalid byte or half of a character is read as U+FFFD",
				"file", j.path, at, j.bad)
		}
		if j.endings > 0 && t.endings == 0 {
			t.endingsIn = j.path
		}
		t.endings += j.endings
		t.add(j.Counts)
		ids := j.ids[:0]
		idPool.Put(&ids)
		t.progress(false)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return t.finish()
}

// jobs makes jobs of all inputs from a position on. The last one may be an error of reading.
func (t *tokenizing) jobs(from position) iter.Seq[*job] {
	return func(yield func(*job) bool) {
		for i := from.File; i < len(t.inputs); i++ {
			for c, err := range t.inputs[i].chunks(from, t.o.Separator, t.o.Tokenizer, encodeChunk) {
				ids := *idPool.Get().(*[]uint16)
				j := &job{chunk: c, path: t.inputs[i].path, ids: ids, err: err, done: make(chan struct{})}
				if !yield(j) || err != nil {
					return
				}
			}
			from = position{File: i + 1}
		}
	}
}

func (j *job) encode(tok Tokenizer) {
	eot, separated := tok.EOT()
	for _, d := range j.docs {
		invalid, at := 0, d.at
		if d.json != nil {
			if invalid, j.err = d.decode(); j.err != nil {
				j.err = fmt.Errorf("%s: byte %d: %w", j.path, d.at, j.err)
				return
			}
		} else if tok.Name() != "bytes" {
			first, n := invalidUTF8(d.text)
			if invalid = n; isPlain(j.path) {
				at += int64(first)
				if j.err = checkZeros(j.path, d.at, d.text); j.err != nil {
					return
				}
			}
		}
		if d.null {
			j.Nulls++
			continue
		}
		if invalid > 0 && j.InvalidUTF8 == 0 {
			j.bad = at
		}
		j.InvalidUTF8 += int64(invalid)
		j.endings += int64(spelledEnds(tok, d.text))
		if d.begin {
			j.Documents++
			if separated {
				j.ids = append(j.ids, uint16(eot))
			}
		}
		if j.ids, j.err = appendPart(tok, j.ids, d.text, d.begin); j.err != nil {
			j.err = fmt.Errorf("%s: %w", j.path, j.err)
			return
		}
	}
}

// target is the split and the size of the i-th shard.
func (t *tokenizing) target(i int) (Split, int64) {
	switch {
	case t.o.Split != "":
		return t.o.Split, t.o.ShardTokens
	case i == 0 && t.o.ValTokens > 0:
		return Val, t.o.ValTokens
	case i == 0 && t.o.ValTokens == 0:
		return Val, t.o.ShardTokens
	}
	return Train, t.o.ShardTokens
}

// shardName is the file name of the i-th shard: number 0 is the first of a validation split, 1 the first for training.
func (t *tokenizing) shardName(i int, split Split) string {
	number := i
	if split == Train && (t.o.Split == Train || t.o.ValTokens < 0) {
		number++
	}
	return fmt.Sprintf("%s_%s_%06d.%s", t.o.Name, split, number, t.o.Format)
}

// write appends the tokens of a job, less the first skip, to the shards.
func (t *tokenizing) write(j *job, skip int64) error {
	if skip > int64(len(j.ids)) {
		return fmt.Errorf("%s: has changed since the run that this continues; hint: remove the old shards", j.path)
	}
	done := skip
	for ids := j.ids[skip:]; len(ids) > 0; {
		split, size := t.target(len(t.m.Shards))
		if t.shard == nil {
			var err error
			if t.shard, err = t.newShard(t.shardName(len(t.m.Shards), split)); err != nil {
				return err
			}
		}
		n := min(int64(len(ids)), size-t.shard.n)
		if err := t.shard.append(ids[:n]); err != nil {
			return err
		}
		ids, done, t.tokens = ids[n:], done+n, t.tokens+n
		if t.shard.n == size {
			if err := t.complete(j.from, done); err != nil {
				return err
			}
		}
	}
	return nil
}

// complete puts the shard being written under its name, and into the manifest.
func (t *tokenizing) complete(next position, skip int64) error {
	s := t.shard
	if err := s.commit(); err != nil {
		return err
	}
	t.shard = nil
	t.m.Shards = append(t.m.Shards, doneShard{File: filepath.Base(s.path), Tokens: s.n, Next: next, Skip: skip,
		Counts: t.Counts})
	return t.save()
}

// unchanged returns an error if an input is no longer what it was at the start.
func (t *tokenizing) unchanged() error {
	for _, in := range t.inputs {
		now, err := identify(in.path)
		if err != nil {
			return fmt.Errorf("input: %w; hint: it was there when the run began: put it back", err)
		}
		if now != in.ID {
			return fmt.Errorf("%s: changed while it was read: %d bytes, before %d; hint: leave it as it is, and "+
				"tokenize it again into another --out", in.path, now.Bytes, in.ID.Bytes)
		}
	}
	return nil
}

// finish completes the last shard.
func (t *tokenizing) finish() error {
	if err := t.unchanged(); err != nil {
		return err
	}
	if t.tokens == 0 && t.Nulls > 0 {
		return fmt.Errorf("%s: no text in any input, but %d null texts; hint: does another field or column hold the "+
			"text? it must be named text", t.inputs[0].path, t.Nulls)
	} else if t.tokens == 0 {
		return fmt.Errorf("%s: no text in any input; hint: check the paths", t.inputs[0].path)
	}
	if split, size := t.target(len(t.m.Shards)); t.shard != nil && split == Val && t.o.Split == "" {
		if t.o.ValTokens > 0 {
			return fmt.Errorf("the inputs have %d tokens, --val-tokens wants %d; hint: --val-tokens %d", t.tokens, size,
				max(1, t.tokens/10))
		}
		if err := t.splitSmall(); err != nil {
			return err
		}
	}
	if t.shard != nil {
		if err := t.complete(position{File: len(t.inputs)}, 0); err != nil {
			return err
		}
	}
	if n := len(t.m.Shards); t.o.Split == "" && t.o.ValTokens >= 0 && n == 1 {
		return fmt.Errorf("the inputs have %d tokens, all of them in the validation shard; hint: --val-tokens %d",
			t.tokens, max(1, t.tokens/10))
	}
	t.m.Done = true
	return t.save()
}

// splitSmall makes two shards of a validation shard that the input didn't fill: the first tenth, and the rest to train
// on.
func (t *tokenizing) splitSmall() error {
	whole := t.shard
	n := whole.n / 10
	if n == 0 {
		return fmt.Errorf("the inputs have %d tokens, too few for two shards; hint: a longer text, or --val-tokens -1",
			whole.n)
	}
	rest, err := t.newShard(t.shardName(1, Train))
	if err == nil {
		err = whole.moveTail(n, rest)
	}
	if err == nil {
		err = t.complete(position{}, n)
	}
	if err != nil {
		rest.abandon()
		return err
	}
	t.shard = rest
	return nil
}
