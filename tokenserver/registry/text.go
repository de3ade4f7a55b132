package registry

import (
	"encoding/binary"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/scope"
)

// texts write what is known of a client into one text, and read it. It never leaves the process, so that it has no version, and
// nothing is wrong in it. In this order it holds:
//
//	the client identifier
//	whether there is a client, is suspended, and has no secret: one byte
//	of the client: its UID, its revision, and its accesses
//	the Secrets: name, UID of the owner unless it is the client's, and the client secrets that each proves, with the numbers of their uses
//
// Texts and lists begin with their length. Numbers are varints.
type texts struct {
	// audience is the one that is not written each time.
	audience string
	// buffer is what texts are written into first.
	buffer writer
}

// The bits of the byte that says of a client whether it is there.
const (
	registered = 1 << iota
	suspended
	secretless
)

// The bits of a byte that begins an access. What is alike is written once, and read into one string.
const (
	atIssuer = 1 << iota
	byDefault
	usualAudience
	listedIsGranted
	defaultIsGranted
)

// format returns the text of what is known, until the next one is written.
func (t *texts) format(k known) []byte {
	w := t.buffer[:0]
	w.text(k.id)
	t.writeClient(&w, k.client)
	w.length(len(k.secrets))
	for _, s := range k.secrets {
		w.text(s.name)
		w.owner(s.owner, k.client)
		w.length(len(s.accepted))
		for i, a := range s.accepted {
			w = append(w, a.Digest[:]...)
			w.integer(a.Version)
			w.integer(a.Expires)
			w.number(uint64(s.slots[i]))
		}
	}
	t.buffer = w
	return w
}

func (t *texts) writeClient(w *writer, client *grant.Client) {
	if client == nil {
		*w = append(*w, 0)
		return
	}
	*w = append(*w, registered|flag(suspended, client.Suspended)|flag(secretless, client.Secretless))
	w.text(client.UID)
	w.number(client.Revision)
	w.length(len(client.Accesses))
	for i := range client.Accesses {
		t.writeAccess(w, &client.Accesses[i])
	}
}

func (t *texts) writeAccess(w *writer, a *scope.Access) {
	flags := flag(atIssuer, a.AtIssuer) | flag(byDefault, a.ByDefault) | flag(usualAudience, a.Audience == t.audience) |
		flag(listedIsGranted, a.Listed == a.Granted) | flag(defaultIsGranted, a.Default == a.Granted)
	*w = append(*w, flags)
	w.text(a.Granted.String())
	if flags&usualAudience == 0 {
		w.text(a.Audience)
	}
	if flags&listedIsGranted == 0 {
		w.text(a.Listed.String())
	}
	if flags&defaultIsGranted == 0 {
		w.text(a.Default.String())
	}
	w.integer(int64(a.Lifetime))
	w.length(len(a.Claims))
	for name, value := range a.Claims {
		w.text(name)
		w.text(value)
	}
}

// idOf returns the client identifier in a text.
func idOf(text string) string {
	r := reader{whole: text}
	return r.text()
}

// splitID returns the namespace and the name that a client identifier is made of.
func splitID(id string) (namespace, name string) {
	namespace, name, _ = strings.Cut(id, ".") // A namespace has no dot.
	return namespace, name
}

// parse returns what is known by the text that begins here, and its length.
func (t *texts) parse(text string) (k known, length int) {
	r := reader{whole: text}
	k.id = r.text()
	if e := t.readClient(&r, k.id); e != nil {
		k.client = &e.Client
	}
	k.secrets = make([]held, r.length())
	for i := range k.secrets {
		s := &k.secrets[i]
		s.name, s.owner = r.text(), r.owner(k.client)
		count := r.length()
		s.accepted, s.slots = make([]credential.Accepted, count), make([]uint32, count)
		for j := range s.accepted {
			s.accepted[j], s.slots[j] = readAccepted(&r)
		}
	}
	return k, r.at
}

// entry returns the entry of the client in the text that begins here, or nil. Its credentials are those in its own Secrets: those that its UID owns, not
// an OAuthClient that had its name before.
func (t *texts) entry(text string, uses *slots) *grant.Client {
	r := reader{whole: text}
	e := t.readClient(&r, r.text())
	if e == nil {
		return nil
	}
	e.Credentials = e.credentials[:0]
	for range r.length() {
		_, owner := r.text(), r.owner(&e.Client)
		for range r.length() {
			accepted, slot := readAccepted(&r)
			if string(owner) == e.UID && !e.Secretless {
				accepted.Use = uses.use(slot)
				e.Credentials = append(e.Credentials, accepted)
			}
		}
	}
	return &e.Client
}

