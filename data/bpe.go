package data

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// gpt2Pattern splits text before the merges; scanPiece is the same thing by hand.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// bpe is a byte-level byte pair encoding: GPT-2's, or one with a vocabulary of its own that Hugging Face's files
// describe (see TokenizerOfFiles). Added tokens are cut out of a text first, GPT-2's pattern splits the rest, and
// merges join the bytes of every piece, the pair of the lowest rank first.
//
// Encoding is our own: tiktoken-go matches the pattern with a backtracking engine and merges in quadratic time, which a
// long run without blanks turns into hours (tinyshakespeare on one core: 5 MB/s, this 73 MB/s; see BenchmarkEncode).
// The tests compare GPT-2's ids with tiktoken-go's, and those of other vocabularies with Hugging Face's tokenizers.
type bpe struct {
	name   string
	tokens []string          // id to bytes; "" for an id that no token has
	ofByte [256]int32        // id of a single byte; -1 if the vocabulary has none
	gaps   bool              // some of ofByte are -1: those bytes are left out, as Hugging Face does
	merges map[uint32]merged // by the two ids: left<<16 | right
	whole  map[string]uint16 // pieces that are one token after their merges
	maxLen int               // of a key of whole, in bytes

	added       addedTokens // looked for in every text
	special     addedTokens // looked for in a prompt; they include added
	prefixSpace bool        // a blank is put before a text that has none
	unsplit     bool        // no pattern: a text is one piece
	eot         int         // -1: none
	files       tokenizerFiles
}

// merged is what a pair of neighbours becomes.
type merged struct {
	rank int32
	id   uint16
}

// noMerge is the value of a pair without a merge.
var noMerge = merged{rank: 1<<31 - 1}

// newBPE returns an encoding of these tokens and no merges yet. ofByte returns a byte's id, -1 for none.
func newBPE(name string, tokens []string, ofByte func(byte) int) *bpe {
	t := &bpe{name: name, tokens: tokens, merges: map[uint32]merged{}, whole: map[string]uint16{}, eot: -1}
	for b := range t.ofByte {
		id := ofByte(byte(b))
		t.ofByte[b] = int32(id)
		t.gaps = t.gaps || id < 0
	}
	return t
}

// addWhole notes that a piece of these bytes is the token id.
func (t *bpe) addWhole(s string, id int) {
	t.whole[s] = uint16(id)
	t.maxLen = max(t.maxLen, len(s))
}

func (t *bpe) Name() string             { return t.name }
func (t *bpe) VocabSize() int           { return len(t.tokens) }
func (t *bpe) EOT() (id int, ok bool)   { return t.eot, t.eot >= 0 }
func (t *bpe) Encode(text string) []int { return widen(t.appendPart(nil, text, true)) }

func (t *bpe) Decode(ids []int) string { return decode(t.tokens, ids) }

// appendPart follows tiktoken's encode_ordinary for GPT-2, and Hugging Face's encode without special tokens around the
// text for others. Each byte that isn't valid UTF-8 counts as the character U+FFFD.
func (t *bpe) appendPart(dst []uint16, text string, begins bool) []uint16 {
	return t.appendText(dst, text, t.added, begins)
}

func (t *bpe) appendText(dst []uint16, text string, added addedTokens, begins bool) []uint16 {
	if dst == nil {
		dst = make([]uint16, 0, len(text)/3+1)
	}
	if !utf8.ValidString(text) {
		text = string([]rune(text)) // a U+FFFD per invalid byte, as tiktoken-go has it
	}
	m := merger{}
	if len(text) > 1<<16 { // below, clearing the cache takes longer than it saves
		m.cache = make([]cachedPiece, cacheSlots)
	}
	added.split(text, func(part string, id int) {
		if id >= 0 {
			dst, begins = append(dst, uint16(id)), true
			return
		}
		if t.prefixSpace && begins && part[0] != ' ' {
			part = " " + part
		}
		for len(part) > 0 {
			n := len(part)
			if !t.unsplit {
				n = scanPiece(part)
			}
			dst = t.appendPiece(dst, part[:n], &m)
			part = part[n:]
		}
	})
	return dst
}

