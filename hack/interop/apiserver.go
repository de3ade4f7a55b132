package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// tryAPIServer makes kube-apiserver a resource server. It looks at its configuration and at a new issuer's keys every few seconds.
func tryAPIServer(ctx context.Context, t *trial) error {
	if err := t.trust(t.secret.issuer); err != nil {
		return err
	}
	whoAmI := func(ctx context.Context, token, _ string) error {
		_, err := t.whoAmI(ctx, token)
		return err
	}
	if err := eventually(ctx, time.Minute, func() error { return whoAmI(ctx, t.tokens.Genuine, "") }); err != nil {
		return err
	}
	if err := t.isTheClient(ctx); err != nil {
		return err
	}
	if err := t.judgeForgeries(ctx, whoAmI); err != nil {
		return err
	}
	minted, err := t.mint(ctx)
	if err != nil {
		return fmt.Errorf("mint tokens: %w", err)
	}
	if whoAmI(ctx, minted.bound, "") == nil {
		return errors.New("it accepts a token that is bound to a key")
	}
	if err := t.trust(otherAudience); err != nil {
		return err
	}
	return eventually(ctx, time.Minute, func() error {
		if whoAmI(ctx, t.tokens.Genuine, "") == nil {
			return errors.New("it accepts a token for another audience")
		}
		return nil
	})
}

// whoAmI asks kube-apiserver who the bearer of a token is.
func (t *trial) whoAmI(ctx context.Context, token string) (string, error) {
	return t.cluster.KubectlWithToken(ctx, token, "auth", "whoami", "-o", "yaml")
}

// isTheClient makes sure that the bearer of the genuine token has the client's name and, as groups, its scopes.
func (t *trial) isTheClient(ctx context.Context) error {
	output, err := t.whoAmI(ctx, t.tokens.Genuine)
	if err != nil {
		return err
	}
	for _, want := range []string{"username: kubemint:" + t.secret.clientID, "- kubemint:invoices:read", "- kubemint:metrics:read"} {
		if !strings.Contains(output, want) {
			return fmt.Errorf("%q is missing in\n%s", want, output)
		}
	}
	return nil
}

// trust makes kube-apiserver trust the issuer's tokens for an audience: the client is the user, each scope a group.
func (t *trial) trust(audience string) error {
	const indent = "\n      "
	config, err := example("kube-apiserver/authentication.yaml",
		"url: https://kubemint.kubemint-system.svc", "url: "+t.secret.issuer, "[https://kubemint.kubemint-system.svc]", "["+audience+"]",
		"-----BEGIN CERTIFICATE-----"+indent+"... the ca.crt of any client's Secret"+indent+"-----END CERTIFICATE-----",
		strings.ReplaceAll(strings.TrimSpace(string(t.secret.caCert)), "\n", indent))
	if err != nil {
		return err
	}
	return t.cluster.SetAuthenticationConfig([]byte(config))
}
