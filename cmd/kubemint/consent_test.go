package main_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// newResourceServer returns a ResourceServer with the scopes orders:read and orders:write, which allows nobody.
func newResourceServer(namespace, audience string) *v1alpha1.ResourceServer {
	return &v1alpha1.ResourceServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders"},
		Spec: v1alpha1.ResourceServerSpec{
			Audience:         v1alpha1.Audience(audience),
			Scopes:           []v1alpha1.ScopeDefinition{{Name: "orders:read", Description: "Read orders"}, {Name: "orders:write"}},
			AllowedClients:   []v1alpha1.AllowedClient{},
			MaxTokenLifetime: &metav1.Duration{Duration: 15 * time.Minute},
			Metadata:         &v1alpha1.ResourceMetadata{ResourceName: "Orders"},
		},
	}
}

// newAsker returns an OAuthClient that asks for orders:read at a ResourceServer, and has a scope of its own.
func newAsker(namespace string, at *v1alpha1.ResourceServer) *v1alpha1.OAuthClient {
	c := newClient(namespace, "worker", "invoices:read")
	c.Spec.Resources = []v1alpha1.ResourceRequest{{
		ResourceServer: v1alpha1.ResourceServerReference{Namespace: v1alpha1.NamespaceName(at.Namespace), Name: v1alpha1.ObjectName(at.Name)},
		Scopes:         []v1alpha1.Scope{"orders:read"},
	}}
	return c
}

// allow lets the OAuthClients of a namespace have orders:read.
func allow(namespaces ...string) func(*v1alpha1.ResourceServer) {
	return func(s *v1alpha1.ResourceServer) {
		s.Spec.AllowedClients = []v1alpha1.AllowedClient{}
		for _, namespace := range namespaces {
			s.Spec.AllowedClients = append(s.Spec.AllowedClients,
				v1alpha1.AllowedClient{Namespace: v1alpha1.NamespaceName(namespace), Scopes: []v1alpha1.Scope{"orders:read"}})
		}
	}
}

// awaitAnswer waits until a token request is answered in a way: with the code of an error, or none.
func awaitAnswer(t *testing.T, secret *corev1.Secret, code string, parameters ...string) *tokenAnswer {
	t.Helper()
	var answer *tokenAnswer
	await(t, fmt.Sprintf("the answer %q to %v", code, parameters), func() (err error) {
		if answer, err = requestToken(t, secret, parameters...); err == nil && answer.Error != code {
			err = fmt.Errorf("%+v", answer)
		}
		return err
	})
	return answer
}

// Consent lies with the API's owner, and is asked for at each issuance (L3): it is given and taken back in seconds, and a token carries
// the audience, the scopes and the lifetime that the owner says.
func TestG19Consent(t *testing.T) {
	const audience = "https://orders.consent.test"
	server := newResourceServer(newNamespace(t), audience)
	create(t, server)
	c := newAsker(newNamespace(t), server)
	secret := issued(t, c)

	awaitAnswer(t, secret, "invalid_scope", "scope=orders:read")
	change(t, server, allow("another", c.Namespace))
	answer := awaitAnswer(t, secret, "", "scope=orders:read")
	claims := claimsOf(t, answer.AccessToken)
	if claims["aud"] != audience || claims["scope"] != "orders:read" || answer.ExpiresIn != 15*60 {
		t.Errorf("the token is for %v, with %v, for %d s", claims["aud"], claims["scope"], answer.ExpiresIn)
	}
	for _, row := range []struct {
		name, code string
		parameters []string
		audience   string
	}{
		{"by resource", "", []string{"resource=" + audience}, audience},
		{"the issuer's default audience", "", nil, suite.kubemint.Issuer},
		{"a scope that it does not ask for", "invalid_scope", []string{"scope=orders:write", "resource=" + audience}, ""},
		{"scopes of both", "invalid_target", []string{"scope=orders:read invoices:read"}, ""},
		{"an audience that it does not ask for", "invalid_target", []string{"resource=https://accounts.consent.test"}, ""},
	} {
		answer, err := requestToken(t, secret, row.parameters...)
		if err != nil || answer.Error != row.code {
			t.Errorf("%s: %+v, %v", row.name, answer, err)
		} else if row.code == "" && claimsOf(t, answer.AccessToken)["aud"] != row.audience {
			t.Errorf("%s: a token for %v", row.name, claimsOf(t, answer.AccessToken)["aud"])
		}
	}

	change(t, server, allow("another"))
	back := time.Now()
	awaitAnswer(t, secret, "invalid_scope", "scope=orders:read")
	attestPropagation(t, back)
	mustGetToken(t, secret)
}

