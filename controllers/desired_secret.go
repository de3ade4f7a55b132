package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/controllers/rotation"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/scope"
)

// bindingType is what a Service Binding tool finds under the key of the type.
const bindingType = "oauth2"

// desiredSecret is what the Secret of an OAuthClient should be, but for the client secret itself.
type desiredSecret struct {
	owner               metav1.OwnerReference
	namespace, name     string
	labels, annotations map[string]string
	// data is every value but the client secret, which stands under secretKey, the env file, and the private key until it is put there.
	// secretKey is empty where Kubemint makes no client secret.
	data      map[string][]byte
	secretKey string
	// envFileKey is the key of the env file; empty where there is to be none.
	envFileKey string
	// caKey is the key of the CA certificate, which is no value for an env file.
	caKey string
	// privateKey is where the private key stands; nil where there is to be none.
	privateKey *privateKeyKeys
	// absent are the keys of what was wanted before and is no longer: a CA that clients do not need, which they would trust alone, a client
	// secret or a private key. Each goes if Kubemint wrote it.
	absent []string
}

// desiredSecret works out what an OAuthClient's Secret should be.
func (r *OAuthClientReconciler) desiredSecret(ctx context.Context, c *v1alpha1.OAuthClient) (*desiredSecret, error) {
	caCert, err := r.caCert(ctx)
	if err != nil {
		return nil, err
	}
	keys := c.Spec.Secret.Keys
	desired := &desiredSecret{
		owner:       ownerReference(c),
		namespace:   c.Namespace,
		name:        c.SecretName(),
		labels:      map[string]string{},
		annotations: map[string]string{},
		secretKey:   string(keys.ClientSecret),
		envFileKey:  string(keys.EnvFile),
		caKey:       string(keys.CACert),
		data: map[string][]byte{
			string(keys.ClientID): []byte(c.ClientID()),
			string(keys.Issuer):   []byte(r.Issuer.URL),
			string(keys.TokenURL): []byte(r.Issuer.TokenURL),
			string(keys.Scope):    []byte(scope.NewSet(scopesInSecret(c)...).String()),
			string(keys.Type):     []byte(bindingType),
			string(keys.Provider): []byte(v1alpha1.ManagedBy),
		},
	}
	if len(caCert) > 0 {
		desired.data[string(keys.CACert)] = caCert
	} else {
		desired.absent = append(desired.absent, string(keys.CACert))
	}
	privateKey := &privateKeyKeys{pem: string(keys.PrivateKeyPEM), jwk: string(keys.PrivateKeyJWK), id: string(keys.PrivateKeyID)}
	if generatedKey(c) != nil {
		desired.privateKey = privateKey
	} else {
		desired.absent = append(desired.absent, privateKey.all()...)
	}
	if c.Spec.Secret.Source == v1alpha1.SecretNone {
		desired.secretKey = ""
		desired.absent = append(desired.absent, string(keys.ClientSecret))
		if desired.envFileKey != "" { // Without the client secret, it is a value like the others.
			desired.data[desired.envFileKey] = desired.envFile(nil)
			desired.envFileKey = ""
		}
	}
	for key, value := range c.Spec.Secret.Template.Labels {
		desired.labels[key] = string(value)
	}
	for key, value := range c.Spec.Secret.Template.Annotations {
		desired.annotations[key] = string(value)
	}
	desired.labels[v1alpha1.LabelManagedBy] = v1alpha1.ManagedBy
	desired.labels[v1alpha1.LabelComponent] = v1alpha1.ComponentClientCredentials
	desired.labels[v1alpha1.LabelClientUID] = string(c.UID)
	return desired, nil
}

