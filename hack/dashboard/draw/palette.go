package main

import (
	"cmp"
	"image"
	"image/color"
	"maps"
	"math"
	"slices"
)

// withFewColors returns a picture in the theme's colors and those that are most frequent, 256 in all: a third as large as a file. What else there
// is are the edges of letters and lines.
func withFewColors(of image.Image) image.Image {
	const most = 256
	counts := map[color.Color]int{}
	for _, c := range lines {
		counts[c] = math.MaxInt / 2 // However short a line is, its color stays.
	}
	bounds := of.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[of.At(x, y)]++
		}
	}
	palette := color.Palette(slices.SortedFunc(maps.Keys(counts), func(a, b color.Color) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(number(a), number(b))) // The same picture makes the same file.
	}))
	palette = palette[:min(most, len(palette))]

	nearest := map[color.Color]uint8{}
	for c := range counts {
		nearest[c] = uint8(palette.Index(c))
	}
	result := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			result.SetColorIndex(x, y, nearest[of.At(x, y)])
		}
	}
	return result
}

func number(c color.Color) uint64 {
	r, g, b, _ := c.RGBA()
	return uint64(r)<<32 | uint64(g)<<16 | uint64(b)
}
