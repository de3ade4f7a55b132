package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestAuthenticationRefused(t *testing.T) {
	const ec = `kty: EC, crv: P-256, x: AAAA, "y": AAAA`
	by := func(authentication string) string { return `{scopes: [a], authentication: {` + authentication + `}}` }
	key := func(members string) string { return by(`privateKeyJWT: {jwks: {keys: [{` + members + `}]}}`) }
	uri := func(address string) string { return by(`privateKeyJWT: {jwksURI: "` + address + `"}`) }
	accounts := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "{name: a%d},", i)
		}
		return by(`serviceAccounts: [` + b.String() + `]`)
	}
	const (
		keysField   = "spec.authentication.privateKeyJWT"
		uriField    = keysField + ".jwksURI"
		setField    = keysField + ".jwks.keys"
		defaultHint = "every pod of the namespace that names no service account runs as default"
	)
	for _, row := range []struct{ name, spec, field, remedy string }{
		{"no keys", by(`privateKeyJWT: {}`), keysField, "in one way: jwks"},
		{"keys in two ways", by(`privateKeyJWT: {generated: {}, jwksURI: "https://a.example"}`), keysField, "in one way: jwks"},
		{"no key in the set", by(`privateKeyJWT: {jwks: {keys: []}}`), setField, "at least 1 items"},
		{"nine keys", by(`privateKeyJWT: {jwks: {keys: [` + strings.Repeat(`{`+ec+`},`, 9) + `]}}`), setField, "at most 8 items"},
		{"a kid twice", by(`privateKeyJWT: {jwks: {keys: [{` + ec + `, kid: a}, {` + ec + `, kid: a}]}}`), setField, "give each its own"},
		{"another curve", key(`kty: EC, crv: P-384, x: AAAA, "y": AAAA`), setField, "Unsupported value"},
		{"a curve of another kind", key(`kty: EC, crv: Ed25519, x: AAAA, "y": AAAA`), setField, "a key of kty EC has crv P-256, x and y"},
		{"EC without y", key(`kty: EC, crv: P-256, x: AAAA`), setField, "a key of kty EC has crv P-256, x and y"},
		{"EC for RS256", key(ec + `, alg: RS256`), setField, "and alg ES256 if any"},
		{"RSA without exponent", key(`kty: RSA, "n": AAAA`), setField, "a key of kty RSA has n and e"},
		{"OKP without x", key(`kty: OKP, crv: Ed25519`), setField, "a key of kty OKP has crv Ed25519 and x"},
		{"a symmetric key", key(`kty: oct, k: AAAA`), setField, "unknown field"},
		{"a private key", key(ec + `, d: AAAA`), setField, "unknown field"},
		{"not base64url", key(`kty: EC, crv: P-256, x: "AA+A", "y": AAAA`), setField, "base64url without padding"},
		{"for encryption", key(ec + `, use: enc`), setField, "Unsupported value"},
		{"plain HTTP", uri("http://worker.example/jwks"), uriField, "jwksURI begins with https://"},
		{"no host", uri("https:///jwks"), uriField, "jwksURI begins with https://"},
		{"no URL", uri("worker.example/jwks"), uriField, "jwksURI begins with https://"},
		{"a user", uri("https://me@worker.example/jwks"), uriField, "no user and no fragment"},
		{"a fragment", uri("https://worker.example/jwks#a"), uriField, "no user and no fragment"},
		{"rotation of the key", by(`privateKeyJWT: {generated: {rotation: {interval: 1h}}}`), keysField + ".generated.rotation", "interval must be at least overlap"},
		{"default", by(`serviceAccounts: [{name: default}]`), "spec.authentication.serviceAccounts", defaultHint},
		{"default, not shared", by(`serviceAccounts: [{name: default, sharedWithAllPods: false}]`), "spec.authentication.serviceAccounts", defaultHint},
		{"a service account twice", by(`serviceAccounts: [{name: a}, {name: a}]`), "spec.authentication.serviceAccounts", "Duplicate value"},
		{"of another namespace", by(`serviceAccounts: [{name: a, namespace: b}]`), "spec.authentication.serviceAccounts", "unknown field"},
		{"17 service accounts", accounts(17), "spec.authentication.serviceAccounts", "at most 16 items"},
		{"no service accounts", by(`serviceAccounts: []`), "spec.authentication.serviceAccounts", "at least 1 items"},
		{"issuer without https", by(`trustedTokens: [{issuer: ci.example, subject: a}]`), "spec.authentication.trustedTokens", "an issuer begins with https://"},
		{"no subject", by(`trustedTokens: [{issuer: "https://ci.example"}]`), "spec.authentication.trustedTokens", "subject: Required value"},
		{"a token twice", by(`trustedTokens: [{issuer: "https://ci.example", subject: a}, {issuer: "https://ci.example", subject: a}]`), "spec.authentication.trustedTokens", "Duplicate value"},
		{"neither a secret nor anything else", `{scopes: [a], secret: {source: None}}`, "spec.secret.source", "say in spec.authentication how else"},
		{"a key of the Secret twice", `{scopes: [a], secret: {keys: {privateKeyPEM: private_key_jwk}}}`, "spec.secret.keys", "two values would share one key"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := create(t, row.spec)
			mustBeRefused(t, err, row.field, row.remedy)
		})
	}
}

func TestAuthenticationAccepted(t *testing.T) {
	for name, authentication := range map[string]string{
		"a generated key":              `privateKeyJWT: {generated: {}}`,
		"a generated key that rotates": `privateKeyJWT: {generated: {rotation: {interval: 2160h, overlap: 24h}}}`,
		"keys of each kind":            `privateKeyJWT: {jwks: {keys: [{kty: EC, crv: P-256, x: AAAA, "y": AAAA, kid: a, use: sig, alg: ES256}, {kty: RSA, "n": AAAA, e: AQAB, alg: PS256}, {kty: OKP, crv: Ed25519, x: AAAA, kid: c}]}}`,
		"a key set":                    `privateKeyJWT: {jwksURI: "https://worker.example:8443/keys?of=worker"}`,
		"service accounts":             `serviceAccounts: [{name: worker}, {name: cron.worker}]`,
		"default, said twice":          `serviceAccounts: [{name: default, sharedWithAllPods: true}]`,
		"two subjects of one issuer":   `trustedTokens: [{issuer: "https://ci.example", subject: a}, {issuer: "https://ci.example", subject: b}]`,
		"all of them":                  `clientSecret: {rotation: {interval: 2160h}}, privateKeyJWT: {generated: {}}, serviceAccounts: [{name: worker}], trustedTokens: [{issuer: "https://ci.example", subject: a}]`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, secret := range []string{"{}", "{source: None}"} {
				if _, err := create(t, `{scopes: [a], authentication: {`+authentication+`}, secret: `+secret+`}`); err != nil {
					t.Errorf("secret %s: %v", secret, err)
				}
			}
		})
	}
}
