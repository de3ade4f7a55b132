// Package report is what the workloads of the end-to-end test tell it, as lines of JSON in their logs.
package report

import "time"

// Report is one line: of a first success, of a failure, or, each second, of the counts.
type Report struct {
	Time   time.Time `json:"time"`
	First  string    `json:"first,omitempty"`  // token or call
	Failed string    `json:"failed,omitempty"` // token or call
	Error  string    `json:"error,omitempty"`
	Counts *Counts   `json:"counts,omitempty"`
}

// Counts are of all requests since the pod's start, but for Slowest, which is of the last second.
type Counts struct {
	Tokens       int           `json:"tokens"`
	FailedTokens int           `json:"failedTokens"`
	Calls        int           `json:"calls"`
	FailedCalls  int           `json:"failedCalls"`
	Slowest      time.Duration `json:"slowest"`
	Secret       string        `json:"secret"` // that was used last, as a fingerprint
}

// Plus adds the counts of another pod.
func (c Counts) Plus(other Counts) Counts {
	c.Tokens += other.Tokens
	c.FailedTokens += other.FailedTokens
	c.Calls += other.Calls
	c.FailedCalls += other.FailedCalls
	c.Slowest = max(c.Slowest, other.Slowest)
	return c
}

// Minus leaves out what was counted before.
func (c Counts) Minus(before Counts) Counts {
	c.Tokens -= before.Tokens
	c.FailedTokens -= before.FailedTokens
	c.Calls -= before.Calls
	c.FailedCalls -= before.FailedCalls
	return c
}
