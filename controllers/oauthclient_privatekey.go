package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/controllers/rotation"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// keyOutcome is what became of the private key that Kubemint makes for an OAuthClient.
type keyOutcome struct {
	// decision is what was decided; without Secret where the cache showed that nothing was to be done.
	decision rotation.Secret
	use      rotation.SecretUse
	// known is whether there was a record of it before.
	known bool
}

// generatedKey returns how the private key is made that an OAuthClient asks for, or nil.
func generatedKey(c *v1alpha1.OAuthClient) *v1alpha1.GeneratedKeySpec {
	if own := c.Spec.Authentication.PrivateKeyJWT; own != nil {
		return own.Generated
	}
	return nil
}

// keyPolicy returns how an OAuthClient's private key is to change over time.
func keyPolicy(c *v1alpha1.OAuthClient) rotation.SecretPolicy {
	// Another seed than the client secret's, so that the two need not rotate in one moment.
	return policyOf(c, generatedKey(c).Rotation, string(c.UID)+"/key")
}

// decideKey says which private key an OAuthClient's Secrets are to hold, from those that they hold; nil where it asks for none. The Secret
// is to be written with it.
func (r *OAuthClientReconciler) decideKey(ctx context.Context, c *v1alpha1.OAuthClient, desired *desiredSecret, held ...corev1.Secret) (*keyOutcome, error) {
	if desired.privateKey == nil {
		return nil, nil
	}
	record := recordAt(v1alpha1.AnnotationPrivateKeys, held...)
	use, err := r.keyUse(ctx, c, record)
	if err != nil {
		return nil, err
	}
	decision := rotation.PrivateKey(privateKeyIn(desired.privateKey, held...), record, nextKeyVersion(c), keyPolicy(c), use, r.Now())
	if decision.Why != "" {
		if use, err = r.keyUse(ctx, c, &decision.Record); err != nil { // The one that was just replaced is held too.
			return nil, err
		}
	}
	desired.putKey(decision)
	return &keyOutcome{decision: decision, use: use, known: record != nil}, nil
}

// cachedKey says of a Secret from the cache whether its private key is as it should be and not due to change.
func (r *OAuthClientReconciler) cachedKey(ctx context.Context, c *v1alpha1.OAuthClient, desired *desiredSecret, sealed *corev1.Secret) (key *keyOutcome, inSync bool, err error) {
	if desired.privateKey == nil {
		return nil, true, nil
	}
	record := desired.keyInSync(sealed)
	if record == nil {
		return nil, false, nil
	}
	use, err := r.keyUse(ctx, c, record)
	if err != nil {
		return nil, false, err
	}
	due, next := rotation.Due(*record, keyPolicy(c), use, r.Now())
	return &keyOutcome{decision: rotation.Secret{Record: *record, Next: next}, use: use, known: true}, !due, nil
}

// keyUse returns what is known of who uses which version of the private key.
func (r *OAuthClientReconciler) keyUse(ctx context.Context, c *v1alpha1.OAuthClient, record *credential.Record) (rotation.SecretUse, error) {
	last := map[int64]time.Time{}
	for _, status := range c.Status.PrivateKeys {
		if status.LastUsed != nil {
			last[status.Version] = status.LastUsed.Time
		}
	}
	return r.useOf(ctx, c.Namespace, writtenName(c), record, last)
}

// nextKeyVersion is the number of the first version of a private key of which there is no record: one that was not used before.
func nextKeyVersion(c *v1alpha1.OAuthClient) int64 {
	number := int64(1)
	for _, status := range c.Status.PrivateKeys {
		number = max(number, status.Version+1)
	}
	return number
}

// privateKeyIn returns the private key that Secrets hold, as PEM, or "": the one under its key, as PEM or JWK, before one under another.
func privateKeyIn(keys *privateKeyKeys, secrets ...corev1.Secret) string {
	usable := func(value string) bool { _, err := credential.ParsePrivateKey(value); return err == nil }
	found := valueIn(usable, keys.pem, secrets...)
	if found == "" {
		return ""
	}
	key, _ := credential.ParsePrivateKey(found)
	return key.PEM()
}

// privateKeyKeys are the keys of a Secret under which a private key stands.
type privateKeyKeys struct{ pem, jwk, id string }

func (k *privateKeyKeys) all() []string { return []string{k.pem, k.jwk, k.id} }

// putKey has the Secret hold a private key.
func (d *desiredSecret) putKey(decision rotation.Secret) {
	key, err := credential.ParsePrivateKey(decision.Secret)
	if err != nil {
		panic("controllers: a decision has no private key: " + err.Error())
	}
	d.data[d.privateKey.pem] = []byte(key.PEM())
	d.data[d.privateKey.jwk] = []byte(key.JWK())
	d.data[d.privateKey.id] = []byte(key.ID())
	d.annotations[v1alpha1.AnnotationPrivateKeys] = decision.Record.String()
}

// keyInSync returns the record of private keys of a Secret from the cache, whose values are sealed, if it holds the present one in all
// its forms; otherwise nil.
func (d *desiredSecret) keyInSync(sealed *corev1.Secret) *credential.Record {
	record := recordAt(v1alpha1.AnnotationPrivateKeys, *sealed)
	if record == nil {
		return nil
	}
	for _, key := range []string{d.privateKey.pem, d.privateKey.jwk} {
		if thumbprint, isKey := credential.UnsealPrivateKey(sealed.Data[key]); !isKey || thumbprint != record.Present.Digest {
			return nil
		}
	}
	if id := credential.Seal([]byte(record.Present.Digest.String())); string(sealed.Data[d.privateKey.id]) != string(id[:]) {
		return nil
	}
	return record
}

// privateKeysStatus reports the versions of a private key, with their last uses as far as they were known before.
func privateKeysStatus(record *credential.Record, before []v1alpha1.PrivateKeyStatus) []v1alpha1.PrivateKeyStatus {
	var status []v1alpha1.PrivateKeyStatus
	for _, version := range record.Versions() {
		entry := v1alpha1.PrivateKeyStatus{Version: version.Number, KeyID: version.Digest.String(), Created: metav1.NewTime(version.Created)}
		if !version.Expires.IsZero() {
			expires := metav1.NewTime(version.Expires)
			entry.Expires = &expires
		}
		known := slices.IndexFunc(before, func(b v1alpha1.PrivateKeyStatus) bool { return b.KeyID == entry.KeyID })
		if known >= 0 {
			entry.LastUsed = before[known].LastUsed
		}
		status = append(status, entry)
	}
	return status
}

// tellKey adds to what was done to a Secret what was done to its private key.
func (o *outcome) tellKey() {
	if o.key == nil || o.key.decision.Secret == "" {
		return
	}
	event, message := rotationTold("private key", o.key.decision, o.key.known)
	switch {
	case event == "":
	case o.event == "" || o.event == v1alpha1.EventSecretUpdated:
		o.event, o.message = event, message
	default:
		o.message = fmt.Sprintf("%s; %s", o.message, message)
	}
}
