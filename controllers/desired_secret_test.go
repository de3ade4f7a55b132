package controllers

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/controllers/rotation"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// sampleSecret returns what a Secret should be, and that Secret as Kubemint made it, with its managed fields.
func sampleSecret() (desired *desiredSecret, live *corev1.Secret, decision rotation.Secret) {
	desired = &desiredSecret{
		namespace: "billing", name: "worker", secretKey: "client_secret",
		owner:       metav1.OwnerReference{Kind: "OAuthClient", Name: "worker", UID: "1"},
		labels:      map[string]string{"team": "billing", v1alpha1.LabelComponent: v1alpha1.ComponentClientCredentials},
		annotations: map[string]string{"note": "kept"},
		data:        map[string][]byte{"client_id": []byte("billing.worker"), "issuer": []byte("https://kubemint.svc")},
	}
	decision = rotation.ClientSecret("", nil, 1, rotation.SecretPolicy{}, rotation.SecretUse{}, noon)
	live = desired.build(decision)
	live.ManagedFields = []metav1.ManagedFieldsEntry{managedBy(v1alpha1.ManagedBy,
		slices.Collect(maps.Keys(live.Data)), slices.Collect(maps.Keys(live.Labels)), slices.Collect(maps.Keys(live.Annotations)))}
	return desired, live.DeepCopy(), decision
}

// managedBy returns the entry by which the API server notes who wrote which keys last.
func managedBy(manager string, data, labels, annotations []string) metav1.ManagedFieldsEntry {
	keys := func(names []string) map[string]any {
		fields := map[string]any{".": map[string]any{}}
		for _, name := range names {
			fields["f:"+name] = map[string]any{}
		}
		return fields
	}
	raw, err := json.Marshal(map[string]any{
		"f:data": keys(data), "f:metadata": map[string]any{"f:labels": keys(labels), "f:annotations": keys(annotations)}, "f:type": map[string]any{},
	})
	if err != nil {
		panic(err)
	}
	entry := metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, FieldsType: "FieldsV1"}
	entry.FieldsV1 = &metav1.FieldsV1{}
	entry.FieldsV1.SetRawBytes(raw)
	return entry
}

func TestInSync(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*corev1.Secret)
		want   bool
	}{
		"as made":                       {func(*corev1.Secret) {}, true},
		"a key of somebody else's":      {func(s *corev1.Secret) { s.Data["extra"] = []byte("theirs") }, true},
		"a label of somebody else's":    {func(s *corev1.Secret) { s.Labels["extra"] = "theirs" }, true},
		"another well-formed secret":    {func(s *corev1.Secret) { s.Data["client_secret"] = []byte(credential.Generate()) }, false},
		"another name":                  {func(s *corev1.Secret) { s.Name = "former" }, false},
		"client secret gone":            {func(s *corev1.Secret) { delete(s.Data, "client_secret") }, false},
		"client secret empty":           {func(s *corev1.Secret) { s.Data["client_secret"] = nil }, false},
		"client secret spoilt":          {func(s *corev1.Secret) { s.Data["client_secret"] = append(s.Data["client_secret"], '\n') }, false},
		"client secret under other key": {func(s *corev1.Secret) { s.Data["other"] = s.Data["client_secret"]; delete(s.Data, "client_secret") }, false},
		"a value changed":               {func(s *corev1.Secret) { s.Data["issuer"] = []byte("https://evil.example") }, false},
		"a value emptied":               {func(s *corev1.Secret) { s.Data["issuer"] = nil }, false},
		"a value gone":                  {func(s *corev1.Secret) { delete(s.Data, "issuer") }, false},
		"a label changed":               {func(s *corev1.Secret) { s.Labels["team"] = "other" }, false},
		"a label gone":                  {func(s *corev1.Secret) { delete(s.Labels, "team") }, false},
		"annotations gone":              {func(s *corev1.Secret) { s.Annotations = nil }, false},
		"record gone":                   {func(s *corev1.Secret) { delete(s.Annotations, v1alpha1.AnnotationCredentials) }, false},
		"record spoilt":                 {func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationCredentials] += "}" }, false},
		"data gone":                     {func(s *corev1.Secret) { s.Data = nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			desired, secret, _ := sampleSecret()
			test.change(secret)
			secret.Data = credential.SealData(secret.Data)
			if _, got := desired.inSync(secret); got != test.want {
				t.Errorf("in sync: %t", got)
			}
		})
	}
	t.Run("what is not sealed is never in sync", func(t *testing.T) {
		desired, secret, _ := sampleSecret()
		if _, inSync := desired.inSync(secret); inSync {
			t.Error("it is")
		}
	})
	t.Run("a CA that is no longer needed", func(t *testing.T) {
		desired, secret, _ := sampleSecret()
		desired.absent = []string{"ca.crt"}
		secret.Data["ca.crt"] = []byte("a certificate")
		secret.Data = credential.SealData(secret.Data)
		if _, inSync := desired.inSync(secret); inSync {
			t.Error("it is in sync")
		}
	})
	t.Run("an empty value is wanted and is not there", func(t *testing.T) {
		desired, secret, _ := sampleSecret()
		desired.data["scope"] = []byte{}
		secret.Data = credential.SealData(secret.Data)
		if _, inSync := desired.inSync(secret); inSync {
			t.Error("it is in sync")
		}
	})
}

