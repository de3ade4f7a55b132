package registry

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// keyed returns an OAuthClient with a generated private key.
func keyed(name string, uid types.UID) *v1alpha1.OAuthClient {
	c := oauthClient(name, uid, "read")
	c.Spec.Authentication.PrivateKeyJWT = &v1alpha1.PrivateKeyJWTSpec{Generated: &v1alpha1.GeneratedKeySpec{}}
	return c
}

// withKeys returns a Secret that holds private keys, the present one first.
func withKeys(name string, owner *v1alpha1.OAuthClient, keys ...credential.PrivateKey) *corev1.Secret {
	s := secret("billing", name, owner, credential.Generate())
	version := func(i int) credential.Version {
		return credential.Version{Number: int64(len(keys) - i), Digest: keys[i].Thumbprint, PublicKey: keys[i].Point, Created: noon}
	}
	record := credential.Record{Present: version(0)}
	for i := range keys[1:] {
		previous := version(i + 1)
		previous.Expires = noon.Add(time.Hour)
		record.Previous = append(record.Previous, previous)
	}
	s.Annotations = map[string]string{v1alpha1.AnnotationPrivateKeys: record.String()}
	return s
}

// keyIDs returns the identifiers of the generated keys of billing.worker.
func (c *clients) keyIDs() []string {
	entry := c.get("billing.worker")
	if entry == nil || entry.Asymmetric == nil {
		return nil
	}
	var ids []string
	for _, key := range entry.Asymmetric.Generated {
		if !entry.Asymmetric.Keys.Has(key.KeyID) {
			return []string{"a key that does not verify"}
		}
		ids = append(ids, key.KeyID)
	}
	return ids
}

func TestGeneratedKeysOfTheOwnSecret(t *testing.T) {
	worker, key, former := keyed("worker", "1"), credential.GeneratePrivateKey(), credential.GeneratePrivateKey()
	stranger := oauthClient("stranger", "other", "read")
	spoilt := withKeys("s", worker, key)
	spoilt.Annotations[v1alpha1.AnnotationPrivateKeys] = "{}"
	noPoint := withKeys("s", worker, credential.PrivateKey{Thumbprint: key.Thumbprint, Point: make([]byte, 65)})
	for name, test := range map[string]struct {
		secret *corev1.Secret
		want   []string
	}{
		"its own":                        {withKeys("s", worker, key), []string{key.ID()}},
		"and the one before":             {withKeys("s", worker, key, former), []string{key.ID(), former.ID()}},
		"L4 of another":                  {withKeys("s", stranger, key), nil},
		"L4 of a former one of its name": {withKeys("s", keyed("worker", "0"), key), nil},
		"L4 of nobody":                   {withKeys("s", nil, key), nil},
		"a record that is spoilt":        {spoilt, nil},
		"a key that is none":             {noPoint, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClients(consent.Policy{}, newResourceServers())
			c.set(worker)
			c.setSecret(test.secret)
			if got := c.keyIDs(); !slices.Equal(got, test.want) {
				t.Errorf("keys %q, want %q", got, test.want)
			}
		})
	}
	t.Run("of a client that asks for none any more", func(t *testing.T) {
		c := newClients(consent.Policy{}, newResourceServers())
		c.setSecret(withKeys("s", worker, key))
		c.set(worker)
		if len(c.keyIDs()) != 1 {
			t.Fatal("it had none")
		}
		plain := worker.DeepCopy()
		plain.Spec.Authentication.PrivateKeyJWT = nil
		c.set(plain)
		if entry := c.get("billing.worker"); entry.Asymmetric != nil {
			t.Errorf("it is proved by %+v", entry.Asymmetric)
		}
	})
	t.Run("while a Secret is renamed, and with its uses", func(t *testing.T) {
		c := newClients(consent.Policy{}, newResourceServers())
		c.set(worker)
		c.setSecret(withKeys("old", worker, key))
		c.get("billing.worker").Asymmetric.MarkKey(key.ID(), noon)
		c.setSecret(withKeys("new", worker, key))
		if got := c.keyIDs(); len(got) != 1 {
			t.Errorf("keys %q", got)
		}
		c.deleteSecret(withKeys("old", worker, key))
		c.set(worker.DeepCopy())
		proofs := c.get("billing.worker").Asymmetric
		if proofs.Generated[0].Use.Last() != noon.Unix() || proofs.Uses.PrivateKey.Last() != noon.Unix() {
			t.Errorf("uses %+v, %+v", proofs.Generated[0].Use, proofs.Uses)
		}
		c.deleteSecret(withKeys("new", worker, key))
		if got := c.keyIDs(); got != nil {
			t.Errorf("keys %q after the Secret has gone", got)
		}
	})
}

