package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// ownedSecret returns one of Kubemint's own Secrets, still without data.
func ownedSecret(key types.NamespacedName, component string, secretType corev1.SecretType) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, Labels: map[string]string{
			v1alpha1.LabelManagedBy: v1alpha1.ManagedBy,
			v1alpha1.LabelComponent: component,
		}},
		Type: secretType,
	}
}

// readOwn reads one of Kubemint's own Secrets, as it is and not as a cache shows it: it decides whether keys are made. A Secret that is not
// there stays without data and resource version.
func readOwn(ctx context.Context, live client.Reader, secret *corev1.Secret) error {
	var found corev1.Secret
	err := live.Get(ctx, client.ObjectKeyFromObject(secret), &found)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	if found.Labels[v1alpha1.LabelComponent] == "" { // It is watched by nobody, nor is it known to be Kubemint's.
		return fmt.Errorf("the name of Secret %s/%s is taken: delete it, or if it is Kubemint's, label it %s=%s",
			secret.Namespace, secret.Name, v1alpha1.LabelComponent, secret.Labels[v1alpha1.LabelComponent])
	}
	*secret = found
	return nil
}

// writeOwn writes one of Kubemint's own Secrets: an existing one only as it was read, and a new one never over another.
func writeOwn(ctx context.Context, writer client.Client, secret *corev1.Secret) error {
	if secret.ResourceVersion == "" {
		if err := writer.Create(ctx, secret); err != nil {
			return fmt.Errorf("create Secret %s/%s: %w", secret.Namespace, secret.Name, err)
		}
		return nil
	}
	if err := writer.Update(ctx, secret); err != nil {
		return fmt.Errorf("update Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return nil
}

// describe writes into a Secret's status annotation what it holds, and reports whether it said something else.
func describe(secret *corev1.Secret, status string) (changed bool) {
	if secret.Annotations[v1alpha1.AnnotationStatus] == status {
		return false
	}
	metav1.SetMetaDataAnnotation(&secret.ObjectMeta, v1alpha1.AnnotationStatus, status)
	return true
}

// lookAgain has a Secret looked at again at a time; zero means when it changes.
func lookAgain(next, now time.Time) ctrl.Result {
	if next.IsZero() {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(now), minRetry)}
}
