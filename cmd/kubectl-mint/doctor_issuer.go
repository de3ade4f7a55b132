package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/assertion"
)

// issuerWell checks the issuer as clients and resource servers see it.
func (e *examination) issuerWell() []check {
	const name = "issuer"
	where, err := e.options.issuer.find(e.ctx, e.cluster)
	if err != nil {
		return []check{warning(name, "%s", oneLine(err))}
	}
	httpClient, stop, err := e.options.issuer.client(e.cluster, where.ca, e.options.plugin.stderr)
	if err != nil {
		return []check{failed(name, "%s", oneLine(err))}
	}
	defer stop()
	sent := e.now()
	said, response, err := discover(e.ctx, httpClient, where.issuer)
	if response == nil {
		return []check{unreachable(where, err)}
	}
	taken := e.now().Sub(sent)
	checks := []check{ok(name, "%s (by %s) answers after %s", where.issuer, where.source, taken.Round(time.Millisecond))}
	checks = append(checks,
		checkMetadata(e.ctx, httpClient, where.issuer, said, err),
		checkCertificate(response.TLS, e.now()),
		checkClock(response.Header, sent.Add(taken/2)))
	if err == nil {
		checks = append(checks, checkKeySet(e.ctx, httpClient, said.JWKSURI))
	}
	return checks
}

// unreachable says why an issuer did not answer. A certificate that does not verify is the usual cause that looks unlike one.
func unreachable(where place, err error) check {
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return failed("certificate", "the one of %s has expired, or this machine's clock is wrong: see the events of Secret %s, or renew the one that you provide", where.issuer, v1alpha1.ServingCertificateSecretName)
	case errors.As(err, &authority), errors.As(err, &invalid):
		return failed("certificate", "the one of %s does not verify with the CA that is known here (%s): name the right one by --ca-file; where ca.crt of the clients' Secrets is wrong, see docs/rotation.md", where.issuer, oneLine(err))
	case errors.As(err, &host):
		return failed("certificate", "it is not for the host of %s (%s): set --tls-hosts, or have it made for that name", where.issuer, oneLine(err))
	default:
		return failed("issuer", "%s (by %s) does not answer: %s", where.issuer, where.source, oneLine(err))
	}
}

// checkMetadata checks that both documents say the same, and nothing of another host.
func checkMetadata(ctx context.Context, httpClient *http.Client, issuer string, said metadata, err error) check {
	const name = "metadata"
	if err != nil {
		return failed(name, "%s: is --issuer the address at which it is reached?", oneLine(err))
	}
	other, err := discoverOAuth(ctx, httpClient, issuer)
	if err != nil {
		return failed(name, "%s: does a proxy in front let /.well-known/oauth-authorization-server through?", oneLine(err))
	}
	if other != said {
		return failed(name, "the documents of OpenID Connect Discovery and RFC 8414 differ: do all replicas run with the same --issuer?")
	}
	for _, endpoint := range []string{said.TokenEndpoint, said.JWKSURI} {
		if !strings.HasPrefix(endpoint, issuer+"/") {
			return failed(name, "it names %q, which is not below %s: is another server there?", endpoint, issuer)
		}
	}
	return ok(name, "both documents agree; token endpoint %s", said.TokenEndpoint)
}

// certificateEnding is how long before its end a certificate should have been renewed: Kubemint renews a month before.
const certificateEnding = 14 * 24 * time.Hour

// checkCertificate checks how long the certificate, which has verified, is still valid.
func checkCertificate(state *tls.ConnectionState, now time.Time) check {
	const name = "certificate"
	if state == nil || len(state.PeerCertificates) == 0 {
		return failed(name, "the issuer showed none")
	}
	shown := state.PeerCertificates[0]
	until := shown.NotAfter
	if now.Add(certificateEnding).After(until) {
		return warning(name, "it ends %s, at %s, and should have been renewed: see the events of Secret %s, or renew the one that you provide", sinceNow(until, now), until.UTC().Format(time.RFC3339), v1alpha1.ServingCertificateSecretName)
	}
	names := slices.Clone(shown.DNSNames)
	for _, address := range shown.IPAddresses {
		names = append(names, address.String())
	}
	return ok(name, "it verifies, for %s, until %s (%s)", some(names), until.UTC().Format(time.RFC3339), sinceNow(until, now))
}

// Bounds on how far clocks may be apart. A client assertion lives for a minute at most; below the first, a Date's whole seconds and the way there show.
const (
	clockApart    = 5 * time.Second
	clockFarApart = 30 * time.Second
)

