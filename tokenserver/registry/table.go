package registry

import (
	"hash/maphash"
	"iter"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

// table is what the registry knows by each client identifier, in a form that the garbage collector need not look through: it would take
// most of its time for objects that hardly ever change. Of a client it is one text, and when its secrets were last used; the entry that
// a request is answered from is made of them each time. Who uses a table holds a lock.
//
// With many clients, what a request costs here is to wait for memory that no cache holds. So there is little to go through until the text
// is found, and the first use is fetched together with it.
type table struct {
	texts
	pages pages
	slots slots
	// byID finds clients by their identifier, bySecret by the name of a Secret in them.
	byID, bySecret index
	// registered is how many have an OAuthClient.
	registered int
}

// known is what is known by a client identifier.
type known struct {
	id string
	// client is the OAuthClient's entry, its credentials aside. It is nil where there is no OAuthClient.
	client *grant.Client
	// secrets are those whose owner is the OAuthClient of that name, or one that had its name before. While a Secret is being
	// renamed, there are two.
	secrets []held
}

// held is what counts of a Secret: whose it is, and the client secrets that it proves.
type held struct {
	name     string
	owner    types.UID
	accepted []credential.Accepted
	// slots are the numbers of their uses: the accepted themselves have none here.
	slots []uint32
}

// newTable returns an empty table. The audience is the one that most clients have.
func newTable(audience string) *table {
	seed := maphash.MakeSeed()
	return newTableWithHash(audience, func(key string) uint32 { return uint32(maphash.String(seed, key)) }) //nolint:gosec // Half of it.
}

func newTableWithHash(audience string, hash func(string) uint32) *table {
	return &table{texts: texts{audience: audience}, pages: pages{size: pageSize}, byID: index{hash: hash}, bySecret: index{hash: hash}}
}

// client returns the entry of a client, or nil. It is the caller's own.
func (t *table) client(id string) *grant.Client {
	at, found := t.find(id)
	if !found {
		return nil
	}
	return t.entry(t.pages.from(at.text), &t.slots)
}

// get returns all that is known by a client identifier.
func (t *table) get(id string) known {
	at, found := t.find(id)
	if !found {
		return known{id: id}
	}
	return t.read(at.text)
}

// ownerOf returns what is known by the identifier of the client whose Secret was last seen by a name.
func (t *table) ownerOf(secret types.NamespacedName) (k known, found bool) {
	_, found = t.bySecret.find(secret.String(), func(at spot) bool {
		k = t.read(at.text)
		return slices.ContainsFunc(k.secrets, func(s held) bool { return k.key(s) == secret })
	})
	if !found {
		return known{}, false
	}
	return k, true
}

// read returns what is known by the text that begins somewhere.
func (t *table) read(w where) known {
	k, _ := t.parse(t.pages.from(w))
	return k
}

// put takes over what is known by a client identifier, in place of what was before.
func (t *table) put(k known) {
	now := k.slots()
	if at, found := t.find(k.id); found {
		for _, number := range t.take(at.text).slots() {
			if !slices.Contains(now, number) {
				t.slots.giveUp(number)
			}
		}
		defer t.tidy(at.text.page())
	}
	if k.client != nil || len(k.secrets) > 0 {
		t.add(k)
	}
}

// add writes down what is known by an identifier by which nothing is.
func (t *table) add(k known) {
	full := t.pages.open
	text := t.pages.write(t.format(k))
	slot := t.slots.assign(text, k.slots())
	t.byID.add(k.id, text, slot)
	for _, s := range k.secrets {
		t.bySecret.add(k.key(s).String(), text, slot)
	}
	if k.client != nil {
		t.registered++
	}
	if full != t.pages.open {
		t.tidy(full)
	}
}

// take takes out what is known by a text, and returns it.
func (t *table) take(text where) known {
	k, length := t.parse(t.pages.from(text))
	t.byID.remove(k.id, text)
	for _, s := range k.secrets {
		t.bySecret.remove(k.key(s).String(), text)
	}
	if k.client != nil {
		t.registered--
	}
	t.pages.waste(text, length)
	return k
}

// tidy gives up a page if it is wasteful. The texts in it that count are written elsewhere.
func (t *table) tidy(number uint32) {
	if !t.pages.isWasteful(number) {
		return
	}
	text := where(number << pageBits)
	for left := t.pages.from(text); left != ""; {
		k, length := t.parse(left)
		if at, found := t.find(k.id); found && at.text == text {
			t.add(t.take(text))
		}
		left, text = left[length:], text+where(length) //nolint:gosec // It is less than a page.
	}
	t.pages.giveUp(number)
}

// slotsOf lets client secrets that an OAuthClient's Secrets had before go on with their uses, and gives others one.
func (t *table) slotsOf(accepted []credential.Accepted, before []held) []uint32 {
	numbers := make([]uint32, len(accepted))
	for i := range accepted {
		number, had := slotOf(accepted[i].Digest, before)
		if !had {
			number = t.slots.take()
		}
		numbers[i] = number
	}
	return numbers
}

// slotOf returns the slot that a client secret has had.
func slotOf(digest credential.Digest, before []held) (number uint32, had bool) {
	for _, s := range before {
		for i := range s.accepted {
			if s.accepted[i].Digest == digest {
				return s.slots[i], true
			}
		}
	}
	return 0, false
}

func (t *table) find(id string) (spot, bool) {
	return t.byID.find(id, func(at spot) bool {
		t.slots.fetch(at.slot)
		return idOf(t.pages.from(at.text)) == id
	})
}

// all goes through all that is known.
func (t *table) all() iter.Seq[known] {
	return func(yield func(known) bool) {
		for at := range t.byID.all() {
			if !yield(t.read(at.text)) {
				return
			}
		}
	}
}

// key returns the name of one of the Secrets.
func (k known) key(s held) types.NamespacedName {
	namespace, _ := splitID(k.id)
	return types.NamespacedName{Namespace: namespace, Name: s.name}
}

// slots returns the numbers of the uses of all client secrets, each once: a Secret that is being renamed has the same as before.
func (k known) slots() (numbers []uint32) {
	for _, s := range k.secrets {
		for _, number := range s.slots {
			if !slices.Contains(numbers, number) {
				numbers = append(numbers, number)
			}
		}
	}
	return numbers
}
