package registry

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/scope"
)

// What is put is what is got, whatever there is of it.
func TestTableKeepsAllOfIt(t *testing.T) {
	const usual = "https://issuer.example"
	read, all := scope.NewSet("read"), scope.NewSet("read", "write")
	full := &grant.Client{
		ID: "billing.work.er", Namespace: "billing", Name: "work.er", UID: "uid-1", Suspended: true, Revision: 1 << 60,
		Accesses: scope.Accesses{
			{Audience: usual, AtIssuer: true, Listed: all, Grant: scope.Grant{Granted: all, Default: all}, ByDefault: true, Lifetime: time.Hour},
			{Audience: audience, Listed: all, Grant: scope.Grant{Granted: read}, Lifetime: time.Minute, Claims: map[string]string{"team": "billing", "empty": ""}},
			{Listed: read},
		},
	}
	secrets := []held{
		{"own", "uid-1", accepted(3), nil},
		{"", "uid-1", []credential.Accepted{}, nil},
		{"former", "uid-0", accepted(1), nil},
		{strings.Repeat("long", 1000), "uid-1", accepted(1), nil},
	}
	none := &grant.Client{ID: "billing.work.er", Namespace: "billing", Name: "work.er", UID: "uid-1", Secretless: true, Accesses: scope.Accesses{}}
	for _, want := range []known{
		{full.ID, full, secrets},
		{full.ID, full, []held{}},
		{full.ID, nil, secrets},
		{full.ID, none, secrets[:1]},
	} {
		table := newTable(usual)
		for i := range want.secrets {
			want.secrets[i].slots = table.slotsOf(want.secrets[i].accepted, nil)
		}
		table.put(known{"billing.other", full, nil})
		table.put(want)
		if got := table.get(want.id); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		entry := table.client(want.id)
		if want.client == nil {
			if entry != nil {
				t.Errorf("made a client of its Secrets: %+v", entry)
			}
			continue
		}
		expected := *want.client
		for _, s := range want.secrets {
			if string(s.owner) == want.client.UID && !want.client.Secretless {
				for i, a := range s.accepted {
					a.Use = table.slots.use(s.slots[i])
					expected.Credentials = append(expected.Credentials, a)
				}
			}
		}
		if !slices.Equal(entry.Credentials, expected.Credentials) {
			t.Errorf("credentials %+v, want %+v", entry.Credentials, expected.Credentials)
		}
		expected.Credentials = entry.Credentials
		if !reflect.DeepEqual(*entry, expected) {
			t.Errorf("entry %+v, want %+v", *entry, expected)
		}
	}
}

// accepted returns so many client secrets.
func accepted(count int) []credential.Accepted {
	all := make([]credential.Accepted, count)
	for i := range all {
		all[i] = credential.Accepted{Digest: credential.DigestOf(credential.Generate()), Version: int64(i), Expires: noon.Unix() * int64(i)}
	}
	return all
}

// hashes are how a table may find its rows: as it does, and with so few hashes that all keys share one with others.
var hashes = map[string]func() *table{
	"hashes differ": func() *table { return newTable("") },
	"hashes collide": func() *table {
		return newTableWithHash("", func(key string) uint32 { return uint32(len(key) + int(key[len(key)-1])%2) })
	},
	"all hashes are one": func() *table { return newTableWithHash("", func(string) uint32 { return 0 }) },
}

// population is how many names there are, smallPage the length of a page that few of their texts fit into, in bytes.
const population, smallPage = 35, 1000

// cluster is the OAuthClients and Secrets that there are, in the plainest form.
type cluster struct {
	clients map[string]*v1alpha1.OAuthClient
	secrets map[string]*corev1.Secret
	values  map[string]string // of the Secrets
}

// proving returns the values of the Secrets that prove an OAuthClient.
func (m *cluster) proving(client *v1alpha1.OAuthClient) (values []string) {
	for name, s := range m.secrets {
		if o := s.OwnerReferences; len(o) > 0 && o[0].Name == client.Name && o[0].UID == client.UID {
			values = append(values, m.values[name])
		}
	}
	return values
}

// step lets something happen to the cluster, and tells the clients.
func (m *cluster) step(c *clients, random *rand.Rand) {
	client := oauthClient(fmt.Sprint("client-", random.IntN(population)), types.UID(fmt.Sprint("uid-", random.IntN(2))), "read")
	name := fmt.Sprint("client-", random.IntN(population)) // Often, but not always that of its owner.
	switch random.IntN(20) {
	case 0:
		m.clients = map[string]*v1alpha1.OAuthClient{client.Name: client}
		c.replace("", []*v1alpha1.OAuthClient{client})
	case 1:
		stays := m.secrets[name]
		m.secrets = map[string]*corev1.Secret{}
		var list []*corev1.Secret
		if stays != nil {
			m.secrets[name], list = stays, append(list, stays)
		}
		c.keepSecrets("", list)
	case 2, 3:
		delete(m.secrets, name)
		c.deleteSecret(secret("billing", name, nil, ""))
	case 4, 5:
		delete(m.clients, client.Name)
		c.delete(client)
	case 6, 7, 8, 9, 10, 11:
		m.clients[client.Name] = client
		c.set(client)
	default:
		owner := client
		if random.IntN(10) == 0 {
			owner = nil
		}
		m.values[name] = credential.Generate()
		if other := m.values[fmt.Sprint("client-", random.IntN(population))]; other != "" && random.IntN(4) == 0 {
			m.values[name] = other // As while a Secret is being renamed.
		}
		m.secrets[name] = secret("billing", name, owner, m.values[name])
		c.setSecret(m.secrets[name])
	}
}