func TestBring(t *testing.T) {
	for name, test := range map[string]struct {
		desired func(*desiredSecret)
		live    func(*corev1.Secret)
		changes string
		byHand  bool
		check   func(s *corev1.Secret) bool
	}{
		"in sync": {check: func(s *corev1.Secret) bool { return len(s.Data) == 3 && len(s.Labels) == 2 && len(s.Annotations) == 2 }},
		"what others added stays": {
			live: func(s *corev1.Secret) {
				s.Data["extra"], s.Labels["extra"], s.Annotations["extra"] = []byte("x"), "x", "x"
				s.ManagedFields = append(s.ManagedFields, managedBy("kubectl", []string{"extra"}, []string{"extra"}, []string{"extra"}))
			},
			check: func(s *corev1.Secret) bool {
				return string(s.Data["extra"]) == "x" && s.Labels["extra"] == "x" && s.Annotations["extra"] == "x"
			},
		},
		"a value that the OAuthClient wants otherwise": {
			desired: func(d *desiredSecret) { d.data["issuer"], d.labels["team"] = []byte("https://new"), "new" },
			changes: "issuer, label team",
			check: func(s *corev1.Secret) bool {
				return string(s.Data["issuer"]) == "https://new" && s.Labels["team"] == "new"
			},
		},
		"ours and no longer wanted": {
			desired: func(d *desiredSecret) {
				delete(d.data, "issuer")
				delete(d.labels, "team")
				delete(d.annotations, "note")
			},
			changes: "annotation note, issuer, label team",
			check: func(s *corev1.Secret) bool {
				return len(s.Data) == 2 && len(s.Labels) == 1 && len(s.Annotations) == 1
			},
		},
		"a key renamed": {
			desired: func(d *desiredSecret) { d.secretKey = "CLIENT_SECRET" },
			changes: "CLIENT_SECRET, client_secret",
			// The new key was nobody's yet: the caller tells this from a change by hand by the generation.
			byHand: true,
			check:  func(s *corev1.Secret) bool { return s.Data["client_secret"] == nil && s.Data["CLIENT_SECRET"] != nil },
		},
		"changed by somebody else": {
			live:    func(s *corev1.Secret) { takeOver(s, "issuer"); s.Data["issuer"] = []byte("https://evil.example") },
			changes: "issuer", byHand: true,
			check: func(s *corev1.Secret) bool { return string(s.Data["issuer"]) == "https://kubemint.svc" },
		},
		"removed by somebody else": {
			live:    func(s *corev1.Secret) { takeOver(s, "issuer"); delete(s.Data, "issuer") },
			changes: "issuer", byHand: true,
			check: func(s *corev1.Secret) bool { return string(s.Data["issuer"]) == "https://kubemint.svc" },
		},
		"no longer wanted, and somebody else's by now": {
			desired: func(d *desiredSecret) { delete(d.data, "issuer") },
			live:    func(s *corev1.Secret) { takeOver(s, "issuer") },
			check:   func(s *corev1.Secret) bool { return s.Data["issuer"] != nil },
		},
		"everything removed": {
			live:    func(s *corev1.Secret) { s.Data, s.Labels, s.Annotations, s.ManagedFields = nil, nil, nil, nil },
			changes: "annotation note, annotation " + v1alpha1.AnnotationCredentials + ", client_id, client_secret, issuer, label " + v1alpha1.LabelComponent + ", label team", byHand: true,
			check: func(s *corev1.Secret) bool { return len(s.Data) == 3 && len(s.Labels) == 2 && len(s.Annotations) == 2 },
		},
		"managed fields that cannot be read": {
			desired: func(d *desiredSecret) { delete(d.data, "issuer") },
			live:    func(s *corev1.Secret) { s.ManagedFields[0].FieldsV1.SetRawBytes([]byte(`{"f:data":`)) },
			check:   func(s *corev1.Secret) bool { return s.Data["issuer"] != nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			desired, live, decision := sampleSecret()
			if test.desired != nil {
				test.desired(desired)
			}
			if test.live != nil {
				test.live(live)
			}
			before := live.DeepCopy()
			updated, changes := desired.bring(live, decision)
			if got := strings.Join(changes.names, ", "); got != test.changes || changes.byHand != test.byHand {
				t.Errorf("changes %q, by hand %t; want %q, %t", got, changes.byHand, test.changes, test.byHand)
			}
			if !test.check(updated) {
				t.Errorf("it came out with keys %v, labels %v, annotations %v", slices.Sorted(maps.Keys(updated.Data)), updated.Labels, updated.Annotations)
			}
			if string(updated.Data[desired.secretKey]) != decision.Secret {
				t.Error("the client secret is another")
			}
			if len(live.Data) != len(before.Data) || len(live.Labels) != len(before.Labels) {
				t.Error("the Secret that was read has been changed")
			}
			if _, more := desired.bring(updated, decision); len(more.names) > 0 {
				t.Errorf("a second time changes %v", more.names)
			}
		})
	}
}

