package main

import (
	"github.com/spf13/cobra"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// completeClient completes the first argument by the names of the namespace's OAuthClients.
func (p *plugin) completeClient(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	cluster, err := p.access.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	clients, err := cluster.oauthClients(command.Context(), cluster.namespace)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := make([]string, len(clients))
	for i := range clients {
		names[i] = clients[i].Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeClientAndScope completes a client, and then one of the scopes that it asks for.
func (p *plugin) completeClientAndScope(command *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return p.completeClient(command, args, toComplete)
	}
	cluster, err := p.access.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	c, err := cluster.oauthClient(command.Context(), args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return texts(askedScopes(c)), cobra.ShellCompDirectiveNoFileComp
}

// askedScopes returns all scopes that an OAuthClient asks for, anywhere.
func askedScopes(c *v1alpha1.OAuthClient) []v1alpha1.Scope {
	scopes := c.Spec.Scopes
	for _, asked := range c.Spec.Resources {
		scopes = append(scopes[:len(scopes):len(scopes)], asked.Scopes...)
	}
	return scopes
}

func texts[S ~string](values []S) []string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = string(value)
	}
	return texts
}
