// Package simulation runs the real controllers and token servers, on a real API server and real HTTPS, through months that pass in
// seconds.
package simulation_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/controllers"
	"github.com/kubemint/kubemint/hack/clustertest"
	"github.com/kubemint/kubemint/hack/localcluster"
)

var (
	months = flag.Int("months", 2, "how many months of 30 days to simulate")
	step   = flag.Duration("step", 10*time.Minute, "time between two requests while nothing changes; make simulation takes 1s")
	seed   = flag.Uint64("seed", 1, "what chance goes by")
)

const (
	namespace, clientName = "simulation", "worker"

	host   = "kubemint.test"
	issuer = "https://" + host

	day = 24 * time.Hour

	// Everything rotates about once a month, and what it overlaps with is longer than the life of a pod that reads once.
	secretInterval, overlap = 30 * day, 14 * day
	keyInterval             = 30 * day
	podLife                 = 7 * day

	// A pod's kubelet brings it a changed Secret after at most maxDelay, and so long after each change every second is looked at.
	minDelay, maxDelay = 20 * time.Second, 2 * time.Minute
	// cutOff is how long a replica may be behind without being noticed: less than a pod is.
	cutOff = 15 * time.Second

	patience = 30 * time.Second
)

var lifetimes = controllers.CertificateLifetimes{Authority: 60 * day, Serving: 12 * day, Lead: 10 * day}

var scheme = runtime.NewScheme()

// world is everything, and what was seen of it.
type world struct {
	*testing.T
	clock    clock
	chance   *rand.Rand
	cluster  *localcluster.Cluster
	admin    client.Client
	leader   *leader
	replicas []*replica

	// secrets are what the client's Secret was, and since when.
	secrets []seen
	// follower is a pod that sees each change after a while; reader one that reads when it starts.
	follower, reader pod
	verifier         verifier
	// unexpired are the keys by which tokens verify that are still valid, by kid, and until when.
	unexpired map[string]inUse

	requests, rotations map[string]int
	asked               int
}

type seen struct {
	at   time.Time
	data map[string][]byte
}

type inUse struct {
	key   *ecdsa.PublicKey
	until time.Time
}

// pod is a program with a credential, as it last read it.
type pod struct {
	name   string
	data   map[string][]byte
	caller *caller
}

func TestMonths(t *testing.T) {
	w := newWorld(t)
	w.begin()
	end := w.clock.Now().Add(time.Duration(*months) * 30 * day)
	nextHour, nextTrouble, fineUntil := w.clock.Now(), w.clock.Now().Add(day), w.clock.Now().Add(maxDelay)
	podStarts := w.clock.Now().Add(podLife)
	for w.clock.Now().Before(end) {
		if due := w.leader.due(); !w.clock.Now().Before(due) && w.change() {
			fineUntil = w.clock.Now().Add(maxDelay + time.Minute)
		}
		if w.clock.Now().Before(fineUntil) {
			w.askAll()
		} else {
			w.askOften()
		}
		switch now := w.clock.Now(); {
		case !now.Before(nextHour):
			nextHour = now.Add(time.Hour)
			for _, r := range w.replicas {
				r.TellUses(t.Context())
			}
		case !now.Before(nextTrouble):
			nextTrouble = now.Add(time.Duration(1+w.chance.IntN(8*24)) * time.Hour)
			w.trouble()
		case !now.Before(podStarts):
			podStarts = now.Add(podLife)
			w.reader.reads(w.secrets[len(w.secrets)-1].data, w.clock.Now)
		}
		pause := *step
		if w.clock.Now().Before(fineUntil) {
			pause = time.Second
		} else if next := w.leader.due().Sub(w.clock.Now()); next > 0 && next < pause {
			pause = max(next, time.Second)
		}
		w.clock.advance(pause)
		if t.Failed() {
			t.Fatalf("at %v", w.clock.Now())
		}
	}
	t.Logf("%d months of 30 days, one request of each pod every %v and every second after a change: requests %v, changes %v", *months, *step, w.requests, w.rotations)
	// 30 days less up to a tenth make a month; a CA lasts 30 days until the next one is prepared.
	for what, want := range map[string]int{"client_secret": *months - 1, "ring.json": 3 * (*months - 1), "ca.crt": 2 * (*months - 1), "tls.crt": 2 * *months} {
		if w.rotations[what] < want {
			t.Errorf("%s changed %d times, want at least %d", what, w.rotations[what], want)
		}
	}
}

