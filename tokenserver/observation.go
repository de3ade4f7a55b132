package tokenserver

import (
	"net/http"
	"time"

	"github.com/kubemint/kubemint/tokenserver/clientauth"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
)

// Observation is what became of one token request, for metrics.
type Observation struct {
	// Outcome is Issued, Reused, the error code of the refusal, or, where a code has several meanings, a word of its own. The values are
	// few, and none is a caller's to choose.
	Outcome string
	// Method is how the client that gets a token proved who it is; empty where none is issued.
	Method clientauth.Method
	// Duration is the time from the request's headers to its answer.
	Duration time.Duration
	// Signing is the part of it that signing took, where one was signed.
	Signing time.Duration
}

// Outcomes that are no error code.
const (
	Issued           = "issued"
	Reused           = "reused"
	panicked         = "panicked"
	methodNotAllowed = "method_not_allowed"
	tooManyFailed    = "too_many_failures"
	overloaded       = "overloaded"
)

// outcomeOf returns the outcome of a request that was refused.
func outcomeOf(refusal *oauth2.Error) string {
	switch {
	case refusal.Status == http.StatusTooManyRequests:
		return tooManyFailed
	case refusal == oauth2.Overloaded:
		return overloaded
	}
	return refusal.Code
}
