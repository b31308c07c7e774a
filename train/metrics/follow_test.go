package metrics

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// all reads pieces until there is no more.
func all(t *testing.T, f *Follower) (p Piece) {
	t.Helper()
	for more := true; more; {
		next, err := f.Next()
		if err != nil {
			t.Fatal(err)
		}
		if next.Anew {
			p = Piece{Anew: true}
		}
		p.Lines, p.Bad, p.At = append(p.Lines, next.Lines...), p.Bad+next.Bad, next.At
		more = next.More
	}
	return p
}

func trainLines(from, to int, ms float64) (s string) {
	for i := from; i < to; i++ {
		s += fmt.Sprintf(`{"kind":"train","step":%d,"loss":%v,"ms":%v}`+"\n", i, 5-float64(i)/100, ms)
	}
	return s
}

// TestFollow: every line comes once, and a file that is another comes from its beginning.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	f := Follow(path, Position{})
	want := func(what string, steps, bad int, anew bool) Position {
		t.Helper()
		p := all(t, f)
		if len(p.Lines) != steps || p.Bad != bad || p.Anew != anew {
			t.Errorf("%s: %d lines, %d bad, anew %v; want %d, %d, %v", what, len(p.Lines), p.Bad, p.Anew, steps, bad,
				anew)
		}
		return p.At
	}
	put := func(flag int, text string) {
		t.Helper()
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flag, 0o666)
		if err == nil {
			_, err = file.WriteString(text)
			file.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want("no file", 0, 0, false)
	put(0, trainLines(0, 10, 1))
	want("a file", 10, 0, false)
	want("nothing new", 0, 0, false)
	put(os.O_APPEND, trainLines(10, 12, 1)+`{"kind":"tra`)
	want("a line that is being written", 2, 0, false)
	put(os.O_APPEND, `in","step":12}`+"\nnonsense\n")
	at := want("the line's end, and a damaged one", 1, 1, false)

	f = Follow(path, ParsePosition(at.String()))
	want("another follower goes on", 0, 0, false)
	put(os.O_APPEND, trainLines(13, 5000, 1))
	want("several pieces", 5000-13, 0, false)

	put(os.O_TRUNC, trainLines(0, 6, 1))
	want("cut off", 6, 0, true)
	put(os.O_TRUNC, trainLines(0, 6, 2))
	want("another of the same size", 6, 0, true)
	put(os.O_TRUNC, trainLines(0, 4, 2)+trainLines(4, 30, 3))
	want("cut off and grown", 30, 0, true)
	f = Follow(path, ParsePosition(at.String()))
	want("a position in what was there before", 30, 0, true)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want("removed", 0, 0, true)
	put(0, trainLines(0, 3, 1))
	want("there again", 3, 0, false)

	for _, s := range []string{"", "x", "-1-0", "5", "99999999999999999999-1", "5-xyz"} {
		if p := ParsePosition(s); p != (Position{}) {
			t.Errorf("%q is %v", s, p)
		}
	}
	if _, err := Follow(t.TempDir(), Position{}).Next(); err == nil {
		t.Error("a directory was followed")
	}
}

// TestLongLine: a line beyond the bound is damaged, and those after it are read.
func TestLongLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	text := `{"kind":"sample","step":1,"text":"` + strings.Repeat("x", 3*pieceBytes) + "\"}\n" +
		strings.Repeat("y", 3*longestLine) + "\n" + trainLines(0, 3, 1)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if p := all(t, Follow(path, Position{})); len(p.Lines) != 4 || p.Bad == 0 {
		t.Errorf("%d lines, %d bad", len(p.Lines), p.Bad)
	}
}

// TestRecords: lines in memory are read as those of a file, and take no more than they may.
func TestRecords(t *testing.T) {
	r := &Records{}
	f := r.Follow(Position{})
	if p := all(t, f); len(p.Lines) != 0 {
		t.Errorf("%+v", p)
	}
	lines := []Line{{Kind: KindTrain, Step: 0, Loss: 2, Tokens: 5, Ranks: Ranks{ComputeMS: 3}},
		{Kind: KindVal, Step: 1, Loss: 3, BitsPerByte: 1.5},
		{Kind: KindHellaswag, Step: 1, Score: Score{N: 4, Acc: 0.25}},
		{Kind: KindSample, Step: 1, Text: "<|endoftext|>\n"}, {Kind: KindRestart, Step: 1, Reason: "why"}}
	for _, m := range lines {
		r.Add(m)
	}
	p := all(t, f)
	if fmt.Sprint(p.Lines) != fmt.Sprint(lines) || p.Bad != 0 {
		t.Errorf("%+v", p)
	}
	text := strings.Repeat("x", 1<<20)
	for i := range 100 {
		r.Add(Line{Kind: KindSample, Step: 2 + i, Text: text})
	}
	p = all(t, r.Follow(Position{}))
	if n := len(p.Lines); len(r.lines) > mostRecords || p.Bad > 0 || n < 30 || p.Lines[n-1].Step != 101 {
		t.Errorf("%d bytes, %d lines, %d bad", len(r.lines), n, p.Bad)
	}
}

// TestDamaged: what no run writes is left out, so that no sum over a run overflows; other lines are read.
func TestDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	damaged := []string{`{"kind":"train","step":1,"ms":1e308}`, `{"kind":"train","step":1,"tokens_per_s":1e300}`,
		`{"kind":"train","step":-1}`, `{"kind":"val","step":9223372036854775807}`, `{"kind":"train","tokens":-9}`,
		`{"step":1}`, `[]`, "\x00", `{"kind":"sample","text":"` + strings.Repeat("x", longestLine) + `"}`}
	text := trainLines(0, 1, 1) + strings.Join(damaged, "\n") + "\n" + trainLines(1, 2, 1) + `{"kind":"tra`
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	lines, bad, err := ReadWhole(path)
	if err != nil || len(lines) != 2 || fmt.Sprint(bad) != "[2 3 4 5 6 7 8 9 10]" {
		t.Errorf("%d lines, damaged %v, %v; want 2 and lines 2 to 10", len(lines), bad, err)
	}
	if p := all(t, Follow(path, Position{})); len(p.Lines) != 2 || p.Bad < len(damaged) {
		t.Errorf("followed: %d lines, %d damaged; want 2 and %d or more", len(p.Lines), p.Bad, len(damaged))
	}
}
