package main

import "testing"

func TestTokenServersPercent(t *testing.T) {
	for _, test := range []struct {
		name   string
		living uint64
		want   int
	}{
		{"at first", 0, gcPercentTokenServer},
		{"few clients", 3 << 20, gcPercentTokenServer},
		{"many clients: 96 MiB of garbage", 32 << 20, 300},
		{"a great many: as much as lives", 300 << 20, 100},
	} {
		if got := tokenServersPercent(test.living); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}
