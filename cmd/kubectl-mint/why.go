package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
)

// whyOptions are the flags of kubectl mint why.
type whyOptions struct {
	plugin         *plugin
	output         format
	resourceServer string
}

func newWhyCommand(p *plugin) *cobra.Command {
	o := &whyOptions{plugin: p}
	command := &cobra.Command{
		Use:   "why CLIENT SCOPE",
		Short: "Say whether a client has a scope, and who can change it",
		Long: `Say whether a client has a scope, why, and who must grant it, with the exact line for them.

It is decided here from the ResourceServers as they are now, by the same function as in the token server, where you may list them in all
namespaces; else it is what Kubemint last reported. For a scope that the client does not ask for, it says how to.`,
		Example: `  kubectl mint why order-export orders:write -n billing

  # At one of several APIs
  kubectl mint why order-export orders:write -n billing --resource-server shop/orders`,
		Args:              exactArgs("CLIENT", "SCOPE"),
		ValidArgsFunction: p.completeClientAndScope,
		RunE: func(command *cobra.Command, args []string) error {
			return o.run(command.Context(), args[0], v1alpha1.Scope(args[1]))
		},
	}
	command.Flags().StringVar(&o.resourceServer, "resource-server", "", "the API, NAMESPACE/NAME or a name in the client's namespace (default: every one that the client asks)")
	o.output.addFlag(command)
	return command
}

// answer is what became of a scope at one place.
type answer struct {
	Scope v1alpha1.Scope `json:"scope"`
	// ResourceServer is NAMESPACE/NAME; empty at the issuer's default audience.
	ResourceServer string            `json:"resourceServer,omitempty"`
	Audience       v1alpha1.Audience `json:"audience,omitempty"`
	// State is Granted, Denied or Pending, or NotAsked where the client does not ask for it there.
	State  string `json:"state"`
	Reason string `json:"reason"`
	// Message says who can change it.
	Message string `json:"message,omitempty"`
	// AskBy is the line for spec.resources of the client that does not ask for it yet.
	AskBy string `json:"addToResources,omitempty"`
	// Allow are the lines for spec.allowedClients of the ResourceServer.
	Allow []string `json:"addToAllowedClients,omitempty"`
	// DecidedFrom is ResourceServers, as they are now, or Status, as Kubemint last reported.
	DecidedFrom string `json:"decidedFrom"`
}

const stateNotAsked = "NotAsked"

// Where an answer is from.
const (
	fromResourceServers = "ResourceServers"
	fromStatus          = "Status"
)

func (o *whyOptions) run(ctx context.Context, name string, scope v1alpha1.Scope) error {
	cluster, err := o.plugin.access.connect()
	if err != nil {
		return err
	}
	holder, err := cluster.oauthClient(ctx, name)
	if err != nil {
		return err
	}
	live, err := cluster.resourceServers(ctx)
	if err != nil && !apierrors.IsForbidden(err) {
		return explained(err)
	}
	q := question{client: holder, scope: scope, servers: live}
	answers := q.answers(o.asked(holder.Namespace))
	return o.output.write(o.plugin.stdout, answers, func(out io.Writer) error {
		for i := range answers {
			if err := answers[i].write(out, holder); err != nil {
				return err
			}
		}
		return nil
	})
}

// asked returns the ResourceServer of the flag; empty where there is none.
func (o *whyOptions) asked(namespace string) types.NamespacedName {
	if o.resourceServer == "" {
		return types.NamespacedName{}
	}
	if before, after, found := strings.Cut(o.resourceServer, "/"); found {
		return types.NamespacedName{Namespace: before, Name: after}
	}
	return types.NamespacedName{Namespace: namespace, Name: o.resourceServer}
}

// question is a scope of a client, and what it is decided from.
type question struct {
	client *v1alpha1.OAuthClient
	scope  v1alpha1.Scope
	// servers are all ResourceServers of the cluster; nil where the user may not list them.
	servers serverList
}

// answers says what became of the scope wherever the client asks for it; or at one ResourceServer.
func (q *question) answers(at types.NamespacedName) []answer {
	var all []answer
	if at.Name == "" && slices.Contains(q.client.Spec.Scopes, q.scope) {
		all = append(all, q.unowned())
	}
	for _, became := range q.became(q.client) {
		if key := became.ResourceServer.In(q.client.Namespace); at.Name == "" || key == at {
			all = append(all, q.owned(became)...)
		}
	}
	if len(all) == 0 {
		all = q.notAsked(at)
	}
	return all
}

// unowned says what became of the scope in spec.scopes, to which nobody consents. Whether administrators forbid such scopes is not to be
// read anywhere but in what Kubemint reports.
func (q *question) unowned() answer {
	a := answer{Scope: q.scope, State: string(v1alpha1.ScopeGranted), Reason: "Unowned", DecidedFrom: fromStatus,
		Message: "nobody owns it: it stands in spec.scopes, and needs no consent. Declare the API as a ResourceServer to have a say (docs/scopes.md)"}
	switch condition := meta.FindStatusCondition(q.client.Status.Conditions, v1alpha1.ConditionScopesGranted); {
	case q.client.Status.ObservedGeneration != q.client.Generation:
		a.State, a.Reason = string(v1alpha1.ScopePending), "NotReported"
		a.Message = "Kubemint has not reported on this version of the OAuthClient yet: ask again in a moment, or see kubectl mint doctor"
	case slices.Contains(q.client.Status.GrantedScopes, q.scope):
	case condition != nil && condition.Reason == v1alpha1.ReasonUnownedScopesForbidden:
		a.State, a.Reason = string(v1alpha1.ScopeDenied), condition.Reason
		a.Message = "the administrators forbid scopes that nobody owns: ask for it in spec.resources, at the ResourceServer of the API, or have them add the namespace to --unowned-scopes-namespaces"
	}
	return a
}

