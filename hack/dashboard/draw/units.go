package main

import (
	"math"
	"strconv"
)

// scale is a unit in which a value is short to write: 0.0004 s in µs.
type scale struct {
	size   float64
	suffix string
	binary bool // ticks are at multiples of powers of two
}

var (
	seconds = []scale{
		{size: 1e-6, suffix: " µs"}, {size: 1e-3, suffix: " ms"}, {size: 1, suffix: " s"},
		{size: 60, suffix: " min"}, {size: 3600, suffix: " h"}, {size: 86400, suffix: " days"},
	}
	bytes = []scale{
		{size: 1, suffix: " B", binary: true}, {size: 1 << 10, suffix: " KiB", binary: true},
		{size: 1 << 20, suffix: " MiB", binary: true}, {size: 1 << 30, suffix: " GiB", binary: true},
	}
)

// scaleOf is the scale for a Grafana unit and values of this size.
func scaleOf(unit string, size float64) scale {
	switch unit {
	case "s":
		return fitting(seconds, size)
	case "bytes":
		return fitting(bytes, size)
	case "percentunit":
		return scale{size: .01, suffix: "%"}
	case "reqps":
		return scale{size: 1, suffix: " req/s"}
	case "ops":
		return scale{size: 1, suffix: " ops/s"}
	case "bool_yes_no":
		return scale{}
	}
	return scale{size: 1}
}

// fitting is the largest scale in which the value is one or more.
func fitting(scales []scale, size float64) scale {
	found := scales[0]
	for _, s := range scales {
		if math.Abs(size) >= s.size {
			found = s
		}
	}
	return found
}

// format writes a value with so many decimals, or those that matter.
func (s scale) format(value float64, decimals *int) string {
	if s.size == 0 {
		return map[bool]string{true: "Yes", false: "No"}[value != 0]
	}
	value /= s.size
	if decimals != nil {
		return strconv.FormatFloat(value, 'f', *decimals, 64) + s.suffix
	}
	places := 0
	switch size := math.Abs(value); {
	case size < 1:
		places = 2
	case size < 100:
		places = 1
	}
	rounded := math.Pow(10, float64(places))
	return strconv.FormatFloat(math.Round(value*rounded)/rounded, 'f', -1, 64) + s.suffix
}