// Whatever happens, in whatever order: the clients are those that there are, and what proves one is its own Secrets.
func TestAnyHistory(t *testing.T) {
	for name, newTable := range hashes {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 0))
			c := newClients(consent.Policy{}, newResourceServers())
			c.table = newTable()
			c.table.pages.size = smallPage
			m := &cluster{map[string]*v1alpha1.OAuthClient{}, map[string]*corev1.Secret{}, map[string]string{}}
			for step := range 5000 {
				m.step(c, random)
				if wrong := m.compare(c); wrong != "" {
					t.Fatalf("seed %d, step %d: %s", seed, step, wrong)
				}
			}
			c.replace("", nil)
			c.keepSecrets("", nil)
			if left := c.table; left.registered+left.byID.taken+left.bySecret.taken > 0 {
				t.Errorf("with nothing there, the table holds %d clients, by %v and %v", left.registered, left.byID, left.bySecret)
			}
			for number, page := range c.table.pages.details {
				if page != nil && uint32(number) != c.table.pages.open {
					t.Errorf("with nothing there, page %d is kept: %q", number, page.builder.String())
				}
			}
			if slices.ContainsFunc(c.table.slots.pieces, func(p *slotPiece) bool { return p != nil }) {
				t.Error("with nothing there, slots are kept")
			}
		})
	}
}

// compare says what the clients have wrong.
func (m *cluster) compare(c *clients) string {
	if c.count() != len(m.clients) {
		return fmt.Sprintf("counts %d clients of %d", c.count(), len(m.clients))
	}
	for i := range population {
		name := fmt.Sprint("client-", i)
		entry, client := c.get("billing."+name), m.clients[name]
		if (entry == nil) != (client == nil) {
			return fmt.Sprintf("%s is known: %t", name, entry != nil)
		}
		if client == nil {
			continue
		}
		if entry.ID != "billing."+name || entry.Name != name || entry.UID != string(client.UID) {
			return fmt.Sprintf("%s is %+v", name, entry)
		}
		proving := m.proving(client)
		if len(entry.Credentials) != len(proving) {
			return fmt.Sprintf("%s has %d credentials of %d", name, len(entry.Credentials), len(proving))
		}
		for _, value := range proving {
			match := credential.Match(value, entry.Credentials, noon)
			if match == nil {
				return name + " has another Secret's credential"
			}
			match.Use.Mark(noon)
		}
	}
	return m.compareUses(c) + wasted(c.table)
}

// compareUses says what is wrong with the clients that have uses to tell of, which are those that have a Secret.
func (m *cluster) compareUses(c *clients) string {
	told := map[string]bool{}
	for _, ids := range c.mayHaveUntoldUses() {
		for _, id := range ids {
			if len(c.table.get(id).secrets) == 0 {
				return id + " has no Secret whose use could be told"
			}
			if told[id] {
				return id + " is told of twice"
			}
			told[id] = true
		}
	}
	for i := range population {
		if entry := c.get(fmt.Sprint("billing.client-", i)); entry != nil && len(entry.Credentials) > 0 && !told[entry.ID] {
			return entry.ID + " has used its secret, and is not told of"
		}
	}
	return ""
}

// wasted says what memory a table takes for nothing.
func wasted(t *table) string {
	for number := range t.pages.details {
		if t.pages.isWasteful(uint32(number)) {
			return fmt.Sprintf("page %d is wasteful, and kept", number)
		}
	}
	if pages := len(t.pages.details); pages > population {
		return fmt.Sprintf("%d numbers of pages for %d clients", pages, population)
	}
	for number, piece := range t.slots.pieces {
		if piece == nil {
			continue
		}
		inUse := uint32(0)
		for _, user := range piece.users {
			if user.used {
				inUse++
			}
		}
		if piece.inUse != inUse || inUse == 0 {
			return fmt.Sprintf("piece %d has %d slots in use, and counts %d", number, inUse, piece.inUse)
		}
	}
	if pieces := len(t.slots.pieces); pieces > population {
		return fmt.Sprintf("%d numbers of pieces for %d clients", pieces, population)
	}
	return ""
}

