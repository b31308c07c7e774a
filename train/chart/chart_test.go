package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

// falling is a curve like a loss, its first value 5 and its last 1.
func falling(n int) (x, y []float64) {
	for i := range n {
		x, y = append(x, float64(i)), append(y, 1+4*math.Exp(-float64(i)/float64(n)*8))
	}
	y[n-1] = 1
	return x, y
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		s    span
		n    int
		want string
	}{
		{span{0, 900, false}, 8, "0 200 400 600 800"},
		{span{0, 19073, false}, 4, "0 5000 10,000 15,000"},
		{span{1.9, 5.6, false}, 6, "2 3 4 5"},
		{span{0, 2e-3, false}, 4, "0 0.0005 0.0010 0.0015 0.0020"},
		{span{0, 6e-8, false}, 3, "0 2e-8 4e-8 6e-8"},
		{span{1, 900, true}, 10, "1 2 5 10 20 50 100 200 500"},
		{span{1, 1e9, true}, 5, "1 100 10,000 1,000,000 1e8"},
		{span{2, 6, true}, 5, "2 3 4 5 6"}, // less than a decade
	} {
		_, labels := c.s.ticks(c.n)
		if got := strings.Join(labels, " "); got != c.want {
			t.Errorf("%v: %s, want %s", c.s, got, c.want)
		}
	}
}

func TestThin(t *testing.T) {
	x, y := falling(20000)
	y[777] = 99
	tx, ty := Thin(x, y, 500)
	if len(tx) > 500 || slices.Max(ty) != 99 || tx[0] != 0 || tx[len(tx)-1] != 19999 || !slices.IsSorted(tx) {
		t.Errorf("%d points from %v to %v, the greatest %v", len(tx), tx[0], tx[len(tx)-1], slices.Max(ty))
	}
}

func TestSmooth(t *testing.T) {
	nan := math.NaN()
	got := Smooth([]float64{9, 3, 3, nan, 6, 6}, 3)
	want := []float64{9, 5, 3, nan, 6, 6}
	for i := range want {
		if got[i] != want[i] && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) {
			t.Errorf("%v, want %v", got, want)
			break
		}
	}
}

// TestText: a chart fits its columns and lines, its line falls, and curves differ where there are no colours.
func TestText(t *testing.T) {
	x, y := falling(900)
	c := Chart{Title: "Loss", X: "step", Y: "nats", Curves: []Curve{{Name: "one with a very long name indeed", X: x,
		Y: y}}}
	for _, size := range [][2]int{{40, 10}, {60, 20}, {80, 24}, {120, 40}} {
		lines := strings.Split(c.Text(size[0], size[1], nil), "\n")
		for _, l := range lines {
			if n := ansi.StringWidth(l); n > size[0] {
				t.Errorf("%v: %d columns: %s", size, n, l)
			}
		}
		if len(lines) != size[1] {
			t.Errorf("%v: %d lines", size, len(lines))
		}
		picture := lines[1 : len(lines)-4]
		edge := func(rows []string, right bool) (dots bool) {
			for _, r := range rows {
				_, r, _ = strings.Cut(strings.ReplaceAll(r, "┤", "│"), "│")
				dots = dots || !right && !strings.HasPrefix(r, " ") || right && !strings.HasSuffix(r, " ")
			}
			return dots
		}
		if n := len(picture); !edge(picture[:n/3], false) || edge(picture[:n/3], true) || !edge(picture[n-n/3:], true) {
			t.Errorf("%v: the curve does not fall:\n%s", size, strings.Join(lines, "\n"))
		}
	}
	c.Curves = append(c.Curves, Curve{Name: "two", Of: 1, X: x, Y: Smooth(y, 300)})
	if s := c.Text(60, 20, nil); !strings.Contains(s, "*") || !strings.Contains(s, "+") {
		t.Errorf("two curves without colours look the same:\n%s", s)
	}
	painted := c.Text(60, 20, func(of int, s string) string { return "<" + Colours[of].Terminal + s + ">" })
	if !strings.Contains(painted, "<"+Colours[1].Terminal) || strings.Contains(painted, "+") {
		t.Errorf("colours:\n%s", painted)
	}
	nan := math.NaN()
	for _, empty := range []Chart{{}, {Curves: []Curve{{X: []float64{1}, Y: []float64{nan}}}},
		{LogY: true, Curves: []Curve{{X: []float64{1}, Y: []float64{0}}}}} {
		if s := empty.Text(60, 20, nil); !strings.Contains(s, "nothing to draw") {
			t.Errorf("no point gives %q", s)
		}
		empty.SVG()
	}
	one := Chart{Curves: []Curve{{X: []float64{0}, Y: []float64{3}}}} // one point
	if s := one.Text(60, 20, nil); !strings.ContainsFunc(s, func(r rune) bool { return r > 0x2800 && r < 0x2900 }) {
		t.Errorf("one point gives\n%s", s)
	}
}

// TestPictures: SVG is XML that names fonts every system has and escapes names, PNG has the size that it says.
func TestPictures(t *testing.T) {
	x, y := falling(3000)
	c := Chart{Title: "<b>&", X: "step", Y: "nats", LogX: true, Curves: []Curve{{X: x, Y: y, Faint: true},
		{Name: `a"<script>`, X: x, Y: Smooth(y, 50)}, {Name: "marks", Of: 9, X: x[:3], Y: y[:3], Marked: true}},
		Levels: []Level{{"level", 2}}}
	for name, text := range map[string]string{"file": string(c.SVG()), "inline": c.Inline(`"<x>`, 300, 200)} {
		d := xml.NewDecoder(strings.NewReader(text))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if strings.Contains(text, "<script") || strings.Contains(text, "<b>") || !strings.Contains(text, ",Arial,") ||
			strings.Contains(text, "NaN") {
			t.Errorf("%s: not escaped, without a common font, or with NaN", name)
		}
		if len(text) > 200e3 {
			t.Errorf("%s: %d bytes", name, len(text))
		}
	}
	if s := c.Inline("", 300, 200); !strings.Contains(s, "var(--text)") || strings.Contains(s, "width=\"") {
		t.Error("an inline picture has colours of its own, or a fixed width")
	}
	raw, err := c.PNG()
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.DecodeConfig(bytes.NewReader(raw))
	if err != nil || img.Width != Width*2 || img.Height != Height*2 {
		t.Errorf("%+v, %v", img, err)
	}
}

func TestSpark(t *testing.T) {
	_, y := falling(1000)
	rows := Spark(y, 20, 2)
	if len(rows) != 2 || ansi.StringWidth(rows[0]) != 20 || strings.HasPrefix(rows[0], " ") ||
		strings.HasSuffix(rows[1], " ") {
		t.Errorf("%q", rows)
	}
}
