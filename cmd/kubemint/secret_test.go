package main_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// A Secret that somebody spoils is made good by itself, and an event says so. What others added to it stays.
func TestL05SpoiltSecretIsMadeGood(t *testing.T) {
	for name, row := range map[string]struct {
		spoil     func(*corev1.Secret)
		newSecret bool
	}{
		"a value changed":          {spoil: func(s *corev1.Secret) { s.Data["token_url"] = []byte("https://evil.example") }},
		"a key deleted":            {spoil: func(s *corev1.Secret) { delete(s.Data, "ca.crt") }},
		"a label deleted":          {spoil: func(s *corev1.Secret) { delete(s.Labels, v1alpha1.LabelComponent) }},
		"the client secret typed":  {spoil: func(s *corev1.Secret) { s.Data["client_secret"] = []byte("hunter2") }, newSecret: true},
		"the client secret erased": {spoil: func(s *corev1.Secret) { s.Data["client_secret"] = nil }, newSecret: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(newNamespace(t), "worker")
			before := issued(t, c)
			change(t, before.DeepCopy(), func(s *corev1.Secret) {
				s.Data["theirs"] = []byte("kept")
				s.Labels["theirs"] = "kept"
				row.spoil(s)
			})
			awaitEvent(t, c, v1alpha1.EventSecretRepaired)
			after := awaitSecret(t, c.Namespace, "worker", "good again", func(s *corev1.Secret) bool {
				return string(s.Data["token_url"]) == string(before.Data["token_url"]) && len(s.Data["ca.crt"]) > 0 &&
					s.Labels[v1alpha1.LabelComponent] != "" && credential.WellFormed(string(s.Data["client_secret"]))
			})
			if string(after.Data["theirs"]) != "kept" || after.Labels["theirs"] != "kept" {
				t.Error("what others added was removed")
			}
			if changed := string(after.Data["client_secret"]) != string(before.Data["client_secret"]); changed != row.newSecret {
				t.Errorf("a new client secret: %v, want %v", changed, row.newSecret)
			}
			awaitToken(t, after)
		})
	}
}

func TestDeletedSecretIsMadeAgain(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	before := issued(t, c)
	if err := suite.admin.Delete(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	after := awaitSecret(t, c.Namespace, "worker", "made again", func(s *corev1.Secret) bool { return s.UID != before.UID })
	awaitEvent(t, c, v1alpha1.EventSecretRepaired)
	awaitToken(t, after)
	awaitRefusal(t, before, http.StatusUnauthorized, "invalid_client")
}

func TestSomebodyElsesSecretIsNotTouched(t *testing.T) {
	namespace := newNamespace(t)
	theirs := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "worker"}, StringData: map[string]string{"password": "theirs"}}
	create(t, theirs)
	c := newClient(namespace, "worker")
	create(t, c)
	if ready := awaitReason(t, c, v1alpha1.ReasonSecretConflict); !strings.Contains(ready.Message, "choose another spec.secret.name") {
		t.Errorf("the message has no remedy: %s", ready.Message)
	}
	awaitEvent(t, c, v1alpha1.ReasonSecretConflict)
	if now := getSecret(t, namespace, "worker"); now.ResourceVersion != theirs.ResourceVersion {
		t.Errorf("it was written: %+v", now)
	}

	// Its owner gives the name free.
	if err := suite.admin.Delete(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	awaitReason(t, c, v1alpha1.ReasonIssued)
	if len(c.Status.Conditions) != 1 {
		t.Errorf("Stalled has not gone: %v", c.Status.Conditions)
	}
}

func TestOlderOAuthClientKeepsTheSecret(t *testing.T) {
	namespace := newNamespace(t)
	older := newClient(namespace, "older")
	older.Spec.Secret.Name = "shared"
	before := issued(t, older)
	younger := newClient(namespace, "younger")
	younger.Spec.Secret.Name = "shared"
	create(t, younger)
	if ready := awaitReason(t, younger, v1alpha1.ReasonSecretConflict); !strings.Contains(ready.Message, `"older"`) {
		t.Errorf("the message does not name the owner: %s", ready.Message)
	}
	if now := getSecret(t, namespace, "shared"); now.ResourceVersion != before.ResourceVersion {
		t.Error("the older one's Secret was written")
	}
	mustGetToken(t, before)

	// The name is free once the older one wants another.
	change(t, older, func(c *v1alpha1.OAuthClient) { c.Spec.Secret.Name = "own" })
	awaitReason(t, younger, v1alpha1.ReasonIssued)
	if id := string(secretOf(t, younger).Data["client_id"]); id != namespace+".younger" {
		t.Errorf("the Secret is %s's", id)
	}
}

