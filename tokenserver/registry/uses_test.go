package registry

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// rotated returns a Secret as the cache holds it, that went from one client secret to another.
func rotated(owner *v1alpha1.OAuthClient, from, to string, overlap time.Duration) *corev1.Secret {
	s := secret("billing", "s", owner, to)
	s.Annotations = map[string]string{v1alpha1.AnnotationCredentials: credential.Record{
		Present:  credential.Version{Number: 2, Digest: credential.DigestOf(to), Created: noon},
		Previous: []credential.Version{{Number: 1, Digest: credential.DigestOf(from), Created: noon.Add(-time.Hour), Replaced: noon, Expires: noon.Add(overlap)}},
	}.String()}
	return s
}

// Before, while and after a rotation is seen, both its secrets prove the client; the old one until its overlap has passed.
func TestRotationProves(t *testing.T) {
	worker, from, to := oauthClient("worker", "uid-1", "read"), credential.Generate(), credential.Generate()
	c := newClients(consent.Policy{}, newResourceServers())
	c.set(worker)
	before := secret("billing", "s", worker, from)
	c.setSecret(before)
	if !c.proves("billing.worker", from) {
		t.Error("before, it does not prove")
	}
	c.setSecret(rotated(worker, from, to, time.Hour))
	if !c.proves("billing.worker", from) || !c.proves("billing.worker", to) || len(c.get("billing.worker").Credentials) != 2 {
		t.Error("one of the two does not prove")
	}
	c.setSecret(rotated(worker, from, to, 0))
	if c.proves("billing.worker", from) || !c.proves("billing.worker", to) {
		t.Error("the overlap does not end")
	}
	spoilt := rotated(worker, from, to, time.Hour)
	spoilt.Annotations[v1alpha1.AnnotationCredentials] += "}"
	c.setSecret(spoilt)
	if c.proves("billing.worker", from) || !c.proves("billing.worker", to) {
		t.Error("a spoilt record counts, or keeps the Secret's own value from counting")
	}
	// What it held when somebody overwrote it is still known by its record.
	spoilt = rotated(worker, from, to, time.Hour)
	spoilt.Data = credential.SealData(map[string][]byte{"any_key": []byte("hunter2")})
	c.setSecret(spoilt)
	if !c.proves("billing.worker", to) {
		t.Error("a spoilt value refuses those who have the right one")
	}
	c.deleteSecret(spoilt)
	if c.proves("billing.worker", from) || c.proves("billing.worker", to) {
		t.Error("a deleted Secret proves")
	}
}

// The use of a client secret outlives whatever happens to the objects that it stands in.
func TestUseIsKept(t *testing.T) {
	worker, from, to := oauthClient("worker", "uid-1", "read"), credential.Generate(), credential.Generate()
	c := newClients(consent.Policy{}, newResourceServers())
	c.setSecret(rotated(worker, from, to, time.Hour))
	c.set(worker)
	credential.Match(from, c.get("billing.worker").Credentials, noon).Use.Mark(noon)
	lastUse := func() (last int64) {
		return credential.Match(from, c.get("billing.worker").Credentials, noon).Use.Last()
	}
	c.set(worker)
	c.setSecret(rotated(worker, from, to, 2*time.Hour))
	renamed := rotated(worker, from, to, time.Hour)
	renamed.Name = "renamed"
	c.setSecret(renamed)
	c.deleteSecret(rotated(worker, from, to, time.Hour))
	if lastUse() != noon.Unix() {
		t.Errorf("the last use is %d", lastUse())
	}
}

// A status is written once an hour at most, whoever saw the client, and never without a request.
func TestNoteUses(t *testing.T) {
	at := func(minute int) *metav1.Time {
		return &metav1.Time{Time: noon.Add(time.Duration(minute) * time.Minute)}
	}
	never := (*metav1.Time)(nil)
	for name, test := range map[string]struct {
		told [2]*metav1.Time // of versions 2 and 1
		uses [2]*metav1.Time
		want [2]*metav1.Time
		due  bool
	}{
		"never used":                         {due: false},
		"first use":                          {uses: [2]*metav1.Time{at(0)}, want: [2]*metav1.Time{at(0)}, due: true},
		"again, not yet an hour later":       {told: [2]*metav1.Time{at(0)}, uses: [2]*metav1.Time{at(59)}, want: [2]*metav1.Time{at(0)}},
		"again, an hour later":               {told: [2]*metav1.Time{at(0)}, uses: [2]*metav1.Time{at(60)}, want: [2]*metav1.Time{at(60)}, due: true},
		"told by another replica":            {told: [2]*metav1.Time{at(60)}, uses: [2]*metav1.Time{at(60)}, want: [2]*metav1.Time{at(60)}},
		"another replica saw it later":       {told: [2]*metav1.Time{at(200)}, uses: [2]*metav1.Time{at(60)}, want: [2]*metav1.Time{at(200)}},
		"two versions, one write":            {told: [2]*metav1.Time{never, at(0)}, uses: [2]*metav1.Time{at(70), at(59)}, want: [2]*metav1.Time{at(70), at(59)}, due: true},
		"a new version, told within an hour": {told: [2]*metav1.Time{never, at(0)}, uses: [2]*metav1.Time{at(10), never}, want: [2]*metav1.Time{never, at(0)}},
	} {
		t.Run(name, func(t *testing.T) {
			status := make([]*metav1.Time, 2)
			var tells []toldUse
			var uses []versionUse
			for i, version := range []int64{2, 1} {
				status[i] = test.told[i]
				tells = append(tells, toldUse{version, &status[i]})
				uses = append(uses, versionUse{version, new(credential.Use)})
				if test.uses[i] != nil {
					uses[i].Mark(test.uses[i].Time)
				}
			}
			if got := noteUses(tells, uses, time.Hour); got != test.due {
				t.Errorf("a write: %t", got)
			}
			if !slices.EqualFunc(status, test.want[:], (*metav1.Time).Equal) {
				t.Errorf("status %+v", status)
			}
			noteTold(tells, uses)
			if test.due && noteUses(tells, uses, time.Hour) {
				t.Error("and once more")
			}
		})
	}
}

