package bar

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
)

func TestCells(t *testing.T) {
	for _, c := range []struct {
		part float64
		n    int
		want string
	}{{0, 4, "░░░░"}, {0.5, 4, "██░░"}, {0.999, 4, "███░"}, {1, 4, "████"}, {7, 4, "████"}, {-1, 4, "░░░░"},
		{math.NaN(), 4, "░░░░"}, {math.Inf(1), 2, "██"}, {0.5, 0, ""}} {
		if full, empty := Cells(c.part, c.n); full+empty != c.want {
			t.Errorf("%v of %d: %s, want %s", c.part, c.n, full+empty, c.want)
		}
	}
	if got := Percent(0.999); got != " 99%" {
		t.Errorf("%q", got)
	}
}

// TestLine: a line fits, keeps the most important figures, and has its bar as long as there is room.
func TestLine(t *testing.T) {
	s := State{"fetching model.safetensors", 0.43, []string{"20s left", "210.0 MiB of 487.2 MiB", "12.1 MiB/s"}}
	for width, want := range map[int]string{
		40:  "fetching model.safe… ██████░░░░░░░░  43%",
		60:  "fetching model.safetensors ████████░░░░░░░░░░  43%  20s left",
		100: "fetching model.safetensors █████████░░░░░░░░░░░  43%  20s left · 210.0 MiB of 487.2 MiB · 12.1 MiB/s",
	} {
		if got := s.Line(width, nil); got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
	for width := Least - 1; width < 200; width++ {
		if got := s.Line(width, nil); ansi.StringWidth(got) > width {
			t.Errorf("%d columns: %q", width, got)
		}
	}
	if got, want := (State{"reading", -1, []string{"3 files"}}).Line(60, nil), "reading  3 files"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// screen is a terminal of a size, which begins a new line after a line feed.
func screen(width int) (*vt.SafeEmulator, io.Writer) {
	s := vt.NewSafeEmulator(width, 8)
	go io.Copy(io.Discard, s) // its answers
	return s, lineEnds{s}
}

type lineEnds struct{ io.Writer }

func (l lineEnds) Write(p []byte) (int, error) {
	_, err := l.Writer.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	return len(p), err
}

// rows are a screen's lines without what is blank behind and below them.
func rows(s *vt.SafeEmulator) string {
	var lines []string
	for line := range strings.SplitSeq(s.String(), "\n") {
		lines = append(lines, strings.TrimRight(line, " \r"))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// TestTerminal: the bar stays below whatever is written, through either writer, and leaves nothing behind.
func TestTerminal(t *testing.T) {
	width := 60
	s, out := screen(width)
	term := NewTerminal(out, func() int { return width }, nil)
	other := term.Beside(out)
	shows := func(want ...string) {
		t.Helper()
		if got := rows(s); got != strings.Join(want, "\n") {
			t.Fatalf("the terminal shows:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
		}
	}
	show := func(part float64) string {
		term.drawn = time.Time{} // as if the last one were old
		state := State{What: "evaluating", Part: part}
		term.Show(state)
		return state.Line(width-1, nil)
	}
	fmt.Fprintln(term, "begin")
	half := show(0.5)
	shows("begin", half)
	fmt.Fprintln(term, "a warning")
	shows("begin", "a warning", half)
	fmt.Fprintln(other, "a result")
	shows("begin", "a warning", "a result", half)
	fmt.Fprint(other, "half a ")
	shows("begin", "a warning", "a result", "half a")
	more := show(0.75)
	shows("begin", "a warning", "a result", "half a")
	fmt.Fprintln(other, "line")
	shows("begin", "a warning", "a result", "half a line", more)
	term.Show(State{What: "too soon", Part: 0.8})
	shows("begin", "a warning", "a result", "half a line", more)
	width = Least - 1
	show(0.9)
	shows("begin", "a warning", "a result", "half a line")
	width = 60
	more = show(0.9)
	shows("begin", "a warning", "a result", "half a line", more)
	term.Clear()
	fmt.Fprintln(term, "end")
	shows("begin", "a warning", "a result", "half a line", "end")

	var none *Terminal
	none.Show(State{})
	none.Clear()
}