// Renaming moves the credential, and refuses nobody on the way.
func TestRenameIsFollowed(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	before := issued(t, c)
	done := make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for {
			select {
			case <-done:
				return
			default:
			}
			if answer, err := requestToken(t, before); err != nil || answer.Status != http.StatusOK {
				failed <- fmt.Errorf("%+v %w", answer, err)
				return
			}
		}
	}()

	change(t, c, func(c *v1alpha1.OAuthClient) { c.Spec.Secret.Name = "renamed" })
	awaitReason(t, c, v1alpha1.ReasonIssued)
	awaitEvent(t, c, v1alpha1.EventSecretRenamed)
	after := getSecret(t, c.Namespace, "renamed")
	if string(after.Data["client_secret"]) != string(before.Data["client_secret"]) {
		t.Error("the credential did not move along")
	}
	await(t, "the former Secret to go", func() error { return gone(t, before) })

	change(t, c, func(c *v1alpha1.OAuthClient) {
		c.Spec.Secret.Keys.ClientID, c.Spec.Secret.Keys.ClientSecret = "CLIENT_ID", "CLIENT_SECRET"
	})
	after = awaitSecret(t, c.Namespace, "renamed", "keys renamed", func(s *corev1.Secret) bool { return s.Data["CLIENT_SECRET"] != nil })
	keys := keysOf(after)
	slices.Sort(keys)
	if got, want := strings.Join(keys, " "), "CLIENT_ID CLIENT_SECRET ca.crt issuer provider scope token_url type"; got != want {
		t.Errorf("the keys are %s, want %s", got, want)
	}
	if string(after.Data["CLIENT_SECRET"]) != string(before.Data["client_secret"]) {
		t.Error("renaming its key changed the credential")
	}
	awaitReason(t, c, v1alpha1.ReasonIssued)
	close(done)
	if err := <-failed; err != nil {
		t.Errorf("a token request failed meanwhile: %v", err)
	}
}

func TestTemplateIsFollowed(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	c.Spec.Secret.Template = v1alpha1.SecretTemplate{
		Labels:      map[string]v1alpha1.LabelValue{"team": "billing", "tier": "back"},
		Annotations: map[string]v1alpha1.AnnotationValue{"reloader.stakater.com/match": "true"},
	}
	secret := issued(t, c)
	if secret.Labels["team"] != "billing" || secret.Annotations["reloader.stakater.com/match"] != "true" {
		t.Fatalf("labels %v, annotations %v", secret.Labels, secret.Annotations)
	}
	change(t, secret.DeepCopy(), func(s *corev1.Secret) { s.Labels["theirs"] = "kept" })
	change(t, c, func(c *v1alpha1.OAuthClient) {
		c.Spec.Secret.Template = v1alpha1.SecretTemplate{Labels: map[string]v1alpha1.LabelValue{"team": "shipping"}}
	})
	awaitSecret(t, c.Namespace, "worker", "template followed", func(s *corev1.Secret) bool {
		_, tier := s.Labels["tier"]
		return s.Labels["team"] == "shipping" && !tier && s.Labels["theirs"] == "kept" && s.Annotations["reloader.stakater.com/match"] == ""
	})
}

// With no finalizer and nothing for Kubemint to do: kube-controller-manager's garbage collector removes the Secret.
func TestL04DeleteRemovesTheSecret(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	secret := issued(t, c)
	mustGetToken(t, secret)
	if len(c.Finalizers) != 0 {
		t.Errorf("finalizers: %v", c.Finalizers)
	}
	if err := suite.admin.Delete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	deleted := time.Now()
	awaitRefusal(t, secret, http.StatusUnauthorized, "invalid_client")
	attestPropagation(t, deleted)
	await(t, "the Secret to go", func() error { return gone(t, secret) })

	// The same name again is the same client_id, with another credential.
	again := issued(t, newClient(c.Namespace, "worker"))
	if string(again.Data["client_id"]) != string(secret.Data["client_id"]) || string(again.Data["client_secret"]) == string(secret.Data["client_secret"]) {
		t.Error("the client_id changed, or the credential did not")
	}
}

