package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// changeOptions are the flags of commands that change an OAuthClient.
type changeOptions struct {
	plugin  *plugin
	noWait  bool
	timeout time.Duration
}

func (o *changeOptions) addFlags(command *cobra.Command) {
	command.Flags().BoolVar(&o.noWait, "no-wait", false, "do not wait until Kubemint has followed")
	command.Flags().DurationVar(&o.timeout, "timeout", time.Minute, "how long to wait at most")
}

func newRotateCommand(p *plugin) *cobra.Command {
	o := &changeOptions{plugin: p}
	command := &cobra.Command{
		Use:   "rotate CLIENT",
		Short: "Replace a client's secret, and its generated private key",
		Long: `Replace a client's secret, and its generated private key, and wait until the new ones are in the Secret.

Those from before stay valid through the overlap, or until they are seen to be no longer used (docs/rotation.md). If one has leaked, delete
the Secret instead: that makes all of the client's secrets void at once.`,
		Example: `  kubectl mint rotate invoice-worker -n billing

  # Many at once
  for client in $(kubectl get oac -n billing -o jsonpath='{.items[*].metadata.name}'); do kubectl mint rotate $client -n billing --no-wait; done`,
		Args:              exactArgs("CLIENT"),
		ValidArgsFunction: p.completeClient,
		RunE:              func(command *cobra.Command, args []string) error { return o.rotate(command.Context(), args[0]) },
	}
	o.addFlags(command)
	return command
}

func newSuspendCommand(p *plugin) *cobra.Command {
	o := &changeOptions{plugin: p}
	command := &cobra.Command{
		Use:   "suspend CLIENT",
		Short: "Refuse a client new tokens, without deleting anything",
		Long: `Refuse a client new tokens, without deleting anything. Tokens that were issued before stay valid until they expire.

It sets spec.suspend: where the OAuthClient is applied from a repository, set it there, too, or it is undone.`,
		Example:           "  kubectl mint suspend invoice-worker -n billing",
		Args:              exactArgs("CLIENT"),
		ValidArgsFunction: p.completeClient,
		RunE: func(command *cobra.Command, args []string) error {
			return o.setSuspend(command.Context(), args[0], true, "suspended: it gets no new token; those from before stay valid until they expire")
		},
	}
	o.addFlags(command)
	return command
}

func newResumeCommand(p *plugin) *cobra.Command {
	o := &changeOptions{plugin: p}
	command := &cobra.Command{
		Use:               "resume CLIENT",
		Short:             "Let a suspended client have tokens again, with the same credentials",
		Example:           "  kubectl mint resume invoice-worker -n billing",
		Args:              exactArgs("CLIENT"),
		ValidArgsFunction: p.completeClient,
		RunE: func(command *cobra.Command, args []string) error {
			return o.setSuspend(command.Context(), args[0], false, "resumed: its credentials get tokens again")
		},
	}
	o.addFlags(command)
	return command
}

// rotate asks for one rotation, and waits until the status shows what it made.
func (o *changeOptions) rotate(ctx context.Context, name string) error {
	cluster, holder, err := o.read(ctx, name)
	if err != nil {
		return err
	}
	if err := rotatable(holder); err != nil {
		return err
	}
	before := newestVersions(holder)
	request := map[string]any{"metadata": map[string]any{"annotations": map[string]string{
		v1alpha1.AnnotationRotate: time.Now().UTC().Format(time.RFC3339Nano), // It differs from the one before.
	}}}
	if err := cluster.patch(ctx, holder, request); err != nil {
		return err
	}
	if o.noWait {
		return o.say(holder, "asked to rotate")
	}
	err = o.await(ctx, cluster, holder, func() bool { return newestVersions(holder).follow(before) })
	if err != nil {
		return err
	}
	return o.say(holder, rotated(holder))
}

// rotatable says whether Kubemint makes anything that could be replaced.
func rotatable(holder *v1alpha1.OAuthClient) error {
	key := holder.Spec.Authentication.PrivateKeyJWT
	if key != nil && key.Generated != nil {
		return nil
	}
	if holder.Spec.Secret.Source == v1alpha1.SecretProvided {
		return fmt.Errorf("the client secret of %s is provided by somebody else: change Secret %s where it is made, and that is a rotation (docs/provided-secrets.md)", holder.Name, holder.SecretName())
	}
	if holder.Spec.Secret.Source == v1alpha1.SecretNone {
		return fmt.Errorf("%s has neither a client secret nor a generated private key: there is nothing to rotate", holder.Name)
	}
	return nil
}

