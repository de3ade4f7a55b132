package main

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/kubemint/kubemint/hack/dashboard/picture"
)

// titleHeight is that of a panel's title.
const titleHeight = 32

func drawPanel(c draw.Canvas, p picture.Picture, panel picture.Panel) {
	if panel.Type == "row" {
		write(c, vg.Point{X: c.Min.X + 4, Y: c.Center().Y - 2}, panel.Title, style{size: 15, color: bright, bold: true})
		return
	}
	box(c, c.Rectangle, surface, border)
	write(c, vg.Point{X: c.Min.X + 10, Y: c.Max.Y - titleHeight/2 - 1}, panel.Title, style{color: bright, bold: true})
	inside := draw.Crop(c, 10, -10, 6, -titleHeight)
	switch panel.Type {
	case "stat":
		drawStat(inside, panel)
	case "table":
		drawTable(inside, panel)
	case "timeseries":
		drawTimeSeries(inside, p, panel)
	}
}

// drawStat writes the value as large as its panel allows.
func drawStat(c draw.Canvas, panel picture.Panel) {
	var of color.Color = bright
	if threshold, known := named[panel.Color]; known {
		of = threshold
	}
	value := scaleOf(panel.Unit, panel.Value).format(panel.Value, panel.Decimals)
	s := style{size: 34, color: of, bold: true, align: center}
	for s.text().Width(value) > c.Size().X {
		s.size--
	}
	write(c, vg.Point{X: c.Center().X, Y: c.Center().Y + 4}, value, s)
}

func drawTable(c draw.Canvas, panel picture.Panel) {
	const rowHeight = 28
	widths := columnWidths(c.Size().X, panel)
	y := c.Max.Y - rowHeight/2
	drawRow := func(of style, cell func(column int) string) {
		x := c.Min.X
		for column, width := range widths {
			write(c, vg.Point{X: x, Y: y}, fit(cell(column), of, width), of)
			x += width
		}
		y -= rowHeight
		c.StrokeLine2(draw.LineStyle{Color: faint, Width: 1}, c.Min.X, y+rowHeight/2, c.Max.X, y+rowHeight/2)
	}
	drawRow(style{color: dim, bold: true}, func(column int) string { return panel.Columns[column].Name })
	for _, row := range panel.Rows {
		drawRow(style{color: bright}, func(column int) string { return cellText(row[column], panel.Columns[column].Unit) })
	}
}

// columnWidths shares the width by what the columns hold; where it is too little, the widest column has what the others leave.
func columnWidths(width vg.Length, panel picture.Panel) []vg.Length {
	widths := make([]vg.Length, len(panel.Columns))
	rest, widest := width, 0
	for i, column := range panel.Columns {
		widths[i] = style{bold: true}.text().Width(column.Name) + space
		for _, row := range panel.Rows {
			widths[i] = max(widths[i], style{}.text().Width(cellText(row[i], column.Unit))+space)
		}
		rest -= widths[i]
		if widths[i] > widths[widest] {
			widest = i
		}
	}
	if rest < 0 {
		widths[widest] += rest
		return widths
	}
	for i := range widths {
		widths[i] += rest / vg.Length(len(widths))
	}
	return widths
}

// fit ends a text that is too long for its column with dots, as Grafana does.
func fit(line string, of style, width vg.Length) string {
	if of.text().Width(line) <= width {
		return line
	}
	for len(line) > 0 && of.text().Width(line+"…")+space/2 > width {
		line = line[:len(line)-1]
	}
	return line + "…"
}

func cellText(cell any, unit string) string {
	if number, is := cell.(float64); is {
		return scaleOf(unit, number).format(number, nil)
	}
	return fmt.Sprint(cell)
}
