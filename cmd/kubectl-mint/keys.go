package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// keysOptions are the flags of kubectl mint keys.
type keysOptions struct {
	plugin *plugin
	issuer issuerFlags
	output format
}

func newKeysCommand(p *plugin) *cobra.Command {
	o := &keysOptions{plugin: p}
	command := &cobra.Command{
		Use:   "keys",
		Short: "Show the issuer's signing keys",
		Long: `Show the issuer's signing keys as it publishes them, and where you may read the Secret kubemint-signing-keys, what state each is in
and what happens next. Of that Secret only the metadata is read: the private keys never leave the API server.`,
		Example: `  kubectl mint keys

  # Of an issuer anywhere
  kubectl mint keys --issuer https://kubemint.example.com`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return o.run(command.Context()) },
	}
	o.issuer.addURLFlag(command, "URL of the issuer (default: that of the cluster)")
	o.issuer.addFlags(command)
	o.output.addFlag(command)
	return command
}

// signingKey is a key of the ring.
type signingKey struct {
	KeyID     string `json:"kid"`
	Algorithm string `json:"alg"`
	// Published is whether it stands in the key set.
	Published bool `json:"published"`
	// State and Schedule are what Kubemint says of it.
	State    signing.State `json:"state,omitempty"`
	Schedule string        `json:"schedule,omitempty"`
}

func (o *keysOptions) run(ctx context.Context) error {
	cluster, err := o.issuer.connect(&o.plugin.access)
	if err != nil {
		return err
	}
	published, publishedErr := o.published(ctx, cluster)
	described := o.described(ctx, cluster)
	if publishedErr != nil && len(described) == 0 {
		return publishedErr
	}
	if publishedErr != nil {
		_, _ = fmt.Fprintf(o.plugin.stderr, "The key set cannot be read, so this is what Kubemint's Secret says: %s\n", oneLine(publishedErr))
	}
	keys := joined(published, described)
	return o.output.write(o.plugin.stdout, keys, func(out io.Writer) error { return keysTable(keys).write(out, "") })
}

// connect returns the cluster; nil where the flags name an issuer, so that none is needed.
func (f *issuerFlags) connect(a *access) (*cluster, error) {
	c, err := a.connect()
	if err != nil && f.url != "" {
		return nil, nil
	}
	return c, err
}

// published reads the issuer's key set.
func (o *keysOptions) published(ctx context.Context, c *cluster) ([]signingKey, error) {
	where, err := o.issuer.find(ctx, c)
	if err != nil {
		return nil, err
	}
	httpClient, stop, err := o.issuer.client(c, where.ca, o.plugin.stderr)
	if err != nil {
		return nil, err
	}
	defer stop()
	set, err := keySet(ctx, httpClient, where.issuer)
	if err != nil {
		return nil, err
	}
	return parseKeySet(set)
}

// parseKeySet returns what a JWK Set names (RFC 7517, section 5).
func parseKeySet(set []byte) ([]signingKey, error) {
	var parsed struct {
		Keys []struct {
			KeyID     string `json:"kid"`
			Algorithm string `json:"alg"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(set, &parsed); err != nil {
		return nil, fmt.Errorf("the key set is no JSON of the form {\"keys\": [...]}")
	}
	keys := make([]signingKey, len(parsed.Keys))
	for i, key := range parsed.Keys {
		keys[i] = signingKey{KeyID: printable(key.KeyID), Algorithm: printable(key.Algorithm), Published: true}
	}
	return keys, nil
}

// described returns what Kubemint says of its ring, in an annotation of the Secret; nothing where the user may not read that, or
// another issuer is meant.
func (o *keysOptions) described(ctx context.Context, c *cluster) []signingKey {
	if c == nil || o.issuer.url != "" {
		return nil
	}
	secret := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}}
	key := client.ObjectKey{Namespace: o.issuer.kubemintNamespace, Name: v1alpha1.SigningKeysSecretName}
	if err := c.Get(ctx, key, secret); err != nil {
		return nil
	}
	return parseRingStatus(secret.Annotations[v1alpha1.AnnotationStatus])
}

// parseRingStatus reads lines of the form "KID STATE (ALG) what happens next". Other lines are no key.
func parseRingStatus(status string) []signingKey {
	var keys []signingKey
	for line := range strings.Lines(status) {
		words := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if len(words) != 4 || !strings.HasPrefix(words[2], "(") {
			continue
		}
		keys = append(keys, signingKey{
			KeyID: words[0], State: signing.State(words[1]), Algorithm: strings.Trim(words[2], "()"), Schedule: words[3],
		})
	}
	return keys
}

// joined returns each key once, with what is known of it by either side.
func joined(published, described []signingKey) []signingKey {
	all := append([]signingKey{}, described...)
	for _, key := range published {
		known := false
		for i := range all {
			if all[i].KeyID == key.KeyID {
				all[i].Published, known = true, true
			}
		}
		if !known {
			all = append(all, key)
		}
	}
	return all
}

func keysTable(keys []signingKey) table {
	rows := table{{"KID", "ALGORITHM", "PUBLISHED", "STATE", "SCHEDULE"}}
	for _, key := range keys {
		published := "no"
		if key.Published {
			published = "yes"
		}
		rows.add(key.KeyID, key.Algorithm, published, dash(string(key.State)), dash(key.Schedule))
	}
	return rows
}