// scopesInSecret returns the scopes that the Secret names: those that the OAuthClient lists for one audience, whether or not they are
// granted, so that consent, which comes and goes, writes no Secret. Of several ResourceServers, none are the ones to ask for.
func scopesInSecret(c *v1alpha1.OAuthClient) []v1alpha1.Scope {
	if len(c.Spec.Scopes) > 0 || len(c.Spec.Resources) == 0 {
		return c.Spec.Scopes
	}
	only := c.Spec.Resources[0].ResourceServer.In(c.Namespace)
	var scopes []v1alpha1.Scope
	for _, resource := range c.Spec.Resources {
		if resource.ResourceServer.In(c.Namespace) != only {
			return nil
		}
		scopes = append(scopes, resource.Scopes...)
	}
	return scopes
}

// caCert returns the CA that clients are to trust: the one that the configuration names, or Kubemint's own.
func (r *OAuthClientReconciler) caCert(ctx context.Context) ([]byte, error) {
	if r.Issuer.CACert != nil {
		return r.Issuer.CACert, nil
	}
	var ca corev1.Secret
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: v1alpha1.CertificateAuthoritySecretName}, &ca,
		client.DisableReadYourWritesConsistency)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	bundle := ca.Data[v1alpha1.CACertificateKey]
	if signing := parseCertificate(ca.Data[corev1.TLSCertKey]); signing != nil && len(bundle) > 0 && !holds(bundle, signing) {
		// Somebody spoilt it. It is made good at once, and must not reach the clients before.
		return nil, fmt.Errorf("%s in Secret %q does not hold the CA's own certificate", v1alpha1.CACertificateKey, ca.Name)
	}
	if len(bundle) > 0 {
		return bundle, nil
	}
	return nil, &problem{reason: v1alpha1.ReasonWaitingForCertificate, quiet: true,
		message: "waiting for Kubemint's certificate authority: if this lasts, see the log of the kubemint controller"}
}

// inSync reports whether a Secret from the cache, whose values are sealed, is what it should be, but for the private key, and returns its
// record of client secrets, if it is to have one. Keys that others added to it are theirs.
func (d *desiredSecret) inSync(sealed *corev1.Secret) (record *credential.Record, inSync bool) {
	if !d.restInSync(sealed) {
		return nil, false
	}
	record = recordIn(*sealed)
	if d.secretKey == "" {
		return nil, record == nil
	}
	clientSecret, wellFormed := credential.Unseal(sealed.Data[d.secretKey])
	if !wellFormed || record == nil || clientSecret != record.Present.Digest ||
		d.envFileKey != "" && !d.envFileInSync(sealed.Data[d.envFileKey], clientSecret) {
		return nil, false
	}
	return record, true
}

// envFileInSync reports whether a sealed env file is what it should be with a client secret of which only the digest is known.
func (d *desiredSecret) envFileInSync(sealed []byte, clientSecret credential.Digest) bool {
	want := credential.Seal(d.envFile([]byte(credential.Mask(clientSecret))))
	return string(sealed) == string(want[:])
}

// restInSync reports whether everything but the client secret, its record and the env file is as it should be.
func (d *desiredSecret) restInSync(sealed *corev1.Secret) bool {
	if sealed.Name != d.name || !contains(sealed.Labels, d.labels) || !contains(sealed.Annotations, d.annotations) {
		return false
	}
	for key, value := range d.data {
		if want := credential.Seal(value); string(sealed.Data[key]) != string(want[:]) {
			return false
		}
	}
	return !slices.ContainsFunc(d.absent, func(key string) bool { _, there := sealed.Data[key]; return there })
}

