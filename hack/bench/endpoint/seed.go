package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// Objects are put into etcd as the API server would have stored them, because to create a hundred thousand clients through it takes
// ten minutes. From there on all is as ever: the API server serves them, and Kubemint lists, watches and reconciles them.

// example is an OAuthClient and its Secret as Kubemint left them: in sync, so that copies of them are, too.
type example struct {
	name, clientUID, secretUID string
	client, secret             map[string]any
}

// learn lets Kubemint serve one OAuthClient.
func (b *bench) learn(ctx context.Context) (err error) {
	const name = "example-client"
	kubemint, err := b.startKubemint(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = kubemint.Kill() }() // For what fails; else it has ended.
	manifest := fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %[1]s}}
---
apiVersion: oauth.kubemint.dev/v1alpha1
kind: OAuthClient
metadata: {name: %[2]s, namespace: %[1]s}
spec: {scopes: [%[3]s]}
`, namespace, name, strings.ReplaceAll(scopes, " ", ", "))
	if _, err := b.cluster.ApplyYAML(ctx, manifest); err != nil {
		return err
	}
	if _, err := b.cluster.Kubectl(ctx, "wait", "-n", namespace, "oac/"+name, "--for=condition=Ready", "--timeout=60s"); err != nil {
		return err
	}
	if err := b.readExample(ctx, name); err != nil {
		return err
	}
	return kubemint.Stop()
}

// readExample reads what Kubemint made.
func (b *bench) readExample(ctx context.Context, name string) (err error) {
	b.example.name = name
	if b.example.client, b.example.clientUID, err = b.read(ctx, "oac", name); err != nil {
		return err
	}
	if b.example.secret, b.example.secretUID, err = b.read(ctx, "secret", name); err != nil {
		return err
	}
	b.secret, err = b.example.value("client_secret")
	return err
}

// read returns an object as it is stored, and its UID.
func (b *bench) read(ctx context.Context, resource, name string) (object map[string]any, uid string, err error) {
	content, err := b.cluster.Kubectl(ctx, "get", "-n", namespace, resource, name, "-o", "json", "--show-managed-fields")
	if err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal([]byte(content), &object); err != nil {
		return nil, "", fmt.Errorf("read %s %s: %w", resource, name, err)
	}
	metadata := object["metadata"].(map[string]any)
	delete(metadata, "resourceVersion") // It is never stored.
	return object, metadata["uid"].(string), nil
}

// value returns a value of the example's Secret.
func (e *example) value(key string) (string, error) {
	encoded, _ := e.secret["data"].(map[string]any)[key].(string)
	value, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(value) == 0 {
		return "", fmt.Errorf("the example's Secret has no %s", key)
	}
	return string(value), nil
}

// clientName is the name of the i-th client that is seeded.
func clientName(i int) string { return fmt.Sprintf("client-%06d", i) }

// clientID is its client identifier.
func clientID(i int) string { return namespace + "." + clientName(i) }

// seedClients adds clients until there are so many.
func (b *bench) seedClients(ctx context.Context, count int) error {
	if count <= b.registered {
		return nil
	}
	from := b.registered
	b.registered = count
	return b.seed(ctx, namespace, from, count)
}

// seed adds clients to a namespace, by their numbers.
func (b *bench) seed(ctx context.Context, namespace string, from, to int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := from; i < to; i++ {
		name := clientName(i)
		client, secret, err := b.example.copies(namespace, name)
		if err != nil {
			return err
		}
		group.Go(func() error {
			return errors.Join(
				b.put(ctx, "/registry/oauth.kubemint.dev/oauthclients/"+namespace+"/"+name, client),
				b.put(ctx, "/registry/secrets/"+namespace+"/"+name, secret))
		})
	}
	return group.Wait()
}

// seedUnrelated adds Secrets that are none of Kubemint's business.
func (b *bench) seedUnrelated(ctx context.Context, count, size int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	content := bytes.Repeat([]byte("x"), size)
	for i := range count {
		group.Go(func() error {
			secret := corev1.Secret{TypeMeta: metav1.TypeMeta{Kind: "Secret", APIVersion: "v1"}, Data: map[string][]byte{"content": content},
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("unrelated-%06d", i), UID: uuid.NewUUID()}}
			stored, err := json.Marshal(secret)
			if err != nil {
				return err
			}
			return b.put(ctx, "/registry/secrets/"+namespace+"/"+secret.Name, stored)
		})
	}
	return group.Wait()
}

// writers is how many write to etcd at once.
const writers = 8

// copies returns the example's two objects in a namespace under another name, with UIDs of their own.
func (e *example) copies(in, name string) (client, secret []byte, err error) {
	e.secret["data"].(map[string]any)["client_id"] = base64.StdEncoding.EncodeToString([]byte(in + "." + name))
	replace := strings.NewReplacer(`"namespace":"`+namespace+`"`, `"namespace":"`+in+`"`, e.name, name, e.clientUID, string(uuid.NewUUID()), e.secretUID, string(uuid.NewUUID()))
	for object, stored := range map[*map[string]any]*[]byte{&e.client: &client, &e.secret: &secret} {
		text, err := json.Marshal(*object)
		if err != nil {
			return nil, nil, fmt.Errorf("copy the example: %w", err)
		}
		*stored = []byte(replace.Replace(string(text)))
	}
	return client, secret, nil
}

// put writes to etcd by its JSON gateway. One object to a write, as the API server does: those of one revision could come to a
// watch in two parts.
func (b *bench) put(ctx context.Context, key string, value []byte) error {
	body, err := json.Marshal(map[string][]byte{"key": []byte(key), "value": value})
	if err != nil {
		return fmt.Errorf("write %s to etcd: %w", key, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.cluster.EtcdURL()+"/v3/kv/put", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("write %s to etcd: %w", key, err)
	}
	response, err := etcd.Do(request)
	if err != nil {
		return fmt.Errorf("write %s to etcd: %w", key, err)
	}
	defer response.Body.Close() //nolint:errcheck // It is read.
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s", response.Status, answer)
	}
	if err != nil {
		return fmt.Errorf("write %s to etcd: %w", key, err)
	}
	return nil
}

// etcd keeps a connection for each writer.
var etcd = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: writers}}
