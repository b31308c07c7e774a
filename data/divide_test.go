package data

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// numbered is a corpus whose tokens say where they stand: token i of a shard is i modulo 65536.
func numbered(lens ...int) *Corpus {
	var shards [][]uint16
	for _, n := range lens {
		shards = append(shards, count(0, n))
	}
	return fromShards("numbered", shards...)
}

// TestDivide: every token is in one of the parts, once, in order, and the parts do not depend on anything but the
// corpus.
func TestDivide(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		lens := []int{1 + r.IntN(60000)}
		for range r.IntN(3) {
			lens = append(lens, 1+r.IntN(5000))
		}
		f := []float64{0.1, 0.5, 0.01, 0.33, 0.9, 1e-9, r.Float64()}[r.IntN(7)]
		whole := numbered(lens...)
		train, val := whole.Divide(f)
		if train.Len()+val.Len() != whole.Len() {
			t.Fatalf("%v, %v: %d and %d tokens", lens, f, train.Len(), val.Len())
		}
		if want := f * float64(whole.Len()); math.Abs(float64(val.Len())-want) > float64(val.Blocks()) {
			t.Errorf("%v, %v: %d tokens validate, want %v", lens, f, val.Len(), want)
		}
		// The pieces alternate: one to train on, one to validate on.
		var got []uint16
		for i := range train.shards {
			got = append(got, all(&Corpus{shards: []*shard{train.shards[i], val.shards[i]}})...)
		}
		if !slices.Equal(got, all(whole)) {
			t.Fatalf("%v, %v: the parts together are not the text", lens, f)
		}
	}
	// Blocks are spread over the text, and long enough for rows of 1024.
	train, val := numbered(60_000).Divide(0.1)
	if val.Blocks() != 2 || train.shards[1].first != 30_000 || val.shards[0].first != 27_000 ||
		val.shards[0].len() != 3000 {
		t.Errorf("60,000 tokens: %d blocks, the first at %d of %d", val.Blocks(), val.shards[0].first,
			val.shards[0].len())
	}
	if _, val = numbered(65_000, 65_000).Divide(0.9); val.Blocks() != 32 {
		t.Errorf("%d blocks, want at most 16 per shard", val.Blocks())
	}
}

// rows returns the rows that ranks loaders hand out in an epoch, in order, each as its first token and whether all is
// right in it.
func rows(t *testing.T, c *Corpus, B, T, ranks int) (starts []string) {
	t.Helper()
	var loaders []*Loader
	for rank := range ranks {
		l, err := NewLoader(c, B, T, rank, ranks)
		if err != nil {
			t.Fatal(err)
		}
		loaders = append(loaders, l)
	}
	x, y := make([]uint32, B*T), make([]uint32, B*T)
	for loaders[0].State().Epoch == 0 {
		for _, l := range loaders {
			if err := l.Next(x, y); err != nil {
				t.Fatal(err)
			}
			for b := range B {
				for i := b * T; i < (b+1)*T; i++ {
					if y[i] != x[i]+1 || i > b*T && x[i] != y[i-1] {
						t.Fatalf("B=%d T=%d: row %d is not consecutive in the text: %v -> %v", B, T, b, x[b*T:(b+1)*T],
							y[b*T:(b+1)*T])
					}
				}
				starts = append(starts, fmt.Sprint(x[b*T]))
			}
		}
	}
	return starts
}

// TestDividedLoader: rows are runs of the text within one piece, each token is an input and a target once at most,
// those that are neither are counted, and ranks take what one rank of as many sequences takes.
func TestDividedLoader(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 60 {
		n := 3000 + r.IntN(60000)
		T := 1 + r.IntN(80)
		train, val := numbered(n).Divide(0.05 + r.Float64()/2)
		owner := make([]byte, n) // 1: trains, 2: validates
		for k, c := range []*Corpus{train, val} {
			all, unused := c.Rows(T)
			got := rows(t, c, 1, T, 1)
			if int64(len(got)) != all {
				t.Fatalf("%d rows in an epoch, want %d", len(got), all)
			}
			for _, s := range got {
				var at int
				fmt.Sscan(s, &at)
				for i := at; i <= at+T; i++ {
					if i > at && i < at+T && owner[i] != 0 || owner[i] != 0 && owner[i] != byte(k+1) {
						t.Fatalf("T=%d: token %d is used twice", T, i)
					}
					owner[i] = byte(k + 1)
				}
			}
			used := 0
			for _, o := range owner {
				if o == byte(k+1) {
					used++
				}
			}
			if int64(used)+unused != c.Len() {
				t.Errorf("n=%d T=%d: %d tokens used, %d unused, of %d", n, T, used, unused, c.Len())
			}
			B, ranks := 1+r.IntN(3), 1+r.IntN(3)
			if all >= int64(B*ranks) {
				if same := rows(t, c, B, T, ranks); !slices.Equal(same, got[:len(same)]) ||
					len(got)-len(same) >= B*ranks {
					t.Errorf("B=%d on %d ranks: other rows than B=1", B, ranks)
				}
			}
		}
	}
}

// TestDividedSeek continues from every position with other batches, and from rows of another length behind the tokens
// that were seen.
func TestDividedSeek(t *testing.T) {
	train, _ := numbered(30_000).Divide(0.2)
	l, err := NewLoader(train, 3, 50, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	x, y := make([]uint32, 150), make([]uint32, 150)
	for l.State().Epoch < 2 {
		s := l.State()
		if err := l.Next(x, y); err != nil {
			t.Fatal(err)
		}
		one, err := NewLoader(train, 1, 50, 0, 1)
		if err == nil {
			err = one.Seek(s)
		}
		if err != nil {
			t.Fatal(err)
		}
		x1, y1 := make([]uint32, 50), make([]uint32, 50)
		if err := one.Next(x1, y1); err != nil || !slices.Equal(x1, x[:50]) || !slices.Equal(y1, y[:50]) {
			t.Fatalf("from %+v: row of %d, want %d (%v)", s, x1[0], x[0], err)
		}
		other, err := NewLoader(train, 1, 70, 0, 1)
		if err == nil {
			err = other.Seek(s)
		}
		x2, y2 := make([]uint32, 70), make([]uint32, 70)
		if err == nil {
			err = other.Next(x2, y2)
		}
		if err != nil || x2[0] >= x[0]+70 && s.Rows < 400 || x2[0] < x[0] && x[0]-x2[0] < 1000 {
			t.Fatalf("from %+v with T=70: row at %d, want it at or a little behind %d (%v)", s, x2[0], x[0], err)
		}
	}
	whole := numbered(30_000)
	w, err := NewLoader(whole, 1, 50, 0, 1)
	if err == nil {
		err = w.Seek(l.State())
	}
	if err == nil {
		t.Error("a position of a divided corpus is taken for the whole")
	}
}

// TestDividedShortParts: a part without a batch is an error, not a loader that never ends.
func TestDividedShortParts(t *testing.T) {
	train, val := numbered(400).Divide(0.1)
	if _, err := NewLoader(val, 1, 40, 0, 1); err == nil {
		t.Error("40 tokens make no row of 40 and a target")
	}
	if l, err := NewLoader(val, 1, 39, 0, 1); err != nil || l.Batches() != 1 {
		t.Errorf("a row of 39: %v", err)
	}
	if l, err := NewLoader(train, 2, 39, 0, 2); err != nil || l.Batches() != 4 {
		t.Errorf("%v", err)
	}
	if _, val = fromShards("none", []uint16{1}).Divide(0.1); val.Len() != 0 {
		t.Error("a token of one")
	}
}