// An audience has one owner. Who comes later, in whatever namespace, gives nobody a token for it, and takes nobody's away.
func TestAudienceHasOneOwner(t *testing.T) {
	const audience = "https://owned.consent.test"
	owner, rival := newResourceServer(newNamespace(t), audience), newResourceServer(newNamespace(t), audience)
	create(t, owner)
	friend, foe := newAsker(newNamespace(t), owner), newAsker(newNamespace(t), rival)
	friends, foes := issued(t, friend), issued(t, foe)
	change(t, owner, allow(friend.Namespace))
	awaitAnswer(t, friends, "", "resource="+audience)

	awaitNextSecond(t, owner) // Of two from the same second, the UIDs decide.
	allow(foe.Namespace)(rival)
	create(t, rival)
	mark := newResourceServer(rival.Namespace, "https://mark.consent.test")
	mark.Name = "mark"
	allow(foe.Namespace)(mark)
	create(t, mark)
	change(t, foe, func(c *v1alpha1.OAuthClient) {
		c.Spec.Resources = append(c.Spec.Resources, newAsker("", mark).Spec.Resources...)
	})
	awaitAnswer(t, foes, "", "resource=https://mark.consent.test") // Now the rival has been seen too.
	awaitAnswer(t, foes, "invalid_target", "resource="+audience)
	mustGetToken(t, friends, "resource="+audience)

	if err := suite.admin.Delete(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	awaitAnswer(t, foes, "", "resource="+audience)
	awaitAnswer(t, friends, "invalid_target", "resource="+audience)
}

// awaitNextSecond waits until an object made now is younger than another: creation times are whole seconds.
func awaitNextSecond(t *testing.T, than *v1alpha1.ResourceServer) {
	t.Helper()
	await(t, "the next second", func() error {
		if time.Since(than.CreationTimestamp.Time) < time.Second+100*time.Millisecond {
			return errNotYet
		}
		return nil
	})
}

// With the controllers down, a token server on its own takes a consent back all the same, and does not forbid what it need not.
func TestConsentWithoutControllers(t *testing.T) {
	const audience = "https://alone.consent.test"
	server := newResourceServer(newNamespace(t), audience)
	c := newAsker(newNamespace(t), server)
	allow(c.Namespace)(server)
	create(t, server)
	secret := issued(t, c)
	defer func() { restart(t, suite.kubemint.Stop, nil) }()
	restart(t, suite.kubemint.Stop, nil, "--mode=tokenserver")

	mustGetToken(t, secret, "resource="+audience)
	change(t, server, allow())
	awaitAnswer(t, secret, "invalid_scope", "resource="+audience)
	change(t, server, allow(c.Namespace))
	awaitAnswer(t, secret, "", "resource="+audience)
	if err := suite.admin.Delete(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	awaitAnswer(t, secret, "invalid_target", "resource="+audience)
}

// Where unowned scopes are forbidden, a client has those that somebody consented to, and no others; where a namespace is excepted, both.
func TestForbidUnownedScopes(t *testing.T) {
	const audience = "https://forbid.consent.test"
	server := newResourceServer(newNamespace(t), audience)
	c, excepted := newAsker(newNamespace(t), server), newClient(newNamespace(t), "worker")
	allow(c.Namespace)(server)
	create(t, server)
	secret, other := issued(t, c), issued(t, excepted)
	defer func() { restart(t, suite.kubemint.Stop, nil) }()
	restart(t, suite.kubemint.Stop, nil, "--unowned-scopes=forbid", "--unowned-scopes-namespaces="+excepted.Namespace, "--max-token-lifetime=5m")

	awaitAnswer(t, secret, "invalid_scope", "scope=invoices:read")
	awaitAnswer(t, secret, "invalid_target", "resource="+suite.kubemint.Issuer)
	answer := mustGetToken(t, secret) // There is one audience left.
	if claims := claimsOf(t, answer.AccessToken); claims["aud"] != audience || answer.ExpiresIn != 300 {
		t.Errorf("a token for %v, for %d s", claims["aud"], answer.ExpiresIn)
	}
	mustGetToken(t, other, "scope=invoices:read")
}

// What an API's owner publishes of it, everyone can read (RFC 9728).
func TestProtectedResourceMetadata(t *testing.T) {
	server := newResourceServer(newNamespace(t), "https://published.consent.test")
	create(t, server)
	ca := issued(t, newClient(newNamespace(t), "worker")).Data["ca.crt"]
	url := suite.kubemint.Issuer + "/.well-known/oauth-protected-resource/" + server.Namespace + "/orders"
	want := fmt.Sprintf(`{"resource":"https://published.consent.test","authorization_servers":[%q],"scopes_supported":["orders:read","orders:write"],"bearer_methods_supported":["header"],"resource_name":"Orders"}`, suite.kubemint.Issuer)
	awaitDocument(t, ca, url, http.StatusOK, want)
	change(t, server, func(s *v1alpha1.ResourceServer) { s.Spec.Metadata = nil })
	awaitDocument(t, ca, url, http.StatusNotFound, "not found\n")
}

func awaitDocument(t *testing.T, ca []byte, url string, status int, body string) {
	t.Helper()
	await(t, url, func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := httpsClient(t, ca).Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close() //nolint:errcheck // It was read.
		got, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		if response.StatusCode != status || string(got) != body {
			return fmt.Errorf("%d %s", response.StatusCode, got)
		}
		return nil
	})
}
