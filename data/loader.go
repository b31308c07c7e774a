package data

import "fmt"

// Loader walks a corpus in the reference document's order (build-nanogpt's DataLoaderLite): consecutive windows of
// B*T*ranks tokens of a shard, of which rank r takes the r-th B*T; the next shard when the window behind would not fit,
// targets included (the tail is dropped); the first shard again after the last. All ranks change shards at the same
// step, so R ranks of B sequences see what one rank of R*B sequences sees.
//
// A shard too short for one window is passed over. A Loader is for one goroutine; any number of loaders may share a
// corpus.
type Loader struct {
	c      *Corpus
	B, T   int
	rank   int
	window int64 // B*T*ranks tokens
	first  int   // the first shard that holds a window
	state  State
}

// State is where a loader stands, the same for all ranks: the next window begins at token Offset of shard Shard.
type State struct {
	Epoch  int64 `json:"epoch"`            // how often the corpus was gone through
	Shard  int   `json:"shard"`            // index in the order of names
	Offset int64 `json:"offset"`           // tokens from the shard's start
	Tokens int64 `json:"tokens,omitempty"` // of the whole corpus, to recognise another one; 0: unknown
}

// NewLoader returns a loader at the start of c that makes batches of B sequences of T tokens for one of ranks processes.
// It fails if no shard has the B*T*ranks+1 tokens that one step takes.
func NewLoader(c *Corpus, B, T, rank, ranks int) (*Loader, error) {
	if c.err != nil {
		return nil, c.err
	}
	if B < 1 || T < 1 {
		return nil, fmt.Errorf("loader: B=%d T=%d, want both at least 1; hint: --batch-size and --seq-len", B, T)
	}
	if ranks < 1 || rank < 0 || rank >= ranks {
		return nil, fmt.Errorf("loader: rank %d of %d, want 0 <= rank < ranks; hint: check how the processes were started", rank, ranks)
	}
	l := &Loader{c: c, B: B, T: T, rank: rank, window: int64(B) * int64(T) * int64(ranks), first: -1}
	longest, short := int64(0), 0
	for i, s := range c.shards {
		longest = max(longest, s.len())
		if !l.fits(i, 0) {
			short++
		} else if l.first < 0 {
			l.first = i
		}
	}
	if l.first < 0 {
		what := fmt.Sprintf("%d tokens", c.total)
		if len(c.shards) > 1 {
			what = fmt.Sprintf("%d tokens in its longest shard", longest)
		}
		return nil, fmt.Errorf("%s: %s, want at least %d (B=%d times T=%d times %d ranks, and one more as the last target); hint: smaller --batch-size or --seq-len, or a longer text",
			c.name, what, l.window+1, B, T, ranks)
	}
	if short > 0 {
		c.log.Warn("some shards are shorter than one batch and are passed over", "shards", short, "of", len(c.shards), "tokens_wanted", l.window+1)
	}
	l.Reset()
	return l, nil
}

// fits reports whether a window at that offset lies inside the shard, with the target of its last token.
func (l *Loader) fits(shard int, offset int64) bool {
	return offset+l.window+1 <= l.c.shards[shard].len()
}

// Next fills x with the next B*T inputs, row by row, and y with their targets: the tokens one further on.
// On an error (an id outside the vocabulary, a file that changed) the loader stays where it is.
func (l *Loader) Next(x, y []uint32) error {
	n := l.B * l.T
	if len(x) != n || len(y) != n {
		return fmt.Errorf("loader: x has %d elements and y %d, want B*T = %d; hint: this is a bug in the caller", len(x), len(y), n)
	}
	if err := l.c.read(l.state.Shard, l.state.Offset+int64(l.rank)*int64(n), x, y); err != nil {
		return err
	}
	l.state = l.after(l.state)
	return nil
}

// after returns the state one window on.
func (l *Loader) after(s State) State {
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
// N batches".
func (l *Loader) Batches() int64 { return l.c.total / (int64(l.B) * int64(l.T)) }

// State returns where the loader stands: what [Loader.Seek] takes to make the same batches from here on.
func (l *Loader) State() State { return l.state }

// Reset goes back to the start, for validation on the same batches every time.
func (l *Loader) Reset() { l.state = State{Shard: l.first, Tokens: l.c.total} }

// Seek goes to a state saved before. B and the number of ranks may have changed since; the corpus may not. It fails, and
// stays where it is, if the state isn't one of this corpus.
func (l *Loader) Seek(s State) error {
	const hint = "hint: resume with the same --data as before"
	if s.Tokens != 0 && s.Tokens != l.c.total {
		return fmt.Errorf("%s: has %d tokens, but the saved position is from a corpus of %d; %s", l.c.name, l.c.total, s.Tokens, hint)
	}
	if s.Epoch < 0 || s.Shard < 0 || s.Shard >= len(l.c.shards) {
		return fmt.Errorf("%s: saved position epoch %d, shard %d, want shards 0 to %d; %s", l.c.name, s.Epoch, s.Shard, len(l.c.shards)-1, hint)
	}
	if n := l.c.shards[s.Shard].len(); s.Offset < 0 || s.Offset > n {
		return fmt.Errorf("%s: saved position is token %d of shard %d, which has %d; %s", l.c.name, s.Offset, s.Shard, n, hint)
	}
	s.Tokens = l.c.total
	if !l.fits(s.Shard, s.Offset) { // a longer batch than when the state was saved
		s.Offset -= l.window
		s = l.after(s)
	}
	l.state = s
	return nil
}