func contains(have, want map[string]string) bool {
	for key, value := range want {
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// build returns the Secret as it is first created.
func (d *desiredSecret) build(decision rotation.Secret) *corev1.Secret {
	data := maps.Clone(d.data)
	if d.secretKey != "" {
		data[d.secretKey] = []byte(decision.Secret)
	}
	if d.envFileKey != "" {
		data[d.envFileKey] = d.envFile([]byte(decision.Secret))
	}
	annotations := maps.Clone(d.annotations)
	if decision.Record.Present.Number > 0 { // Of a provided one that nobody has made yet, there is nothing to say.
		annotations[v1alpha1.AnnotationCredentials] = decision.Record.String()
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.namespace, Name: d.name, Labels: d.labels, Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{d.owner},
		},
		Type: v1alpha1.SecretTypeClientCredentials,
		Data: data,
	}
}

// envFile returns the env file of all values but the CA certificate and the private key. A nil client secret is left out.
func (d *desiredSecret) envFile(clientSecret []byte) []byte {
	values := maps.Clone(d.data)
	if clientSecret != nil {
		values[d.secretKey] = clientSecret
	}
	delete(values, d.caKey)
	if d.privateKey != nil {
		for _, key := range d.privateKey.all() {
			delete(values, key)
		}
	}
	return envFile(values)
}

// changes are the keys, labels and annotations by which a Secret differed from what it should be.
type changes struct {
	names []string
	// byHand is whether somebody else had changed one of them: it is no longer, or never was, Kubemint's by the Secret's
	// managed fields.
	byHand bool
}

// bring returns a live Secret with everything as it should be, and what had to change. What Kubemint once wrote and the
// OAuthClient no longer asks for is removed; what others added stays.
func (d *desiredSecret) bring(live *corev1.Secret, decision rotation.Secret) (*corev1.Secret, changes) {
	updated := live.DeepCopy()
	owned := ownedFields(live.ManagedFields)
	var c changes

	want := d.build(decision)
	updated.Data = merge(updated.Data, want.Data, owned.Data, "", &c, func(a, b []byte) bool { return string(a) == string(b) })
	equal := func(a, b string) bool { return a == b }
	updated.Labels = merge(updated.Labels, want.Labels, owned.Metadata.Labels, "label ", &c, equal)
	updated.Annotations = merge(updated.Annotations, want.Annotations, owned.Metadata.Annotations, "annotation ", &c, equal)
	slices.Sort(c.names)
	return updated, c
}

// merge brings one map to what it should be, and notes each change.
func merge[V any](have, want map[string]V, owned map[string]json.RawMessage, kind string, c *changes, equal func(a, b V) bool) map[string]V {
	if have == nil {
		have = map[string]V{}
	}
	for key, value := range want {
		if got, ok := have[key]; ok && equal(got, value) {
			continue
		}
		have[key] = value
		c.names = append(c.names, kind+key)
		_, ours := owned["f:"+key]
		c.byHand = c.byHand || !ours
	}
	for key := range have {
		_, wanted := want[key]
		if _, ours := owned["f:"+key]; ours && !wanted {
			delete(have, key)
			c.names = append(c.names, kind+key)
		}
	}
	return have
}

// fields are the keys of a Secret's maps in the form of managed fields, each with the prefix "f:".
type fields struct {
	Data     map[string]json.RawMessage `json:"f:data"`
	Metadata struct {
		Labels      map[string]json.RawMessage `json:"f:labels"`
		Annotations map[string]json.RawMessage `json:"f:annotations"`
	} `json:"f:metadata"`
}

// ownedFields returns which keys of a Secret are Kubemint's by its managed fields: those that it wrote last.
func ownedFields(managed []metav1.ManagedFieldsEntry) fields {
	var owned fields
	for _, entry := range managed {
		if entry.Manager != v1alpha1.ManagedBy || entry.FieldsV1 == nil {
			continue
		}
		// The API server wrote them; should they not parse, nothing is taken for ours.
		_ = json.Unmarshal(entry.FieldsV1.GetRawBytes(), &owned)
	}
	return owned
}

// newCredentials says in words what a Secret that is made again holds anew.
func (d *desiredSecret) newCredentials() string {
	switch {
	case d.secretKey != "" && d.privateKey != nil:
		return "a new client secret and a new private key"
	case d.privateKey != nil:
		return "a new private key"
	case d.secretKey != "":
		return "a new client secret"
	default:
		return "what it held"
	}
}
