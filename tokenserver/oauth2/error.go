// Package oauth2 holds what a token endpoint says and how it is written: protocol errors as values, JSON responses, and the
// strict parsing of form bodies.
package oauth2

import (
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"sync"
)

// Error is an error response of the token endpoint (RFC 6749, section 5.2). Description is a constant text: it never holds
// what a caller sent, nor what went wrong inside.
type Error struct {
	Status      int    `json:"-"`
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
	// RetryAfter is how long, in seconds, the caller should wait before it tries again; 0 says nothing of it.
	RetryAfter int `json:"-"`
	// Cause says in the audit log why a request was refused. It is not sent.
	Cause string `json:"-"`
}

func (e *Error) Error() string {
	if e.Cause != "" {
		return e.Code + ": " + e.Cause
	}
	return e.Code + ": " + e.Description
}

// Because returns the error with a cause for the audit log.
func (e *Error) Because(cause string) *Error {
	with := *e
	with.Cause = cause
	return &with
}

// InvalidClient is the one answer to every failed client authentication: whether the client is unknown, the secret wrong or
// the method not supported, the bytes are the same (RFC 6749, section 5.2; RFC 9110, section 15.5.2).
var InvalidClient = &Error{Status: http.StatusUnauthorized, Code: "invalid_client",
	Description: "client authentication failed: check client_id, and the secret, assertion or certificate"}

// TooManyFailures is the answer to one more failed client authentication where too many have failed before (RFC 6585, section
// 4). Its code is not invalid_client, which goes with 401 only, and which clients take for final.
var TooManyFailures = &Error{Status: http.StatusTooManyRequests, Code: "temporarily_unavailable", RetryAfter: 2,
	Description: "client authentication failed too often: check client_id, and the secret, assertion or certificate, and wait as long as Retry-After says"}

// InvalidRequest is the answer to a request that is malformed.
func InvalidRequest(description string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_request", Description: description}
}

// UnsupportedGrantType is the answer to any grant but client credentials.
var UnsupportedGrantType = &Error{Status: http.StatusBadRequest, Code: "unsupported_grant_type",
	Description: "grant_type must be client_credentials"}

// UnauthorizedClient is the answer to a client that authenticated but may get no token.
func UnauthorizedClient(description string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "unauthorized_client", Description: description}
}

// InvalidScope is the answer to a request for scopes that are malformed or not granted.
func InvalidScope(description string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_scope", Description: description}
}

// InvalidTarget is the answer to a request whose audience is malformed, unknown, not granted or ambiguous (RFC 8707, section 2).
func InvalidTarget(description string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_target", Description: description}
}

// InvalidDPoPProof is the answer to a request with a DPoP proof that proves nothing (RFC 9449, section 5).
var InvalidDPoPProof = &Error{Status: http.StatusBadRequest, Code: "invalid_dpop_proof",
	Description: "the DPoP proof is not valid: send one DPoP header, and for each request a new proof, by the key in its jwk, with the htm POST and the token_endpoint as htu"}

// UseDPoPNonce is the answer to a request whose DPoP proof lacks the nonce of the DPoP-Nonce header, which the caller sets (RFC 9449,
// section 8).
var UseDPoPNonce = &Error{Status: http.StatusBadRequest, Code: "use_dpop_nonce",
	Description: "the DPoP proof must hold a nonce of this server: make it again with the one in the DPoP-Nonce header"}

// MethodNotAllowed is the answer to a request by another method than those that the Allow header names, which the caller sets.
var MethodNotAllowed = &Error{Status: http.StatusMethodNotAllowed, Code: "invalid_request",
	Description: "this request method is not allowed here: see the Allow header"}

// Errors that are the server's, in the form that OAuth clients parse.
var (
	ServerError = &Error{Status: http.StatusInternalServerError, Code: "server_error",
		Description: "the token could not be issued: try again, and tell the operators of this issuer if it lasts"}
	Unavailable = &Error{Status: http.StatusServiceUnavailable, Code: "temporarily_unavailable", RetryAfter: 2,
		Description: "this server is not ready: try again shortly"}
	Overloaded = &Error{Status: http.StatusServiceUnavailable, Code: "temporarily_unavailable", RetryAfter: 1,
		Description: "this server has more requests than it can answer: try again shortly"}
)

// challenge is the WWW-Authenticate of a 401 (RFC 7617).
const challenge = `Basic realm="kubemint", charset="UTF-8"`

// Write answers a request with the error.
func (e *Error) Write(w http.ResponseWriter) {
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	body, err := json.Marshal(e)
	if err != nil {
		panic("oauth2: an error of two texts did not encode: " + err.Error())
	}
	write(w, e.Status, body)
}

// Token is a successful response of the token endpoint (RFC 6749, section 5.1).
type Token struct {
	AccessToken, TokenType string
	// ExpiresIn is in seconds.
	ExpiresIn int64
	Scope     string
}

// Write answers a request with the token.
func (t *Token) Write(w http.ResponseWriter) {
	body := bodies.Get().(*[]byte)
	defer bodies.Put(body)
	*body = t.appendJSON((*body)[:0])
	write(w, http.StatusOK, *body)
	clear(*body)
}

// bodies are what responses are encoded in, so that no memory has to be found for each.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

// appendJSON appends the response. No character of a token or a scope needs escaping (RFC 6749, appendices A.4 and A.12), and to do
// without reflection takes a tenth of the time.
func (t *Token) appendJSON(b []byte) []byte {
	b = append(append(b, `{"access_token":"`...), t.AccessToken...)
	b = append(append(b, `","token_type":"`...), t.TokenType...)
	b = strconv.AppendInt(append(b, `","expires_in":`...), t.ExpiresIn, 10)
	b = append(append(b, `,"scope":"`...), t.Scope...)
	return append(b, `"}`...)
}

// header is that of every response of the token endpoint. None may be cached (RFC 6749, section 5.1).
var header = http.Header{
	"Content-Type":           {"application/json"},
	"Cache-Control":          {"no-store"},
	"Pragma":                 {"no-cache"},
	"X-Content-Type-Options": {"nosniff"},
}

// write writes a response of the token endpoint.
func write(w http.ResponseWriter, status int, body []byte) {
	maps.Copy(w.Header(), header)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// A failed write means that the caller has gone: there is nobody to tell.
	_, _ = w.Write(body)
}
