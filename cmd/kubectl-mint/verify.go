package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubemint/kubemint/tokenserver/assertion"
)

// verifyOptions are the flags of kubectl mint verify.
type verifyOptions struct {
	plugin   *plugin
	issuer   issuerFlags
	output   format
	audience string
	stdin    io.Reader
}

func newVerifyCommand(p *plugin) *cobra.Command {
	o := &verifyOptions{plugin: p, stdin: os.Stdin}
	command := &cobra.Command{
		Use:   "verify TOKEN|-",
		Short: "Verify a token as an API would, and say what each check found",
		Long: `Verify a token as an API would, with the issuer's published keys, and say what each check found. - reads it from standard input, which keeps
it out of the shell's history. The exit code is 1 where the token is not valid.

The issuer that is trusted is --issuer, or else that of the cluster. Where neither is known, it is the one that the token names, and a warning
says so: anybody can make such a token. What --audience does not name is not compared.`,
		Example: `  kubectl mint token invoice-worker -n billing | kubectl mint verify -

  # As the API that it is for would, without a cluster
  kubectl mint verify - --issuer https://kubemint.example.com --audience https://orders.shop.svc < token`,
		Args: exactArgs("TOKEN|-"),
		RunE: func(command *cobra.Command, args []string) error { return o.run(command.Context(), args[0]) },
	}
	o.issuer.addURLFlag(command, "URL of the issuer that is trusted (default: that of the cluster, else the token's iss)")
	command.Flags().StringVar(&o.audience, "audience", "", "the API's audience, which aud must have")
	o.issuer.addFlags(command)
	o.output.addFlag(command)
	return command
}

func (o *verifyOptions) run(ctx context.Context, argument string) error {
	token, err := o.read(argument)
	if err != nil {
		return err
	}
	decoded, err := decodeToken(token)
	if err != nil {
		return err
	}
	where, cluster := o.trusted(ctx, decoded)
	httpClient, stop, err := o.issuer.client(cluster, where.ca, o.plugin.stderr)
	if err != nil {
		return err
	}
	defer stop()
	checks := append([]check{checkSignature(ctx, httpClient, where.issuer, token, decoded), checkIssuer(where, decoded)},
		checkClaims(decoded, o.audience, time.Now())...)
	return report(o.plugin.stdout, &o.output, checks)
}

