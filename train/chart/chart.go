package chart

import (
	"fmt"
	"image/color"
	"math"
	"strconv"
	"strings"
)

// Chart is curves over one pair of axes.
type Chart struct {
	Title      string
	X, Y       string // what the axes show, with units
	LogX, LogY bool   // points that are not above 0 are left out
	Curves     []Curve
	Levels     []Level
}

// Curve is points in the order of X. A Y that is not finite breaks the line.
type Curve struct {
	Name   string // in the legend; empty: not there
	Of     int    // what it belongs to: curves of the same number share a colour
	X, Y   []float64
	Faint  bool // behind the others: what a smooth curve was made of
	Marked bool // points with marks
	Bare   bool // marks only, without the line between them
}

// Level is a horizontal line at a known value.
type Level struct {
	Name string
	Y    float64
}

// Colours of what curves belong to (Okabe and Ito's, its blue a little lighter), and for terminals of 256 colours.
var Colours = []struct {
	RGB      color.RGBA
	Terminal string
}{
	{color.RGBA{0x1f, 0x7f, 0xc4, 0xff}, "33"},
	{color.RGBA{0xd5, 0x5e, 0x00, 0xff}, "166"},
	{color.RGBA{0x00, 0x9e, 0x73, 0xff}, "36"},
	{color.RGBA{0xcc, 0x79, 0xa7, 0xff}, "175"},
	{color.RGBA{0xe6, 0x9f, 0x00, 0xff}, "214"},
	{color.RGBA{0x56, 0xb4, 0xe9, 0xff}, "117"},
	{color.RGBA{0x88, 0x88, 0x88, 0xff}, "245"},
}

// span is the range of an axis.
type span struct {
	min, max float64
	log      bool
}

// at returns where v lies in the range: 0 at its start, 1 at its end, NaN where a logarithm has no place for it.
func (s span) at(v float64) float64 {
	if !s.log {
		return (v - s.min) / (s.max - s.min)
	}
	if v < 1/most {
		return math.NaN()
	}
	return math.Log(v/s.min) / math.Log(s.max/s.min)
}

// most bounds what is drawn, so that ranges and their margins are finite.
const most = 1e100

func finite(v float64) bool { return math.Abs(v) <= most }

// spans returns the ranges of the axes, and false where no point can be drawn.
func (c *Chart) spans() (x, y span, ok bool) {
	inf := math.Inf(1)
	x, y = span{inf, -inf, c.LogX}, span{inf, -inf, c.LogY}
	fits := func(s span, v float64) bool { return finite(v) && (!s.log || v >= 1/most) }
	for _, k := range c.Curves {
		for i := range k.X {
			if fits(x, k.X[i]) && fits(y, k.Y[i]) {
				x.min, x.max = min(x.min, k.X[i]), max(x.max, k.X[i])
				y.min, y.max = min(y.min, k.Y[i]), max(y.max, k.Y[i])
			}
		}
	}
	if x.min > x.max {
		return x, y, false
	}
	for _, l := range c.Levels {
		if fits(y, l.Y) {
			y.min, y.max = min(y.min, l.Y), max(y.max, l.Y)
		}
	}
	x.widen(0)
	y.widen(0.04)
	return x, y, true
}

// widen gives a range of one value a width, and any a margin, which is a part of it.
func (s *span) widen(margin float64) {
	switch {
	case s.log && s.min == s.max:
		s.min, s.max = s.min/2, s.max*2
	case s.log:
		f := math.Pow(s.max/s.min, margin)
		s.min, s.max = s.min/f, s.max*f
	case s.min == s.max:
		d := math.Max(math.Abs(s.min)/10, 1e-9)
		s.min, s.max = s.min-d, s.max+d
	default:
		d := margin * (s.max - s.min)
		s.min, s.max = s.min-d, s.max+d
	}
}

// ticks returns about n round values in the range, with their labels.
func (s span) ticks(n int) (at []float64, labels []string) {
	step, from := 0.0, 0.0
	if s.log && s.max >= 8*s.min { // round values do where there is less
		at = s.logTicks(n)
		for _, v := range at {
			labels = append(labels, number(v, 0))
		}
		return at, labels
	}
	raw := (s.max - s.min) / float64(max(n, 1))
	unit := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5, 10} {
		if step = m * unit; step >= raw*0.999 {
			break
		}
	}
	from = math.Ceil(s.min/step-1e-9) * step
	for i := 0; from+float64(i)*step <= s.max+1e-9*step; i++ {
		v := from + float64(i)*step
		if math.Abs(v) < step/2 {
			v = 0
		}
		at, labels = append(at, v), append(labels, number(v, step))
	}
	return at, labels
}

