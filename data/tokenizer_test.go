package data

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pkoukk/tiktoken-go"
	tiktokenloader "github.com/pkoukk/tiktoken-go-loader"
)

func mustTokenizer(t testing.TB, name string) Tokenizer {
	t.Helper()
	tok, err := NewTokenizer(name)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// oracle is tiktoken-go's own encoder over the same ranks.
func oracle(t testing.TB) *tiktoken.Tiktoken {
	t.Helper()
	ranks, err := tiktokenloader.NewOfflineLoader().LoadTiktokenBpe("r50k_base.tiktoken")
	if err != nil {
		t.Fatal(err)
	}
	special := map[string]int{endOfText: gpt2EOT}
	core, err := tiktoken.NewCoreBPE(ranks, special, gpt2Pattern)
	if err != nil {
		t.Fatal(err)
	}
	return tiktoken.NewTiktoken(core, &tiktoken.Encoding{Name: "gpt2", MergeableRanks: ranks, SpecialTokens: special},
		nil)
}

// shakespeare returns the text that the reference document trains on, or skips: it isn't part of this repository.
func shakespeare(t testing.TB) (path, text string) {
	t.Helper()
	path = filepath.Join("..", "..", "shared", "data", "tinyshakespeare.txt")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("needs tinyshakespeare.txt: %v", err)
	}
	return path, string(b)
}

func TestGPT2KnownIDs(t *testing.T) {
	tok := mustTokenizer(t, "gpt2")
	for text, want := range map[string][]int{
		"":                              {},
		"Hello, I'm a language model,":  {15496, 11, 314, 1101, 257, 3303, 2746, 11},
		"<|endoftext|>":                 {27, 91, 437, 1659, 5239, 91, 29},
		"\n\n":                          {628},
		"First Citizen:\nBefore we":     {5962, 22307, 25, 198, 8421, 356},
		"    x":                         {220, 220, 220, 2124},
		"\u00e9\u4f60\u597d \U0001f600": {2634, 19526, 254, 25001, 121, 30325, 222},
	} {
		if got := tok.Encode(text); !slices.Equal(got, want) {
			t.Errorf("Encode(%q) = %v, want %v", text, got, want)
		}
		if got := tok.Decode(want); got != text {
			t.Errorf("Decode(%v) = %q, want %q", want, got, text)
		}
	}
	if id, ok := tok.EOT(); id != 50256 || !ok {
		t.Errorf("EOT() = %d, %v, want 50256, true", id, ok)
	}
	if got := tok.Decode([]int{15496, 50257, 50303, -1, 1 << 30, 50256}); got != "Hello<|endoftext|>" {
		t.Errorf("padding ids decode to %q", got)
	}
	if tok.VocabSize() != 50257 || tok.Name() != "gpt2" {
		t.Errorf("%s has %d ids", tok.Name(), tok.VocabSize())
	}
}

func TestBytes(t *testing.T) {
	tok := mustTokenizer(t, "bytes")
	if got, want := tok.Encode("aé\x00\xff"), []int{97, 0xc3, 0xa9, 0, 255}; !slices.Equal(got, want) {
		t.Errorf("Encode = %v, want %v", got, want)
	}
	if got := tok.Decode([]int{97, 256, -1, 0xc3, 0xa9}); got != "aé" {
		t.Errorf("Decode = %q", got)
	}
	if _, ok := tok.EOT(); ok || tok.VocabSize() != 256 || tok.Name() != "bytes" {
		t.Error("bytes: wrong name, size or EOT")
	}
	if _, err := NewTokenizer("bpe"); err == nil || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("unknown tokenizer: %v", err)
	}
}

// alphabet stresses the pattern's seams: blanks of all kinds, contractions, several scripts, marks, invalid bytes.
var alphabet = strings.Split("a|b|t|s|re|ll|ve|S|'|'|'s|'re|'l| | |  "+
	"|\n|\t|\r\n|\u00a0|\u3000|\u2028|\u0085|\x1c|\v|1|23|\u00b2|\u0663|\u2167|.|,|-|!!|\u00e9|e\u0301|\u4f60|\u597d|"+
	"\u0e01|\U0001f600|\u200d|\x00|\xff|\xe4\xbd|the|ing|ation|zq|\u00df|\u01c5|_|<|endof|>", "|")