// entry is a client in one piece of memory, where it has no more than one access and one client secret, as nearly all have.
type entry struct {
	grant.Client
	accesses    [1]scope.Access
	credentials [1]credential.Accepted
}

// readClient reads a client, or nil.
func (t *texts) readClient(r *reader, id string) *entry {
	flags := r.byte()
	if flags&registered == 0 {
		return nil
	}
	e := &entry{}
	e.ID = id
	e.Namespace, e.Name = splitID(id)
	e.Suspended, e.Secretless = flags&suspended != 0, flags&secretless != 0
	e.UID = r.text()
	e.Revision = r.number()
	e.Accesses = e.accesses[:0]
	for range r.length() {
		e.Accesses = append(e.Accesses, scope.Access{})
		t.readAccess(r, &e.Accesses[len(e.Accesses)-1])
	}
	return e
}

func (t *texts) readAccess(r *reader, a *scope.Access) {
	flags := r.byte()
	a.AtIssuer, a.ByDefault = flags&atIssuer != 0, flags&byDefault != 0
	a.Granted = scope.SetOf(r.text())
	a.Audience, a.Listed, a.Default = t.audience, a.Granted, a.Granted
	if flags&usualAudience == 0 {
		a.Audience = r.text()
	}
	if flags&listedIsGranted == 0 {
		a.Listed = scope.SetOf(r.text())
	}
	if flags&defaultIsGranted == 0 {
		a.Default = scope.SetOf(r.text())
	}
	a.Lifetime = time.Duration(r.integer())
	if count := r.length(); count > 0 {
		a.Claims = make(map[string]string, count)
		for range count {
			name := r.text()
			a.Claims[name] = r.text()
		}
	}
}

// readAccepted reads a client secret, and the number of its use.
func readAccepted(r *reader) (a credential.Accepted, slot uint32) {
	copy(a.Digest[:], r.bytes(len(a.Digest)))
	a.Version, a.Expires = r.integer(), r.integer()
	return a, uint32(r.number()) //nolint:gosec // The writer had it from an uint32.
}

// owner writes whose a Secret is: in one byte where that is the client's, as nearly all are.
func (w *writer) owner(uid types.UID, client *grant.Client) {
	if client != nil && client.UID == string(uid) {
		*w = append(*w, ofClient)
		return
	}
	*w = append(*w, 0)
	w.text(string(uid))
}

func (r *reader) owner(client *grant.Client) types.UID {
	if r.byte() == ofClient {
		return types.UID(client.UID)
	}
	return types.UID(r.text())
}

// ofClient is the byte in place of a Secret's owner where that is the client itself.
const ofClient = 1

// flag returns a bit if it is set.
func flag(bit byte, set bool) byte {
	if set {
		return bit
	}
	return 0
}

// writer is a text that grows.
type writer []byte

func (w *writer) text(s string) {
	w.length(len(s))
	*w = append(*w, s...)
}

func (w *writer) length(n int) { w.number(uint64(n)) } //nolint:gosec // It is not negative.

func (w *writer) integer(n int64) { w.number(uint64(n)) } //nolint:gosec // The reader turns it back.

func (w *writer) number(n uint64) { *w = binary.AppendUvarint(*w, n) }

// reader reads a text from the beginning. What it returns are parts of the text, not copies.
type reader struct {
	whole string
	at    int
}

func (r *reader) text() string { return r.bytes(r.length()) }

func (r *reader) length() int { return int(r.number()) } //nolint:gosec // The writer had it from an int.

func (r *reader) integer() int64 { return int64(r.number()) } //nolint:gosec // The writer had it from an int64.

func (r *reader) bytes(length int) string {
	from := r.at
	r.at += length
	return r.whole[from:r.at]
}

func (r *reader) byte() byte {
	r.at++
	return r.whole[r.at-1]
}

// number reads what binary.AppendUvarint wrote.
func (r *reader) number() (n uint64) {
	for shift := 0; ; shift += 7 {
		b := r.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
}
