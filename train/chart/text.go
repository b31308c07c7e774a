package chart

import (
	"math"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Paint puts the colour of curves of that number around a text; nil paints nothing.
type Paint func(of int, text string) string

// plain are the marks of curves where a terminal has no colours and there are several.
const plain = "*+xo#@%&"

// grid is a picture of 2 by 4 braille dots a cell.
type grid struct {
	w, h   int     // cells
	dots   []uint8 // of each cell
	of     []int   // the curve that has it; -1: none
	strong []bool  // by a curve that is not faint
}

func newGrid(w, h int) *grid {
	g := &grid{w: w, h: h, dots: make([]uint8, w*h), of: make([]int, w*h), strong: make([]bool, w*h)}
	for i := range g.of {
		g.of[i] = -1
	}
	return g
}

// bits are a braille pattern's dots, by row and column.
var bits = [4][2]uint8{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}

// dot sets the dot in column x and row y from the bottom.
func (g *grid) dot(x, y, of int, faint bool) {
	if x < 0 || y < 0 || x >= 2*g.w || y >= 4*g.h {
		return
	}
	row := 4*g.h - 1 - y
	cell := row/4*g.w + x/2
	if faint && g.strong[cell] {
		return
	}
	if !faint && !g.strong[cell] {
		g.dots[cell], g.strong[cell] = 0, true // what lies behind would blur it
	}
	g.dots[cell] |= bits[row%4][x%2]
	g.of[cell] = of
}

// line sets the dots between two points (Bresenham).
func (g *grid) line(x0, y0, x1, y1, of int, faint bool) {
	dx, dy := abs(x1-x0), -abs(y1-y0)
	sx, sy := sign(x1-x0), sign(y1-y0)
	for e := dx + dy; ; {
		g.dot(x0, y0, of, faint)
		if x0 == x1 && y0 == y1 {
			return
		}
		twice := 2 * e
		if twice >= dy {
			e, x0 = e+dy, x0+sx
		}
		if twice <= dx {
			e, y0 = e+dx, y0+sy
		}
	}
}

func abs(v int) int { return max(v, -v) }

func sign(v int) int {
	switch {
	case v < 0:
		return -1
	case v > 0:
		return 1
	}
	return 0
}

// draw draws a curve.
func (g *grid) draw(k Curve, x, y span) {
	was := false
	var px, py int
	for i := range k.X {
		u, v := x.at(k.X[i]), y.at(k.Y[i])
		if !finite(u) || !finite(v) || v < 0 || v > 1 {
			was = false
			continue
		}
		nx, ny := int(math.Round(u*float64(2*g.w-1))), int(math.Round(v*float64(4*g.h-1)))
		if was && !k.Bare {
			g.line(px, py, nx, ny, k.Of, k.Faint)
		} else {
			g.dot(nx, ny, k.Of, k.Faint)
		}
		if k.Marked {
			for _, d := range [][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
				g.dot(nx+d[0], ny+d[1], k.Of, k.Faint)
			}
		}
		px, py, was = nx, ny, true
	}
}

// rows returns the picture's lines. Without paint, curves of several numbers have a mark each.
func (g *grid) rows(paint Paint, several bool) []string {
	var rows []string
	for r := range g.h {
		var b strings.Builder
		for c := 0; c < g.w; {
			of := g.of[r*g.w+c]
			from := c
			var text strings.Builder
			for ; c < g.w && g.of[r*g.w+c] == of; c++ {
				switch i := r*g.w + c; {
				case of < 0:
					text.WriteByte(' ')
				case paint == nil && several:
					text.WriteByte(plain[of%len(plain)])
				default:
					text.WriteRune(0x2800 + rune(g.dots[i]))
				}
			}
			if of >= 0 && paint != nil && c > from {
				b.WriteString(paint(of, text.String()))
			} else {
				b.WriteString(text.String())
			}
		}
		rows = append(rows, b.String())
	}
	return rows
}

// Spark returns a curve's line of that many cells, without axes; its height is rows. Values at the edges of y's finite
// range touch the picture's.
func Spark(y []float64, width, height int) []string {
	c := Chart{Curves: []Curve{{Y: y}}}
	for i := range y {
		c.Curves[0].X = append(c.Curves[0].X, float64(i))
	}
	g := newGrid(width, height)
	if x, s, ok := c.spans(); ok {
		k := c.Curves[0]
		k.X, k.Y = Thin(k.X, k.Y, 4*width)
		g.draw(k, x, s)
	}
	return g.rows(nil, false)
}

// Text returns the chart within width columns and height lines, the last without its newline: title, picture with
// axes, legend.
// Where no point can be drawn it says so.
func (c Chart) Text(width, height int, paint Paint) string {
	width, height = max(width, 24), max(height, 8)
	x, y, ok := c.spans()
	if !ok {
		return c.Title + ": nothing to draw"
	}
	legend := c.legend(width, paint)
	h := max(height-len(legend)-4, 3) // title, axis, its labels, its name
	at, labels := y.ticks(max(2, h/3))
	margin := 0
	for _, l := range labels {
		margin = max(margin, len(l))
	}
	w := width - margin - 3
	g := newGrid(w, h)
	byRow := map[int]string{}
	for i, v := range at {
		if u := y.at(v); u >= 0 && u <= 1 {
			byRow[h-1-int(math.Round(u*float64(4*h-1)))/4] = labels[i]
		}
	}
	several := 0
	for _, k := range c.Curves {
		several = max(several, k.Of)
		k.X, k.Y = Thin(k.X, k.Y, 8*w)
		g.draw(k, x, y)
	}
	for _, l := range c.Levels {
		row := h - 1 - int(math.Round(y.at(l.Y)*float64(4*h-1)))/4
		for col := 0; col < w; col++ {
			if i := row*w + col; g.of[i] < 0 {
				g.dot(2*col, 4*h-2-4*row, len(Colours)-1, true)
			}
		}
	}
	lines := []string{ansi.Truncate(strings.Repeat(" ", margin+1)+c.Y, width, "…")}
	if c.Title != "" {
		lines[0] = ansi.Truncate(strings.Repeat(" ", margin+1)+c.Title+" — "+c.Y, width, "…")
	}
	for r, row := range g.rows(paint, several > 0) {
		label := byRow[r]
		tick := "│"
		if label != "" {
			tick = "┤"
		}
		lines = append(lines, strings.Repeat(" ", margin-len(label))+label+" "+tick+row)
	}
	lines = append(lines, x.axis(margin, w)...)
	lines = append(lines, ansi.Truncate(strings.Repeat(" ", margin+2)+strings.Repeat(" ",
		max(0, (w-ansi.StringWidth(c.X))/2))+c.X, width, "…"))
	return strings.Join(append(lines, legend...), "\n")
}

// axis returns the horizontal axis and its labels.
func (s span) axis(margin, w int) []string {
	line, text := []rune(strings.Repeat("─", w)), []rune(strings.Repeat(" ", w))
	at, labels := s.ticks(max(2, w/14))
	end := -1
	for i, v := range at {
		u := s.at(v)
		if u < 0 || u > 1 {
			continue
		}
		col := int(math.Round(u * float64(w-1)))
		from := min(max(0, col-len(labels[i])/2), w-len(labels[i]))
		line[col] = '┬'
		if from > end {
			copy(text[from:], []rune(labels[i]))
			end = from + len(labels[i])
		}
	}
	pad := strings.Repeat(" ", margin+1)
	return []string{pad + "└" + string(line), strings.TrimRight(pad+" "+string(text), " ")}
}

// legend names the curves, as many on a line as fit.
func (c Chart) legend(width int, paint Paint) (lines []string) {
	several := false
	for _, k := range c.Curves {
		several = several || k.Of > 0
	}
	add := func(of int, sample, name string) {
		if paint != nil && of >= 0 {
			sample = paint(of, sample)
		}
		entry := sample + " " + name
		if n := len(lines); n > 0 && ansi.StringWidth(lines[n-1])+3+ansi.StringWidth(entry) <= width {
			lines[n-1] += "   " + entry
		} else {
			lines = append(lines, ansi.Truncate("  "+entry, width, "…"))
		}
	}
	for _, k := range c.Curves {
		if k.Name == "" {
			continue
		}
		sample := "━━"
		if k.Marked {
			sample = "━◆"
		}
		if paint == nil && several {
			sample = strings.Repeat(string(plain[k.Of%len(plain)]), 2)
		}
		add(k.Of, sample, k.Name)
	}
	for _, l := range c.Levels {
		add(len(Colours)-1, "╌╌", l.Name)
	}
	return lines
}
