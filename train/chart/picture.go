package chart

import (
	"bytes"
	"image/color"
	"regexp"
	"strings"

	"golang.org/x/image/font"
	"gonum.org/v1/plot"
	vgfont "gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The size of pictures, in points, and what a point has of a PNG's pixels.
const (
	Width, Height = 720, 432
	pngDPI        = 144
)

// Ink is the colours of what is not a curve.
type ink struct{ text, axis, grid color.Color }

var onWhite = ink{color.RGBA{0x22, 0x22, 0x22, 0xff}, color.RGBA{0x77, 0x77, 0x77, 0xff},
	color.RGBA{0xe4, 0xe4, 0xe4, 0xff}}

// SVG returns the chart as a file of its own, on white.
func (c Chart) SVG() []byte {
	canvas := vgsvg.New(Width, Height)
	d := draw.New(canvas)
	d.SetColor(color.White)
	d.Fill(d.Rectangle.Path())
	c.draw(d, onWhite)
	return []byte(portable(svgOf(canvas)))
}

// inline are colours that no picture has, and what stands for them in a page: its own colours, light or dark.
var inline = []struct {
	rgb color.RGBA
	css string
}{
	{color.RGBA{0x01, 0x02, 0x03, 0xff}, "var(--text)"},
	{color.RGBA{0x01, 0x02, 0x04, 0xff}, "var(--axis)"},
	{color.RGBA{0x01, 0x02, 0x05, 0xff}, "var(--grid)"},
}

// Inline returns the chart as an element of an HTML page, as wide as its place, without a ground. Its letters are those
// of a picture of width by height points. The page sets the variables --text, --axis and --grid. label describes the
// chart for those who cannot see it.
func (c Chart) Inline(label string, width, height int) string {
	canvas := vgsvg.New(vg.Length(width), vg.Length(height))
	c.draw(draw.New(canvas), ink{inline[0].rgb, inline[1].rgb, inline[2].rgb})
	s := portable(svgOf(canvas))
	_, s, _ = strings.Cut(s, "<svg ")
	_, s, _ = strings.Cut(s, "viewBox")
	s = regexp.MustCompile(`\s+xmlns(:\w+)?="[^"]*"`).ReplaceAllString(s, "") // HTML knows them
	for i, name := range []string{"#010203", "#010204", "#010205"} {
		s = strings.ReplaceAll(s, name, inline[i].css)
	}
	return `<svg role="img" aria-label="` + escape(label) + `" viewBox` + s
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}

func svgOf(canvas *vgsvg.Canvas) string {
	var b bytes.Buffer
	canvas.WriteTo(&b) // into memory, which takes all
	return b.String()
}

// portable names fonts of the same widths where Liberation is not installed.
func portable(svg string) string {
	return strings.ReplaceAll(svg, "font-family:Liberation Sans;",
		"font-family:Liberation Sans,Arial,Helvetica,sans-serif;")
}

// PNG returns the chart as a file, on white.
func (c Chart) PNG() ([]byte, error) {
	canvas := vgimg.NewWith(vgimg.UseWH(Width, Height), vgimg.UseDPI(pngDPI))
	c.draw(draw.New(canvas), onWhite)
	var b bytes.Buffer
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(&b)
	return b.Bytes(), err
}

// style is that of a text.
func style(size vg.Length, weight font.Weight, c color.Color) text.Style {
	return text.Style{Color: c, Handler: plot.DefaultTextHandler,
		Font: vgfont.Font{Typeface: "Liberation", Variant: "Sans", Size: size, Weight: weight}}
}

// draw draws title, legend and plot from the top down.
func (c Chart) draw(d draw.Canvas, k ink) {
	d = draw.Crop(d, 12, -16, 8, -12)
	small := style(11, font.WeightNormal, k.text)
	if c.Title != "" {
		title := style(14, font.WeightBold, k.text)
		title.YAlign = draw.YTop
		d.FillText(title, vg.Point{X: d.Min.X + 4, Y: d.Max.Y}, c.Title)
		d.Max.Y -= 24
	}
	d.Max.Y -= c.drawLegend(d, small)
	x, y, ok := c.spans()
	if !ok {
		small.XAlign, small.YAlign = draw.XCenter, draw.YCenter
		d.FillText(small, d.Center(), "nothing to draw")
		return
	}
	p := plot.New()
	p.BackgroundColor = nil
	for _, a := range []struct {
		axis  *plot.Axis
		span  span
		label string
		ticks int
	}{{&p.X, x, c.X, int(d.Size().X / 90)}, {&p.Y, y, c.Y, int(d.Size().Y / 42)}} {
		at, labels := a.span.ticks(a.ticks)
		a.axis.Min, a.axis.Max = a.span.min, a.span.max
		if a.span.log {
			a.axis.Scale = plot.LogScale{}
		}
		var marks plot.ConstantTicks
		for i := range at {
			marks = append(marks, plot.Tick{Value: at[i], Label: labels[i]})
		}
		a.axis.Tick.Marker = marks
		a.axis.Label.Text, a.axis.Label.Padding = a.label, 4
		a.axis.Label.TextStyle = style(11, font.WeightNormal, k.text)
		a.axis.Label.TextStyle.XAlign, a.axis.Label.TextStyle.YAlign = draw.XCenter, draw.YBottom
		for _, s := range []*text.Style{&a.axis.Tick.Label} {
			was := *s
			*s = style(10, font.WeightNormal, k.text)
			s.XAlign, s.YAlign, s.Rotation = was.XAlign, was.YAlign, was.Rotation
		}
		a.axis.LineStyle = draw.LineStyle{Color: k.axis, Width: 0.8}
		a.axis.Tick.LineStyle, a.axis.Tick.Length = a.axis.LineStyle, 4
		a.axis.Padding = 0
	}
	p.Add(curves{c, x, y, k})
	p.Draw(d)
}

// drawLegend draws the names of curves and levels in rows at the top, and returns their height.
func (c Chart) drawLegend(d draw.Canvas, s text.Style) vg.Length {
	const row, sample, gap = 16, 20, 18
	s.YAlign = draw.YCenter
	at, height := d.Min.X+4, vg.Length(0)
	entry := func(name string, mark func(from, to vg.Point)) {
		if name == "" {
			return
		}
		w := sample + 5 + s.Width(name)
		if height == 0 {
			height = row
		} else if at+w > d.Max.X {
			at, height = d.Min.X+4, height+row
		}
		y := d.Max.Y - height + row/2
		mark(vg.Point{X: at, Y: y}, vg.Point{X: at + sample, Y: y})
		d.FillText(s, vg.Point{X: at + sample + 5, Y: y}, name)
		at += w + gap
	}
	for _, k := range c.Curves {
		entry(k.Name, func(from, to vg.Point) {
			if !k.Bare {
				d.StrokeLines(lineOf(k), []vg.Point{from, to})
			}
			if k.Marked {
				d.DrawGlyph(glyphOf(k), vg.Point{X: (from.X + to.X) / 2, Y: from.Y})
			}
		})
	}
	for _, l := range c.Levels {
		entry(l.Name, func(from, to vg.Point) { d.StrokeLines(levelLine, []vg.Point{from, to}) })
	}
	if height > 0 {
		height += 8
	}
	return height
}

var levelLine = draw.LineStyle{Color: Colours[len(Colours)-1].RGB, Width: 1.2, Dashes: []vg.Length{5, 4}}

// lineOf is a curve's line: beyond the colours the same ones, dashed.
func lineOf(k Curve) draw.LineStyle {
	l := draw.LineStyle{Color: Colours[k.Of%len(Colours)].RGB, Width: 1.6}
	if k.Faint {
		c := Colours[k.Of%len(Colours)].RGB
		l.Width, l.Color = 0.7, color.NRGBA{c.R, c.G, c.B, 0x70}
	}
	if round := k.Of / len(Colours); round > 0 {
		l.Dashes = []vg.Length{vg.Length(2 + 3*round), 2}
	}
	return l
}

func glyphOf(k Curve) draw.GlyphStyle {
	return draw.GlyphStyle{Color: Colours[k.Of%len(Colours)].RGB, Radius: 3, Shape: draw.CircleGlyph{}}
}

// curves is the plotter of grid, levels and curves.
type curves struct {
	Chart
	x, y span
	ink  ink
}

// Plot implements plot.Plotter.
func (c curves) Plot(d draw.Canvas, p *plot.Plot) {
	grid := draw.LineStyle{Color: c.ink.grid, Width: 0.7}
	place := func(x, y float64) vg.Point {
		return vg.Point{X: d.X(c.x.at(x)), Y: d.Y(c.y.at(y))}
	}
	for _, t := range p.Y.Tick.Marker.Ticks(0, 0) {
		d.StrokeLine2(grid, d.Min.X, place(c.x.min, t.Value).Y, d.Max.X, place(c.x.min, t.Value).Y)
	}
	for _, t := range p.X.Tick.Marker.Ticks(0, 0) {
		d.StrokeLine2(grid, place(t.Value, c.y.min).X, d.Min.Y, place(t.Value, c.y.min).X, d.Max.Y)
	}
	for _, l := range c.Levels {
		y := place(c.x.min, l.Y).Y
		d.StrokeLine2(levelLine, d.Min.X, y, d.Max.X, y)
	}
	for _, faint := range []bool{true, false} {
		for _, k := range c.Curves {
			if k.Faint == faint {
				c.plot(d, k, place)
			}
		}
	}
}

func (c curves) plot(d draw.Canvas, k Curve, place func(x, y float64) vg.Point) {
	xs, ys := Thin(k.X, k.Y, 1200)
	var line []vg.Point
	end := func() {
		if len(line) > 1 && !k.Bare {
			d.StrokeLines(lineOf(k), line)
		}
		if len(line) == 1 && !k.Marked && !k.Bare { // a curve of one point
			d.DrawGlyph(glyphOf(k), line[0])
		}
		if k.Marked {
			halo := glyphOf(k)
			halo.Color, halo.Radius = color.NRGBA{0xff, 0xff, 0xff, 0xc0}, halo.Radius+1.2
			for _, p := range line {
				d.DrawGlyph(halo, p)
				d.DrawGlyph(glyphOf(k), p)
			}
		}
		line = nil
	}
	for i := range xs {
		if u, v := c.x.at(xs[i]), c.y.at(ys[i]); finite(u) && finite(v) {
			line = append(line, place(xs[i], ys[i]))
		} else {
			end()
		}
	}
	end()
}
