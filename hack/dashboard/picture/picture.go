// Package picture is a dashboard with its data: what is to be drawn, by whatever draws it.
package picture

import "time"

// Picture is a dashboard over a range of time. Places are in Grafana's grid of 24 columns.
type Picture struct {
	Title     string
	Variables []Variable
	From, To  time.Time
	Step      time.Duration
	Panels    []Panel
}

// Variable is a choice that the whole dashboard is for.
type Variable struct{ Label, Value string }

// Panel is a row's title, one value, lines over time, or a table.
type Panel struct {
	Type, Title, Unit string
	Decimals          *int
	X, Y, W, H        int
	Value             float64
	Color             string // of the value: the threshold's that it has passed
	FromZero          bool
	Series            []Series
	Columns           []Column
	Rows              [][]any // a cell is a string or a number
}

// Series is a line. A point that is missing is a gap.
type Series struct {
	Name   string
	Points []Point
}

// Point is a value at a time, in seconds since 1970.
type Point struct{ Time, Value float64 }

// Column of a table.
type Column struct{ Name, Unit string }
