package main_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/hack/localcluster"
)

// kidsPublished returns the kids in the key set.
func kidsPublished(t *testing.T, caPEM []byte) string {
	t.Helper()
	response, err := httpsClient(t, caPEM).Get(suite.kubemint.Issuer + "/oauth2/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		}
	}
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	var kids []string
	for _, key := range set.Keys {
		kids = append(kids, key.ID)
	}
	return strings.Join(kids, " ")
}

// signerOf returns the kid of a token.
func signerOf(t *testing.T, token string) string {
	t.Helper()
	encoded, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	var header struct {
		ID string `json:"kid"`
	}
	if err := json.Unmarshal(text, &header); err != nil {
		t.Fatal(err)
	}
	return header.ID
}

// An administrator has a key rotated, and then the one that signs revoked, by the commands of docs/rotation.md.
func TestK10RevokedSigningKey(t *testing.T) {
	secret := issued(t, newClient(newNamespace(t), "worker"))
	keys := getSecret(t, localcluster.Namespace, v1alpha1.SigningKeysSecretName)
	first := signingKeyID(t)
	annotate := func(annotation, value string) {
		t.Helper()
		mustKubectl(t, "-n", localcluster.Namespace, "annotate", "secret", keys.Name, "--overwrite", annotation+"="+value)
	}

	annotate(v1alpha1.AnnotationRotate, "now")
	var next string
	await(t, "another key to be published", func() error {
		kids := kidsPublished(t, secret.Data["ca.crt"])
		next = strings.TrimSpace(strings.ReplaceAll(kids, first, ""))
		if next == "" || !strings.Contains(kids, first) {
			return fmt.Errorf("published are %s", kids)
		}
		return nil
	})
	if signer := signerOf(t, mustGetToken(t, secret).AccessToken); signer != first {
		t.Errorf("%s signs, want %s", signer, first)
	}
	awaitEvent(t, keys, v1alpha1.EventSigningKeyPrepared)
	if described := mustKubectl(t, "-n", localcluster.Namespace, "describe", "secret", keys.Name); !strings.Contains(described, next+" prepared") || strings.Contains(described, "PRIVATE KEY") {
		t.Errorf("kubectl shows:\n%s", described)
	}

	annotate(v1alpha1.AnnotationRevoke, first)
	await(t, "the key to be gone", func() error {
		if kids := kidsPublished(t, secret.Data["ca.crt"]); kids != next {
			return fmt.Errorf("published are %s", kids)
		}
		return nil
	})
	token := mustGetToken(t, secret).AccessToken
	if signer := signerOf(t, token); signer != next {
		t.Errorf("%s signs, want %s", signer, next)
	}
	if err := verify(t, suite.kubemint.Issuer, suite.kubemint.Issuer, secret.Data["ca.crt"], token); err != nil {
		t.Error(err)
	}
	awaitEvent(t, keys, v1alpha1.EventSigningKeyRevoked)
}

// While the CA changes, clients are given both, and what the server serves verifies with what they had.
func TestRotateAuthority(t *testing.T) {
	namespace := newNamespace(t)
	before := issued(t, newClient(namespace, "worker"))
	serving := getSecret(t, localcluster.Namespace, v1alpha1.ServingCertificateSecretName)
	for _, name := range []string{v1alpha1.CertificateAuthoritySecretName, v1alpha1.ServingCertificateSecretName} {
		change(t, getSecret(t, localcluster.Namespace, name), func(s *corev1.Secret) {
			metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationRotate, "now")
		})
	}
	after := awaitSecret(t, namespace, before.Name, "both CAs", func(s *corev1.Secret) bool {
		return strings.Count(string(s.Data["ca.crt"]), "BEGIN CERTIFICATE") == 2
	})
	awaitSecret(t, localcluster.Namespace, serving.Name, "another certificate", func(s *corev1.Secret) bool {
		return string(s.Data["tls.crt"]) != string(serving.Data["tls.crt"])
	})
	mustGetToken(t, before)
	mustGetToken(t, after)
	awaitEvent(t, getSecret(t, localcluster.Namespace, v1alpha1.CertificateAuthoritySecretName), v1alpha1.EventAuthorityPrepared)
}
