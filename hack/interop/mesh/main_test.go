package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const examples = "../../../docs/examples"

func TestExamples(t *testing.T) {
	if err := run([]string{examples + "/envoy", examples + "/istio"}); err != nil {
		t.Error(err)
	}
}

// What is wrong in a file is noticed.
func TestMistakes(t *testing.T) {
	for name, test := range map[string]struct{ file, right, wrong, want string }{
		"an unknown field":                {"envoy/client.yaml", "overwrite:", "overwrit:", `unknown field "overwrit"`},
		"an unknown field of a secret":    {"envoy/client-secret.yaml", "filename:", "file:", `unknown field "file"`},
		"a value that is not allowed":     {"envoy/client.yaml", "client_id: billing.invoice-worker", `client_id: ""`, "ClientId"},
		"a value deep in a packed filter": {"envoy/resourceserver.yaml", "cache_duration: 300s", "cache_duration: 0s", "CacheDuration"},
		"a required field left out":       {"envoy/client.yaml", ", timeout: 5s", "", "Timeout: value is required"},
		"a cluster that there is not":     {"envoy/client.yaml", "cluster: kubemint, timeout", "cluster: kubemin, timeout", `no cluster "kubemin"`},
		"a provider that there is not":    {"envoy/resourceserver.yaml", "provider_name: kubemint", "provider_name: other", `no provider "other"`},
		"a deprecated field":              {"envoy/resourceserver.yaml", "permissions: [{header: {name: \":method\", string_match: {exact: GET}}}]", "permissions: [{metadata: {filter: a, path: [{key: b}], value: {present_match: true}}}]", "Permission.metadata is deprecated"},
		"an unknown field of Istio":       {"istio/resourceserver.yaml", "jwksUri:", "jwksURI:", `unknown field "jwksURI"`},
		"an unknown kind of Istio":        {"istio/resourceserver.yaml", "kind: AuthorizationPolicy", "kind: AuthorisationPolicy", "no kind that is known"},
	} {
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile(filepath.Join(examples, test.file))
			if err != nil {
				t.Fatal(err)
			}
			spoilt := strings.Replace(string(content), test.right, test.wrong, 1)
			if spoilt == string(content) {
				t.Fatalf("%s has no %q", test.file, test.right)
			}
			check := checkEnvoy
			if strings.HasPrefix(test.file, "istio/") {
				check = checkIstio
			}
			if err := check([]byte(spoilt)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
