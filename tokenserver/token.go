package tokenserver

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/kubemint/kubemint/tokenserver/clientauth"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
)

// accessTokenType is the media type of an access token (RFC 9068, section 2.1).
const accessTokenType = "at+jwt"

// token is the token endpoint (RFC 6749, section 3.2).
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	began, observed := s.Issuer.Now(), Observation{Outcome: panicked} // Until there is another.
	var audit auditLine
	span, status := untraced, http.StatusInternalServerError
	defer func() {
		observed.Duration = s.Issuer.Now().Sub(began)
		s.Observe(observed)
		endSpan(span, status, observed.Outcome, &audit)
	}()
	if !allow(w, r, http.MethodPost) {
		observed.Outcome = methodNotAllowed
		return
	}
	r, span = s.beginSpan(r)
	token, refusal := s.issue(w, r, &audit)
	if refusal != nil {
		observed.Outcome, status = outcomeOf(refusal), refusal.Status
		s.log(r.Context(), levelOf(refusal), "token refused", slog.String("client", audit.clientID), slog.String("uid", audit.uid),
			slog.String("method", string(audit.method)), slog.String("source", r.RemoteAddr),
			slog.String("error", refusal.Code), slog.String("cause", refusal.Error()))
		refusal.Write(w)
		return
	}
	observed.Outcome, observed.Method, observed.Signing = Issued, audit.method, audit.signing
	status = http.StatusOK
	message := "token issued"
	if audit.reused {
		observed.Outcome, message = Reused, "token issued again"
	}
	claims := audit.token.claims
	s.log(r.Context(), slog.LevelInfo, message, slog.String("client", audit.clientID),
		slog.String("method", string(audit.method)), slog.String("source", r.RemoteAddr),
		slog.GroupAttrs("token", slog.String("uid", claims.Client.UID), slog.String("scope", token.Scope),
			slog.String("audience", claims.Access.Audience), slog.String("jti", claims.ID), slog.String("kid", audit.token.keyID),
			loggableConfirmation(claims.Confirmation)))
	token.Write(w)
}

// log writes an audit line, with the trace that the request is part of. It leaves out what slog.Logger would look up for a handler that
// wants it: the line of code that logs.
func (s *Server) log(ctx context.Context, level slog.Level, message string, attributes ...slog.Attr) {
	handler := s.Log.Handler()
	if !handler.Enabled(ctx, level) {
		return
	}
	record := slog.NewRecord(s.Issuer.Now(), level, message, 0)
	record.AddAttrs(attributes...)
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	_ = handler.Handle(ctx, record) // There is nobody to tell.
}

