package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func mustLoader(t testing.TB, c *Corpus, B, T, rank, ranks int) *Loader {
	t.Helper()
	l, err := NewLoader(c, B, T, rank, ranks)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// next returns the next batch: x, and y checked to be x shifted by one where rows touch.
func next(t testing.TB, l *Loader) (x, y []uint32) {
	t.Helper()
	x, y = make([]uint32, l.B*l.T), make([]uint32, l.B*l.T)
	if err := l.Next(x, y); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x[1:], y[:len(y)-1]) {
		t.Fatalf("y isn't x one further: %v %v", x, y)
	}
	return x, y
}

// liteLoader is build-nanogpt's DataLoaderLite, line for line, for one process.
type liteLoader struct {
	shards   [][]uint16
	B, T     int
	shard    int
	position int
}

func (l *liteLoader) next() (x, y []uint32) {
	n := l.B * l.T
	buf := l.shards[l.shard][l.position : l.position+n+1]
	for i := range n {
		x, y = append(x, uint32(buf[i])), append(y, uint32(buf[i+1]))
	}
	l.position += n
	if l.position+(n+1) > len(l.shards[l.shard]) {
		l.shard = (l.shard + 1) % len(l.shards)
		l.position = 0
	}
	return x, y
}

func TestLoaderOrder(t *testing.T) {
	for _, lens := range [][]int{{13}, {12}, {14, 25, 7, 12}, {100, 7}} {
		var shards [][]uint16
		for i, n := range lens {
			shards = append(shards, count(1000*i, n))
		}
		for _, d := range [][2]int{{2, 3}, {1, 6}, {3, 2}, {1, 1}} {
			want := &liteLoader{shards: shards, B: d[0], T: d[1]}
			l := mustLoader(t, fromShards("test", shards...), d[0], d[1], 0, 1)
			for step := range 200 {
				x, y := next(t, l)
				wx, wy := want.next()
				if !slices.Equal(x, wx) || !slices.Equal(y, wy) {
					t.Fatalf("shards %v, BxT %v, step %d: %v %v, want %v %v", lens, d, step, x, y, wx, wy)
				}
				if s := l.State(); s.Shard != want.shard || s.Offset != int64(want.position) {
					t.Fatalf("shards %v, BxT %v, step %d: state %+v, want shard %d, offset %d", lens, d, step, s,
						want.shard, want.position)
				}
			}
		}
	}
}