// takeOver notes, as the API server does, that somebody else wrote a key last.
func takeOver(s *corev1.Secret, key string) {
	data := slices.DeleteFunc(slices.Collect(maps.Keys(s.Data)), func(k string) bool { return k == key })
	s.ManagedFields = []metav1.ManagedFieldsEntry{
		managedBy(v1alpha1.ManagedBy, data, slices.Collect(maps.Keys(s.Labels)), slices.Collect(maps.Keys(s.Annotations))),
		managedBy("kubectl", []string{key}, nil, nil),
	}
}

func TestOwnedFields(t *testing.T) {
	owned := ownedFields([]metav1.ManagedFieldsEntry{
		managedBy(v1alpha1.ManagedBy, []string{"a"}, []string{"l"}, nil),
		managedBy("kubectl", []string{"theirs"}, []string{"theirs"}, []string{"theirs"}),
		managedBy(v1alpha1.ManagedBy, []string{"b"}, nil, []string{"n"}), // As after an upgrade, by another operation.
		{Manager: v1alpha1.ManagedBy},
	})
	for name, test := range map[string]struct {
		got  map[string]json.RawMessage
		want string
	}{
		"data":        {owned.Data, ". f:a f:b"},
		"labels":      {owned.Metadata.Labels, ". f:l"},
		"annotations": {owned.Metadata.Annotations, ". f:n"},
	} {
		if got := strings.Join(slices.Sorted(maps.Keys(test.got)), " "); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestCredentialIn(t *testing.T) {
	mine, copied := credential.Generate(), credential.Generate()
	secret := func(data map[string]string) corev1.Secret {
		s := corev1.Secret{Data: map[string][]byte{}}
		for key, value := range data {
			s.Data[key] = []byte(value)
		}
		return s
	}
	for name, test := range map[string]struct {
		secrets []corev1.Secret
		want    string
	}{
		"none":                             {nil, ""},
		"no well-formed value":             {[]corev1.Secret{secret(map[string]string{"key": "x", "issuer": "y"})}, ""},
		"under the key, a copy beside it":  {[]corev1.Secret{secret(map[string]string{"key": mine, "a": copied, "z": copied})}, mine},
		"under a former key":               {[]corev1.Secret{secret(map[string]string{"former": mine, "key": "spoilt"})}, mine},
		"under the key of a second Secret": {[]corev1.Secret{secret(map[string]string{"a": copied}), secret(map[string]string{"key": mine})}, mine},
	} {
		for range 20 { // Maps have no order.
			if got := credentialIn("key", test.secrets...); got != test.want {
				t.Fatalf("%s: another value was found", name)
			}
		}
	}

	// When the key is renamed, what others keep in the Secret does not become the credential.
	renamed := secret(map[string]string{"former": mine, "a": copied, "z": copied})
	renamed.ManagedFields = []metav1.ManagedFieldsEntry{managedBy(v1alpha1.ManagedBy, []string{"former"}, nil, nil), managedBy("kubectl", []string{"a", "z"}, nil, nil)}
	for range 20 {
		if credentialIn("key", renamed) != mine {
			t.Fatal("what somebody else keeps in the Secret became the credential")
		}
	}
}