// levelOf returns how much the operators must know of a refusal: nothing is wrong with the server where the caller was.
func levelOf(refusal *oauth2.Error) slog.Level {
	switch {
	case refusal.Status == http.StatusInternalServerError:
		return slog.LevelError
	case refusal.Status > http.StatusInternalServerError: // It passes: there is no view of the cluster yet, or too much work.
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

// auditLine is who asked for a token, what became of it, and how long signing took. Of the token only its claims are logged.
type auditLine struct {
	clientID string
	uid      string // Of the OAuthClient by that identifier, where there is one.
	method   clientauth.Method
	token    *signedToken
	reused   bool
	signing  time.Duration
}

// maxLoggedID is the longest that a client identifier can be: a namespace of 63 bytes, a dot, and a name of 253.
const maxLoggedID = 63 + 1 + 253

// loggable returns a client identifier for the audit log. Being what a caller sent, it may be of any length, or a secret in the
// wrong place.
func loggable(clientID string) string {
	switch {
	case strings.Contains(clientID, credential.Prefix): // No identifier does: neither part of one may hold an underscore.
		return "withheld: it holds a client secret"
	case len(clientID) > maxLoggedID:
		return clientID[:maxLoggedID] + "..."
	}
	return clientID
}

// loggableConfirmation returns the key that a token is bound to for the audit log, which leaves out an empty group.
func loggableConfirmation(c grant.Confirmation) slog.Attr {
	var keys []slog.Attr
	if c.Certificate != "" {
		keys = append(keys, slog.String("x5t#S256", c.Certificate))
	}
	if c.Key != "" {
		keys = append(keys, slog.String("jkt", c.Key))
	}
	return slog.GroupAttrs("cnf", keys...)
}

// issue is the road of one token: parse, find a place, authenticate, check the proof of a key, grant, sign.
func (s *Server) issue(w http.ResponseWriter, r *http.Request, audit *auditLine) (*oauth2.Token, *oauth2.Error) {
	if !s.Registry.Ready() {
		return nil, oauth2.Unavailable
	}
	form, refusal := readForm(w, r)
	if refusal != nil {
		return nil, refusal
	}
	switch form[oauth2.ParamGrantType] {
	case grant.ClientCredentials:
	case "":
		return nil, oauth2.InvalidRequest("grant_type is missing: it must be client_credentials")
	default:
		return nil, oauth2.UnsupportedGrantType
	}
	place := s.places.take(r.Context())
	if place == nil {
		return nil, oauth2.Overloaded
	}
	defer place.leave()
	caller, refusal := s.authenticate(r, form, place, audit)
	if refusal != nil {
		return nil, s.limited(refusal, r, audit)
	}
	// Not before: only clients cost a verification of a proof, and the memory of one.
	if caller.Confirmation.Key, refusal = s.proofs.check(w, r, caller.Client); refusal != nil {
		return nil, refusal
	}
	claims, refusal := s.Issuer.Grant(caller.Client, form.Resources(), form[oauth2.ParamScope])
	if refusal != nil {
		return nil, refusal
	}
	claims.Confirmation = caller.Confirmation
	token, refusal := s.sign(r.Context(), claims, audit)
	if refusal != nil {
		return nil, refusal
	}
	return &oauth2.Token{
		AccessToken: token.text,
		TokenType:   tokenType(claims.Confirmation),
		ExpiresIn:   token.claims.ExpiresIn(claims.IssuedAt),
		Scope:       token.claims.Scopes.String(),
	}, nil
}

// sign returns a token for what was granted: a new one, or, within the window of reuse, the one from before.
func (s *Server) sign(ctx context.Context, claims *grant.Claims, audit *auditLine) (*signedToken, *oauth2.Error) {
	key := s.Registry.Ring().Signer(s.Issuer.Now())
	if token := s.reuse.find(claims, key.ID); token != nil {
		audit.token, audit.reused = token, true
		return token, nil
	}
	_, span := childSpan(ctx, "sign token")
	began := s.Issuer.Now()
	text, err := key.Sign(accessTokenType, claims)
	audit.signing = s.Issuer.Now().Sub(began)
	span.End()
	if err != nil {
		return nil, oauth2.ServerError.Because(err.Error())
	}
	audit.token = &signedToken{text, claims, key.ID}
	s.reuse.keep(audit.token)
	return audit.token, nil
}

// authenticate returns who the request proves to be from.
func (s *Server) authenticate(r *http.Request, form oauth2.Form, place *place, audit *auditLine) (caller *clientauth.Caller, refusal *oauth2.Error) {
	ctx, span := childSpan(r.Context(), "authenticate client")
	defer func() { endStep(span, refusal) }()
	credentials, refusal := clientauth.Read(r.Header, form, s.shownCertificates(r))
	audit.clientID, audit.method = loggable(credentials.ClientID), credentials.Method
	if refusal != nil {
		return nil, refusal
	}
	caller, known, refusal := s.authenticator.Authenticate(ctx, credentials, place.aside)
	audit.uid = known.UID
	if refusal != nil {
		return nil, refusal
	}
	audit.clientID, audit.method = caller.Client.ID, caller.Method
	return caller, nil
}

// limited charges a failed authentication to its budget, and returns the answer to it. Clients are told apart as the audit log
// does, which bounds their identifiers.
func (s *Server) limited(refusal *oauth2.Error, r *http.Request, audit *auditLine) *oauth2.Error {
	if refusal.Status != http.StatusUnauthorized {
		return refusal
	}
	if wait := s.failures.charge(sourceOf(r.RemoteAddr), audit.clientID); wait > 0 {
		return tooManyFailures(wait, refusal)
	}
	return refusal
}

// readForm reads the parameters of a token request, from its body alone. The body is bounded, and never inflated.
func readForm(w http.ResponseWriter, r *http.Request) (oauth2.Form, *oauth2.Error) {
	if r.Header.Get("Content-Encoding") != "" {
		return oauth2.Form{}, &oauth2.Error{Status: http.StatusUnsupportedMediaType, Code: "invalid_request",
			Description: "Content-Encoding is not supported"}
	}
	if !isForm(r.Header.Get("Content-Type")) {
		return oauth2.Form{}, oauth2.InvalidRequest("Content-Type must be application/x-www-form-urlencoded, in UTF-8")
	}
	if queryHasParameter(r.URL.RawQuery) {
		return oauth2.Form{}, oauth2.InvalidRequest("parameters must be sent in the body, never in the URL")
	}
	body := bodies.Get().(*bytes.Buffer)
	defer putBack(body)
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBodyBytes)); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return oauth2.Form{}, &oauth2.Error{Status: http.StatusRequestEntityTooLarge, Code: "invalid_request",
				Description: "the request body is too large"}
		}
		return oauth2.Form{}, oauth2.InvalidRequest("the request body could not be read")
	}
	return oauth2.ParseForm(body.Bytes())
}

// bodies are what request bodies are read into, so that no memory has to be found for each.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// putBack leaves a body's buffer to the next one, but none of its secrets.
func putBack(body *bytes.Buffer) {
	clear(body.Bytes())
	body.Reset()
	bodies.Put(body)
}

const formType = "application/x-www-form-urlencoded"

func isForm(contentType string) bool {
	if contentType == formType { // As nearly all clients send it.
		return true
	}
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != formType {
		return false
	}
	charset, given := parameters["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}

// queryHasParameter reports whether a query holds a parameter of a token request (RFC 6749, section 2.3.1 forbids it).
func queryHasParameter(query string) bool {
	for pair := range strings.SplitSeq(query, "&") {
		rawName, _, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(rawName); err == nil && oauth2.Known(name) {
			return true
		}
	}
	return false
}