// A Secret proves only the secret of the OAuthClient that owns it, in its own namespace (L4).
func TestA27ForgedSecretProvesNothing(t *testing.T) {
	victim := newClient(newNamespace(t), "victim", "admin")
	secret := issued(t, victim)
	tenant := newNamespace(t)
	own := issued(t, newClient(tenant, "worker", "read"))
	forged := credential.Generate()
	for name, owner := range map[string]*v1alpha1.OAuthClient{"owned-by-nobody": nil, "owned-by-the-victim": victim} {
		s := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: name, Labels: map[string]string{
				v1alpha1.LabelComponent: v1alpha1.ComponentClientCredentials,
				v1alpha1.LabelClientUID: string(victim.UID),
				v1alpha1.LabelManagedBy: v1alpha1.ManagedBy,
			}},
			Type: v1alpha1.SecretTypeClientCredentials,
			StringData: map[string]string{
				"client_id": string(secret.Data["client_id"]), "client_secret": forged, "scope": "admin",
			},
		}
		if owner != nil {
			s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, v1alpha1.GroupVersion.WithKind("OAuthClient"))}
		}
		create(t, s)
	}
	change(t, own.DeepCopy(), func(s *corev1.Secret) { s.Data["scope"] = []byte("admin") })

	// A change made after them has been seen, so that they have been too.
	marker := issued(t, newClient(tenant, "marker"))
	awaitToken(t, marker)
	answer, err := requestTokenAs(t, secret, string(secret.Data["client_id"]), forged)
	if err == nil {
		attest(t, "401", fmt.Sprint(answer.Status))
	}
	if err != nil || answer.Status != http.StatusUnauthorized {
		t.Errorf("the forged secret: %+v %v", answer, err)
	}
	if answer, err := requestToken(t, own, "scope=admin"); err != nil || answer.Error != "invalid_scope" {
		t.Errorf("the forged scope: %+v %v", answer, err)
	}
	mustGetToken(t, secret, "scope=admin")
}

// A scope that is taken away is in no token issued afterwards, and the Secret says so (L3).
func TestG19RevokedScope(t *testing.T) {
	c := newClient(newNamespace(t), "worker", "read", "write")
	secret := issued(t, c)
	mustGetToken(t, secret, "scope=write")
	change(t, c, func(c *v1alpha1.OAuthClient) { c.Spec.Scopes = []v1alpha1.Scope{"read"} })
	revoked := time.Now()
	await(t, "write to be refused", func() error {
		answer, err := requestToken(t, secret, "scope=write")
		if err == nil && answer.Error != "invalid_scope" {
			err = fmt.Errorf("%+v", answer)
		}
		return err
	})
	attestPropagation(t, revoked)
	awaitReason(t, c, v1alpha1.ReasonIssued)
	awaitSecret(t, c.Namespace, "worker", "scope follows", func(s *corev1.Secret) bool { return string(s.Data["scope"]) == "read" })
	if !slices.Equal(c.Status.GrantedScopes, []v1alpha1.Scope{"read"}) {
		t.Errorf("grantedScopes are %v", c.Status.GrantedScopes)
	}
}

// awaitToken waits until the token server has seen a credential, within the delay of its watch.
func awaitToken(t *testing.T, secret *corev1.Secret) {
	t.Helper()
	await(t, "a token", func() error {
		answer, err := requestToken(t, secret)
		if err == nil && answer.Status != http.StatusOK {
			err = fmt.Errorf("%+v", answer)
		}
		return err
	})
}

// gone returns nil when an object does not exist any more.
func gone(t *testing.T, object client.Object) error {
	t.Helper()
	err := suite.admin.Get(t.Context(), client.ObjectKeyFromObject(object), object)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("it is still there (%w)", err)
}
