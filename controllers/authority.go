package controllers

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/controllers/rotation"
)

// authority is a CA as its Secret holds it, with the one that is to follow and the one that it followed, where there are such.
type authority struct {
	signing  *keyPair
	next     *keyPair
	previous *x509.Certificate
	record   rotationRecord
	// bundle is what clients are given of a provided CA; Kubemint's own follows from the certificates.
	bundle []byte
}

// rotationRecord is what is remembered of a certificate's rotation beside the certificates.
type rotationRecord struct {
	// Prepared and Switched are of a CA: see rotation.Authority.
	Prepared time.Time `json:"prepared,omitzero"`
	Switched time.Time `json:"switched,omitzero"`
	// Followed is the last value of the annotation that asks for a rotation that was followed.
	Followed string `json:"followed,omitempty"`
}

// parseRecord reads what is remembered; nothing, if it is spoilt.
func parseRecord(stored []byte) (record rotationRecord) {
	if json.Unmarshal(stored, &record) != nil {
		return rotationRecord{}
	}
	return record
}

// put puts the record into the data of a Secret.
func (r rotationRecord) put(data map[string][]byte) error {
	if r == (rotationRecord{}) {
		delete(data, v1alpha1.RotationKey)
		return nil
	}
	stored, err := json.Marshal(r)
	data[v1alpha1.RotationKey] = stored
	return err
}

// readAuthority reads a CA from the data of its Secret. Only what signs must be there and be good: what is beside it can be made again.
func readAuthority(data map[string][]byte, now time.Time) (*authority, error) {
	signing, err := parseAuthority(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, err
	}
	ca := &authority{signing: signing}
	if ca.provided() {
		ca.bundle = data[v1alpha1.CACertificateKey]
		if !holds(ca.bundle, signing.cert) {
			ca.bundle = data[corev1.TLSCertKey]
		}
		return ca, nil
	}
	ca.record = parseRecord(data[v1alpha1.RotationKey])
	next, err := parseAuthority(data[v1alpha1.NextCertificateKey], data[v1alpha1.NextPrivateKeyKey])
	if err == nil && selfMade(next.cert) && now.Before(next.cert.NotAfter) {
		ca.next = next
	}
	if previous := parseCertificate(data[v1alpha1.PreviousCertificateKey]); previous != nil && previous.IsCA {
		ca.previous = previous
	}
	// Of what came without its time, nothing is known but that it is there now.
	if ca.next != nil && ca.record.Prepared.IsZero() {
		ca.record.Prepared = whole(now)
	}
	if ca.previous != nil && ca.record.Switched.IsZero() {
		ca.record.Switched = whole(now)
	}
	return ca, nil
}

// holds reports whether a bundle, PEM, holds a certificate.
func holds(bundle []byte, cert *x509.Certificate) bool {
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if bytes.Equal(block.Bytes, cert.Raw) {
			return true
		}
	}
	return false
}

func whole(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// provided reports whether somebody else made the CA.
func (a *authority) provided() bool { return !selfMade(a.signing.cert) }

// state is what the decision on the CA goes by.
func (a *authority) state() rotation.Authority {
	state := rotation.Authority{
		Signing: a.signing.cert, Previous: a.previous, Provided: a.provided(),
		Prepared: a.record.Prepared, Switched: a.record.Switched, Followed: a.record.Followed,
	}
	if a.next != nil {
		state.Next = a.next.cert
	}
	return state
}

// follow takes the steps of a decision.
func (a *authority) follow(decision rotation.AuthorityDecision, asked string, now time.Time, lifetime time.Duration) error {
	if decision.Drop {
		a.previous = nil
	}
	if decision.Switch {
		a.signing, a.next, a.previous = a.next, nil, a.signing.cert
		a.record.Prepared, a.record.Switched = time.Time{}, whole(now)
	}
	if decision.Prepare {
		next, err := newAuthority(now, lifetime)
		if err != nil {
			return err
		}
		a.next, a.record.Prepared = next, whole(now)
	}
	if decision.Follow {
		a.record.Followed = asked
	}
	return nil
}

// trusted returns what clients are given: every CA that signs, is to, or did until lately.
func (a *authority) trusted() []byte {
	if a.bundle != nil {
		return a.bundle
	}
	bundle := a.signing.certPEM()
	if a.next != nil {
		bundle = append(bundle, a.next.certPEM()...)
	}
	if a.previous != nil {
		bundle = append(bundle, certPEM(a.previous)...)
	}
	return bundle
}

// put puts the CA into the data of its Secret, and returns the names of what changed. What somebody provided stays as it was written.
func (a *authority) put(data map[string][]byte) (changed []string, err error) {
	before := maps.Clone(data)
	if !a.provided() {
		if data[corev1.TLSPrivateKeyKey], err = a.signing.keyPEM(); err != nil {
			return nil, err
		}
		data[corev1.TLSCertKey] = a.signing.certPEM()
	}
	data[v1alpha1.CACertificateKey] = a.trusted()
	for _, key := range []string{v1alpha1.NextCertificateKey, v1alpha1.NextPrivateKeyKey, v1alpha1.PreviousCertificateKey} {
		delete(data, key)
	}
	if a.next != nil {
		if data[v1alpha1.NextPrivateKeyKey], err = a.next.keyPEM(); err != nil {
			return nil, err
		}
		data[v1alpha1.NextCertificateKey] = a.next.certPEM()
	}
	if a.previous != nil {
		data[v1alpha1.PreviousCertificateKey] = certPEM(a.previous)
	}
	if err := a.record.put(data); err != nil {
		return nil, err
	}
	return differences(before, data), nil
}

// differences returns the keys, sorted, under which two Secrets' data differ.
func differences(a, b map[string][]byte) (keys []string) {
	for key, value := range b {
		if before, there := a[key]; !there || !bytes.Equal(before, value) {
			keys = append(keys, key)
		}
	}
	for key := range a {
		if _, there := b[key]; !there {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
