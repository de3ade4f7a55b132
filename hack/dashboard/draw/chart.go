package main

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/kubemint/kubemint/hack/dashboard/picture"
)

const legendLine = 20

// drawTimeSeries draws the lines of a panel, with their legend below.
func drawTimeSeries(c draw.Canvas, p picture.Picture, panel picture.Panel) {
	slices.SortFunc(panel.Series, func(a, b picture.Series) int { return cmp.Compare(rank(a.Name), rank(b.Name)) })
	legend := layLegend(c.Size().X, panel.Series)
	drawLegend(c, legend)

	chart := plot.New()
	chart.BackgroundColor = nil
	chart.X.Min, chart.X.Max = float64(p.From.Unix()), float64(p.To.Unix())
	chart.X.Tick.Marker = plot.TickerFunc(timeTicks)
	scale := setRange(chart, panel)
	for _, axis := range []*plot.Axis{&chart.X, &chart.Y} {
		axis.Width, axis.Tick.Width, axis.Tick.Length = 0, 0, 0
		axis.Padding = 4
		axis.Tick.Label.Color, axis.Tick.Label.Font = dim, style{size: 12}.text().Font
	}
	chart.Y.Tick.Marker = plot.TickerFunc(func(low, high float64) []plot.Tick { return valueTicks(low, high, scale) })
	grid := plotter.NewGrid()
	grid.Horizontal, grid.Vertical = draw.LineStyle{Color: faint, Width: 1}, draw.LineStyle{Color: faint, Width: 1}
	chart.Add(grid)
	for i, series := range panel.Series {
		addSeries(chart, series, i, p.Step)
	}
	chart.Draw(draw.Crop(c, 0, 0, vg.Length(legend.lines)*legendLine+4, -4))
}

// rank has p50 to p99 come after the median, and all else by name.
func rank(name string) string {
	if name == "median" {
		return "p5"
	}
	return name
}

// setRange gives the Y axis the range of all values, and returns the scale for them.
func setRange(chart *plot.Plot, panel picture.Panel) scale {
	low, high := math.Inf(1), math.Inf(-1)
	for _, series := range panel.Series {
		for _, point := range series.Points {
			low, high = min(low, point.Value), max(high, point.Value)
		}
	}
	if panel.FromZero {
		low = 0
	}
	if high <= low {
		high = low + 1
	}
	chart.Y.Min, chart.Y.Max = low, high+(high-low)*.06
	if !panel.FromZero {
		chart.Y.Min -= (high - low) * .06
	}
	return scaleOf(panel.Unit, chart.Y.Max)
}

// addSeries adds a line, with a gap where points are missing.
func addSeries(chart *plot.Plot, series picture.Series, number int, step time.Duration) {
	color := lines[number%len(lines)]
	for _, piece := range pieces(series.Points, step) {
		if len(piece) == 1 {
			piece = append(piece, plotter.XY{X: piece[0].X + step.Seconds()/2, Y: piece[0].Y})
		}
		area := append(slices.Clone(piece), plotter.XY{X: piece[len(piece)-1].X, Y: chart.Y.Min}, plotter.XY{X: piece[0].X, Y: chart.Y.Min})
		fill := &plotter.Polygon{XYs: []plotter.XYs{area}, Color: translucent(color)}
		line := &plotter.Line{XYs: piece, LineStyle: draw.LineStyle{Color: color, Width: 1.5}}
		chart.Add(fill, line)
	}
}

func pieces(points []picture.Point, step time.Duration) (all []plotter.XYs) {
	for i, point := range points {
		if i == 0 || point.Time-points[i-1].Time > 1.5*step.Seconds() {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], plotter.XY{X: point.Time, Y: point.Value})
	}
	return all
}

// timeTicks are at half minutes.
func timeTicks(from, to float64) (ticks []plot.Tick) {
	const apart = 30
	for t := math.Ceil(from/apart) * apart; t <= to; t += apart {
		ticks = append(ticks, plot.Tick{Value: t, Label: time.Unix(int64(t), 0).UTC().Format("15:04:05")})
	}
	return ticks
}

// valueTicks are four or five at round numbers.
func valueTicks(low, high float64, s scale) (ticks []plot.Tick) {
	low, high = low/s.size, high/s.size
	apart := roundStep((high-low)/4, s.binary)
	places := max(0, int(math.Ceil(-math.Log10(apart)-1e-9)))
	for i := math.Ceil(low/apart - 1e-9); i*apart <= high; i++ {
		value := i*apart + 0 // no -0
		ticks = append(ticks, plot.Tick{Value: value * s.size, Label: strconv.FormatFloat(value, 'f', places, 64) + s.suffix})
	}
	return ticks
}

// roundStep is the first of 1, 2 and 5 times a power of ten that is not smaller; of bytes, a power of two.
func roundStep(size float64, binary bool) float64 {
	if binary {
		return math.Exp2(math.Ceil(math.Log2(size)))
	}
	power := math.Pow(10, math.Floor(math.Log10(size)))
	for _, times := range []float64{1, 2, 5} {
		if times*power >= size*.999 {
			return times * power
		}
	}
	return 10 * power
}

// legend is where each name goes.
type legend struct {
	names []string
	at    []vg.Point // from the left end of the first line
	lines int
}

const (
	dash  = 14
	space = 16
)

func layLegend(width vg.Length, series []picture.Series) legend {
	l := legend{lines: 1}
	var x vg.Length
	for _, s := range series {
		length := dash + 6 + style{size: 12}.text().Width(s.Name)
		if x > 0 && x+length > width {
			x = 0
			l.lines++
		}
		l.names, l.at = append(l.names, s.Name), append(l.at, vg.Point{X: x, Y: -vg.Length(l.lines-1) * legendLine})
		x += length + space
	}
	return l
}

func drawLegend(c draw.Canvas, l legend) {
	top := c.Min.Y + vg.Length(l.lines)*legendLine - legendLine/2
	for i, name := range l.names {
		at := vg.Point{X: c.Min.X + l.at[i].X, Y: top + l.at[i].Y}
		c.StrokeLine2(draw.LineStyle{Color: lines[i%len(lines)], Width: 4}, at.X, at.Y, at.X+dash, at.Y)
		write(c, vg.Point{X: at.X + dash + 6, Y: at.Y}, name, style{size: 12, color: bright})
	}
}
