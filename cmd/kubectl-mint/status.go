package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// statusOptions are the flags of kubectl mint status.
type statusOptions struct {
	plugin        *plugin
	output        format
	allNamespaces bool
}

func newStatusCommand(p *plugin) *cobra.Command {
	o := &statusOptions{plugin: p}
	command := &cobra.Command{
		Use:   "status [CLIENT]",
		Short: "Show a client's credentials, who still holds the old ones, and its scopes",
		Long: `Show a client's credentials with their last use, who still holds the old ones, the ways in which it proves who it is, and its scopes;
or without CLIENT, all clients of the namespace in a table. Last uses are exact to a day, and while a rotation lasts, to an hour.`,
		Example: `  kubectl mint status invoice-worker -n billing
  kubectl mint status -A`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: p.completeClient,
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) == 1 {
				return o.one(command.Context(), args[0])
			}
			return o.all(command.Context())
		},
	}
	command.Flags().BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "all clients of all namespaces")
	o.output.addFlag(command)
	return command
}

// clientStatus is what there is to know of a client.
type clientStatus struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	ClientID  string `json:"clientID,omitempty"`
	// Ready, Reason and Message are those of the condition Ready.
	Ready   string `json:"ready"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Behind is whether Kubemint has not followed the newest change yet.
	Behind     bool   `json:"behind,omitempty"`
	SecretName string `json:"secretName,omitempty"`
	// Methods are the ways in which the client may prove who it is.
	Methods     []v1alpha1.AuthenticationMethod `json:"methods,omitempty"`
	LastUsed    []v1alpha1.AuthenticationStatus `json:"lastUsed,omitempty"`
	Credentials []v1alpha1.CredentialStatus     `json:"credentials,omitempty"`
	PrivateKeys []v1alpha1.PrivateKeyStatus     `json:"privateKeys,omitempty"`
	// Rotating says what the credentials from before wait for.
	Rotating  string                    `json:"rotating,omitempty"`
	Scopes    []v1alpha1.Scope          `json:"scopes,omitempty"`
	Resources []v1alpha1.ResourceStatus `json:"resources,omitempty"`
}

func statusOf(c *v1alpha1.OAuthClient) clientStatus {
	status := clientStatus{
		Namespace: c.Namespace, Name: c.Name, ClientID: c.Status.ClientID, Ready: string(metav1.ConditionUnknown),
		Behind: c.Status.ObservedGeneration != c.Generation, SecretName: c.Status.SecretName,
		Methods: c.AuthenticationMethods(), LastUsed: c.Status.Authentication,
		Credentials: c.Status.Credentials, PrivateKeys: c.Status.PrivateKeys,
		Scopes: c.Status.GrantedScopes, Resources: c.Status.Resources,
	}
	if ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		status.Ready, status.Reason, status.Message = string(ready.Status), ready.Reason, ready.Message
	}
	if rotating := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionRotating); rotating != nil {
		status.Rotating = rotating.Message
	}
	return status
}

func (o *statusOptions) one(ctx context.Context, name string) error {
	if o.allNamespaces {
		return fmt.Errorf("-A is for all clients, and %s is one: leave one of them out", name)
	}
	cluster, err := o.plugin.access.connect()
	if err != nil {
		return err
	}
	c, err := cluster.oauthClient(ctx, name)
	if err != nil {
		return err
	}
	status := statusOf(c)
	return o.output.write(o.plugin.stdout, status, func(out io.Writer) error { return status.write(out, time.Now()) })
}

func (o *statusOptions) all(ctx context.Context) error {
	cluster, err := o.plugin.access.connect()
	if err != nil {
		return err
	}
	namespace := cluster.namespace
	if o.allNamespaces {
		namespace = ""
	}
	clients, err := cluster.oauthClients(ctx, namespace)
	if err != nil {
		return err
	}
	all := make([]clientStatus, len(clients))
	for i := range clients {
		all[i] = statusOf(&clients[i])
	}
	if len(all) == 0 && o.output == formatTable {
		_, err := fmt.Fprintf(o.plugin.stderr, "There is no OAuthClient in %s.\n", cmp.Or(namespace, "any namespace"))
		return err
	}
	return o.output.write(o.plugin.stdout, all, func(out io.Writer) error {
		return statusTable(all, o.allNamespaces, time.Now()).write(out, "")
	})
}

// statusTable has one line for each client.
func statusTable(all []clientStatus, withNamespace bool, now time.Time) table {
	rows := table{{"NAMESPACE", "NAME", "READY", "REASON", "SECRET", "VERSION", "LAST USED", "OLD ONES", "SCOPES"}}
	for i := range all {
		s := &all[i]
		rows.add(s.Namespace, s.Name, s.Ready, s.Reason, dash(s.SecretName), s.version(), sinceNow(s.lastUsed(), now), s.oldOnes(), dash(s.scopesText()))
	}
	if withNamespace {
		return rows
	}
	for i := range rows {
		rows[i] = rows[i][1:]
	}
	return rows
}

func dash(text string) string { return cmp.Or(text, "-") }

// version returns the newest version of the client secret, or of the private key where there is only that.
func (s *clientStatus) version() string {
	switch {
	case len(s.Credentials) > 0:
		return strconv.FormatInt(s.Credentials[0].Version, 10)
	case len(s.PrivateKeys) > 0:
		return strconv.FormatInt(s.PrivateKeys[0].Version, 10)
	default:
		return "-"
	}
}

// oldOnes says until when credentials from before are valid.
func (s *clientStatus) oldOnes() string {
	count := max(0, len(s.Credentials)-1) + max(0, len(s.PrivateKeys)-1)
	if count == 0 {
		return "-"
	}
	return fmt.Sprintf("%d valid", count)
}

// lastUsed returns when the client last proved who it is, by any means.
func (s *clientStatus) lastUsed() time.Time {
	var last time.Time
	for _, credential := range s.Credentials {
		last = later(last, timeOf(credential.LastUsed))
	}
	for _, key := range s.PrivateKeys {
		last = later(last, timeOf(key.LastUsed))
	}
	for _, way := range s.LastUsed {
		last = later(last, way.LastUsed.Time)
	}
	return last
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// scopesText returns the granted scopes, and how many others there are.
func (s *clientStatus) scopesText() string {
	granted := texts(s.Scopes)
	missing := 0
	for _, resource := range s.Resources {
		for _, scope := range resource.Scopes {
			if scope.State == v1alpha1.ScopeGranted {
				granted = append(granted, string(scope.Name))
			} else {
				missing++
			}
		}
	}
	text := strings.Join(granted, " ")
	if missing > 0 {
		text = strings.TrimSpace(fmt.Sprintf("%s (%d not granted)", text, missing))
	}
	return text
}

// write writes all that is known of a client.
func (s *clientStatus) write(out io.Writer, now time.Time) error {
	facts := table{
		{"Client", s.Namespace + "/" + s.Name},
		{"Client ID", dash(s.ClientID)},
		{"Ready", strings.TrimSuffix(fmt.Sprintf("%s (%s): %s", s.Ready, dash(s.Reason), s.Message), ": ")},
		{"Secret", dash(s.SecretName)},
		{"Authenticates by", strings.Join(texts(s.Methods), ", ")},
	}
	if s.Behind {
		facts.add("Behind", "Kubemint has not followed the newest change yet")
	}
	if s.Rotating != "" {
		facts.add("Rotating", s.Rotating)
	}
	parts := []struct {
		title string
		rows  table
	}{
		{"", facts},
		{"Client secrets", s.credentialRows(now)},
		{"Private keys", s.keyRows(now)},
		{"Last used", s.methodRows(now)},
		{"Scopes", s.scopeRows()},
	}
	for _, part := range parts {
		if err := writePart(out, part.title, part.rows); err != nil {
			return err
		}
	}
	return nil
}

// writePart writes a table with a title; nothing where there are no rows but the heading.
func writePart(out io.Writer, title string, rows table) error {
	if title == "" {
		return rows.write(out, "")
	}
	if len(rows) < 2 {
		return nil
	}
	if _, err := fmt.Fprintf(out, "\n%s\n", title); err != nil {
		return err
	}
	return rows.write(out, "  ")
}

func (s *clientStatus) credentialRows(now time.Time) table {
	rows := table{{"VERSION", "CREATED", "LAST USED", "EXPIRES"}}
	for _, c := range s.Credentials {
		rows.add(strconv.FormatInt(c.Version, 10), sinceNow(c.Created.Time, now), sinceNow(timeOf(c.LastUsed), now), expiry(c.Expires, now))
	}
	return rows
}

func (s *clientStatus) keyRows(now time.Time) table {
	rows := table{{"VERSION", "KID", "CREATED", "LAST USED", "EXPIRES"}}
	for _, k := range s.PrivateKeys {
		rows.add(strconv.FormatInt(k.Version, 10), k.KeyID, sinceNow(k.Created.Time, now), sinceNow(timeOf(k.LastUsed), now), expiry(k.Expires, now))
	}
	return rows
}

// expiry says when a credential ends: the present one does not.
func expiry(at *metav1.Time, now time.Time) string {
	if at == nil {
		return "- (the present one)"
	}
	return sinceNow(at.Time, now)
}

func (s *clientStatus) methodRows(now time.Time) table {
	rows := table{{"METHOD", "LAST USED"}}
	for _, way := range s.LastUsed {
		rows.add(string(way.Method), sinceNow(way.LastUsed.Time, now))
	}
	return rows
}

func (s *clientStatus) scopeRows() table {
	rows := table{{"SCOPE", "AT", "STATE", "REASON"}}
	for _, scope := range s.Scopes {
		rows.add(string(scope), "the issuer's default audience", string(v1alpha1.ScopeGranted), "Unowned")
	}
	for _, resource := range s.Resources {
		for _, scope := range resource.Scopes {
			at := resource.ResourceServer.In(s.Namespace).String()
			if resource.Audience != "" {
				at += " (" + string(resource.Audience) + ")"
			}
			rows.add(string(scope.Name), at, string(scope.State), scope.Reason)
		}
	}
	return rows
}
