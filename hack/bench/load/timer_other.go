//go:build !linux

package load

import "time"

// timer waits as exactly as Go does.
type timer struct{}

func newTimer() (*timer, error) { return &timer{}, nil }

func (*timer) wait(d time.Duration) error {
	time.Sleep(d)
	return nil
}

func (*timer) stop() {}
