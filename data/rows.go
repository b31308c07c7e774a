package data

// Rows walks a corpus once, for a loss of all of it: rows of T tokens that follow each other in a shard, the last one
// as long as what is left. So every token of a shard but its first is a target exactly once, and no row crosses into
// another shard.
type Rows struct {
	c     *Corpus
	T     int   // at most the longest shard less one
	Total int64 // targets of all rows together
	shard int
	at    int64
}

// NewRows starts at the corpus's beginning. T is shortened where every shard is shorter. Without any target Total is 0.
func NewRows(c *Corpus, T int) *Rows {
	r := &Rows{c: c}
	longest := int64(0)
	for _, s := range c.shards {
		longest = max(longest, s.rows(1))
		r.Total += s.rows(1)
	}
	r.T = int(min(int64(T), longest))
	return r
}

// Next fills the beginning of x with a row and that of y with its targets, the tokens one further on, and returns their
// number: T, or fewer at the end of a shard, or 0 after the last row. x and y have T elements.
func (r *Rows) Next(x, y []uint32) (int, error) {
	for ; r.shard < len(r.c.shards); r.shard, r.at = r.shard+1, 0 {
		if n := int(min(int64(r.T), r.c.shards[r.shard].len()-1-r.at)); n > 0 {
			if err := r.c.read(r.shard, r.at, x[:n], y[:n]); err != nil {
				return 0, err
			}
			r.at += int64(n)
			return n, nil
		}
	}
	return 0, nil
}