// owned says what became of the scope at one ResourceServer that the client asks.
func (q *question) owned(became v1alpha1.ResourceStatus) []answer {
	var all []answer
	key := became.ResourceServer.In(q.client.Namespace)
	for _, s := range became.Scopes {
		if s.Name != q.scope {
			continue
		}
		a := answer{Scope: q.scope, ResourceServer: key.String(), Audience: became.Audience,
			State: string(s.State), Reason: s.Reason, Message: s.Message, DecidedFrom: q.source()}
		if s.Reason == v1alpha1.ReasonClientNotAllowed {
			a.Allow = q.linesFor(key)
		}
		all = append(all, a)
	}
	return all
}

// became says what became of all that a client asks for, from the ResourceServers if they are known, else as Kubemint reported.
func (q *question) became(c *v1alpha1.OAuthClient) []v1alpha1.ResourceStatus {
	if q.servers == nil {
		return c.Status.Resources
	}
	return consent.Policy{Reserved: q.servers.reserved()}.Decide(c, q.servers).Resources()
}

func (q *question) source() string {
	if q.servers == nil {
		return fromStatus
	}
	return fromResourceServers
}

// linesFor returns what the owner of a ResourceServer adds to spec.allowedClients. The list, once there is one, is all that counts: where
// there is none yet, its own namespace needs a line, too, to keep what it has.
func (q *question) linesFor(key types.NamespacedName) []string {
	lines := []string{fmt.Sprintf("- {namespace: %s, name: %s, scopes: [%q]}", q.client.Namespace, q.client.Name, q.scope)}
	if server := q.servers.Get(key); server != nil && server.Spec.AllowedClients == nil {
		lines = append([]string{fmt.Sprintf("- {namespace: %s} # which is allowed while there is no list", key.Namespace)}, lines...)
	}
	return lines
}

// notAsked says how the client can ask for a scope that it does not list: at one ResourceServer, or at each that has it.
func (q *question) notAsked(at types.NamespacedName) []answer {
	places := []types.NamespacedName{at}
	if at.Name == "" {
		places = q.servers.declaring(q.scope)
	}
	var all []answer
	for _, place := range places {
		all = append(all, q.supposed(place))
	}
	if len(all) == 0 {
		all = append(all, answer{Scope: q.scope, State: stateNotAsked, Reason: "ScopeNotListed", DecidedFrom: q.source(),
			Message: "the client does not ask for it, and no ResourceServer that you may see has it: add it to spec.resources at the API's ResourceServer (--resource-server), or where nobody owns it, to spec.scopes"})
	}
	return all
}

// supposed says what would become of the scope if the client asked for it at a ResourceServer.
func (q *question) supposed(place types.NamespacedName) answer {
	a := answer{Scope: q.scope, ResourceServer: place.String(), State: stateNotAsked, Reason: "ScopeNotListed", DecidedFrom: q.source(),
		Message: "the client does not ask for it there",
		AskBy:   fmt.Sprintf("- {resourceServer: {namespace: %s, name: %s}, scopes: [%q]}", place.Namespace, place.Name, q.scope)}
	if q.servers == nil {
		return a
	}
	asking := *q.client
	asking.Spec.Resources = []v1alpha1.ResourceRequest{{
		ResourceServer: v1alpha1.ResourceServerReference{Namespace: v1alpha1.NamespaceName(place.Namespace), Name: v1alpha1.ObjectName(place.Name)},
		Scopes:         []v1alpha1.Scope{q.scope},
	}}
	became := q.became(&asking)[0]
	a.Audience = became.Audience
	would := became.Scopes[0]
	a.Message += fmt.Sprintf("; if it did, it would be %s (%s)", would.State, would.Reason)
	switch would.Reason {
	case v1alpha1.ReasonAllowed:
	case v1alpha1.ReasonClientNotAllowed:
		a.Allow = q.linesFor(place)
	default:
		a.Message += ": " + would.Message
	}
	return a
}

// write writes an answer as a paragraph.
func (a *answer) write(out io.Writer, holder *v1alpha1.OAuthClient) error {
	var text strings.Builder
	place := "the issuer's default audience"
	if a.ResourceServer != "" {
		place = "ResourceServer " + a.ResourceServer
	}
	if a.Audience != "" {
		place += " (" + string(a.Audience) + ")"
	}
	fmt.Fprintf(&text, "%s at %s: %s (%s)\n", a.Scope, place, a.State, a.Reason)
	if a.Message != "" && a.Reason != v1alpha1.ReasonClientNotAllowed { // Whose message is the line that follows, without what else it takes.
		fmt.Fprintf(&text, "  %s\n", a.Message)
	}
	if a.AskBy != "" {
		fmt.Fprintf(&text, "  Add to spec.resources of OAuthClient %s/%s (or the scope to what stands there for this API):\n    %s\n", holder.Namespace, holder.Name, a.AskBy)
	}
	if len(a.Allow) > 0 {
		fmt.Fprintf(&text, "  The owners of ResourceServer %s can allow it. To add to its spec.allowedClients:\n    %s\n", a.ResourceServer, strings.Join(a.Allow, "\n    "))
	}
	if a.DecidedFrom == fromStatus && a.ResourceServer != "" {
		text.WriteString("  This is what Kubemint last reported, as you may not list ResourceServers in all namespaces.\n")
	}
	_, err := io.WriteString(out, text.String())
	return err
}
