package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/hack/clustertest"
	"github.com/kubemint/kubemint/hack/localcluster"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// The suite calls the reconcilers by hand, against a real API server and from real caches, so that a test can decide what
// happens between any two of their steps. There is no kube-controller-manager: nothing is garbage collected.
var suite struct {
	config *rest.Config
	scheme *runtime.Scheme
	admin  client.WithWatch // reads from the API server, never from a cache
}

// patience bounds every wait. None of the awaited conditions takes long; a busy machine takes its time.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	code, err := runSuite(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runSuite(m *testing.M) (code int, err error) {
	log.SetLogger(logr.Discard())
	cluster, err := localcluster.Start(context.Background(), localcluster.Options{CRDs: []string{"../config/crd/bases"}})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	suite.config = cluster.Config()
	if suite.scheme, err = clustertest.Scheme(); err != nil {
		return 1, err
	}
	admin, err := client.NewWithWatch(suite.config, client.Options{Scheme: suite.scheme})
	if err != nil {
		return 1, err
	}
	suite.admin = admin
	return m.Run(), nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, what string, done func() error) {
	t.Helper()
	clustertest.Await(t, patience, what, done)
}

func newNamespace(t *testing.T) string {
	t.Helper()
	return clustertest.NewNamespace(t, suite.admin).Name
}

func newClient(namespace, name string) *v1alpha1.OAuthClient {
	return &v1alpha1.OAuthClient{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.OAuthClientSpec{Scopes: []v1alpha1.Scope{"invoices:read"}},
	}
}

// created creates an OAuthClient for a new namespace.
func created(t *testing.T) *v1alpha1.OAuthClient {
	t.Helper()
	c := newClient(newNamespace(t), "worker")
	must(t, suite.admin.Create(t.Context(), c))
	return c
}

// change changes an OAuthClient as its user does.
func change(t *testing.T, c *v1alpha1.OAuthClient, how func(*v1alpha1.OAuthClient)) {
	t.Helper()
	must(t, suite.admin.Get(t.Context(), client.ObjectKeyFromObject(c), c))
	how(c)
	must(t, suite.admin.Update(t.Context(), c))
}

// changeSecret changes a Secret as somebody else than Kubemint.
func changeSecret(t *testing.T, namespace, name string, how func(*corev1.Secret)) {
	t.Helper()
	secret := getSecret(t, namespace, name)
	how(secret)
	must(t, suite.admin.Update(t.Context(), secret))
}

func getSecret(t *testing.T, namespace, name string) *corev1.Secret {
	t.Helper()
	var secret corev1.Secret
	must(t, suite.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &secret))
	return &secret
}

// foreignSecret makes a Secret that is not Kubemint's.
func foreignSecret(t *testing.T, namespace, name string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, StringData: map[string]string{"password": "theirs"}}
	must(t, suite.admin.Create(t.Context(), secret))
}

// secretsIn returns the Secrets of a namespace, but for markers, by their names.
func secretsIn(t *testing.T, namespace string) map[string]*corev1.Secret {
	t.Helper()
	var list corev1.SecretList
	must(t, suite.admin.List(t.Context(), &list, client.InNamespace(namespace)))
	found := map[string]*corev1.Secret{}
	for i := range list.Items {
		if list.Items[i].Labels[marker] == "" {
			found[list.Items[i].Name] = &list.Items[i]
		}
	}
	return found
}

// versions returns what identifies the state of all Secrets of a namespace.
func versions(t *testing.T, namespace string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name, secret := range secretsIn(t, namespace) {
		found[name] = string(secret.UID) + "/" + secret.ResourceVersion
	}
	return found
}

func mustBeUntouched(t *testing.T, namespace string, before map[string]string) {
	t.Helper()
	if now := versions(t, namespace); !maps.Equal(now, before) {
		t.Errorf("Secrets were written: %v, before %v", now, before)
	}
}

// credentialsIn returns the client secrets that a Secret holds under any key.
func credentialsIn(secret *corev1.Secret) (found []string) {
	for _, value := range secret.Data {
		key, err := credential.ParsePrivateKey(string(value))
		if credential.WellFormed(string(value)) || err == nil && key.PEM() == string(value) { // Of a private key, the JWK is the same one.
			found = append(found, string(value))
		}
	}
	return found
}

