package controllers

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// A client that can prove who it is in no way at all is not ready (L1); one way is enough.
func TestNoWay(t *testing.T) {
	r := &OAuthClientReconciler{TrustedIssuers: []string{"https://ci.example"}}
	withTLS := &OAuthClientReconciler{MutualTLS: true}
	fetched, missing := keysValid("fetched"), keysUnavailable(v1alpha1.ReasonKeySetNotFetched, "its URL answers 404")
	secretless := func(authentication v1alpha1.AuthenticationSpec) *v1alpha1.OAuthClient {
		return &v1alpha1.OAuthClient{Spec: v1alpha1.OAuthClientSpec{
			Secret: v1alpha1.SecretSpec{Source: v1alpha1.SecretNone}, Authentication: authentication}}
	}
	key := &v1alpha1.PrivateKeyJWTSpec{JWKSURI: "https://worker.example/jwks"}
	tls := &v1alpha1.TLSAuthenticationSpec{SANDNS: "worker.example"}
	trusted := func(issuer string) []v1alpha1.TrustedTokenReference {
		return []v1alpha1.TrustedTokenReference{{Issuer: issuer, Subject: "worker"}}
	}
	for name, test := range map[string]struct {
		by              *OAuthClientReconciler
		client          *v1alpha1.OAuthClient
		keys            *metav1.Condition
		reason, message string
	}{
		"a secret beside keys that are missing": {r, &v1alpha1.OAuthClient{Spec: v1alpha1.OAuthClientSpec{
			Authentication: v1alpha1.AuthenticationSpec{PrivateKeyJWT: key}}}, missing, "", ""},
		"keys":                              {r, secretless(v1alpha1.AuthenticationSpec{PrivateKeyJWT: key}), fetched, "", ""},
		"a generated key":                   {r, secretless(v1alpha1.AuthenticationSpec{PrivateKeyJWT: &v1alpha1.PrivateKeyJWTSpec{}}), nil, "", ""},
		"keys that are missing":             {r, secretless(v1alpha1.AuthenticationSpec{PrivateKeyJWT: key}), missing, v1alpha1.ReasonKeySetNotFetched, "404"},
		"and a service account beside them": {r, secretless(v1alpha1.AuthenticationSpec{PrivateKeyJWT: key, ServiceAccounts: []v1alpha1.ServiceAccountReference{{Name: "a"}}}), missing, "", ""},
		"an issuer that is trusted":         {r, secretless(v1alpha1.AuthenticationSpec{TrustedTokens: trusted("https://ci.example")}), nil, "", ""},
		"an issuer that is not":             {r, secretless(v1alpha1.AuthenticationSpec{TrustedTokens: trusted("https://other.example")}), nil, v1alpha1.ReasonNoMethodAvailable, "--trusted-issuers-file"},
		"mutual TLS":                        {withTLS, secretless(v1alpha1.AuthenticationSpec{TLS: tls}), nil, "", ""},
		"mutual TLS that is off":            {r, secretless(v1alpha1.AuthenticationSpec{TLS: tls}), nil, v1alpha1.ReasonNoMethodAvailable, "--client-ca-file"},
		"two ways, neither of which is there": {r, secretless(v1alpha1.AuthenticationSpec{TLS: tls, PrivateKeyJWT: key}), missing,
			v1alpha1.ReasonNoMethodAvailable, "404; the administrators"},
	} {
		t.Run(name, func(t *testing.T) {
			if reason, message := test.by.nowise(test.client, test.keys); reason != test.reason || !strings.Contains(message, test.message) {
				t.Errorf("%q, %q; want %q, %q", reason, message, test.reason, test.message)
			}
		})
	}
}