// logTicks are powers of ten, with 2 and 5 times them where there is room.
func (s span) logTicks(n int) (at []float64) {
	for _, factors := range [][]float64{{1, 2, 5}, {1, 3}, {1}} {
		at = at[:0]
		for e := math.Floor(math.Log10(s.min)); e <= math.Ceil(math.Log10(s.max)); e++ {
			for _, f := range factors {
				if v := f * math.Pow(10, e); v >= s.min*0.999 && v <= s.max*1.001 {
					at = append(at, v)
				}
			}
		}
		if len(at) <= n+2 {
			return at
		}
	}
	var fewer []float64
	for i, stride := 0, (len(at)+n-1)/max(n, 1); i < len(at); i += stride {
		fewer = append(fewer, at[i])
	}
	return fewer
}

// number prints an axis's value with the digits that its step needs; step 0: as few as there are.
func number(v, step float64) string {
	a := math.Abs(v)
	switch {
	case v == 0:
		return "0"
	case a >= 1e7 || a < 1e-3 && (step == 0 || step < 1e-5):
		return shortExponent(strconv.FormatFloat(v, 'e', -1, 64), v)
	case step == 0 && a < 1:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case step == 0:
		step = 1
	}
	return thousands(strconv.FormatFloat(v, 'f', max(0, int(math.Ceil(-math.Log10(step)-1e-9))), 64))
}

// shortExponent is 6e-4, not 6.000000000000001e-04.
func shortExponent(s string, v float64) string {
	if len(s) > 8 {
		s = strconv.FormatFloat(v, 'e', 2, 64)
	}
	digits, exponent, _ := strings.Cut(s, "e")
	if strings.Contains(digits, ".") {
		digits = strings.TrimRight(strings.TrimRight(digits, "0"), ".")
	}
	n, _ := strconv.Atoi(exponent)
	return fmt.Sprintf("%se%d", digits, n)
}

// thousands puts commas between the digits of what has more than four.
func thousands(s string) string {
	whole, rest, _ := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	if rest != "" {
		rest = "." + rest
	}
	if len(whole) > 4 {
		for i := len(whole) - 3; i > 0; i -= 3 {
			whole = whole[:i] + "," + whole[i:]
		}
	}
	return sign + whole + rest
}

// Thin returns at most about n points of a curve that look like all: the least and the greatest value of each part.
// Where lines break they stay broken.
func Thin(x, y []float64, n int) (tx, ty []float64) {
	if len(x) <= n || n < 4 {
		return x, y
	}
	parts := n / 2
	for p := range parts {
		from, to := p*len(x)/parts, (p+1)*len(x)/parts
		lo, hi, gap := -1, -1, -1
		for i := from; i < to; i++ {
			switch {
			case !finite(y[i]):
				gap = i
			default:
				if lo < 0 || y[i] < y[lo] {
					lo = i
				}
				if hi < 0 || y[i] > y[hi] {
					hi = i
				}
			}
		}
		if gap >= 0 && lo < 0 {
			tx, ty = append(tx, x[gap]), append(ty, math.NaN())
			continue
		}
		first, last := min(lo, hi), max(lo, hi)
		if p == 0 {
			first = from // curves begin where they begin, and end where they end
		}
		if p == parts-1 {
			last = to - 1
		}
		tx, ty = append(tx, x[first]), append(ty, y[first])
		if last != first {
			tx, ty = append(tx, x[last]), append(ty, y[last])
		}
	}
	return tx, ty
}

// Smooth returns the means of n values around every place: fewer near the ends, and at the start as many on either
// side, where losses fall fast. Those that are not finite do not count.
func Smooth(y []float64, n int) []float64 {
	out := make([]float64, len(y))
	for i := range y {
		half := min((n-1)/2, i)
		sum, count := 0.0, 0
		for _, v := range y[i-half : min(i+half+1, len(y))] {
			if finite(v) {
				sum, count = sum+v, count+1
			}
		}
		out[i] = math.NaN()
		if finite(y[i]) {
			out[i] = sum / float64(count)
		}
	}
	return out
}