// TestRanks: R ranks of B sequences see what one rank of R*B sees, and share one state.
func TestRanks(t *testing.T) {
	c := fromShards("test", count(0, 70), count(100, 49), count(200, 60))
	whole := mustLoader(t, c, 6, 4, 0, 1)
	var ranks []*Loader
	for r := range 3 {
		ranks = append(ranks, mustLoader(t, c, 2, 4, r, 3))
	}
	for step := range 30 {
		want, _ := next(t, whole)
		var got []uint32
		for _, l := range ranks {
			x, _ := next(t, l)
			got = append(got, x...)
			if l.State() != whole.State() {
				t.Fatalf("step %d: state %+v, want %+v", step, l.State(), whole.State())
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("step %d: %v, want %v", step, got, want)
		}
	}
}

func TestSeekResumes(t *testing.T) {
	c := fromShards("test", count(0, 70), count(100, 50))
	straight := mustLoader(t, c, 2, 4, 0, 1)
	for range 25 {
		text, err := json.Marshal(straight.State())
		if err != nil {
			t.Fatal(err)
		}
		var s State
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		resumed := mustLoader(t, c, 2, 4, 0, 1)
		if err := resumed.Seek(s); err != nil {
			t.Fatal(err)
		}
		want, _ := next(t, straight)
		if got, _ := next(t, resumed); !slices.Equal(got, want) || resumed.State() != straight.State() {
			t.Fatalf("from %s: %v, want %v", text, got, want)
		}
	}
	if straight.State().Epoch == 0 {
		t.Error("the epoch wasn't counted")
	}
	straight.Reset()
	if x, _ := next(t, straight); x[0] != 0 {
		t.Errorf("after Reset: %v", x)
	}
	// A batch that does not fit where a smaller one did starts in the next shard.
	big := mustLoader(t, c, 4, 4, 0, 1)
	if err := big.Seek(State{Shard: 0, Offset: 60}); err != nil {
		t.Fatal(err)
	}
	if x, _ := next(t, big); x[0] != 100 {
		t.Errorf("a seek near the end gives %v", x)
	}
	if err := big.Seek(State{}); err != nil {
		t.Error(err)
	}
}

func TestSeekErrors(t *testing.T) {
	l := mustLoader(t, fromShards("test", count(0, 70), count(100, 50)), 2, 4, 0, 1)
	before := l.State()
	for _, s := range []State{{Shard: 2}, {Shard: -1}, {Offset: -1}, {Offset: 71}, {Epoch: -1}, {Tokens: 121}} {
		if err := l.Seek(s); err == nil || !strings.Contains(err.Error(), "hint:") {
			t.Errorf("Seek(%+v): %v", s, err)
		}
	}
	if l.State() != before {
		t.Error("a failed Seek moved the loader")
	}
}

func TestLoaderErrors(t *testing.T) {
	for _, c := range []struct {
		corpus            *Corpus
		B, T, rank, ranks int
		want              string
	}{
		{fromShards("text", count(0, 8)), 2, 4, 0, 1, "text: 8 tokens, want at least 9 (B=2 times T=4 times 1 ranks"},
		{fromShards("text", count(0, 16)), 2, 4, 0, 2, "want at least 17"},
		{fromShards("text", count(0, 8), count(0, 7)), 2, 4, 0, 1, "8 tokens in its longest shard"},
		{fromShards("text", count(0, 80)), 0, 4, 0, 1, "B=0"},
		{fromShards("text", count(0, 80)), 1, 0, 0, 1, "T=0"},
		{fromShards("text", count(0, 80)), 1, 1, 2, 2, "rank 2 of 2"},
		{fromShards("text", count(0, 80)), 1, 1, 0, 0, "rank 0 of 0"},
		{fromShards("text", nil), 1, 1, 0, 1, "0 tokens"},
	} {
		_, err := NewLoader(c.corpus, c.B, c.T, c.rank, c.ranks)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "hint:") {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	// Exactly enough: the same window every time.
	l := mustLoader(t, fromShards("text", count(0, 9)), 2, 4, 0, 1)
	for range 3 {
		if x, y := next(t, l); x[0] != 0 || y[7] != 8 {
			t.Errorf("%v %v", x, y)
		}
	}
	if err := l.Next(make([]uint32, 7), make([]uint32, 8)); err == nil {
		t.Error("Next takes a slice of the wrong size")
	}
	l.c.Close()
	if err := l.Next(make([]uint32, 8), make([]uint32, 8)); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("Next on a closed corpus: %v", err)
	}
}

// TestLateAlien: an id outside the vocabulary beyond what Open looks at is found when its batch is read.
func TestLateAlien(t *testing.T) {
	ids := count(0, 100)
	ids[77] = 600
	c := mustOpen(t, write(t, filepath.Join(t.TempDir(), "a.bin"), binFile(ids...)), nil, 0)
	c.vocab = 256
	l := mustLoader(t, c, 1, 10, 0, 1)
	var err error
	x, y := make([]uint32, 10), make([]uint32, 10)
	batches := 0
	for ; err == nil && batches < 20; batches++ {
		err = l.Next(x, y)
	}
	if err == nil || batches != 8 || !strings.Contains(err.Error(), "token 77 at byte 1178 has id 600") {
		t.Errorf("after %d batches: %v", batches, err)
	}
}

// TestReadAhead: batches, states and errors are the same whether read ahead or not, across Seek and Reset.
func TestReadAhead(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		write(t, filepath.Join(dir, fmt.Sprintf("x_%d.npy", i)), npyFile(count(100*i, 40+i)...))
	}
	c := mustOpen(t, dir, nil, 0)
	plain, ahead := mustLoader(t, c, 2, 4, 0, 1), mustLoader(t, c, 2, 4, 0, 1)
	if !ahead.readAhead {
		t.Error("mapped shards aren't read ahead")
	}
	plain.readAhead = false
	var saved State
	for step := range 60 {
		switch step {
		case 20:
			saved = ahead.State()
		case 35:
			if err := errors.Join(plain.Seek(saved), ahead.Seek(saved)); err != nil {
				t.Fatal(err)
			}
		case 50:
			plain.Reset()
			ahead.Reset()
		}
		want, _ := next(t, plain)
		if got, _ := next(t, ahead); !slices.Equal(got, want) || ahead.State() != plain.State() {
			t.Fatalf("step %d: %v, want %v", step, got, want)
		}
	}
	l := mustLoader(t, c, 2, 4, 0, 1)
	next(t, l)
	c.Close() // with a read under way
	var err error
	for range 2 { // the batch read before Close may still come
		err = l.Next(make([]uint32, 8), make([]uint32, 8))
	}
	if err == nil {
		t.Error("Next on a closed corpus succeeds")
	}
}

func BenchmarkLoader(b *testing.B) {
	l := mustLoader(b, fromShards("bench", make([]uint16, 1<<24)), 16, 1024, 0, 1)
	x, y := make([]uint32, 16*1024), make([]uint32, 16*1024)
	b.SetBytes(2 * 16 * 1024)
	for b.Loop() {
		if err := l.Next(x, y); err != nil {
			b.Fatal(err)
		}
	}
}