// scanPiece returns the length of gpt2Pattern's first match in text, which begins where text begins: every character
// belongs to one of the alternatives. text is valid UTF-8 and not empty.
func scanPiece(text string) int {
	if text[0] == '\'' {
		if n := contraction(text); n > 0 {
			return n
		}
	}
	first, n := utf8.DecodeRuneInString(text)
	k := kindOf(first)
	if k != kindSpace {
		return n + runLength(text[n:], k)
	}
	if first == ' ' && len(text) > 1 { // one blank joins the run behind it
		if next, m := utf8.DecodeRuneInString(text[1:]); kindOf(next) != kindSpace {
			return 1 + m + runLength(text[1+m:], kindOf(next))
		}
	}
	// \s+(?!\S): all the white space, less its last character if something else follows it; \s+: but never nothing.
	end := n + runLength(text[n:], kindSpace)
	if end == len(text) {
		return end
	}
	_, last := utf8.DecodeLastRuneInString(text[:end])
	if end == last {
		return end
	}
	return end - last
}

// contraction returns the length of a contraction that text begins with, 0 if it begins with none.
func contraction(text string) int {
	for _, c := range [...]string{"'s", "'t", "'m", "'d", "'re", "'ve", "'ll"} {
		if strings.HasPrefix(text, c) {
			return len(c)
		}
	}
	return 0
}

// runLength returns how many bytes of s belong to characters of kind k before the first of another kind.
func runLength(s string, k kind) int {
	for i, r := range s {
		if kindOf(r) != k {
			return i
		}
	}
	return len(s)
}

// heapFrom is the piece length in bytes from which merges go through a heap, O(n log n), and not through a scan for the
// smallest rank, O(n^2) with a much smaller constant. Words are 1 to 20 bytes; runs without blanks may be megabytes.
const heapFrom = 128

// appendPiece appends the ids of one match of the pattern: the token itself if it is one, else its merges.
func (t *bpe) appendPiece(dst []uint16, piece string, m *merger) []uint16 {
	if len(piece) == 1 && t.ofByte[piece[0]] >= 0 {
		return append(dst, uint16(t.ofByte[piece[0]]))
	}
	if len(piece) <= t.maxLen {
		if id, ok := t.whole[piece]; ok {
			return append(dst, id)
		}
	}
	if t.gaps {
		known := make([]byte, 0, len(piece))
		for i := range len(piece) {
			if t.ofByte[piece[i]] >= 0 {
				known = append(known, piece[i])
			}
		}
		if piece = string(known); piece == "" {
			return dst
		}
	}
	if m.cache != nil && len(piece) <= cachedLen {
		e := m.slot(piece)
		if e.piece != piece {
			e.piece, e.ids = strings.Clone(piece), t.mergeShort(e.ids[:0], piece, m)
		}
		return append(dst, e.ids...)
	}
	return t.mergeBytes(dst, piece, m)
}

// mergeBytes appends what the merges make of a piece's bytes.
func (t *bpe) mergeBytes(dst []uint16, piece string, m *merger) []uint16 {
	if len(piece) >= heapFrom {
		return t.mergeLong(dst, piece)
	}
	return t.mergeShort(dst, piece, m)
}

const (
	cachedLen  = 24
	cacheSlots = 4096
)

// merger is the scratch of one appendText: the merge table of the piece at hand, and a direct-mapped cache of pieces
// that needed merges: in English two thirds of them occur again.
type merger struct {
	id    [heapFrom]uint16
	next  [heapFrom]merged
	cache []cachedPiece
}

type cachedPiece struct {
	piece string
	ids   []uint16
}

func (m *merger) slot(piece string) *cachedPiece {
	h := uint32(2166136261) // FNV-1a
	for i := range len(piece) {
		h = (h ^ uint32(piece[i])) * 16777619
	}
	return &m.cache[(h^h>>15)%cacheSlots]
}

func pair(left, right uint16) uint32 { return uint32(left)<<16 | uint32(right) }

