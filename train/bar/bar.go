package bar

import (
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// Least is the narrowest terminal that has bars, in columns.
const Least = 40

// Cells returns a bar of n cells for a part (0 to 1): the full cells, and the empty ones after them. All are full only
// if part is 1.
func Cells(part float64, n int) (full, empty string) {
	k := int(math.Round(sane(part) * float64(n)))
	if !(part >= 1) {
		k = min(k, n-1)
	}
	k = max(k, 0)
	return strings.Repeat("█", k), strings.Repeat("░", n-k)
}

// sane returns part within 0 to 1, and 0 for NaN.
func sane(part float64) float64 {
	if !(part > 0) { // NaN too
		return 0
	}
	return min(part, 1)
}

// Percent returns a part (0 to 1) as a whole percent, rounded down: 100% is all of it.
func Percent(part float64) string { return fmt.Sprintf("%3.0f%%", math.Floor(100*sane(part))) }

// State is how far something has come.
type State struct {
	What  string   // is being done
	Part  float64  // of it, 0 to 1; below 0: not known
	Words []string // figures, the most important first
}

// The fewest and the most cells of a bar.
const (
	fewest = 8
	most   = 40
)

// Line returns s within width columns: what, the bar, and as many of the words as fit beside at least 8 cells. paint
// colours the cells; nil: no colours.
func (s State) Line(width int, paint func(full, empty string) string) string {
	what, tail := ansi.Truncate(s.What, width/2, "…"), ""
	least := fewest
	if s.Part >= 0 {
		tail = " " + Percent(s.Part)
	} else {
		least = 0
	}
	room := width - ansi.StringWidth(what) - 1 - len(tail)
	for i, w := range s.Words {
		if i == 0 {
			w = "  " + w
		} else {
			w = " · " + w
		}
		if n := ansi.StringWidth(w); w != "" && room-n >= least {
			tail, room = tail+w, room-n
		} else {
			break
		}
	}
	if s.Part < 0 {
		return what + tail
	}
	full, empty := Cells(s.Part, max(1, min(room, most)))
	if paint != nil {
		return what + " " + paint(full, empty) + tail
	}
	return what + " " + full + empty + tail
}

// Terminal keeps a bar on the last line of a terminal. Its methods are safe for concurrent use; a nil Terminal shows
// nothing.
type Terminal struct {
	out   io.Writer
	width func() int
	paint func(full, empty string) string

	mu    sync.Mutex
	state State
	shows bool      // there is a state
	line  bool      // there is a bar on the terminal
	drawn time.Time // when
	open  bool      // a line of text has not ended
}

// NewTerminal returns a terminal without a bar. width returns its columns at the moment; below Least nothing is drawn.
// paint is that of [State.Line].
func NewTerminal(out io.Writer, width func() int, paint func(full, empty string) string) *Terminal {
	return &Terminal{out: out, width: width, paint: paint}
}

// frame is how soon a bar is drawn again.
const frame = 100 * time.Millisecond

// Show draws a bar, or changes it. It draws at most every 100 ms; a later call shows what came sooner.
func (t *Terminal) Show(s State) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state, t.shows = s, true
	if now := time.Now(); now.Sub(t.drawn) >= frame {
		t.drawn = now
		t.put(nil)
	}
}

// Clear removes the bar.
func (t *Terminal) Clear() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shows = false
	if t.line {
		t.put(nil)
	}
}

// Write writes text above the bar.
func (t *Terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if !t.shows && !t.line {
		t.open = p[len(p)-1] != '\n'
		return t.out.Write(p)
	}
	if err := t.put(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// put replaces the bar by text and the bar as it is now, in one piece, so that nothing else comes between.
func (t *Terminal) put(text []byte) error {
	var b []byte
	if t.line {
		b = append(b, erase...)
	}
	b = append(b, text...)
	if len(text) > 0 {
		t.open = text[len(text)-1] != '\n'
	}
	t.line = false
	if width := t.width(); t.shows && !t.open && width >= Least {
		b, t.line = append(b, t.state.Line(width-1, t.paint)...), true // the last column would begin a line
	}
	_, err := t.out.Write(b)
	return err
}

// erase goes to the line's beginning and clears it.
const erase = "\r\x1b[K"

// Beside returns a writer for what else is written to the same terminal, as through another file descriptor.
func (t *Terminal) Beside(w io.Writer) io.Writer { return &beside{t, w} }

type beside struct {
	t *Terminal
	w io.Writer
}

func (b *beside) Write(p []byte) (int, error) {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	if len(p) == 0 {
		return b.w.Write(p)
	}
	if b.t.line {
		io.WriteString(b.t.out, erase)
		b.t.line = false
	}
	n, err := b.w.Write(p)
	if b.t.open = p[len(p)-1] != '\n'; b.t.shows && !b.t.open {
		b.t.put(nil)
	}
	return n, err
}
