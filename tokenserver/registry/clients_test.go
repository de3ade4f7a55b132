package registry

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

func oauthClient(name string, uid types.UID, scopes ...v1alpha1.Scope) *v1alpha1.OAuthClient {
	return &v1alpha1.OAuthClient{
		ObjectMeta: metav1.ObjectMeta{Namespace: "billing", Name: name, UID: uid},
		Spec:       v1alpha1.OAuthClientSpec{Scopes: scopes, Token: v1alpha1.TokenSpec{Lifetime: metav1.Duration{Duration: time.Hour}}},
	}
}

// secret returns a Secret as the cache holds it, owned by an OAuthClient, or by nobody.
func secret(namespace, name string, owner *v1alpha1.OAuthClient, value string) *corev1.Secret {
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Data:       credential.SealData(map[string][]byte{"any_key": []byte(value), "client_id": []byte("shop.victim"), "scope": []byte("admin")}),
	}
	if owner != nil {
		s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, v1alpha1.GroupVersion.WithKind("OAuthClient"))}
	}
	return s
}

var noon = time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)

// proves reports whether a secret proves a client.
func (c *clients) proves(id, value string) bool {
	entry := c.get(id)
	return entry != nil && credential.Match(value, entry.Credentials, noon) != nil
}

func TestOnlyTheOwnSecretProves(t *testing.T) {
	worker := oauthClient("worker", "uid-1", "read")
	value := credential.Generate()
	otherKind := secret("billing", "s", worker, value)
	otherKind.OwnerReferences[0].Kind = "Deployment"
	otherGroup := secret("billing", "s", worker, value)
	otherGroup.OwnerReferences[0].APIVersion = "example.com/v1alpha1"
	notController := secret("billing", "s", worker, value)
	notController.OwnerReferences[0].Controller = nil
	for name, row := range map[string]struct {
		secret *corev1.Secret
		want   bool
	}{
		"its own":                        {secret("billing", "s", worker, value), true},
		"of another namespace":           {secret("shop", "s", worker, value), false},
		"of nobody":                      {secret("billing", "s", nil, value), false},
		"of a former one of its name":    {secret("billing", "s", oauthClient("worker", "uid-0"), value), false},
		"of another with its UID":        {secret("billing", "s", oauthClient("other", "uid-1"), value), false},
		"of another kind of owner":       {otherKind, false},
		"of another group's OAuthClient": {otherGroup, false},
		"of an owner not its controller": {notController, false},
		"with a weak secret":             {secret("billing", "s", worker, "hunter2"), false},
		"with an empty secret":           {secret("billing", "s", worker, ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClients(consent.Policy{}, newResourceServers())
			c.set(worker)
			c.setSecret(row.secret)
			if got := c.proves("billing.worker", value); got != row.want {
				t.Errorf("proves: %v", got)
			}
			if c.proves("shop.victim", value) || c.get("shop.victim") != nil {
				t.Error("it made a client of the name that stands in it")
			}
			if got := c.get("billing.worker").Accesses[0].Granted.String(); got != "read" {
				t.Errorf("scopes are %s", got)
			}
		})
	}
}

// Whatever the order in which two watches deliver, the last state counts; and while a Secret is renamed, its credential proves at
// every step.
func TestOrderOfEventsDoesNotMatter(t *testing.T) {
	worker := oauthClient("worker", "uid-1", "read")
	value := credential.Generate()
	for range 200 {
		c := newClients(consent.Policy{}, newResourceServers())
		steps := []func(){
			func() { c.set(worker) },
			func() { c.setSecret(secret("billing", "old", worker, value)) },
			func() { c.setSecret(secret("billing", "new", worker, value)) },
			func() { c.setSecret(secret("billing", "stranger", nil, value)) },
		}
		rand.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		for _, step := range steps {
			step()
		}
		if !c.proves("billing.worker", value) || c.count() != 1 {
			t.Fatal("the credential does not prove the client")
		}
		c.deleteSecret(secret("billing", "old", worker, value))
		if !c.proves("billing.worker", value) {
			t.Fatal("the renamed Secret does not prove the client")
		}
		c.deleteSecret(secret("billing", "new", worker, value))
		if c.proves("billing.worker", value) {
			t.Fatal("a deleted Secret proves the client")
		}
	}
}

// Requests are answered while events come in: an update that changes nothing must not refuse anybody in between.
func TestUpdateRefusesNobodyInBetween(t *testing.T) {
	worker := oauthClient("worker", "uid-1", "read")
	value := credential.Generate()
	c := newClients(consent.Policy{}, newResourceServers())
	c.set(worker)
	c.setSecret(secret("billing", "s", worker, value))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2000 {
			c.setSecret(secret("billing", "s", worker, value))
			c.set(worker)
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if !c.proves("billing.worker", value) {
			t.Fatal("refused")
		}
	}
}

func TestDeletionIsAtOnce(t *testing.T) {
	worker := oauthClient("worker", "uid-1", "read")
	value := credential.Generate()
	c := newClients(consent.Policy{}, newResourceServers())
	c.set(worker)
	c.setSecret(secret("billing", "s", worker, value))
	deleting := worker.DeepCopy()
	deleting.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	c.set(deleting) // It may still have a finalizer of somebody else's.
	if c.get("billing.worker") != nil || c.count() != 0 {
		t.Error("a client that is being deleted is known")
	}
	// Made anew under the same name, it is another, which the old Secret does not prove.
	c.set(oauthClient("worker", "uid-2", "read"))
	if c.proves("billing.worker", value) {
		t.Error("the former one's Secret proves it")
	}
}

