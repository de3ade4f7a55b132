package controllers

import (
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/controllers/rotation"
)

// CertificatesReconciler keeps a CA and, signed by it, the certificate that the token endpoint serves, in Secrets of
// Kubemint's own namespace. Both are replaced in time.
type CertificatesReconciler struct {
	Client client.Client
	// Live reads from the API server, not from the cache.
	Live      client.Reader
	Events    events.EventRecorder
	Namespace string
	// Hosts are the DNS names and IP addresses that the certificate is for.
	Hosts []string
	// Lifetimes are the defaults where they are zero.
	Lifetimes CertificateLifetimes
	// Tracer makes the spans of reconciliations. Nil means that there are none.
	Tracer trace.Tracer
	Now    func() time.Time
}

// CertificateLifetimes are how long certificates live.
type CertificateLifetimes struct {
	// Authority is the life of a CA; at half of it the next one is prepared.
	Authority time.Duration
	// Serving is the life of the serving certificate; at two thirds of it it is renewed.
	Serving time.Duration
	// Lead is how long clients have a CA before it signs, and after another one does: as long as a pod may go on with what it read when
	// it started. It is less than a quarter of Authority.
	Lead time.Duration
}

var defaultLifetimes = CertificateLifetimes{
	Authority: 10 * 365 * 24 * time.Hour,
	Serving:   90 * 24 * time.Hour,
	Lead:      30 * 24 * time.Hour,
}

func (r *CertificatesReconciler) lifetimes() CertificateLifetimes {
	if r.Lifetimes == (CertificateLifetimes{}) {
		return defaultLifetimes
	}
	return r.Lifetimes
}

// SetupWithManager starts keeping the certificates.
func (r *CertificatesReconciler) SetupWithManager(manager ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(manager).
		Named("certificates").
		WatchesRawSource(once(r.key(v1alpha1.ServingCertificateSecretName))).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []ctrl.Request {
			return []ctrl.Request{{NamespacedName: r.key(v1alpha1.ServingCertificateSecretName)}}
		}), ownSecret(r.Namespace, v1alpha1.ServingCertificateSecretName, v1alpha1.CertificateAuthoritySecretName)).
		WithOptions(controllerOptions(1)).
		Complete(traced(r.Tracer, "certificates", r))
}

func (r *CertificatesReconciler) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: r.Namespace, Name: name}
}

