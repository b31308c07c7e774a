package data

import "math"

// A validation part of a text consists of blocks spread over it, at most mostBlocks in a shard. A block has at least
// leastBlock tokens, so that two rows of 1024 tokens and their last target fit into it.
const (
	leastBlock = 2049
	mostBlocks = 16
)

// Divide parts a corpus in two: blocks with that fraction of its tokens to validate on, 0 < fraction < 1, and what lies
// between them to train on. Where the blocks lie depends only on the number of tokens and the fraction, not on B, T or
// the number of ranks. A shard of N tokens has K = fraction*N/2049 blocks, 1 to 16: it is
// cut into K equal pieces, and each ends in a block.
//
// Loaders of the parts make batches of rows of T tokens, and no row crosses the border of a block: no token is input or
// target in both parts. What is left of a block or a piece behind its last row is unused. The parts read c's memory:
// close c after them.
func (c *Corpus) Divide(fraction float64) (train, val *Corpus) {
	part := func() *Corpus {
		return &Corpus{name: c.name, files: c.files, vocab: c.vocab, settled: c.settled, log: c.log, whole: c}
	}
	train, val = part(), part()
	for _, s := range c.shards {
		n := s.len()
		blocks := min(max(int64(fraction*float64(n))/leastBlock, 1), mostBlocks)
		for i := range blocks {
			begin, end := n*i/blocks, n*(i+1)/blocks
			cut := end - int64(math.Round(fraction*float64(end-begin)))
			train.add(s.piece(begin, cut))
			val.add(s.piece(cut, end))
		}
	}
	return train, val
}

// piece is tokens begin to end of a shard, end not included. It needs no closing.
func (s *shard) piece(begin, end int64) *shard {
	return &shard{name: s.name, raw: s.raw[2*begin : 2*end : 2*end], at: s.at + 2*begin, first: begin,
		mapped: s.file != nil}
}

// Rows returns how many rows of T tokens, each with the target behind its last token, a divided corpus holds, and how
// many of its tokens are unused.
func (c *Corpus) Rows(T int) (rows, unused int64) {
	for _, s := range c.shards {
		n := s.rows(T)
		rows += n
		if unused += s.len(); n > 0 {
			unused -= n*int64(T) + 1
		}
	}
	return rows, unused
}

// Blocks returns the number of blocks or pieces of a divided corpus.
func (c *Corpus) Blocks() int { return len(c.shards) }