// read returns the token: the argument, or what stands on standard input.
func (o *verifyOptions) read(argument string) (string, error) {
	if argument != "-" {
		return argument, nil
	}
	line, err := bufio.NewReader(io.LimitReader(o.stdin, maxAnswer)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the token: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// sourceToken is the source of an issuer that only the token names.
const sourceToken = "the token"

// trusted returns the issuer that the user trusts, or the one that the token names where there is none; and the cluster, if there is one.
func (o *verifyOptions) trusted(ctx context.Context, decoded decodedToken) (place, *cluster) {
	c, err := o.plugin.access.connect()
	if err != nil {
		c = nil
	}
	where, err := o.issuer.find(ctx, c)
	if err == nil {
		return where, c
	}
	where = place{issuer: decoded.text("iss"), source: sourceToken}
	if o.issuer.caFile != "" {
		where.ca, _ = readCA(o.issuer.caFile)
	}
	return where, c
}

// checkSignature verifies the signature with the issuer's published keys, each by its one algorithm.
func checkSignature(ctx context.Context, httpClient *http.Client, issuer, token string, decoded decodedToken) check {
	const name = "signature"
	set, err := keySet(ctx, httpClient, issuer)
	if err != nil {
		return failed(name, "the keys of %s cannot be had: %s", issuer, oneLine(err))
	}
	keys, err := assertion.ParseKeys(set)
	if err != nil {
		return failed(name, "the key set of %s is of no use: %v", issuer, err)
	}
	if _, err := keys.Payload(token); errors.Is(err, assertion.ErrUnknownKey) {
		return failed(name, "%s publishes no key %v: the token is by another issuer, or by a key that was taken out since (kubectl mint keys)", issuer, readable("kid", decoded.Header["kid"], time.Time{}))
	} else if err != nil {
		return failed(name, "%v", err)
	}
	return ok(name, "by key %v of %s", readable("kid", decoded.Header["kid"], time.Time{}), issuer)
}

// checkIssuer compares the token's issuer with the one that is trusted.
func checkIssuer(where place, decoded decodedToken) check {
	issuer := decoded.text("iss")
	switch {
	case issuer == "":
		return failed("iss", "the token names no issuer")
	case where.source == sourceToken:
		return warning("iss", "%s, as the token itself says: name the issuer that you trust by --issuer", printable(issuer))
	case issuer != where.issuer:
		return failed("iss", "it is %s, and not %s (by %s)", printable(issuer), where.issuer, where.source)
	default:
		return ok("iss", "%s (by %s)", issuer, where.source)
	}
}

// checkClaims checks what the token says, without asking anybody.
func checkClaims(decoded decodedToken, audience string, now time.Time) []check {
	return []check{
		checkType(decoded), checkAudience(decoded, audience), checkTimes(decoded, now), checkConfirmation(decoded), checkRequired(decoded),
	}
}

// checkType checks that it is an access token (RFC 9068, section 4), so that no JWT of another kind passes for one.
func checkType(decoded decodedToken) check {
	kind, _ := decoded.Header["typ"].(string)
	if shortened := strings.TrimPrefix(strings.ToLower(kind), "application/"); shortened != "at+jwt" {
		return failed("typ", "it is %q, and not at+jwt: this is no access token (RFC 9068)", kind)
	}
	return ok("typ", "%s", kind)
}

func checkAudience(decoded decodedToken, audience string) check {
	audiences := decoded.audiences()
	shown := printable(strings.Join(audiences, " "))
	switch {
	case len(audiences) == 0:
		return failed("aud", "the token is for nobody")
	case audience == "":
		return warning("aud", "%s, which was compared with nothing: name the API's by --audience", shown)
	case !slices.Contains(audiences, audience):
		return failed("aud", "it is %s, and not %s: the caller must ask for the latter by the parameter resource (docs/scopes.md)", shown, audience)
	default:
		return ok("aud", "%s", shown)
	}
}

// checkTimes checks that the token is valid now, by this machine's clock.
func checkTimes(decoded decodedToken, now time.Time) check {
	expires, hasExpiry := numericDate(decoded.Claims["exp"])
	switch {
	case !hasExpiry:
		return failed("exp", "the token does not say when it expires")
	case !now.Before(expires):
		return failed("exp", "it expired %s, at %s: ask for a new one", sinceNow(expires, now), expires.UTC().Format(time.RFC3339))
	}
	for _, name := range []string{"nbf", "iat"} {
		if from, given := numericDate(decoded.Claims[name]); given && now.Before(from) {
			return failed("exp", "it is not valid yet (%s is %s): compare the clocks of this machine and the issuer", name, sinceNow(from, now))
		}
	}
	return ok("exp", "it expires %s, at %s", sinceNow(expires, now), expires.UTC().Format(time.RFC3339))
}

// checkConfirmation says whom the token is bound to (RFC 7800): a certificate (RFC 8705) or a key (RFC 9449), by its SHA-256.
func checkConfirmation(decoded decodedToken) check {
	claim, bound := decoded.Claims["cnf"]
	if !bound {
		return ok("cnf", "none: whoever bears the token may use it")
	}
	members, _ := claim.(map[string]any)
	for name, to := range map[string]string{"x5t#S256": "the client certificate", "jkt": "the DPoP key"} {
		text, _ := members[name].(string)
		if digest, err := base64.RawURLEncoding.DecodeString(text); err == nil && len(digest) == 32 {
			return ok("cnf", "bound to %s with the SHA-256 %s: the API must check that the caller has it", to, text)
		}
	}
	return failed("cnf", "the token is bound to something that APIs will not understand: %s", readable("cnf", claim, time.Time{}))
}

// checkRequired checks that the claims are there that RFC 9068, section 2.2, requires, beside those above.
func checkRequired(decoded decodedToken) check {
	var missing []string
	for _, name := range []string{"sub", "client_id", "jti"} {
		if decoded.text(name) == "" {
			missing = append(missing, name)
		}
	}
	if _, given := numericDate(decoded.Claims["iat"]); !given {
		missing = append(missing, "iat")
	}
	if len(missing) > 0 {
		return failed("claims", "%s missing, which an access token must have (RFC 9068)", strings.Join(missing, ", "))
	}
	return ok("claims", "client %s, scope %q", printable(decoded.text("client_id")), decoded.text("scope"))
}
