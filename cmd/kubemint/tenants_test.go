package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// Whoever holds the role admin in a namespace can write anything into any field of any object there: another tenant's names, UIDs,
// client ids and audiences. No token is another's, or for another's API, and nothing of another's changes (L4, L5).
func TestTenantsAreApart(t *testing.T) {
	victim := newVictim(t)
	tenant := newTenant(t, victim)
	before := victim.state(t)

	tenant.writeElsewhere(t, victim)
	tenant.writeStatus(t)
	tenant.claimAll(t, victim)
	tenant.imitate(t, victim)
	tenant.authenticateAs(t, victim)
	tenant.askAtAll(t)

	answers := tenant.collectTokens(t, victim)
	if answers < 100 {
		t.Errorf("there were only %d tokens to look at: the tenant's objects are refused for other reasons", answers)
	}
	after := victim.state(t)
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if !reflect.DeepEqual(before[key], after[key]) {
			t.Errorf("%s was\n%v\nand is\n%v", key, before[key], after[key])
		}
	}
	if len(after) != len(before) {
		t.Errorf("there are other objects: %v, before %v", slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)))
	}
}

// tenant is a user who holds admin in a namespace, and nothing else.
type tenant struct {
	namespace string
	api       client.Client
	known     string // a client secret that the tenant makes
}

func newTenant(t *testing.T, v *victim) *tenant {
	t.Helper()
	a := &tenant{namespace: newNamespace(t), known: credential.Generate()}
	user := "admin-of-" + a.namespace
	bind(t, a.namespace, "admin", user)
	config := suite.cluster.Config()
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	config.WarningHandler = rest.NoWarnings{}
	var err error
	if a.api, err = client.New(config, client.Options{Scheme: suite.admin.Scheme()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.cleanUp(t) })
	await(t, "the tenant's rights", func() error {
		return a.api.Create(t.Context(), newResourceServer(a.namespace, "https://first.tenants.test"), client.DryRunAll)
	})
	if err := a.api.Get(t.Context(), client.ObjectKeyFromObject(v.secret), &corev1.Secret{}); !apierrors.IsForbidden(err) {
		t.Fatalf("the tenant may read the victim's Secret: %v", err)
	}
	return a
}

// cleanUp takes finalizers off, which hold the namespace back.
func (a *tenant) cleanUp(t *testing.T) {
	for _, object := range objectsIn(t, context.Background(), a.namespace) {
		if len(object.GetFinalizers()) == 0 {
			continue
		}
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
		if err := suite.admin.Patch(context.Background(), object, patch); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	}
	for _, kind := range []client.Object{&v1alpha1.OAuthClient{}, &v1alpha1.ResourceServer{}, &corev1.Secret{}} {
		if err := suite.admin.DeleteAllOf(context.Background(), kind, client.InNamespace(a.namespace)); err != nil {
			t.Error(err)
		}
	}
}

// writeElsewhere tries to write to the victim's own objects.
func (a *tenant) writeElsewhere(t *testing.T, v *victim) {
	t.Helper()
	for _, object := range []client.Object{v.client.DeepCopy(), v.server.DeepCopy(), v.secret.DeepCopy()} {
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"oauth.kubemint.dev/rotate":"now"}}}`))
		another := object.DeepCopyObject().(client.Object)
		another.SetName("another")
		another.SetResourceVersion("")
		for what, err := range map[string]error{
			"read":   a.api.Get(t.Context(), client.ObjectKeyFromObject(object), object.DeepCopyObject().(client.Object)),
			"create": a.api.Create(t.Context(), another),
			"update": a.api.Update(t.Context(), object.DeepCopyObject().(client.Object)),
			"patch":  a.api.Patch(t.Context(), object.DeepCopyObject().(client.Object), patch),
			"delete": a.api.Delete(t.Context(), object.DeepCopyObject().(client.Object)),
		} {
			if !apierrors.IsForbidden(err) {
				t.Errorf("%s %T: %v", what, object, err)
			}
		}
	}
}

// writeStatus tries to write what only Kubemint says, of the tenant's own objects.
func (a *tenant) writeStatus(t *testing.T) {
	t.Helper()
	for _, object := range []client.Object{newClient(a.namespace, "status"), newResourceServer(a.namespace, "https://status.tenants.test")} {
		if err := a.api.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"status":{"observedGeneration":7}}`))
		if err := a.api.Status().Patch(t.Context(), object, patch); !apierrors.IsForbidden(err) {
			t.Errorf("the status of a %T can be written: %v", object, err)
		}
	}
}

// refusedAlways are fields of specs that no word of another's fits: they must have one of a few values.
var refusedAlways = []string{"spec.rollout.restart[].kind", "spec.secret.source", "spec.defaultScopes[]",
	"spec.authentication.privateKeyJWT.jwks.keys[].kty", "spec.authentication.privateKeyJWT.jwks.keys[].use",
	"spec.authentication.privateKeyJWT.jwks.keys[].alg", "spec.authentication.privateKeyJWT.jwks.keys[].crv",
	"spec.authentication.tls.subjectDN", "spec.authentication.tls.sanIP", "spec.authentication.tls.sanEmail"}