// A client without a secret has none, even where somebody puts one into its Secret.
func TestSecretlessClient(t *testing.T) {
	worker, value := oauthClient("worker", "1", "read"), credential.Generate()
	c := newClients(consent.Policy{}, newResourceServers())
	c.set(worker)
	c.setSecret(secret("billing", "s", worker, value))
	if !c.proves("billing.worker", value) {
		t.Fatal("the secret does not prove it")
	}
	secretless := worker.DeepCopy()
	secretless.Spec.Secret.Source = v1alpha1.SecretNone
	c.set(secretless)
	if c.proves("billing.worker", value) {
		t.Error("A20: the secret proves it still")
	}
	c.setSecret(secret("billing", "s", worker, value))
	if c.proves("billing.worker", value) {
		t.Error("A20: after an event of its Secret, the secret proves it")
	}
	if c.set(worker); !c.proves("billing.worker", value) {
		t.Error("the secret does not prove it again")
	}
}

func TestClientsOfServiceAccounts(t *testing.T) {
	c := newClients(consent.Policy{}, newResourceServers())
	listing := func(name string, accounts ...v1alpha1.ObjectName) *v1alpha1.OAuthClient {
		object := oauthClient(name, "1", "read")
		for _, account := range accounts {
			object.Spec.Authentication.ServiceAccounts = append(object.Spec.Authentication.ServiceAccounts, v1alpha1.ServiceAccountReference{Name: account})
		}
		return object
	}
	want := func(account string, ids ...string) {
		t.Helper()
		got := slices.Sorted(slices.Values(c.provedBy("billing", account)))
		if !slices.Equal(got, ids) {
			t.Errorf("service account %s proves %q, want %q", account, got, ids)
		}
		if len(c.provedBy("shop", account)) > 0 {
			t.Errorf("C21: one of another namespace proves %q", c.provedBy("shop", account))
		}
	}
	c.set(listing("a", "one", "both"))
	c.set(listing("b", "both"))
	want("one", "billing.a")
	want("both", "billing.a", "billing.b")
	c.set(listing("a", "both"))
	want("one")
	want("both", "billing.a", "billing.b")
	c.delete(listing("a"))
	want("both", "billing.b")
	c.replace("", []*v1alpha1.OAuthClient{listing("c", "one")})
	want("both")
	want("one", "billing.c")
	if len(c.proofs) != 1 || len(c.accounts) != 1 {
		t.Errorf("%d proofs and %d service accounts are remembered", len(c.proofs), len(c.accounts))
	}
}

func TestMethodsInStatus(t *testing.T) {
	c := newClients(consent.Policy{}, newResourceServers())
	worker := keyed("worker", "1")
	worker.Spec.Authentication.ServiceAccounts = []v1alpha1.ServiceAccountReference{{Name: "worker"}}
	key := credential.GeneratePrivateKey()
	c.set(worker)
	c.setSecret(withKeys("s", worker, key))
	entry := c.get("billing.worker")
	if got := c.withUntoldUses(); len(got) != 0 {
		t.Errorf("nobody has asked yet: %v", got)
	}
	var status v1alpha1.OAuthClientStatus
	status.PrivateKeys = []v1alpha1.PrivateKeyStatus{{Version: 1, KeyID: key.ID()}}
	tell := func(what string, want bool, methods ...v1alpha1.AuthenticationMethod) {
		t.Helper()
		if got := len(c.withUntoldUses()) > 0; got != want {
			t.Errorf("%s: worth a write: %t", what, got)
		}
		if got := noteAll(&status, entry, otherwise.after); got != want {
			t.Errorf("%s: the status is behind: %t", what, got)
		}
		noteAllTold(&status, entry)
		var got []v1alpha1.AuthenticationMethod
		for _, told := range status.Authentication {
			got = append(got, told.Method)
		}
		if !slices.Equal(got, methods) {
			t.Errorf("%s: the status has %q, want %q", what, got, methods)
		}
	}
	entry.Asymmetric.Uses.ServiceAccount.Mark(noon)
	tell("a first use", true, v1alpha1.MethodServiceAccount)
	entry.Asymmetric.Uses.ServiceAccount.Mark(noon.Add(time.Hour))
	tell("again, an hour later", false, v1alpha1.MethodServiceAccount)
	entry.Asymmetric.MarkKey(key.ID(), noon.Add(2*time.Hour))
	tell("another way", true, v1alpha1.MethodPrivateKeyJWT, v1alpha1.MethodServiceAccount)
	if used := status.PrivateKeys[0].LastUsed; used == nil || !used.Equal(&metav1.Time{Time: noon.Add(2 * time.Hour)}) {
		t.Errorf("the key was last used %v", used)
	}
	entry.Asymmetric.Uses.ServiceAccount.Mark(noon.Add(25 * time.Hour))
	tell("the first way, a day later", true, v1alpha1.MethodServiceAccount, v1alpha1.MethodPrivateKeyJWT)
	tell("nothing new", false, v1alpha1.MethodServiceAccount, v1alpha1.MethodPrivateKeyJWT)
}