func randomText(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

func TestGPT2EqualsTiktoken(t *testing.T) {
	tok, want := mustTokenizer(t, "gpt2"), oracle(t)
	check := func(text string) {
		t.Helper()
		if got, want := tok.Encode(text), want.EncodeOrdinary(text); !slices.Equal(got, want) {
			t.Fatalf("Encode(%q) = %v, want %v", text, got, want)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 6000 {
		check(randomText(r, r.IntN(12)))
	}
	for range 100 {
		check(randomText(r, 300))
	}
	for c := range rune(0x3100) { // every kind of character, by itself and between neighbours
		check("a" + string(c) + " " + string(c) + "b")
	}
	for _, n := range []int{heapFrom - 1, heapFrom, heapFrom + 1, 700} { // both merges, around the switch
		for range 10 {
			b := make([]byte, n)
			for i := range b {
				b[i] = "abcdefghinorst"[r.IntN(14)]
			}
			check(string(b))
		}
		for _, s := range []string{"a", "ab", "=", " ", "\n", "7", "\u4f60\u597d"} {
			check(strings.Repeat(s, n))
		}
	}
}

func FuzzGPT2EqualsTiktoken(f *testing.F) {
	f.Add("I'll say: it's 12,345\u00b2 \n\n  words\u00a0 \xff")
	tok, want := mustTokenizer(f, "gpt2"), oracle(f)
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := tok.Encode(text), want.EncodeOrdinary(text); !slices.Equal(got, want) {
			t.Fatalf("Encode(%q) = %v, want %v", text, got, want)
		}
	})
}

func TestSafeCut(t *testing.T) {
	tok := mustTokenizer(t, "gpt2").(*bpe)
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		text := randomText(r, 80)
		want := tok.appendIDs(nil, text)
		for _, chunk := range []int{1, 2, 7, 50} {
			got, err := encodeChunks(tok, text, chunk)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("chunks of %d of %q: %v, %v, want %v", chunk, text, got, err, want)
			}
		}
	}
}

// TestLongRun has a megabyte without a place to cut: quadratic merges would take an hour, more than a test may.
func TestLongRun(t *testing.T) {
	tok := mustTokenizer(t, "gpt2").(*bpe)
	text := strings.Repeat("abcdefghij", 100_000)
	ids := tok.Encode(text)
	if tok.Decode(ids) != text {
		t.Error("a long run doesn't decode to itself")
	}
}

func TestShakespeareTokens(t *testing.T) {
	_, text := shakespeare(t)
	tok := mustTokenizer(t, "gpt2").(*bpe)
	ids := tok.Encode(text)
	if len(ids) != 338025 {
		t.Errorf("%d tokens, want 338025", len(ids))
	}
	if want := oracle(t).EncodeOrdinary(text); !slices.Equal(ids, want) {
		t.Error("ids differ from tiktoken-go's")
	}
	if tok.Decode(ids) != text {
		t.Error("the ids don't decode to the text")
	}
	parallel, err := encodeChunks(tok, text, 10_000)
	if err != nil || !slices.Equal(widen(parallel), ids) {
		t.Errorf("chunks encode differently: %v", err)
	}
}

// manyWords is English-like text for benchmarks: random words of random letters would be nearly all merges.
func manyWords(n int) string {
	words := strings.Fields(SampleText())
	r := rand.New(rand.NewPCG(5, 6))
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(words[r.IntN(len(words))])
		b.WriteByte(' ')
	}
	return b.String()
}

func (t *bpe) appendIDs(dst []uint16, text string) []uint16 { return t.appendPart(dst, text, true) }

func BenchmarkEncode(b *testing.B) {
	text := manyWords(1 << 20)
	tok := mustTokenizer(b, "gpt2").(*bpe)
	b.Run("gpt2", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		dst := make([]uint16, 0, len(text))
		for b.Loop() {
			dst = tok.appendIDs(dst[:0], text)
		}
	})
	b.Run("shakespeare", func(b *testing.B) {
		_, text := shakespeare(b)
		b.SetBytes(int64(len(text)))
		dst := make([]uint16, 0, len(text))
		for b.Loop() {
			dst = tok.appendIDs(dst[:0], text)
		}
	})
	b.Run("tiktoken-go", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			oracle(b).EncodeOrdinary(text)
		}
	})
}