// Reconcile sees to the CA, then to the serving certificate, and looks again when the first of them is due.
func (r *CertificatesReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	ca, caDue, err := r.authority(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	certDue, err := r.serving(ctx, ca)
	if err != nil {
		return ctrl.Result{}, err
	}
	next := caDue
	if !certDue.IsZero() && certDue.Before(next) {
		next = certDue
	}
	return lookAgain(next, r.Now()), nil
}

// authority returns the CA, made or moved on if need be, and when to look at it again. A CA that cannot sign is left alone:
// every client trusts it, so that replacing it is for somebody to decide.
func (r *CertificatesReconciler) authority(ctx context.Context) (*authority, time.Time, error) {
	secret := ownedSecret(r.key(v1alpha1.CertificateAuthoritySecretName), v1alpha1.ComponentCertificateAuthority, corev1.SecretTypeTLS)
	if err := readOwn(ctx, r.Live, secret); err != nil {
		return nil, time.Time{}, err
	}
	if secret.ResourceVersion == "" {
		return r.makeAuthority(ctx, secret)
	}
	ca, err := readAuthority(secret.Data, r.Now())
	if err != nil {
		return nil, time.Time{}, r.leaveAlone(ctx, secret, err)
	}
	asked, lead := secret.Annotations[v1alpha1.AnnotationRotate], r.lifetimes().Lead
	decision := rotation.CertificateAuthority(ca.state(), lead, asked, r.Now())
	former := ca.state()
	if err := ca.follow(decision, asked, r.Now(), r.lifetimes().Authority); err != nil {
		return nil, time.Time{}, err
	}
	changed, err := r.storeAuthority(ctx, secret, ca)
	if err != nil {
		return nil, time.Time{}, err
	}
	r.tell(ctx, secret, former, ca.state(), decision, changed)
	return ca, r.nextLook(ca, asked), nil
}

// makeAuthority makes the first CA. Clients that trust another one learn of it by their Secrets.
func (r *CertificatesReconciler) makeAuthority(ctx context.Context, secret *corev1.Secret) (*authority, time.Time, error) {
	made, err := newAuthority(r.Now(), r.lifetimes().Authority)
	if err != nil {
		return nil, time.Time{}, err
	}
	ca := &authority{signing: made}
	if _, err := r.storeAuthority(ctx, secret, ca); err != nil {
		return nil, time.Time{}, err
	}
	log.FromContext(ctx).Info("certificate authority made", "subject", made.cert.Subject, "notAfter", made.cert.NotAfter)
	return ca, r.nextLook(ca, ""), nil
}

// nextLook returns when to look at the CA again: at once, if there is more to do.
func (r *CertificatesReconciler) nextLook(ca *authority, asked string) time.Time {
	if next := rotation.CertificateAuthority(ca.state(), r.lifetimes().Lead, asked, r.Now()).Next; !next.IsZero() {
		return next
	}
	return r.Now()
}

// storeAuthority writes the CA into its Secret where that holds or says something else, and returns the keys that changed.
func (r *CertificatesReconciler) storeAuthority(ctx context.Context, secret *corev1.Secret, ca *authority) (changed []string, err error) {
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	if changed, err = ca.put(secret.Data); err != nil {
		return nil, err
	}
	if said := describe(secret, rotation.AuthorityStatus(ca.state(), r.lifetimes().Lead)); len(changed) == 0 && !said {
		return nil, nil
	}
	return changed, writeOwn(ctx, r.Client, secret)
}

// leaveAlone says, in an event and once on the Secret, that the CA cannot be read and what to do. The error quotes no key.
func (r *CertificatesReconciler) leaveAlone(ctx context.Context, secret *corev1.Secret, cause error) error {
	explanation := fmt.Sprintf("the certificate authority cannot be read (%v): restore the Secret from a backup, or delete it to have a new one made, which every client must then be given", cause)
	if describe(secret, explanation) {
		if err := writeOwn(ctx, r.Client, secret); err != nil {
			return err
		}
	}
	r.Events.Eventf(secret, nil, corev1.EventTypeWarning, v1alpha1.EventAuthorityInvalid, "ReadCertificateAuthority", "%s", explanation)
	return fmt.Errorf("the certificate authority in Secret %s/%s cannot be read: restore it, or delete it to have a new one made: %w", secret.Namespace, secret.Name, cause)
}

// tell tells what became of the CA, after it was written.
func (r *CertificatesReconciler) tell(ctx context.Context, secret *corev1.Secret, before, after rotation.Authority, decision rotation.AuthorityDecision, changed []string) {
	event := func(eventType, reason, note string, args ...any) {
		r.Events.Eventf(secret, nil, eventType, reason, "RotateCertificateAuthority", note, args...)
		log.FromContext(ctx).Info("certificate authority seen to", "reason", reason, "subject", after.Signing.Subject, "notAfter", after.Signing.NotAfter)
	}
	lead := r.lifetimes().Lead
	if decision.Drop {
		event(corev1.EventTypeNormal, v1alpha1.EventAuthorityRemoved, "%s is no longer in ca.crt", before.Previous.Subject)
	}
	if decision.Switch {
		event(corev1.EventTypeNormal, v1alpha1.EventAuthorityActivated, "%s signs from now on; %s stays in ca.crt for %s", after.Signing.Subject, before.Signing.Subject, lead)
	}
	if decision.Prepare {
		event(corev1.EventTypeNormal, v1alpha1.EventAuthorityPrepared, "%s stands in the ca.crt of all clients, and signs after %s (%s): have whatever keeps ca.crt elsewhere take the new one until then", after.Next.Subject, lead, decision.Why)
	}
	if decision.Ending {
		event(corev1.EventTypeWarning, v1alpha1.EventAuthorityEnding, "%s was provided, and Kubemint does not renew it: replace tls.crt, tls.key and ca.crt before it expires on %s",
			after.Signing.Subject, after.Signing.NotAfter.Format(time.RFC3339))
	}
	if len(changed) > 0 && !decision.Drop && !decision.Switch && !decision.Prepare && !decision.Follow {
		event(corev1.EventTypeNormal, v1alpha1.EventAuthorityRepaired, "%s had been changed by somebody else and was restored; the managedFields say who writes to this Secret", strings.Join(changed, ", "))
	}
}

// serving makes or renews the serving certificate if need be, and returns when to look at it again; zero, not before its CA. What is
// in its Secret can always be made anew.
func (r *CertificatesReconciler) serving(ctx context.Context, ca *authority) (time.Time, error) {
	secret := ownedSecret(r.key(v1alpha1.ServingCertificateSecretName), v1alpha1.ComponentServingCertificate, corev1.SecretTypeTLS)
	if err := readOwn(ctx, r.Live, secret); err != nil {
		return time.Time{}, err
	}
	var present *x509.Certificate
	pair, err := parseKeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err == nil {
		present = pair.cert
	}
	record, asked := parseRecord(secret.Data[v1alpha1.RotationKey]), secret.Annotations[v1alpha1.AnnotationRotate]
	decision := rotation.ServingCertificate(present, ca.signing.cert, r.Hosts, asked != "" && asked != record.Followed, r.Now())
	if decision.Renew {
		if pair, err = ca.signing.issueServing(r.Hosts, r.Now(), r.lifetimes().Serving); err != nil {
			return time.Time{}, err
		}
		if asked != "" {
			record.Followed = asked
		}
	}
	if err := r.storeServing(ctx, secret, pair, ca, record); err != nil {
		return time.Time{}, err
	}
	if decision.Renew {
		r.Events.Eventf(secret, nil, corev1.EventTypeNormal, v1alpha1.EventServingCertificateIssued, "IssueServingCertificate",
			"new serving certificate, until %s: %s", pair.cert.NotAfter.Format(time.RFC3339), decision.Why)
		log.FromContext(ctx).Info("serving certificate issued", "why", decision.Why, "notAfter", pair.cert.NotAfter)
	}
	return rotation.ServingCertificate(pair.cert, ca.signing.cert, r.Hosts, false, r.Now()).Next, nil
}

// storeServing writes the serving certificate into its Secret where that holds or says something else.
func (r *CertificatesReconciler) storeServing(ctx context.Context, secret *corev1.Secret, pair *keyPair, ca *authority, record rotationRecord) error {
	key, err := pair.keyPEM()
	if err != nil {
		return err
	}
	data := map[string][]byte{}
	maps.Copy(data, secret.Data)
	maps.Copy(data, map[string][]byte{
		corev1.TLSCertKey:         pair.certPEM(),
		corev1.TLSPrivateKeyKey:   key,
		v1alpha1.CACertificateKey: ca.trusted(),
	})
	if err := record.put(data); err != nil {
		return err
	}
	changed := differences(secret.Data, data)
	secret.Data = data
	if said := describe(secret, rotation.ServingStatus(pair.cert, ca.signing.cert)); len(changed) == 0 && !said {
		return nil
	}
	return writeOwn(ctx, r.Client, secret)
}