func newWorld(t *testing.T) *world {
	ctrl.SetLogger(logr.Discard())
	w := &world{T: t, chance: rand.New(rand.NewPCG(*seed, 0)), unexpired: map[string]inUse{}, requests: map[string]int{}, rotations: map[string]int{}}
	must(t, clientgoscheme.AddToScheme(scheme))
	must(t, v1alpha1.AddToScheme(scheme))
	var err error
	w.cluster, err = localcluster.Start(t.Context(), localcluster.Options{CRDs: []string{"../../../config/crd/bases"}})
	must(t, err)
	t.Cleanup(func() { _ = w.cluster.Stop() })
	w.admin, err = client.New(w.cluster.Config(), client.Options{Scheme: scheme})
	must(t, err)
	return w
}

// begin installs everything: two replicas, the controllers, one client and its two pods.
func (w *world) begin() {
	w.clock.set(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	must(w.T, w.admin.Create(w.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	c := &v1alpha1.OAuthClient{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: clientName}}
	c.Spec.Scopes = []v1alpha1.Scope{"read"}
	c.Spec.Authentication.ClientSecret.Rotation = v1alpha1.RotationSpec{
		Interval: &metav1.Duration{Duration: secretInterval}, Overlap: metav1.Duration{Duration: overlap}}
	must(w.T, w.admin.Create(w.Context(), c))
	w.leader = startLeader(w.T, w.cluster.Config(), w.clock.Now)
	for range 2 {
		w.replicas = append(w.replicas, startReplica(w.T, w.cluster.Config(), w.clock.Now))
	}
	w.leader.turn(w.T)
	w.settle()
	w.follower, w.reader = pod{name: "follower"}, pod{name: "reader"}
	for _, p := range []*pod{&w.follower, &w.reader} {
		p.reads(w.secrets[0].data, w.clock.Now)
	}
}

// change has the controllers do what is due, and reports whether that was anything. Sometimes a replica learns of it late.
func (w *world) change() bool {
	before := w.stored()
	if w.chance.IntN(2) == 0 {
		w.replicas[w.chance.IntN(len(w.replicas))].wire.cut()
	}
	w.leader.turn(w.T)
	if maps.Equal(before, w.stored()) {
		w.rejoin()
		return false
	}
	w.settle()
	for until := w.clock.Now().Add(cutOff); w.clock.Now().Before(until); w.clock.advance(time.Second) {
		w.askAll()
	}
	w.rejoin()
	w.settle()
	return true
}

func (w *world) rejoin() {
	for _, r := range w.replicas {
		r.wire.join()
	}
}

// stored returns the versions of all Secrets.
func (w *world) stored() map[string]string {
	var list corev1.SecretList
	must(w.T, w.admin.List(w.Context(), &list, client.InNamespace(namespace)))
	versions := map[string]string{}
	for i := range list.Items {
		versions[list.Items[i].Name] = list.Items[i].ResourceVersion
	}
	return versions
}

// settle waits until everybody who is not cut off has seen what there is. The clock stands still, as all this takes milliseconds.
func (w *world) settle() {
	var own, ca, keys, cert *corev1.Secret
	await(w.T, "all to see what there is", func() error {
		own, ca = w.get(clientName), w.get(v1alpha1.CertificateAuthoritySecretName)
		keys, cert = w.get(v1alpha1.SigningKeysSecretName), w.get(v1alpha1.ServingCertificateSecretName)
		if own == nil || ca == nil || keys == nil || cert == nil {
			return fmt.Errorf("a Secret is missing")
		}
		if string(own.Data["ca.crt"]) != string(ca.Data[v1alpha1.CACertificateKey]) {
			return fmt.Errorf("the client's Secret has another CA")
		}
		for i, r := range w.replicas {
			if err := w.sees(r, own, keys, cert); err != nil && !r.wire.isCut() {
				return fmt.Errorf("replica %d: %w", i, err)
			}
		}
		return nil
	})
	w.note(own, ca, keys, cert)
}

func (w *world) get(name string) *corev1.Secret {
	var secret corev1.Secret
	if err := w.admin.Get(w.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &secret); err != nil {
		must(w.T, client.IgnoreNotFound(err))
		return nil
	}
	return &secret
}

// sees reports what a replica has not seen yet.
func (w *world) sees(r *replica, own, keys, cert *corev1.Secret) error {
	if !r.Ready() || !r.HasCertificate() {
		return fmt.Errorf("it is not ready")
	}
	served, err := r.GetCertificate(nil)
	if err != nil {
		return err
	}
	stored, err := tls.X509KeyPair(cert.Data["tls.crt"], cert.Data["tls.key"])
	if err != nil || !slices.Equal(served.Certificate[0], stored.Certificate[0]) {
		return fmt.Errorf("it serves another certificate (%v)", err)
	}
	set, err := parseKeySet(r.Ring().JWKS())
	if err != nil {
		return err
	}
	for kid := range set {
		if !strings.Contains(string(keys.Data[v1alpha1.SigningKeysKey]), kid) {
			return fmt.Errorf("it has key %s", kid)
		}
	}
	if got, want := len(set), strings.Count(string(keys.Data[v1alpha1.SigningKeysKey]), `"kid"`); got != want {
		return fmt.Errorf("it has %d keys of %d", got, want)
	}
	c := newCaller(own.Data["ca.crt"], w.clock.Now)
	defer c.close()
	_, err = c.to(r, true).token(string(own.Data["client_id"]), string(own.Data["client_secret"]))
	return err
}

// note counts what changed, and keeps what pods will read of it.
func (w *world) note(own, ca, keys, cert *corev1.Secret) {
	now := map[string][]byte{"client_secret": own.Data["client_secret"], "ca.crt": ca.Data["ca.crt"], "ring.json": keys.Data["ring.json"], "tls.crt": cert.Data["tls.crt"]}
	if len(w.secrets) > 0 {
		before := w.secrets[len(w.secrets)-1].data
		for name, value := range now {
			if string(before[".."+name]) != string(value) {
				w.rotations[name]++
			}
		}
	}
	data := maps.Clone(own.Data)
	for name, value := range now {
		data[".."+name] = value
	}
	w.secrets = append(w.secrets, seen{w.clock.Now(), data})
}

// askOften has the pod that follows changes ask a replica for a token, and a resource server verify it. Now and then, all else is looked at too.
func (w *world) askOften() {
	if w.asked++; w.asked%10 == 0 || *step > time.Second {
		w.askAll()
		return
	}
	w.ask(&w.follower, w.replicas[w.chance.IntN(len(w.replicas))])
}

// askAll has both pods ask a replica each for a token, a resource server verify them, and every key set looked at.
func (w *world) askAll() {
	w.follower.follows(w.secrets, w.clock.Now().Add(-minDelay-time.Duration(w.chance.Int64N(int64(maxDelay-minDelay)))), w.clock.Now)
	for _, p := range []*pod{&w.follower, &w.reader} {
		w.ask(p, w.replicas[w.chance.IntN(len(w.replicas))])
	}
	for i, r := range w.replicas {
		set, err := w.follower.caller.to(r, false).keySet()
		must(w.T, err)
		for kid, used := range w.unexpired {
			if !w.clock.Now().Before(used.until) {
				delete(w.unexpired, kid)
			} else if !used.key.Equal(set[kid]) {
				w.Errorf("an unexpired token does not verify with the key set of replica %d: it lacks %s", i, kid)
			}
		}
	}
}

func (w *world) ask(p *pod, r *replica) {
	w.requests[p.name]++
	token, err := p.caller.to(r, w.chance.IntN(8) == 0).token(string(p.data["client_id"]), string(p.data["client_secret"]))
	if err != nil {
		w.Errorf("the %s is refused: %v", p.name, err)
		return
	}
	kid, expires, err := w.verifier.verify(token, w.clock.Now, func() (keySet, error) {
		return p.caller.to(w.replicas[w.chance.IntN(len(w.replicas))], false).keySet()
	})
	if err != nil {
		w.Errorf("the resource server refuses a token: %v", err)
		return
	}
	w.unexpired[kid] = inUse{w.verifier.keys[kid], expires}
}

// follows has the pod see its Secret as it was at a time.
func (p *pod) follows(secrets []seen, at time.Time, now func() time.Time) {
	for _, s := range slices.Backward(secrets) {
		if !s.at.After(at) {
			// A kubelet does not go back to what a Secret was before.
			if index := slices.IndexFunc(secrets, func(other seen) bool { return sameSecret(other.data, p.data) }); index < 0 || secrets[index].at.Before(s.at) {
				p.reads(s.data, now)
			}
			return
		}
	}
}

func sameSecret(a, b map[string][]byte) bool {
	return maps.EqualFunc(a, b, func(x, y []byte) bool { return string(x) == string(y) })
}

func (p *pod) reads(data map[string][]byte, now func() time.Time) {
	p.data = data
	if p.caller == nil || string(p.caller.bundle) != string(data["ca.crt"]) {
		if p.caller != nil {
			p.caller.close()
		}
		p.caller = newCaller(data["ca.crt"], now)
	}
}

// trouble restarts something.
func (w *world) trouble() {
	switch w.chance.IntN(2) {
	case 0:
		i := w.chance.IntN(len(w.replicas))
		w.replicas[i].stop()
		w.replicas[i] = startReplica(w.T, w.cluster.Config(), w.clock.Now)
	case 1:
		w.leader.stop()
		w.leader = startLeader(w.T, w.cluster.Config(), w.clock.Now)
	}
	w.settle()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, what string, condition func() error) {
	t.Helper()
	clustertest.Await(t, patience, what, condition)
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(m.Run())
}
