package data

import (
	"fmt"
	"sort"
)

// Loader walks a corpus in the reference document's order (build-nanogpt's DataLoaderLite): consecutive windows of
// B*T*ranks tokens of a shard, of which rank r takes the r-th B*T; the next shard when the window behind would not fit,
// targets included (the tail is dropped); the first shard again after the last. All ranks change shards at the same
// step, so R ranks of B sequences see what one rank of R*B sequences sees. The loader skips a shard that is too short
// for one window.
//
// Of a part that [Corpus.Divide] made, the unit is a row of T tokens instead: every epoch has all rows of all shards
// once.
//
// Batches of mapped shards are read one ahead, in the background, so that a disk's latency hides behind the step; what
// Next returns is the same with or without. A Loader is for one goroutine; any number of loaders may share a corpus.
type Loader struct {
	c      *Corpus
	B, T   int
	rank   int
	window int64 // B*T*ranks tokens: what one step takes
	first  int   // the first shard that holds a window
	state  State

	byRows   bool    // batches are made of rows: of a divided corpus
	rows     int64   // rows of T tokens in the corpus
	rowsUpTo []int64 // rows in shards 0 to i

	readAhead bool       // not for tokens in memory, which are copied in microseconds
	ahead     chan batch // holds or will hold the batch at state; nil if none was begun
	spare     batch      // its memory
}

type batch struct {
	x, y []uint32
	err  error
}

// State is where a loader stands, the same for all ranks: in the document's order the next window begins at token
// Offset of shard Shard; by rows, Rows rows of this epoch are done.
type State struct {
	Epoch  int64 `json:"epoch"`             // complete passes over the corpus
	Shard  int   `json:"shard"`             // index in the order of names
	Offset int64 `json:"offset"`            // tokens from the shard's start
	Tokens int64 `json:"tokens,omitempty"`  // of the whole corpus, to recognise another one; 0: unknown
	Rows   int64 `json:"rows,omitempty"`    // by rows: those handed out, all ranks together
	SeqLen int   `json:"seq_len,omitempty"` // by rows: T, which cuts the corpus into rows; 0: not by rows
}

// NewLoader returns a loader at the start of c that makes batches of B sequences of T tokens for one of ranks
// processes. It fails if no shard has the B*T*ranks+1 tokens that one step takes.
func NewLoader(c *Corpus, B, T, rank, ranks int) (*Loader, error) {
	const most = 1<<31 - 1 // elements of a batch
	if B < 1 || T < 1 || B > most/T {
		return nil, fmt.Errorf("loader: B=%d T=%d, want 1 <= B*T < 2^31; hint: --batch-size and --seq-len", B, T)
	}
	if ranks < 1 || ranks > 1<<20 || rank < 0 || rank >= ranks {
		return nil, fmt.Errorf("loader: rank %d of %d ranks; hint: check how the processes were started", rank, ranks)
	}
	l := &Loader{c: c, B: B, T: T, rank: rank, window: int64(B) * int64(T) * int64(ranks), first: -1,
		byRows: c.whole != nil}
	longest, short := int64(0), 0
	for i, s := range c.shards {
		l.readAhead = l.readAhead || s.isMapped()
		longest = max(longest, s.len())
		if !l.fits(i, 0) {
			short++
		} else if l.first < 0 {
			l.first = i
		}
		l.rows += s.rows(T)
		l.rowsUpTo = append(l.rowsUpTo, l.rows)
	}
	what := fmt.Sprintf("%d tokens", c.total)
	enough := l.first >= 0
	if l.byRows {
		enough = l.rows*int64(T) >= l.window
	} else if len(c.shards) > 1 {
		what = fmt.Sprintf("%d tokens in its longest shard", longest)
	}
	if !enough {
		return nil, fmt.Errorf("%s: %s, want at least %d (B=%d times T=%d times %d ranks, and one more as the last "+
			"target); hint: smaller --batch-size or --seq-len, or a longer text", c.name, what, l.window+1, B, T, ranks)
	}
	if short > 0 && !l.byRows {
		c.log.Warn("skipping shards that are shorter than one batch", "shards", short, "of", len(c.shards),
			"tokens_wanted", l.window+1)
	}
	l.Reset()
	return l, nil
}

// fits reports whether a window at that offset lies inside the shard, with the target of its last token.
func (l *Loader) fits(shard int, offset int64) bool {
	return offset+l.window+1 <= l.c.shards[shard].len()
}

// Next fills x with the next B*T inputs, row by row, and y with their targets: the tokens one further on.
// On an error (an id outside the vocabulary, a file that changed, a closed corpus) the loader stays where it is.
func (l *Loader) Next(x, y []uint32) error {
	n := l.B * l.T
	if len(x) != n || len(y) != n {
		return fmt.Errorf("loader: x has %d elements and y %d, want B*T = %d; hint: this is a bug in the caller",
			len(x), len(y), n)
	}
	if l.ahead != nil {
		b := <-l.ahead
		l.ahead = nil
		if b.err != nil {
			return b.err
		}
		copy(x, b.x)
		copy(y, b.y)
	} else if err := l.read(l.state, x, y); err != nil {
		return err
	}
	l.state = l.after(l.state)
	if l.readAhead {
		l.begin()
	}
	return nil
}