// versions are the newest versions of a client secret and of a generated private key; 0 where there is none.
type versions struct{ secret, key int64 }

func newestVersions(holder *v1alpha1.OAuthClient) versions {
	var v versions
	if credentials := holder.Status.Credentials; len(credentials) > 0 && holder.Spec.Secret.Source != v1alpha1.SecretProvided {
		v.secret = credentials[0].Version
	}
	if keys := holder.Status.PrivateKeys; len(keys) > 0 {
		v.key = keys[0].Version
	}
	return v
}

// follow reports whether everything that there was has been replaced.
func (v versions) follow(before versions) bool {
	return v != before && (before.secret == 0 || v.secret > before.secret) && (before.key == 0 || v.key > before.key)
}

// rotated says what is valid after a rotation.
func rotated(holder *v1alpha1.OAuthClient) string {
	text := "rotated: " + versionsText(newestVersions(holder))
	if condition := meta.FindStatusCondition(holder.Status.Conditions, v1alpha1.ConditionRotating); condition != nil {
		text += "; " + condition.Message
	}
	return text
}

func versionsText(v versions) string {
	var parts []string
	if v.secret > 0 {
		parts = append(parts, fmt.Sprintf("version %d of the client secret is in the Secret", v.secret))
	}
	if v.key > 0 {
		parts = append(parts, fmt.Sprintf("version %d of the private key is in the Secret", v.key))
	}
	return strings.Join(parts, ", ")
}

// setSuspend sets spec.suspend, and waits until the status follows.
func (o *changeOptions) setSuspend(ctx context.Context, name string, suspend bool, done string) error {
	cluster, holder, err := o.read(ctx, name)
	if err != nil {
		return err
	}
	if err := cluster.patch(ctx, holder, map[string]any{"spec": map[string]any{"suspend": suspend}}); err != nil {
		return err
	}
	if o.noWait {
		return o.say(holder, fmt.Sprintf("spec.suspend is %t", suspend))
	}
	err = o.await(ctx, cluster, holder, func() bool { return holder.Status.ObservedGeneration >= holder.Generation })
	if err != nil {
		return err
	}
	ready := meta.FindStatusCondition(holder.Status.Conditions, v1alpha1.ConditionReady)
	if !suspend && ready != nil && ready.Reason != v1alpha1.ReasonIssued {
		done = fmt.Sprintf("no longer suspended, but not ready: %s: %s", ready.Reason, ready.Message)
	}
	return o.say(holder, done)
}

func (o *changeOptions) read(ctx context.Context, name string) (*cluster, *v1alpha1.OAuthClient, error) {
	cluster, err := o.plugin.access.connect()
	if err != nil {
		return nil, nil, err
	}
	holder, err := cluster.oauthClient(ctx, name)
	return cluster, holder, err
}

// patch changes an OAuthClient by a merge patch, and reads what came of it.
func (c *cluster) patch(ctx context.Context, holder *v1alpha1.OAuthClient, change map[string]any) error {
	text, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("encode the change: %w", err)
	}
	return c.Patch(ctx, holder, client.RawPatch(types.MergePatchType, text), client.FieldOwner("kubectl-mint"))
}

// lookAgain is how often an OAuthClient is read while waiting: not everybody who may change it may watch it.
const lookAgain = 250 * time.Millisecond

// await reads an OAuthClient until it is as wanted.
func (o *changeOptions) await(ctx context.Context, c *cluster, holder *v1alpha1.OAuthClient, done func() bool) error {
	err := wait.PollUntilContextTimeout(ctx, lookAgain, o.timeout, true, func(ctx context.Context) (bool, error) {
		if err := c.Get(ctx, client.ObjectKeyFromObject(holder), holder); err != nil {
			return false, err
		}
		return done(), nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("it was asked for, but Kubemint has not followed within %s: kubectl mint doctor says whether it runs, and kubectl mint status %s -n %s what stands in the way",
			o.timeout, holder.Name, holder.Namespace)
	}
	return err
}

func (o *changeOptions) say(holder *v1alpha1.OAuthClient, what string) error {
	_, err := fmt.Fprintf(o.plugin.stdout, "oauthclient %s/%s %s\n", holder.Namespace, holder.Name, what)
	return err
}
