package registry

import (
	"hash/maphash"
	"iter"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

// table is what the registry knows by each client identifier, in a form that the garbage collector need not look through: it would take
// most of its time for objects that hardly ever change. Of a client it is one text, and when its secrets were last used; the entry that
// a request is answered from is made of them each time. Who uses a table holds a lock.
type table struct {
	texts
	rows []row
	// free are the rows that nothing is in.
	free []uint32
	// byID finds rows by client identifier, bySecret by the name of a Secret in them.
	byID, bySecret index
	// registered is how many rows there is a client in.
	registered int
}

// row is one client.
type row struct {
	text string
	uses uses
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
}

// newTable returns an empty table. The audience is the one that most clients have.
func newTable(audience string) *table {
	seed := maphash.MakeSeed()
	return newTableWithHash(audience, func(key string) uint64 { return maphash.String(seed, key) })
}

func newTableWithHash(audience string, hash func(string) uint64) *table {
	return &table{texts: texts{audience: audience}, byID: newIndex(hash), bySecret: newIndex(hash)}
}

// client returns the entry of a client, or nil. It is the caller's own.
func (t *table) client(id string) *grant.Client {
	at, found := t.find(id)
	if !found {
		return nil
	}
	return t.entry(t.rows[at])
}

// get returns all that is known by a client identifier.
func (t *table) get(id string) known {
	at, found := t.find(id)
	if !found {
		return known{id: id}
	}
	return t.parse(t.rows[at])
}

// ownerOf returns what is known by the identifier of the client whose Secret was last seen by a name.
func (t *table) ownerOf(secret types.NamespacedName) (known, bool) {
	at, found := t.bySecret.find(secret.String(), func(at uint32) bool {
		k := t.parse(t.rows[at])
		return slices.ContainsFunc(k.secrets, func(s held) bool { return k.key(s) == secret })
	})
	if !found {
		return known{}, false
	}
	return t.parse(t.rows[at]), true
}

// put takes over what is known by a client identifier, in place of what was before.
func (t *table) put(k known) {
	at, found := t.find(k.id)
	if found {
		t.clear(at)
	}
	switch {
	case k.client == nil && len(k.secrets) == 0:
		if found {
			t.byID.remove(k.id, at)
			t.free = append(t.free, at)
			t.pack(at)
		}
		return
	case !found:
		at = t.unused()
		t.byID.add(k.id, at)
	}
	t.rows[at] = t.format(k)
	t.pack(at)
	for _, s := range k.secrets {
		t.bySecret.add(k.key(s).String(), at)
	}
	if k.client != nil {
		t.registered++
	}
}

// together is how many rows have their texts in one piece of memory. The garbage collector has as many fewer to come upon, each of which is
// a wait for memory that no cache holds; a change of one row writes the texts of all of them anew, some KB.
const together = 16

// pack puts the text of a row that has changed into one piece of memory with its neighbours'.
func (t *table) pack(at uint32) {
	first := int(at) / together * together
	rows := t.rows[first:min(first+together, len(t.rows))]
	length := 0
	for _, r := range rows {
		length += len(r.text)
	}
	var texts strings.Builder
	texts.Grow(length)
	for i := range rows {
		start := texts.Len()
		texts.WriteString(rows[i].text)
		rows[i].text = texts.String()[start:]
	}
}

// clear takes out of a row what is in it.
func (t *table) clear(at uint32) {
	k := t.parse(t.rows[at])
	for _, s := range k.secrets {
		t.bySecret.remove(k.key(s).String(), at)
	}
	if k.client != nil {
		t.registered--
	}
	t.rows[at] = row{}
}

// unused returns a row that nothing is in.
func (t *table) unused() uint32 {
	if last := len(t.free) - 1; last >= 0 {
		at := t.free[last]
		t.free = t.free[:last]
		return at
	}
	t.rows = append(t.rows, row{})
	return uint32(len(t.rows) - 1) //nolint:gosec // So many clients fit into no memory.
}

func (t *table) find(id string) (uint32, bool) {
	return t.byID.find(id, func(at uint32) bool { return idOf(t.rows[at].text) == id })
}

// all goes through all that is known.
func (t *table) all() iter.Seq[known] {
	return func(yield func(known) bool) {
		for _, r := range t.rows {
			if r.text != "" && !yield(t.parse(r)) {
				return
			}
		}
	}
}

// allUses goes through the identifiers, each with the uses of its client secrets.
func (t *table) allUses() iter.Seq2[string, uses] {
	return func(yield func(string, uses) bool) {
		for _, r := range t.rows {
			if r.text != "" && !yield(idOf(r.text), r.uses) {
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

// uses are when client secrets were last used, in the order in which they stand in a row's text. Nearly all clients have one, for which
// there is no slice to look through.
type uses struct {
	first *credential.Use
	rest  []*credential.Use
}

func (u *uses) add(use *credential.Use) {
	if u.first == nil {
		u.first = use
		return
	}
	u.rest = append(u.rest, use)
}

// at returns one by its number.
func (u *uses) at(i int) *credential.Use {
	if i == 0 {
		return u.first
	}
	return u.rest[i-1]
}

// all goes through them.
func (u *uses) all() iter.Seq[*credential.Use] {
	return func(yield func(*credential.Use) bool) {
		if u.first == nil || !yield(u.first) {
			return
		}
		for _, use := range u.rest {
			if !yield(use) {
				return
			}
		}
	}
}

// index finds rows by a key of which it keeps the hash alone, so that there are no pointers in it.
type index struct {
	hash func(string) uint64
	rows map[uint64]uint32
	// others are further rows whose keys have the same hash, which hardly ever happens.
	others map[uint64][]uint32
}

func newIndex(hash func(string) uint64) index {
	return index{hash: hash, rows: map[uint64]uint32{}, others: map[uint64][]uint32{}}
}

// find returns the row by a key: of those that may be, the one that has it.
func (x *index) find(key string, has func(at uint32) bool) (uint32, bool) {
	hash := x.hash(key)
	if at, found := x.rows[hash]; !found || has(at) {
		return at, found
	}
	for _, at := range x.others[hash] {
		if has(at) {
			return at, true
		}
	}
	return 0, false
}

// add adds a row by a key that is new.
func (x *index) add(key string, at uint32) {
	hash := x.hash(key)
	if _, taken := x.rows[hash]; taken {
		x.others[hash] = append(x.others[hash], at)
		return
	}
	x.rows[hash] = at
}

// remove removes a row by a key that it was added by.
func (x *index) remove(key string, at uint32) {
	hash := x.hash(key)
	others := x.others[hash]
	switch {
	case x.rows[hash] != at:
		i := slices.Index(others, at)
		others = slices.Delete(others, i, i+1)
	case len(others) == 0:
		delete(x.rows, hash)
	default:
		x.rows[hash], others = others[0], others[1:]
	}
	if len(others) == 0 {
		delete(x.others, hash)
	} else {
		x.others[hash] = others
	}
}
