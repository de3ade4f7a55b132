package controllers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/assertion"
)

// When to look at a client's published key set again: while it is being fetched, while it cannot be had, and otherwise.
const (
	keysUnderway = time.Second
	keysMissing  = time.Minute
	keysFetched  = 10 * time.Minute
)

// checkKeys says whether the assertions of a client that signs with keys of its own can be verified, and after how long to look again; nil
// where it has none. A key set is fetched in the background: no other client waits for a slow host.
func (r *OAuthClientReconciler) checkKeys(c *v1alpha1.OAuthClient) (available *metav1.Condition, again time.Duration) {
	own := c.Spec.Authentication.PrivateKeyJWT
	switch {
	case own == nil || own.Generated != nil:
		return nil, 0
	case own.JWKS != nil:
		if _, err := assertion.ParseKeys(own.JWKS.JSON()); err != nil {
			return keysUnavailable(v1alpha1.ReasonInvalidKeys, "spec.authentication.privateKeyJWT.jwks: "+err.Error()), 0
		}
		return keysValid("assertions are verified with the keys of spec.authentication.privateKeyJWT.jwks"), 0
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel() // Nobody waits.
	switch _, err := r.KeySets.Keys(gone, own.JWKSURI, ""); {
	case err == nil:
		return keysValid("assertions are verified with the key set of spec.authentication.privateKeyJWT.jwksURI"), keysFetched
	case errors.Is(err, context.Canceled):
		if before := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionKeysAvailable); before != nil && before.ObservedGeneration == c.Generation {
			return before, keysUnderway
		}
		return keysUnavailable(v1alpha1.ReasonKeySetNotFetched, "the key set of spec.authentication.privateKeyJWT.jwksURI is being fetched"), keysUnderway
	default:
		return keysUnavailable(v1alpha1.ReasonKeySetNotFetched, "spec.authentication.privateKeyJWT.jwksURI: "+err.Error()), keysMissing
	}
}

func keysValid(message string) *metav1.Condition {
	return &metav1.Condition{Type: v1alpha1.ConditionKeysAvailable, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonKeysValid, Message: message}
}

func keysUnavailable(reason, message string) *metav1.Condition {
	return &metav1.Condition{Type: v1alpha1.ConditionKeysAvailable, Status: metav1.ConditionFalse, Reason: reason, Message: message}
}

// nowise says why a client can prove who it is in no way at all, as the reason and the message of a condition; it is empty where there is
// one way at least. keys is the condition KeysAvailable, nil where there is none.
func (r *OAuthClientReconciler) nowise(c *v1alpha1.OAuthClient, keys *metav1.Condition) (reason, message string) {
	methods := c.AuthenticationMethods()
	var why []string
	for _, method := range methods {
		obstacle := r.obstacle(c, method, keys)
		if obstacle == "" {
			return "", ""
		}
		why = append(why, obstacle)
	}
	if len(methods) == 1 && methods[0] == v1alpha1.MethodPrivateKeyJWT {
		return keys.Reason, keys.Message
	}
	return v1alpha1.ReasonNoMethodAvailable, strings.Join(why, "; ")
}

// obstacle says why a client cannot prove who it is in one way; empty where it can.
func (r *OAuthClientReconciler) obstacle(c *v1alpha1.OAuthClient, method v1alpha1.AuthenticationMethod, keys *metav1.Condition) string {
	switch method {
	case v1alpha1.MethodPrivateKeyJWT:
		if keys != nil && keys.Status != metav1.ConditionTrue {
			return keys.Message
		}
	case v1alpha1.MethodTrustedToken:
		if !slices.ContainsFunc(c.Spec.Authentication.TrustedTokens, func(t v1alpha1.TrustedTokenReference) bool {
			return slices.Contains(r.TrustedIssuers, t.Issuer)
		}) {
			return "the administrators trust no issuer of spec.authentication.trustedTokens (--trusted-issuers-file): correct its name, or ask them"
		}
	case v1alpha1.MethodTLS:
		if !r.MutualTLS {
			return "the administrators have not turned mutual TLS on (--client-ca-file), which spec.authentication.tls needs"
		}
	case v1alpha1.MethodClientSecret, v1alpha1.MethodServiceAccount:
	}
	return ""
}

// authenticationStatus returns what was known before of the ways in which the client proves who it is, of those that it still has.
func authenticationStatus(c *v1alpha1.OAuthClient) []v1alpha1.AuthenticationStatus {
	methods := c.AuthenticationMethods()
	secretOnly := slices.Equal(methods, []v1alpha1.AuthenticationMethod{v1alpha1.MethodClientSecret})
	var kept []v1alpha1.AuthenticationStatus
	for _, known := range c.Status.Authentication {
		if slices.Contains(methods, known.Method) && !secretOnly {
			kept = append(kept, known)
		}
	}
	return kept
}
