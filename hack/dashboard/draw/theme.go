package main

import (
	"image/color"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// The colors of Grafana's dark theme, near enough.
var (
	background = rgb(0x11, 0x12, 0x17)
	surface    = rgb(0x18, 0x1b, 0x1f)
	border     = rgb(0x2c, 0x30, 0x36)
	faint      = rgb(0x2a, 0x2e, 0x34)
	dim        = rgb(0x93, 0x97, 0xa3)
	bright     = rgb(0xd8, 0xd9, 0xe0)

	named = map[string]color.RGBA{"green": rgb(0x73, 0xbf, 0x69), "orange": rgb(0xff, 0x98, 0x30), "red": rgb(0xf2, 0x49, 0x5c)}
	// lines are the colors of the first series, the second, and so on.
	lines = []color.RGBA{
		rgb(0x73, 0xbf, 0x69), rgb(0xf2, 0xcc, 0x0c), rgb(0x57, 0x94, 0xf2), rgb(0xff, 0x98, 0x30), rgb(0xf2, 0x49, 0x5c),
		rgb(0xb8, 0x77, 0xd9), rgb(0x37, 0xc8, 0xc8), rgb(0xff, 0xa6, 0xb0), rgb(0xa3, 0xb8, 0x5c), rgb(0xc0, 0xd8, 0xff),
	}
)

func rgb(r, g, b uint8) color.RGBA { return color.RGBA{R: r, G: g, B: b, A: 0xff} }

// translucent is a color of which a ninth is seen.
func translucent(c color.RGBA) color.Color { return color.NRGBA{R: c.R, G: c.G, B: c.B, A: 0x1c} }

// style of a text, of which Y is the middle.
type style struct {
	size  vg.Length
	color color.Color
	bold  bool
	align text.XAlignment
}

const (
	left   = draw.XLeft
	center = draw.XCenter
	right  = draw.XRight
)

func (s style) text() text.Style {
	face := font.Font{Typeface: "Liberation", Variant: "Sans", Size: fontSize}
	if s.size != 0 {
		face.Size = s.size
	}
	if s.bold {
		face.Weight = xfont.WeightBold
	}
	return text.Style{Color: s.color, Font: face, XAlign: s.align, YAlign: draw.YCenter, Handler: plot.DefaultTextHandler}
}

// write writes a line, and returns how long it is.
func write(c draw.Canvas, at vg.Point, line string, s style) vg.Length {
	t := s.text()
	c.FillText(t, at, line)
	return t.Width(line)
}

// box fills a rectangle, with a border where it has one.
func box(c draw.Canvas, r vg.Rectangle, fill, edge color.Color) {
	corners := []vg.Point{r.Min, {X: r.Max.X, Y: r.Min.Y}, r.Max, {X: r.Min.X, Y: r.Max.Y}, r.Min}
	c.FillPolygon(fill, corners)
	if edge != nil {
		c.StrokeLines(draw.LineStyle{Color: edge, Width: 1}, corners)
	}
}