// mergesByRank returns the pairs that merge, by their ranks.
func (t *bpe) mergesByRank() []uint32 {
	return slices.SortedFunc(maps.Keys(t.merges), func(a, b uint32) int {
		return cmp.Compare(t.merges[a].rank, t.merges[b].rank)
	})
}

// merge returns what two neighbours become, noMerge if they stay apart.
func (t *bpe) merge(left, right uint16) merged {
	if m, ok := t.merges[pair(left, right)]; ok {
		return m
	}
	return noMerge
}

// mergeShort joins, again and again, the leftmost two neighbours whose merge has the smallest rank.
func (t *bpe) mergeShort(dst []uint16, piece string, m *merger) []uint16 {
	n := len(piece)
	id, next := m.id[:n], m.next[:n] // next[i]: what the parts i and i+1 become
	for i := range id {
		id[i] = uint16(t.ofByte[piece[i]])
	}
	for i := range n - 1 {
		next[i] = t.merge(id[i], id[i+1])
	}
	for n > 1 {
		best := 0
		for i := 1; i < n-1; i++ {
			if next[i].rank < next[best].rank {
				best = i
			}
		}
		if next[best].rank == noMerge.rank {
			break
		}
		id[best] = next[best].id
		copy(id[best+1:n-1], id[best+2:n])
		copy(next[best:n-2], next[best+1:n-1])
		n--
		if best+1 < n {
			next[best] = t.merge(id[best], id[best+1])
		}
		if best > 0 {
			next[best-1] = t.merge(id[best-1], id[best])
		}
	}
	return append(dst, id[:n]...)
}

// mergeLong is mergeShort for long pieces: parts are a linked list over byte positions, candidates wait in a heap
// ordered by (rank, position). A candidate is stale if one of its two parts has grown since.
func (t *bpe) mergeLong(dst []uint16, piece string) []uint16 {
	const most = 1 << 30 // positions are int32; a longer run is cut, the only place where ids differ from tiktoken's
	for len(piece) > most {
		dst = t.mergeLong(dst, piece[:most])
		piece = piece[most:]
	}
	n := int32(len(piece))
	id := make([]uint16, n)  // id[i]: of the part that begins at i
	end := make([]int32, n)  // end[i]: where the part beginning at i ends; 0 if none begins there
	left := make([]int32, n) // left[i]: where the part before the one at i begins; -1 at the edge
	for i := range n {
		id[i], end[i], left[i] = uint16(t.ofByte[piece[i]]), i+1, i-1
	}
	var q candidates
	offer := func(i int32) {
		if j := end[i]; j < n {
			if m := t.merge(id[i], id[j]); m != noMerge {
				q.push(candidate{m.rank, i, end[j], m.id})
			}
		}
	}
	for i := range n {
		offer(i)
	}
	for len(q) > 0 {
		c := q.pop()
		i, j := c.start, end[c.start]
		if j == 0 || j >= n || end[j] != c.end {
			continue
		}
		id[i], end[i], end[j] = c.id, c.end, 0
		if c.end < n {
			left[c.end] = i
		}
		offer(i)
		if left[i] >= 0 {
			offer(left[i])
		}
	}
	for i := int32(0); i < n; i = end[i] {
		dst = append(dst, id[i])
	}
	return dst
}

// candidate is a merge that could be done: the two neighbours that span bytes start to end, and the token that they
// become.
type candidate struct {
	rank, start, end int32
	id               uint16
}

func (a candidate) before(b candidate) bool {
	return a.rank < b.rank || a.rank == b.rank && a.start < b.start
}

// candidates is a binary heap, the smallest on top; container/heap would box every element.
type candidates []candidate

func (q *candidates) push(c candidate) {
	h := append(*q, c)
	i := len(h) - 1
	for i > 0 && c.before(h[(i-1)/2]) {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	h[i] = c
	*q = h
}

func (q *candidates) pop() candidate {
	h := *q
	top, c := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	for i := 0; len(h) > 0; {
		k := 2*i + 1
		if k+1 < len(h) && h[k+1].before(h[k]) {
			k++
		}
		if k >= len(h) || !h[k].before(c) {
			h[i] = c
			break
		}
		h[i] = h[k]
		i = k
	}
	*q = h
	return top
}
