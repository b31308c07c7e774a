package data

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/pkoukk/tiktoken-go"
	tiktokenloader "github.com/pkoukk/tiktoken-go-loader"
)

const (
	gpt2Vocab = 50257
	gpt2EOT   = 50256
	// gpt2Pattern splits text before the merges; scanPiece is the same thing by hand.
	gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
)

// gpt2Tokenizer is GPT-2's byte pair encoding. Ranks and decoding are tiktoken-go's. Encoding is our own: tiktoken-go
// matches the pattern with a backtracking engine and merges in quadratic time, which a long run without blanks turns into
// hours (tinyshakespeare on one core: 5 MB/s, this 73 MB/s; see BenchmarkEncode). The tests hold the two equal.
type gpt2Tokenizer struct {
	tk     *tiktoken.Tiktoken
	ranks  map[string]int // bytes of a token to its id, which is its merge rank too
	ofByte [256]uint16    // id of a single byte
	maxLen int            // of a token, in bytes
}

var loadGPT2 = sync.OnceValues(func() (Tokenizer, error) {
	ranks, err := tiktokenloader.NewOfflineLoader().LoadTiktokenBpe("r50k_base.tiktoken")
	if err != nil {
		return nil, fmt.Errorf("tokenizer gpt2: embedded ranks: %v; hint: this build is damaged, build it again", err)
	}
	special := map[string]int{"<|endoftext|>": gpt2EOT}
	core, err := tiktoken.NewCoreBPE(ranks, special, gpt2Pattern)
	if err != nil {
		return nil, fmt.Errorf("tokenizer gpt2: %v; hint: this build is damaged, build it again", err)
	}
	t := &gpt2Tokenizer{
		tk:    tiktoken.NewTiktoken(core, &tiktoken.Encoding{Name: "gpt2", MergeableRanks: ranks, SpecialTokens: special}, nil),
		ranks: ranks,
	}
	for b := range t.ofByte {
		id, ok := ranks[string([]byte{byte(b)})]
		if !ok {
			return nil, fmt.Errorf("tokenizer gpt2: embedded ranks: no token for byte %d; hint: this build is damaged, build it again", b)
		}
		t.ofByte[b] = uint16(id)
	}
	for s := range ranks {
		t.maxLen = max(t.maxLen, len(s))
	}
	return t, nil
})

func (*gpt2Tokenizer) Name() string              { return "gpt2" }
func (*gpt2Tokenizer) VocabSize() int            { return gpt2Vocab }
func (*gpt2Tokenizer) EOT() (id int, ok bool)    { return gpt2EOT, true }
func (t *gpt2Tokenizer) Decode(ids []int) string { return t.tk.Decode(ids) }

// Encode follows tiktoken's encode_ordinary. Each byte that isn't valid UTF-8 counts as the character U+FFFD.
func (t *gpt2Tokenizer) Encode(text string) []int {
	return widen(t.appendIDs(make([]uint16, 0, len(text)/3+1), text))
}