// readyOf returns an OAuthClient's Ready condition of now; its zero value where there is none.
func readyOf(t *testing.T, c *v1alpha1.OAuthClient) metav1.Condition {
	t.Helper()
	must(t, suite.admin.Get(t.Context(), client.ObjectKeyFromObject(c), c))
	if ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return *ready
	}
	return metav1.Condition{}
}

// mustBeIssued checks that an OAuthClient is ready, and that all it has is one Secret, of the wanted name and with one
// credential under the wanted key, which is returned.
func mustBeIssued(t *testing.T, c *v1alpha1.OAuthClient) string {
	t.Helper()
	ready := readyOf(t, c)
	if ready.Reason != v1alpha1.ReasonIssued || ready.ObservedGeneration != c.Generation ||
		c.Status.ObservedGeneration != c.Generation || c.Status.SecretName != c.SecretName() {
		t.Errorf("%s has generation %d and the status %+v", c.Name, c.Generation, c.Status)
	}
	owned := slices.DeleteFunc(slices.Collect(maps.Values(secretsIn(t, c.Namespace))), func(s *corev1.Secret) bool { return !metav1.IsControlledBy(s, c) })
	if len(owned) != 1 || owned[0].Name != c.SecretName() {
		t.Fatalf("%s has %d Secrets, the first is %q", c.Name, len(owned), append(owned, &corev1.Secret{})[0].Name)
	}
	value := string(owned[0].Data[string(c.Spec.Secret.Keys.ClientSecret)])
	if generatedKey(c) != nil {
		value = string(owned[0].Data[string(c.Spec.Secret.Keys.PrivateKeyPEM)])
	}
	if found := credentialsIn(owned[0]); len(found) != 1 || found[0] != value || string(owned[0].Data[string(c.Spec.Secret.Keys.ClientID)]) != c.ClientID() {
		t.Errorf("the Secret of %s has %d credentials among its keys %v", c.Name, len(found), slices.Sorted(maps.Keys(owned[0].Data)))
	}
	record := mustBeRecorded(t, c, owned[0], value)
	conditions := 1
	if len(record.Previous) > 0 {
		conditions++ // Rotating
	}
	if len(c.Status.Conditions) != conditions {
		t.Errorf("%s has the conditions %+v", c.Name, c.Status.Conditions)
	}
	return value
}

// mustBeRecorded checks that a Secret's record, and the status, are of the credential that it holds.
func mustBeRecorded(t *testing.T, c *v1alpha1.OAuthClient, secret *corev1.Secret, value string) *credential.Record {
	t.Helper()
	record, digest, told := recordIn(*secret), credential.DigestOf(value), false
	if generatedKey(c) == nil {
		told = record != nil && equality.Semantic.DeepEqual(c.Status.Credentials, credentialsStatus(record, c.Status.Credentials))
	} else {
		key, err := credential.ParsePrivateKey(value)
		must(t, err)
		record, digest = recordAt(v1alpha1.AnnotationPrivateKeys, *secret), key.Thumbprint
		told = record != nil && equality.Semantic.DeepEqual(c.Status.PrivateKeys, privateKeysStatus(record, c.Status.PrivateKeys)) &&
			string(secret.Data["private_key_jwk"]) == key.JWK() && string(secret.Data["private_key_id"]) == key.ID()
	}
	if record == nil || record.Present.Digest != digest || !told {
		t.Fatalf("%s: the Secret's record is %v, the status says %+v", c.Name, record, c.Status)
	}
	return record
}

// settle has a process reconcile an OAuthClient until it is ready and nothing is left to do.
func settle(t *testing.T, p *process, c *v1alpha1.OAuthClient) {
	t.Helper()
	await(t, c.Name+" to settle", func() error {
		before := len(p.wire.written())
		result, err := p.reconcile(c)
		if err == nil && result.RequeueAfter > 0 && result.RequeueAfter <= maxRetry { // Later, a rotation is due.
			err = fmt.Errorf("it is not ready: again after %v", result.RequeueAfter)
		}
		if written := p.wire.written()[before:]; err == nil && len(written) > 0 {
			err = fmt.Errorf("it wrote %v", written)
		}
		if ready := readyOf(t, c); err == nil && (ready.Reason != v1alpha1.ReasonIssued || ready.ObservedGeneration != c.Generation) {
			err = fmt.Errorf("generation %d, condition %+v", c.Generation, ready)
		}
		return err
	})
}