// A Secret that is being renamed has one use under both names, which is given up once.
func TestUseUnderTwoNames(t *testing.T) {
	table := newTable("")
	secrets := accepted(1)
	slots := table.slotsOf(secrets, nil)
	other := table.slots.take()
	table.put(known{"billing.worker", nil, []held{{"former", "uid-1", secrets, slots}, {"now", "uid-1", secrets, slots}}})
	for user := range table.slots.all() {
		if !user.alone {
			t.Error("the client seems to have two client secrets")
		}
	}
	table.put(known{id: "billing.worker"})
	if left := table.slots.pieces[other/slotsInPiece].inUse; left != 1 {
		t.Errorf("%d slots are in use, not the other one", left)
	}
}

// An entry has another revision after each change of the OAuthClient or its Secret, and that of no other one that had its name.
func TestRevision(t *testing.T) {
	worker, value := oauthClient("worker", "uid-1", "read"), credential.Generate()
	c := newClients(consent.Policy{}, newResourceServers())
	seen := map[uint64]bool{}
	for i, step := range []func(){
		func() { c.set(worker) },
		func() { c.set(worker) },
		func() { c.setSecret(secret("billing", "s", worker, value)) },
		func() { c.setSecret(secret("billing", "s", worker, credential.Generate())) },
		func() { c.deleteSecret(secret("billing", "s", worker, value)) },
		func() { c.delete(worker); c.set(worker) },
	} {
		step()
		revision := c.get("billing.worker").Revision
		if seen[revision] {
			t.Errorf("step %d: revision %d was there before", i, revision)
		}
		seen[revision] = true
		if c.set(oauthClient("other", "uid-2")); c.get("billing.worker").Revision != revision {
			t.Errorf("step %d: another's change made a new revision", i)
		}
	}
}

// Clients and Secrets come, change and go: the memory is of those that there are.
func TestChurnTakesNoMemory(t *testing.T) {
	const count, rounds = 1000, 30
	c := newClients(consent.Policy{}, newResourceServers())
	fill := func(round int) {
		for i := range count {
			client := oauthClient(fmt.Sprintf("client-%03d-%0*d", round, 1+(round+i)%100, i), "uid-1", "read")
			c.set(client)
			for range 2 {
				c.setSecret(secret("billing", client.Name, client, credential.Generate()))
			}
			c.setSecret(rotatedAs(client, client.Name))
		}
	}
	empty := func(round int) {
		for i := range count {
			client := oauthClient(fmt.Sprintf("client-%03d-%0*d", round, 1+(round+i)%100, i), "uid-1", "read")
			c.delete(client)
			c.deleteSecret(secret("billing", client.Name, client, ""))
		}
	}
	before := heap()
	fill(0)
	first := heap() - before
	for round := range rounds {
		empty(round)
		fill(round + 1)
	}
	if last := heap() - before; last > first*3/2 {
		t.Errorf("%d clients take %d bytes, and %d after %d rounds", count, first, last, rounds)
	}
	runtime.KeepAlive(c)
}

// A client is a fraction of a piece of memory, as each takes the garbage collector its time.
func TestPiecesOfMemory(t *testing.T) {
	const count = 1600
	c := newClients(consent.Policy{}, newResourceServers())
	before := living().HeapObjects
	for i := range count {
		client := oauthClient(fmt.Sprint("client-", i), "uid-1", "read")
		c.set(client)
		c.setSecret(secret("billing", client.Name, client, credential.Generate()))
	}
	if taken := int64(living().HeapObjects - before); taken > count/16 {
		t.Errorf("%d clients are %d pieces of memory", count, taken)
	}
	runtime.KeepAlive(c)
}

func rotatedAs(owner *v1alpha1.OAuthClient, name string) *corev1.Secret {
	s := rotated(owner, credential.Generate(), credential.Generate(), time.Hour)
	s.Name = name
	return s
}

// Requests are answered while clients come, change and go: run with -race.
func TestTableConcurrently(t *testing.T) {
	c := newClients(consent.Policy{}, newResourceServers())
	worker, value := oauthClient("worker", "uid-1", "read"), credential.Generate()
	c.set(worker)
	c.setSecret(secret("billing", "s", worker, value))
	done := make(chan struct{})
	var writers, readers sync.WaitGroup
	for i := range 2 {
		writers.Go(func() {
			for n := range 2000 {
				other := oauthClient(fmt.Sprintf("other-%d-%d", i, n%50), "uid-2", "read")
				c.set(other)
				c.setSecret(secret("billing", other.Name, other, value))
				c.setSecret(secret("billing", "s", worker, value))
				c.set(worker)
				if n%3 == 0 {
					c.delete(other)
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for now := noon; ; now = now.Add(time.Minute) {
				select {
				case <-done:
					return
				default:
				}
				entry := c.get("billing.worker")
				match := credential.Match(value, entry.Credentials, now)
				if match == nil || entry.ID != "billing.worker" || entry.Accesses[0].Granted.String() != "read" {
					t.Errorf("got %+v", entry)
					return
				}
				match.Use.Mark(now)
				c.withUntoldUses()
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if c.get("billing.worker").Credentials[0].Use.Last() < noon.Unix() {
		t.Error("its use was lost")
	}
}