// checkClock compares the issuer's clock with that of this machine, which stands for those of clients and APIs.
func checkClock(header http.Header, here time.Time) check {
	const name = "clock"
	there, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return warning(name, "the issuer does not say what time it has")
	}
	apart := there.Sub(here).Round(time.Second)
	switch {
	case apart.Abs() > clockFarApart:
		return failed(name, "the issuer's is %s off this machine's: set both by NTP, as tokens and assertions are refused otherwise", apart)
	case apart.Abs() > clockApart:
		return warning(name, "the issuer's is %s off this machine's: set both by NTP", apart)
	default:
		return ok(name, "the issuer's and this machine's agree to within %s", clockApart)
	}
}

// checkKeySet checks that verifiers can use the published keys.
func checkKeySet(ctx context.Context, httpClient *http.Client, address string) check {
	const name = "keys"
	_, body, err := fetch(ctx, httpClient, address)
	if err != nil {
		return failed(name, "the key set cannot be had: %s", oneLine(err))
	}
	if _, err := assertion.ParseKeys(body); err != nil {
		return failed(name, "the key set is of no use: %v", err)
	}
	published, err := parseKeySet(body)
	if err != nil {
		return failed(name, "%v", err)
	}
	var names []string
	for _, key := range published {
		names = append(names, key.Algorithm+" "+key.KeyID)
	}
	return ok(name, "%d published: %s", len(published), some(names))
}

// clients says which OAuthClients are not ready, by their reasons.
func (e *examination) clients() []check {
	const name = "OAuthClients"
	all, in, err := e.clientsSeen()
	if err != nil {
		return []check{warning(name, "they cannot be listed: %s", oneLine(err))}
	}
	return checkClients(all, in)
}

// everywhere is where Kubemint looks where no namespaces are named.
const everywhere = "all namespaces"

// clientsSeen returns the OAuthClients that Kubemint looks at, and where that is; of the namespace where the user may not list them all.
func (e *examination) clientsSeen() (all []v1alpha1.OAuthClient, in string, err error) {
	watched := e.watched()
	in = everywhere
	if len(watched) == 0 {
		all, err = e.oauthClients(e.ctx, "")
	} else {
		in = "the watched namespaces " + some(watched)
	}
	for _, namespace := range watched {
		var there []v1alpha1.OAuthClient
		if there, err = e.oauthClients(e.ctx, namespace); err != nil {
			break
		}
		all = append(all, there...)
	}
	if apierrors.IsForbidden(err) {
		in = "namespace " + e.namespace
		all, err = e.oauthClients(e.ctx, e.namespace)
	}
	return all, in, err
}

// kubemintsOwn are the reasons that are Kubemint's to do something about, and not that of who owns the OAuthClient.
var kubemintsOwn = []string{v1alpha1.ReasonForbidden, v1alpha1.ReasonWaitingForCertificate}

// reasonBehind stands for clients whose newest change Kubemint has not followed.
const reasonBehind = "not followed yet"

func checkClients(all []v1alpha1.OAuthClient, in string) []check {
	const name = "OAuthClients"
	byReason := map[string][]string{}
	for i := range all {
		if reason := whyNotReady(&all[i]); reason != "" {
			byReason[reason] = append(byReason[reason], all[i].Namespace+"/"+all[i].Name)
		}
	}
	notReady := 0
	var checks []check
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		clients := byReason[reason]
		notReady += len(clients)
		detail := fmt.Sprintf("%s: %d (%s): kubectl mint status CLIENT says what to do", reason, len(clients), some(clients))
		switch {
		case reason == v1alpha1.ReasonSuspended:
			checks = append(checks, ok(name, "%s: %d (%s)", reason, len(clients), some(clients)))
		case reason == reasonBehind:
			checks = append(checks, warning(name, "%s: %d (%s): ask again in a moment, and see the leader above", reason, len(clients), some(clients)))
		case slices.Contains(kubemintsOwn, reason):
			checks = append(checks, failed(name, "%s", detail))
		default:
			checks = append(checks, warning(name, "%s", detail))
		}
	}
	return append([]check{ok(name, "%d of %d ready in %s", len(all)-notReady, len(all), in)}, checks...)
}

// whyNotReady returns the reason for which a client is not ready; empty where it is.
func whyNotReady(c *v1alpha1.OAuthClient) string {
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil || c.Status.ObservedGeneration != c.Generation:
		return reasonBehind
	case ready.Status != metav1.ConditionTrue:
		return ready.Reason
	default:
		return ""
	}
}
