package assertion

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// serviceAccountToken are the claims of a token as the kubelet projects it into a pod.
const serviceAccountToken = `{"aud":["https://issuer.example"],"exp":1800003607,"iat":1800000000,"iss":"https://kubernetes.default.svc",
"jti":"9e0b1a52-6a53-4a43-9b8c-0d8d3f0e8a55","kubernetes.io":{"namespace":"billing","node":{"name":"n1","uid":"a"},
"pod":{"name":"worker-0","uid":"b"},"serviceaccount":{"name":"worker","uid":"c"},"warnafter":1800003607},
"nbf":1800000000,"sub":"system:serviceaccount:billing:worker"}`

func TestServiceAccountTokens(t *testing.T) {
	cluster := signers()[RS256]
	keys := keysOf(t, cluster)
	account := ServiceAccount{Namespace: "billing", Name: "worker", UID: "c", Pod: "worker-0"}
	expected := Expectation{
		Issuer: "https://kubernetes.default.svc", Subject: account.Subject(), Audiences: []string{issuer}, Now: now,
		MaxAge: 24 * time.Hour, Reusable: true,
	}
	for _, test := range []struct {
		name, old, changed string
		want               error
	}{
		{name: "as projected"},
		{"without jti", `"jti":"9e0b1a52-6a53-4a43-9b8c-0d8d3f0e8a55",`, "", nil},
		{"C03 for the API server too", `["https://issuer.example"]`, `["https://issuer.example","https://kubernetes.default.svc"]`, errAudience},
		{"C21 of another namespace", "serviceaccount:billing", "serviceaccount:shop", errWrongSubject},
		{"C21 of another account", "billing:worker", "billing:workers", errWrongSubject},
		{"C21 of another cluster", "kubernetes.default.svc", "other.example", errWrongIssuer},
		{"C21 whose claims disagree on the namespace", `"namespace":"billing"`, `"namespace":"shop"`, errServiceAccounts},
		{"C21 whose claims disagree on the name", `"name":"worker",`, `"name":"other",`, errServiceAccounts},
		{"of a Secret, without UID", `,"uid":"c"`, "", errNoServiceAccount},
		{"without kubernetes.io", "kubernetes.io", "example.com", errNoServiceAccount},
		{"with kubernetes.io of another form", `"kubernetes.io":{`, `"kubernetes.io":[],"x":{`, errNoServiceAccount},
		{"that lives for a year", `"exp":1800003607`, `"exp":1831536000`, errLongLived},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := strings.Replace(serviceAccountToken, test.old, test.changed, 1)
			claims, err := verify(cluster.sign(`{"alg":"RS256","kid":"rs"}`, changed), keys, expected)
			var got ServiceAccount
			if err == nil {
				got, err = claims.ServiceAccount()
			}
			if !errors.Is(err, test.want) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			if err == nil && got != account {
				t.Errorf("service account %+v, want %+v", got, account)
			}
		})
	}
}