func (t *gpt2Tokenizer) appendIDs(dst []uint16, text string) []uint16 {
	if !utf8.ValidString(text) {
		text = string([]rune(text)) // a U+FFFD per invalid byte, as tiktoken-go has it
	}
	m := merger{}
	if len(text) > 1<<16 { // below, clearing the cache takes longer than it saves
		m.cache = make([]cachedPiece, cacheSlots)
	}
	for len(text) > 0 {
		n := scanPiece(text)
		dst = t.appendPiece(dst, text[:n], &m)
		text = text[n:]
	}
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
	first, n := decodeRune(text)
	k := kindOf(first)
	if k != kindSpace {
		return n + runLength(text[n:], k)
	}
	if first == ' ' && len(text) > 1 { // one blank joins the run behind it
		if next, m := decodeRune(text[1:]); kindOf(next) != kindSpace {
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

func contraction(text string) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case 's', 't', 'm', 'd':
		return 2
	}
	if len(text) >= 3 {
		switch text[1:3] {
		case "re", "ve", "ll":
			return 3
		}
	}
	return 0
}

func decodeRune(s string) (rune, int) {
	if s[0] < utf8.RuneSelf {
		return rune(s[0]), 1
	}
	return utf8.DecodeRuneInString(s)
}

// runLength returns how many bytes of s belong to characters of kind k before the first of another kind.
func runLength(s string, k kind) int {
	i := 0
	for i < len(s) {
		if c := s[i]; c < utf8.RuneSelf {
			if asciiKind[c] != k {
				break
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if unicodeKind(r) != k {
			break
		}
		i += n
	}
	return i
}

// heapFrom is the piece length in bytes from which merges go through a heap, O(n log n), and not through a scan for the
// smallest rank, O(n^2) with a much smaller constant. Words are 1 to 20 bytes; runs without blanks may be megabytes.
const heapFrom = 128

// appendPiece appends the ids of one match of the pattern: the token itself if it is one, else its merges.
func (t *gpt2Tokenizer) appendPiece(dst []uint16, piece string, m *merger) []uint16 {
	if len(piece) == 1 {
		return append(dst, t.ofByte[piece[0]])
	}
	if len(piece) <= t.maxLen {
		if id, ok := t.ranks[piece]; ok {
			return append(dst, uint16(id))
		}
	}
	if len(piece) >= heapFrom {
		return t.mergeLong(dst, piece)
	}
	if m.cache != nil && len(piece) <= cachedLen {
		e := m.slot(piece)
		if e.piece != piece {
			e.piece, e.ids = strings.Clone(piece), t.mergeShort(e.ids[:0], piece, m)
		}
		return append(dst, e.ids...)
	}
	return t.mergeShort(dst, piece, m)
}

const (
	cachedLen  = 24
	cacheSlots = 4096
)

// merger is the scratch of one appendIDs: the merge table of the piece at hand, and a direct-mapped cache of pieces that
// took merging: in English two thirds of them come again.
type merger struct {
	start, rank [heapFrom + 1]int32
	cache       []cachedPiece
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

const noRank = int32(1<<31 - 1)

// rankOf returns the rank of the token s, noRank if it is none.
func (t *gpt2Tokenizer) rankOf(s string) int32 {
	if len(s) > t.maxLen {
		return noRank
	}
	if r, ok := t.ranks[s]; ok {
		return int32(r)
	}
	return noRank
}

// mergeShort joins, again and again, the leftmost two neighbours whose joint token has the smallest rank.
func (t *gpt2Tokenizer) mergeShort(dst []uint16, piece string, m *merger) []uint16 {
	// Part i is piece[start[i]:start[i+1]], rank[i] the rank of parts i and i+1 together.
	n := len(piece)
	start, rank := m.start[:n+1], m.rank[:n+1]
	for i := range start {
		start[i], rank[i] = int32(i), noRank
	}
	for i := 0; i+2 <= n; i++ {
		rank[i] = t.rankOf(piece[i : i+2])
	}
	for n > 1 {
		best := 0
		for i := 1; i < n-1; i++ {
			if rank[i] < rank[best] {
				best = i
			}
		}
		if rank[best] == noRank {
			break
		}
		copy(start[best+1:n], start[best+2:n+1])
		copy(rank[best+1:n], rank[best+2:n+1])
		n--
		rank[best] = noRank
		if best+2 <= n {
			rank[best] = t.rankOf(piece[start[best]:start[best+2]])
		}
		if best > 0 {
			rank[best-1] = t.rankOf(piece[start[best-1]:start[best+1]])
		}
	}
	for i := range n {
		dst = t.appendToken(dst, piece[start[i]:start[i+1]])
	}
	return dst
}

// appendToken appends the id of s, which is a token: a byte or the result of a merge.
func (t *gpt2Tokenizer) appendToken(dst []uint16, s string) []uint16 {
	if len(s) == 1 {
		return append(dst, t.ofByte[s[0]])
	}
	return append(dst, uint16(t.ranks[s]))
}

// mergeLong is mergeShort for long pieces: parts are a linked list over byte positions, candidates wait in a heap ordered
// by (rank, position). A candidate is stale if one of its two parts has grown since.
func (t *gpt2Tokenizer) mergeLong(dst []uint16, piece string) []uint16 {
	const most = 1 << 30 // positions are int32; a longer run is cut, the only place where ids differ from tiktoken's
	for len(piece) > most {
		dst = t.mergeLong(dst, piece[:most])
		piece = piece[most:]
	}
	n := int32(len(piece))
	end := make([]int32, n)  // end[i]: where the part beginning at i ends; 0 if none begins there
	left := make([]int32, n) // left[i]: where the part before the one at i begins; -1 at the edge
	for i := range n {
		end[i], left[i] = i+1, i-1
	}
	var q candidates
	offer := func(i int32) {
		if j := end[i]; j < n {
			if r := t.rankOf(piece[i:end[j]]); r != noRank {
				q.push(candidate{r, i, end[j]})
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
		end[i], end[j] = c.end, 0
		if c.end < n {
			left[c.end] = i
		}
		offer(i)
		if left[i] >= 0 {
			offer(left[i])
		}
	}
	for i := int32(0); i < n; i = end[i] {
		dst = t.appendToken(dst, piece[i:end[i]])
	}
	return dst
}

// candidate is a merge that could be done: the two neighbours that span bytes start to end.
type candidate struct{ rank, start, end int32 }

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