func TestReservedClaimsAreDropped(t *testing.T) {
	worker := oauthClient("worker", "uid-1", "read")
	worker.Spec.Token.Claims = map[string]v1alpha1.ClaimValue{"team": "billing", "SUB": "admin", "groups": "system:masters"}
	c := newClients(consent.Policy{}, newResourceServers())
	c.set(worker)
	if got := fmt.Sprint(c.get("billing.worker").Accesses[0].Claims); got != "map[team:billing]" {
		t.Errorf("claims are %s", got)
	}
}

func TestCount(t *testing.T) {
	c := newClients(consent.Policy{}, newResourceServers())
	for i := range 3 {
		c.set(oauthClient(fmt.Sprint("worker-", i), types.UID(fmt.Sprint(i))))
	}
	c.set(oauthClient("worker-1", "1"))
	c.delete(oauthClient("worker-2", "2"))
	c.delete(oauthClient("worker-9", "9"))
	if c.count() != 2 {
		t.Errorf("counts %d", c.count())
	}
	if len(c.get("billing.worker-0").Credentials) != 0 {
		t.Error("a client without Secret has a credential")
	}
}

// What a watch finds when it begins anew is all that there is.
func TestReplaceForgetsWhatIsGone(t *testing.T) {
	stays, goes, value := oauthClient("stays", "1", "read"), oauthClient("goes", "2", "read"), credential.Generate()
	c := newClients(consent.Policy{}, newResourceServers())
	c.replace("", []*v1alpha1.OAuthClient{stays, goes})
	for _, s := range []*corev1.Secret{secret("billing", "kept", stays, value), secret("billing", "lost", stays, value)} {
		c.setSecret(s)
	}
	c.replace("", []*v1alpha1.OAuthClient{stays})
	if c.get("billing.goes") != nil || c.get("billing.stays") == nil || c.count() != 1 {
		t.Error("the clients are not those that there are")
	}
	c.keepSecrets("", []*corev1.Secret{secret("billing", "kept", stays, value)})
	if got := len(c.get("billing.stays").Credentials); got != 1 {
		t.Errorf("%d credentials, want that of the one Secret that there is", got)
	}
	c.keepSecrets("", nil)
	if got := len(c.get("billing.stays").Credentials); got != 0 {
		t.Errorf("%d credentials of Secrets that there are no more", got)
	}
}

// What a watch of one namespace finds says nothing of the others.
func TestReplaceInOneNamespace(t *testing.T) {
	one, other := oauthClient("worker", "1", "read"), oauthClient("worker", "2", "read")
	other.Namespace = "shop"
	servers := newResourceServers()
	c := newClients(consent.Policy{}, servers)
	c.replace("billing", []*v1alpha1.OAuthClient{one})
	c.replace("shop", []*v1alpha1.OAuthClient{other})
	for _, owner := range []*v1alpha1.OAuthClient{one, other} {
		c.setSecret(secret(owner.Namespace, "worker", owner, credential.Generate()))
	}
	servers.replace("shop", []*v1alpha1.ResourceServer{resourceServer("shop", "uid-1", 1)})
	servers.replace("billing", nil)
	c.keepSecrets("billing", nil)
	if got := len(c.get("billing.worker").Credentials); got != 0 {
		t.Errorf("%d credentials of Secrets that there are no more", got)
	}
	if got := len(c.get("shop.worker").Credentials); got != 1 {
		t.Errorf("%d credentials in another namespace", got)
	}
	c.replace("billing", nil)
	if c.get("billing.worker") != nil || c.get("shop.worker") == nil {
		t.Error("the clients are not those that there are")
	}
	if len(servers.byName) != 1 || len(servers.byAudience) != 1 {
		t.Errorf("the ResourceServers are %v", servers.byName)
	}
	servers.replace("shop", nil)
	if len(servers.byName)+len(servers.byAudience) != 0 {
		t.Errorf("of ResourceServers that are gone, there are %v yet", servers.byName)
	}
}

// A Secret that changes hands, or is given up, proves its former owner no more.
func TestSecretThatChangesHands(t *testing.T) {
	first, second, value := oauthClient("first", "1", "read"), oauthClient("second", "2", "read"), credential.Generate()
	c := newClients(consent.Policy{}, newResourceServers())
	c.set(first)
	c.set(second)
	for i, step := range []struct {
		owner         *v1alpha1.OAuthClient
		first, second bool
	}{{first, true, false}, {second, false, true}, {nil, false, false}} {
		c.setSecret(secret("billing", "s", step.owner, value))
		if got := c.proves("billing.first", value); got != step.first {
			t.Errorf("step %d: it proves the first: %t", i, got)
		}
		if got := c.proves("billing.second", value); got != step.second {
			t.Errorf("step %d: it proves the second: %t", i, got)
		}
	}
}

// BenchmarkMemory tells how many bytes the registry keeps of each client, all included.
func BenchmarkMemory(b *testing.B) {
	const count = 100_000
	value := credential.Generate()
	for b.Loop() {
		before, c := heap(), newClients(consent.Policy{}, newResourceServers())
		for i := range count {
			client := oauthClient(fmt.Sprintf("client-%06d", i), types.UID(fmt.Sprintf("01234567-89ab-cdef-0123-%012d", i)), "invoices:read", "invoices:write")
			c.set(client)
			s := secret("billing", client.Name, client, value)
			s.Annotations = map[string]string{v1alpha1.AnnotationCredentials: credential.Record{
				Present: credential.Version{Number: 1, Digest: credential.DigestOf(value), Created: noon}}.String()}
			c.setSecret(s)
		}
		b.ReportMetric(float64(heap()-before)/count, "B/client")
		runtime.KeepAlive(c)
	}
}

// heap is the bytes of all that lives.
func heap() uint64 { return living().HeapAlloc }

// living is the memory of all that lives.
func living() (stats runtime.MemStats) {
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats
}