// Of many that are due together no more are told at a time than there must be so that all have their turn in time.
func TestUntoldUsesByTurns(t *testing.T) {
	for _, test := range []struct{ clients, turn int }{{4, 4}, {30, 5}, {10_800, 5}, {43_200, 20}} {
		c := newClients(consent.Policy{}, newResourceServers())
		for i := range test.clients {
			owner := oauthClient(fmt.Sprintf("asks-%d", i), types.UID(strconv.Itoa(i)), "read")
			c.set(owner)
			s := secret("billing", owner.Name, owner, "value")
			s.Annotations = map[string]string{v1alpha1.AnnotationCredentials: credential.Record{
				Present: credential.Version{Number: 1, Digest: credential.DigestOf("value"), Created: noon}}.String()}
			c.setSecret(s)
			c.get("billing." + owner.Name).Credentials[0].Use.Mark(noon)
		}
		if got := c.withUntoldUses()[otherwise]; len(got) != test.turn {
			t.Errorf("%d of %d at a time, want %d", len(got), test.clients, test.turn)
		}
	}
}

func TestWithUntoldUses(t *testing.T) {
	c := newClients(consent.Policy{}, newResourceServers())
	for _, name := range []string{"asks", "quiet"} {
		owner := oauthClient(name, "1", "read")
		c.set(owner)
		s := rotated(owner, credential.Generate(), credential.Generate(), time.Hour)
		s.Name = name
		c.setSecret(s)
	}
	if got := c.withUntoldUses(); len(got) != 0 {
		t.Errorf("nobody has asked yet: %v", got)
	}
	asks := c.get("billing.asks")
	credentials := asks.Credentials
	credentials[1].Use.Mark(noon)
	if got := c.withUntoldUses()[whileRotating]; len(got) != 1 || got[0].Name != "asks" {
		t.Errorf("%v", got)
	}
	noteAllTold(&v1alpha1.OAuthClientStatus{Credentials: []v1alpha1.CredentialStatus{{Version: 1, LastUsed: &metav1.Time{Time: noon}}}}, asks)
	if got := c.withUntoldUses(); len(got) != 0 {
		t.Errorf("it was told: %v", got)
	}
	// While an earlier version is valid, the next time is an hour later; otherwise a day.
	credentials[1].Use.Mark(noon.Add(time.Hour))
	if got := c.withUntoldUses()[whileRotating]; len(got) != 1 {
		t.Errorf("%v", got)
	}
	alone := secret("billing", "asks", oauthClient("asks", "1", "read"), credential.Generate())
	record := credential.Record{Present: credential.Version{Number: 2, Digest: credentials[0].Digest, Created: noon}}
	alone.Annotations = map[string]string{v1alpha1.AnnotationCredentials: record.String()}
	alone.Data = nil
	c.setSecret(alone)
	credentials = c.get("billing.asks").Credentials
	credentials[0].Use.Mark(noon)
	credentials[0].Use.Told.Store(noon.Unix())
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{time.Hour, 0}, {24*time.Hour - time.Second, 0}, {24*time.Hour + time.Minute, 1}} {
		credentials[0].Use.Mark(noon.Add(step.after))
		if got := c.withUntoldUses()[otherwise]; len(got) != step.want {
			t.Errorf("after %v: %v", step.after, got)
		}
	}
}

// An OAuthClient that is made anew with the client secret of the one before begins with no use.
func TestUseIsOfOneClient(t *testing.T) {
	value := credential.Generate()
	c := newClients(consent.Policy{}, newResourceServers())
	for _, uid := range []types.UID{"uid-1", "uid-2"} {
		worker := oauthClient("worker", uid, "read")
		c.set(worker)
		c.setSecret(secret("billing", "s", worker, value))
		use := credential.Match(value, c.get("billing.worker").Credentials, noon).Use
		if use.Last() != 0 {
			t.Errorf("%s was used before", uid)
		}
		use.Mark(noon)
	}
}