// begin starts to read the batch at l.state. The goroutine ends even if nobody waits for it.
func (l *Loader) begin() {
	if l.spare.x == nil {
		l.spare = batch{x: make([]uint32, l.B*l.T), y: make([]uint32, l.B*l.T)}
	}
	b, s, ahead := l.spare, l.state, make(chan batch, 1)
	go func() {
		b.err = l.read(s, b.x, b.y)
		ahead <- b
	}()
	l.ahead = ahead
}

// settle waits for a batch that is being read and drops it.
func (l *Loader) settle() {
	if l.ahead != nil {
		<-l.ahead
		l.ahead = nil
	}
}

// read reads the batch at s for this rank.
func (l *Loader) read(s State, x, y []uint32) error {
	if !l.byRows {
		return l.c.read(s.Shard, s.Offset+int64(l.rank)*int64(l.B)*int64(l.T), x, y)
	}
	for b := range l.B {
		row := s.Rows + int64(l.rank)*int64(l.B) + int64(b)
		i := sort.Search(len(l.rowsUpTo), func(i int) bool { return l.rowsUpTo[i] > row })
		if i > 0 {
			row -= l.rowsUpTo[i-1]
		}
		if err := l.c.read(i, row*int64(l.T), x[b*l.T:(b+1)*l.T], y[b*l.T:(b+1)*l.T]); err != nil {
			return err
		}
	}
	return nil
}

// after returns the state one window on.
func (l *Loader) after(s State) State {
	if l.byRows {
		step := l.window / int64(l.T)
		if s.Rows += step; s.Rows+step > l.rows {
			s.Rows = 0
			s.Epoch++
		}
		return s
	}
	s.Offset += l.window
	for !l.fits(s.Shard, s.Offset) {
		s.Offset = 0
		if s.Shard++; s.Shard == len(l.c.shards) {
			s.Shard = 0
			s.Epoch++
		}
	}
	return s
}

// Batches returns how many batches of B*T tokens the corpus holds, tokens/(B*T) rounded down: the document's "1 epoch =
// N batches". Of a divided corpus only whole rows count.
func (l *Loader) Batches() int64 {
	if l.byRows {
		return l.rows / int64(l.B)
	}
	return l.c.total / (int64(l.B) * int64(l.T))
}

// State returns where the loader stands: what [Loader.Seek] takes to make the same batches from here on.
func (l *Loader) State() State { return l.state }

// Reset goes back to the start, for validation on the same batches every time.
func (l *Loader) Reset() {
	l.settle()
	l.state = State{Tokens: l.c.total, Shard: l.first}
	if l.byRows {
		l.state = State{Tokens: l.c.total, SeqLen: l.T}
	}
}

// Seek goes to a state saved before. B, T and the number of ranks may have changed since, the corpus may not. It fails,
// and stays where it is, if the state isn't one of this corpus. The zero State is the start.
func (l *Loader) Seek(s State) error {
	if s == (State{}) {
		l.Reset()
		return nil
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: the saved position is "+format+"; hint: resume with the same --data and --val-fraction",
			append([]any{l.c.name}, args...)...)
	}
	shards := len(l.c.shards)
	switch {
	case s.Tokens != 0 && s.Tokens != l.c.total:
		return bad("of a corpus of %d tokens, this one has %d", s.Tokens, l.c.total)
	case l.byRows != (s.SeqLen != 0):
		return bad("of batches made of rows: %v, this loader's: %v", s.SeqLen != 0, l.byRows)
	case s.Epoch < 0 || s.Shard < 0 || s.Shard >= shards:
		return bad("epoch %d, shard %d, want shards 0 to %d", s.Epoch, s.Shard, shards-1)
	case s.Offset < 0 || s.Offset > l.c.shards[s.Shard].len():
		return bad("token %d of shard %d, which has %d", s.Offset, s.Shard, l.c.shards[s.Shard].len())
	}
	if l.byRows && s.SeqLen != l.T && s.SeqLen > 0 && s.Rows >= 0 {
		s.Rows, s.SeqLen = l.rowAt(s.Rows, s.SeqLen), l.T
	}
	if s.Rows < 0 || s.Rows > l.rows {
		return bad("row %d, want 0 to %d", s.Rows, l.rows)
	}
	s.Tokens = l.c.total
	// A longer step than when the state was saved may not fit: then the rest is dropped, as a tail is.
	if l.byRows && s.Rows+l.window/int64(l.T) > l.rows {
		s.Rows = 0
		s.Epoch++
	} else if !l.byRows && !l.fits(s.Shard, s.Offset) {
		s.Offset -= l.window
		s = l.after(s)
	}
	l.settle()
	l.state = s
	return nil
}

// rowAt returns the first row that begins at or behind row i of rows of T tokens.
func (l *Loader) rowAt(i int64, T int) int64 {
	for k, s := range l.c.shards {
		if n := s.rows(T); i >= n {
			i -= n
			continue
		}
		behind := l.rowsUpTo[k] - s.rows(l.T) // rows before this shard
		return min(behind+(i*int64(T)+int64(l.T)-1)/int64(l.T), l.rowsUpTo[k])
	}
	return l.rows
}
