package controllers

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
// Kubemint's own namespace. Both are renewed in time.
type CertificatesReconciler struct {
	Client    client.Client
	Events    events.EventRecorder
	Namespace string
	// Hosts are the DNS names and IP addresses that the certificate is for.
	Hosts []string
	Now   func() time.Time
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
		Complete(r)
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
	if certDue.Before(next) {
		next = certDue
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(r.Now()), minRetry)}, nil
}

// authority returns the CA, made or renewed if need be, and when to look at it again. A CA that cannot sign is left alone:
// every client trusts it, so that replacing it is for somebody to decide.
func (r *CertificatesReconciler) authority(ctx context.Context) (*keyPair, time.Time, error) {
	secret := ownedSecret(r.key(v1alpha1.CertificateAuthoritySecretName), v1alpha1.ComponentCertificateAuthority, corev1.SecretTypeTLS)
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	if apierrors.IsNotFound(err) {
		ca, err := newAuthority(r.Now())
		if err != nil {
			return nil, time.Time{}, err
		}
		return ca, rotation.CertificateAuthority(ca.cert, r.Now()).Next, r.store(ctx, secret, ca, ca, "it was missing")
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read the certificate authority: %w", err)
	}
	ca, err := parseAuthority(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		r.Events.Eventf(secret, nil, corev1.EventTypeWarning, "CertificateAuthorityInvalid", "ReadCertificateAuthority",
			"the certificate authority cannot be read (%v): restore the Secret from a backup, or delete it to have a new one made, which every client must then be given", err)
		return nil, time.Time{}, fmt.Errorf("the certificate authority in Secret %s/%s cannot be read: restore it, or delete it to have a new one made: %w", secret.Namespace, secret.Name, err)
	}
	decision := rotation.CertificateAuthority(ca.cert, r.Now())
	if !decision.Renew && string(secret.Data[v1alpha1.CACertificateKey]) == string(secret.Data[corev1.TLSCertKey]) {
		return ca, decision.Next, nil
	}
	if !decision.Renew {
		decision.Why = "its ca.crt differed from its tls.crt"
	} else {
		if ca, err = ca.renewAuthority(r.Now()); err != nil {
			return nil, time.Time{}, err
		}
	}
	next := rotation.CertificateAuthority(ca.cert, r.Now()).Next
	return ca, next, r.store(ctx, secret, ca, ca, decision.Why)
}

// serving makes or renews the serving certificate if need be, and returns when to look at it again. What is in its Secret
// can always be made anew.
func (r *CertificatesReconciler) serving(ctx context.Context, ca *keyPair) (time.Time, error) {
	secret := ownedSecret(r.key(v1alpha1.ServingCertificateSecretName), v1alpha1.ComponentServingCertificate, corev1.SecretTypeTLS)
	if err := client.IgnoreNotFound(r.Client.Get(ctx, client.ObjectKeyFromObject(secret), secret)); err != nil {
		return time.Time{}, fmt.Errorf("read the serving certificate: %w", err)
	}
	var present *x509.Certificate
	if pair, err := parseKeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]); err == nil {
		present = pair.cert
	}
	decision := rotation.ServingCertificate(present, ca.cert, r.Hosts, r.Now())
	if !decision.Renew {
		return decision.Next, nil
	}
	pair, err := ca.issueServing(r.Hosts, r.Now())
	if err != nil {
		return time.Time{}, err
	}
	next := rotation.ServingCertificate(pair.cert, ca.cert, r.Hosts, r.Now()).Next
	return next, r.store(ctx, secret, pair, ca, decision.Why)
}

// store writes a key pair, with the CA's certificate beside it, in the form of a TLS Secret. An existing Secret is only
// replaced as it was read; a new one never replaces any.
func (r *CertificatesReconciler) store(ctx context.Context, secret *corev1.Secret, pair, ca *keyPair, why string) error {
	key, err := pair.keyPEM()
	if err != nil {
		return err
	}
	secret.Data = map[string][]byte{
		corev1.TLSCertKey:         pair.certPEM(),
		corev1.TLSPrivateKeyKey:   key,
		v1alpha1.CACertificateKey: ca.certPEM(),
	}
	if secret.ResourceVersion == "" {
		if err := r.Client.Create(ctx, secret); err != nil {
			return explainUnlabelled(secret, err)
		}
	} else if err := r.Client.Update(ctx, secret); err != nil {
		return fmt.Errorf("update Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	log.FromContext(ctx).Info("certificate written", "secret", secret.Name, "why", why, "notAfter", pair.cert.NotAfter)
	return nil
}
