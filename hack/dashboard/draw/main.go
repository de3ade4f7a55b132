// Draw reads a dashboard with its data, as hack/dashboard writes it, and writes a picture of it as PNG: each panel at its place in Grafana's
// grid, with its title, unit and legend, in the colors of Grafana's dark theme.
package main

import (
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"os"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/kubemint/kubemint/hack/dashboard/picture"
)

// Sizes, in points.
const (
	width    = 1400
	cell     = 34 // the height of a row of Grafana's grid
	gap      = 8
	heading  = 52
	columns  = 24
	perInch  = 96 // pixels, so that there are 4 to 3 points
	fontSize = 13
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "draw: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: draw DATA.json PICTURE.png")
	}
	content, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var p picture.Picture
	if err := json.Unmarshal(content, &p); err != nil {
		return fmt.Errorf("read %s: %w", args[0], err)
	}
	file, err := os.Create(args[1])
	if err != nil {
		return err
	}
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(file, withFewColors(drawPicture(p))); err != nil {
		return err
	}
	return file.Close()
}

func drawPicture(p picture.Picture) image.Image {
	bottom := 0
	for _, panel := range p.Panels {
		bottom = max(bottom, panel.Y+panel.H)
	}
	height := vg.Length(heading + bottom*cell + gap)
	paper := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(perInch), vgimg.UseBackgroundColor(background))
	canvas := draw.New(paper)
	drawHeading(canvas, p)
	for _, panel := range p.Panels {
		drawPanel(place(canvas, panel), p, panel)
	}
	return paper.Image()
}

// place is where a panel is, on the whole canvas.
func place(c draw.Canvas, p picture.Panel) draw.Canvas {
	column := vg.Length(width-gap) / columns
	left := gap + column*vg.Length(p.X)
	top := c.Max.Y - heading - cell*vg.Length(p.Y)
	return draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
		Min: vg.Point{X: left, Y: top - cell*vg.Length(p.H) + gap},
		Max: vg.Point{X: left + column*vg.Length(p.W) - gap, Y: top},
	}}
}

// drawHeading writes what the dashboard is of, and when.
func drawHeading(c draw.Canvas, p picture.Picture) {
	middle := c.Max.Y - heading/2
	x := vg.Length(2 * gap)
	x += write(c, vg.Point{X: x, Y: middle}, p.Title, style{size: 20, color: bright, bold: true}) + 24
	for _, variable := range p.Variables {
		x += write(c, vg.Point{X: x, Y: middle}, variable.Label, style{color: dim}) + 8
		x += write(c, vg.Point{X: x, Y: middle}, variable.Value, style{color: bright}) + 20
	}
	when := fmt.Sprintf("%s to %s UTC", p.From.UTC().Format("2006-01-02 15:04:05"), p.To.UTC().Format("15:04:05"))
	write(c, vg.Point{X: c.Max.X - 2*gap, Y: middle}, when, style{color: dim, align: right})
}