// claimAll makes objects with each of the victim's words in each field.
func (a *tenant) claimAll(t *testing.T, v *victim) {
	t.Helper()
	wellKnownKeys, wellKnownWords := wellKnownNames(t)
	clients, servers, secrets := bases(a.namespace)
	managed := metav1.ManagedFieldsEntry{Manager: "kubemint", Operation: "Apply", APIVersion: "v1", FieldsType: "FieldsV1"}
	record := credential.Record{Present: credential.Version{Number: 1, Digest: credential.DigestOf(a.known), Created: time.Now()}}
	words := v.words()
	forSecrets := slices.Concat(words, wellKnownWords, []string{a.known, record.String()})
	dataKeys := slices.Concat(wellKnownKeys, keysOf(v.secret))
	claimKeys := slices.Concat(wellKnownKeys, []string{"team"}, v1alpha1.ReservedClaims()[:4])

	var all []claim
	all = append(all, claimsOn(t, clients, words, claimKeys, ownedBy(v.client), managed,
		v1alpha1.WorkloadReference{Kind: "Deployment", Name: "worker"},
		v1alpha1.JWK{KeyType: "EC", Curve: "P-256", X: "AAAA", Y: "AAAA"}, v1alpha1.ServiceAccountReference{Name: "worker"},
		v1alpha1.TrustedTokenReference{Issuer: "https://ci.tenants.test", Subject: "worker"})...)
	all = append(all, claimsOn(t, servers, words, claimKeys, ownedBy(v.client), managed)...)
	all = append(all, claimsOn(t, secrets, forSecrets, dataKeys, ownedBy(v.client), managed)...)
	a.mustTryEach(t, all)
}

// mustTryEach creates all objects, and sees to it that of each field of a spec at least one is accepted: else nothing was tried.
func (a *tenant) mustTryEach(t *testing.T, all []claim) {
	t.Helper()
	var mu sync.Mutex
	accepted, refused := map[string]int{}, map[string]error{}
	var group sync.WaitGroup
	next := make(chan claim)
	for range 8 {
		group.Go(func() {
			for c := range next {
				err := a.api.Create(t.Context(), c.object)
				mu.Lock()
				if key := fmt.Sprintf("%T %s", c.object, c.field); err != nil {
					refused[key] = err
				} else {
					accepted[key]++
				}
				mu.Unlock()
			}
		})
	}
	for _, c := range all {
		next <- c
	}
	close(next)
	group.Wait()
	t.Logf("%d objects, %d fields of which words were accepted", len(all), len(accepted))
	for key, err := range refused {
		_, field, _ := strings.Cut(key, " ")
		if strings.HasPrefix(field, "spec.") && accepted[key] == 0 && !slices.Contains(refusedAlways, field) {
			t.Errorf("%s was never accepted, so that it was not tried: %v", key, err)
		}
	}
}

// imitate makes objects that are in all the victim's, but for their namespace.
func (a *tenant) imitate(t *testing.T, v *victim) {
	t.Helper()
	secret := v.secret.DeepCopy()
	record := credential.Record{Present: credential.Version{Number: 1, Digest: credential.DigestOf(a.known), Created: time.Now()}}
	secret.ObjectMeta = metav1.ObjectMeta{Namespace: a.namespace, Name: "imitation", Labels: v.secret.Labels,
		Annotations: map[string]string{v1alpha1.AnnotationCredentials: record.String()}, OwnerReferences: v.secret.OwnerReferences,
		Finalizers: []string{"tenants.test/stay"}} // Its owner is not in this namespace, so that it would be garbage collected.
	secret.Data["client_secret"] = []byte(a.known)
	provided := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: "provided",
		Labels: map[string]string{v1alpha1.LabelClient: v.client.Name}}, Data: map[string][]byte{"client_secret": []byte(a.known)}}
	asker := newAsker(a.namespace, v.server)
	asker.Spec.Secret = v1alpha1.SecretSpec{Source: v1alpha1.SecretProvided, Name: "provided"}
	server := newResourceServer(a.namespace, string(v.server.Spec.Audience))
	allow(a.namespace, v.client.Namespace)(server)
	for _, object := range []client.Object{secret, provided, asker, server} {
		if err := a.api.Create(t.Context(), object); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Error(err)
		}
	}
}

// authenticateAs tries to be the victim, with the client secret in all Secrets of the tenant's making; often enough for the token server
// to have seen them meanwhile, and less often than it bears.
func (a *tenant) authenticateAs(t *testing.T, v *victim) {
	t.Helper()
	for range 20 {
		answer, err := requestTokenAs(t, v.secret, v.client.ClientID(), a.known)
		if err != nil || answer.Status == http.StatusOK {
			t.Fatalf("with a client secret of the tenant's making: %+v, %v", answer, err)
		}
	}
}

// askAtAll makes OAuthClients that ask for scopes at all ResourceServers of the tenant, and of the victim.
func (a *tenant) askAtAll(t *testing.T) {
	t.Helper()
	var servers v1alpha1.ResourceServerList
	if err := a.api.List(t.Context(), &servers, client.InNamespace(a.namespace)); err != nil {
		t.Fatal(err)
	}
	const atOnce = 16 // as many as an OAuthClient may list
	for i := range servers.Items {
		s := &servers.Items[i]
		s.Spec.AllowedClients = []v1alpha1.AllowedClient{{Namespace: v1alpha1.NamespaceName(a.namespace)}}
		if err := a.api.Update(t.Context(), s); err != nil {
			t.Error(err)
		}
	}
	for chunk := range slices.Chunk(servers.Items, atOnce) {
		asker := &v1alpha1.OAuthClient{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, GenerateName: "asker-"}}
		for i := range chunk {
			asker.Spec.Resources = append(asker.Spec.Resources, v1alpha1.ResourceRequest{
				ResourceServer: v1alpha1.ResourceServerReference{Name: v1alpha1.ObjectName(chunk[i].Name)},
				Scopes:         []v1alpha1.Scope{chunk[i].Spec.Scopes[0].Name},
			})
		}
		if err := a.api.Create(t.Context(), asker); err != nil {
			t.Error(err)
		}
	}
}

// collectTokens waits until Kubemint has seen all OAuthClients of the tenant, asks for every token that they may get, and looks at whose
// they are and whom they are for. It returns how many there were.
func (a *tenant) collectTokens(t *testing.T, v *victim) (answers int) {
	t.Helper()
	var clients v1alpha1.OAuthClientList
	await(t, "all of the tenant's OAuthClients to be seen", func() error {
		if err := a.api.List(t.Context(), &clients, client.InNamespace(a.namespace)); err != nil {
			return err
		}
		for _, c := range clients.Items {
			if c.DeletionTimestamp.IsZero() && c.Status.ObservedGeneration != c.Generation {
				return fmt.Errorf("%s is not", c.Name)
			}
		}
		return nil
	})
	var secrets corev1.SecretList
	if err := a.api.List(t.Context(), &secrets, client.InNamespace(a.namespace)); err != nil {
		t.Fatal(err)
	}
	data := map[string]map[string][]byte{}
	for _, s := range secrets.Items {
		data[s.Name] = s.Data
	}
	endpoint := httpsClient(t, v.secret.Data["ca.crt"])
	for i := range clients.Items {
		c := &clients.Items[i]
		requests := []url.Values{{}, {"scope": {"orders:read"}}, {"resource": {string(v.server.Spec.Audience)}}, {"resource": {suite.kubemint.Issuer}}}
		for _, r := range c.Spec.Resources {
			var s v1alpha1.ResourceServer
			if a.api.Get(t.Context(), client.ObjectKey{Namespace: a.namespace, Name: string(r.ResourceServer.Name)}, &s) == nil {
				requests = append(requests, url.Values{"resource": {string(s.Spec.Audience)}})
			}
		}
		for _, form := range requests {
			token := post(t, endpoint, c.ClientID(), string(data[c.SecretName()][string(c.Spec.Secret.Keys.ClientSecret)]), form)
			if token == "" {
				continue
			}
			answers++
			a.inspect(t, c, v, claimsOf(t, token))
		}
	}
	return answers
}

// inspect looks at the claims of a token that an OAuthClient of the tenant got.
func (a *tenant) inspect(t *testing.T, c *v1alpha1.OAuthClient, v *victim, claims map[string]any) {
	t.Helper()
	origin, _ := claims["kubernetes.io"].(map[string]any)
	if claims["sub"] != c.ClientID() || claims["client_id"] != c.ClientID() || claims["iss"] != suite.kubemint.Issuer ||
		origin["namespace"] != a.namespace || origin["name"] != c.Name || origin["uid"] != string(c.UID) {
		t.Errorf("%s got a token as another: %v", c.Name, claims)
	}
	if claims["aud"] == string(v.server.Spec.Audience) {
		t.Errorf("%s got a token for the victim's API: %v", c.Name, claims)
	}
	if claims["aud"] == suite.kubemint.Issuer && len(c.Spec.Scopes) == 0 {
		t.Errorf("%s got a token for the issuer's default audience from a ResourceServer: %v", c.Name, claims)
	}
}

// post asks for a token, and returns it if there is one.
func post(t *testing.T, endpoint *http.Client, id, secret string, form url.Values) string {
	t.Helper()
	form.Set("grant_type", "client_credentials")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, suite.kubemint.Issuer+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(id, secret)
	response, err := endpoint.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	var answer tokenAnswer
	if body, err := io.ReadAll(response.Body); err != nil || json.Unmarshal(body, &answer) != nil {
		t.Fatalf("%d, %v", response.StatusCode, err)
	}
	return answer.AccessToken
}
