package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// tokenOptions are the flags of kubectl mint token.
type tokenOptions struct {
	plugin         *plugin
	issuer         issuerFlags
	output         format
	scopes         []string
	resource       string
	serviceAccount string
	tokenURL       string
	decode         bool
}

func newTokenCommand(p *plugin) *cobra.Command {
	o := &tokenOptions{plugin: p}
	command := &cobra.Command{
		Use:   "token CLIENT",
		Short: "Get an access token as a client",
		Long: `Get an access token as a client, with what its Secret holds: the generated private key where there is one, else the client secret.
You need the right to read the Secret, or with --service-account, to create tokens of the service account.

The token is printed alone, so that it can stand in a command. Whoever has it is the client until it expires.`,
		Example: `  # Call an API as a client would
  curl -H "Authorization: Bearer $(kubectl mint token invoice-worker -n billing)" https://invoices.example.com

  # See what is in a token for another team's API
  kubectl mint token order-export -n billing --resource https://orders.shop.svc --decode

  # Without any secret, as the client's pods do
  kubectl mint token invoice-worker -n billing --service-account invoice-worker`,
		Args:              exactArgs("CLIENT"),
		ValidArgsFunction: p.completeClient,
		RunE:              func(command *cobra.Command, args []string) error { return o.run(command.Context(), args[0]) },
	}
	flags := command.Flags()
	flags.StringArrayVar(&o.scopes, "scope", nil, "scope to ask for; may be given several times (default: spec.defaultScopes, else all that is granted)")
	flags.StringVar(&o.resource, "resource", "", "audience that the token is for (RFC 8707), of a ResourceServer that the client lists")
	flags.StringVar(&o.serviceAccount, "service-account", "", "prove the client by a token of this service account, which spec.authentication.serviceAccounts must list")
	flags.BoolVar(&o.decode, "decode", false, "print the token's header and claims instead of the token")
	flags.StringVar(&o.tokenURL, "token-url", "", "URL of the token endpoint (default: the one in the client's Secret)")
	o.issuer.addFlags(command)
	o.output.addFlag(command)
	return command
}

// exactArgs refuses other numbers of arguments than those that are named, and says which.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		return fmt.Errorf("%d arguments instead of %d: write %s %s", len(args), len(names), command.CommandPath(), strings.Join(names, " "))
	}
}

func (o *tokenOptions) run(ctx context.Context, name string) error {
	cluster, err := o.plugin.access.connect()
	if err != nil {
		return err
	}
	holder, err := cluster.oauthClient(ctx, name)
	if err != nil {
		return err
	}
	held, err := cluster.credentialsOf(ctx, holder)
	if err != nil {
		return err
	}
	if err := o.override(held); err != nil {
		return err
	}
	request, err := o.request(ctx, cluster, held)
	if err != nil {
		return err
	}
	client, stop, err := o.issuer.client(cluster, held.ca, o.plugin.stderr)
	if err != nil {
		return err
	}
	defer stop()
	answer, err := send(client, request, holder)
	if err != nil {
		return err
	}
	return o.print(answer)
}

// override puts what the flags say in the place of what the Secret says.
func (o *tokenOptions) override(held *credentials) (err error) {
	if o.tokenURL != "" {
		held.tokenURL = o.tokenURL
	}
	if !strings.HasPrefix(held.tokenURL, "https://") {
		return fmt.Errorf("the token endpoint %q is no https URL: a credential must not be sent there", held.tokenURL)
	}
	if o.issuer.caFile != "" {
		held.ca, err = readCA(o.issuer.caFile)
	}
	return err
}

// request makes the token request (RFC 6749, section 4.4.2).
func (o *tokenOptions) request(ctx context.Context, cluster *cluster, held *credentials) (*http.Request, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(o.scopes) > 0 {
		form.Set("scope", strings.Join(o.scopes, " "))
	}
	if o.resource != "" {
		form.Set("resource", o.resource)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, held.tokenURL, nil)
	if err != nil {
		return nil, err
	}
	if err := o.authenticate(ctx, cluster, held, request, form); err != nil {
		return nil, err
	}
	body := form.Encode()
	request.Body, request.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return request, nil
}

func (o *tokenOptions) authenticate(ctx context.Context, cluster *cluster, held *credentials, request *http.Request, form url.Values) error {
	if o.serviceAccount == "" {
		return held.authenticate(request, form)
	}
	assertion, err := cluster.serviceAccountToken(ctx, o.serviceAccount, held.issuer)
	if err != nil {
		return err
	}
	held.assert(form, assertion)
	return nil
}

// tokenAnswer is what the token endpoint said: a token (RFC 6749, section 5.1), or why there is none (section 5.2).
type tokenAnswer struct {
	AccessToken      string `json:"access_token,omitempty"`
	TokenType        string `json:"token_type,omitempty"`
	ExpiresIn        int64  `json:"expires_in,omitempty"`
	Scope            string `json:"scope,omitempty"`
	Error            string `json:"error,omitempty"`
	ErrorDescription string `json:"error_description,omitempty"`
}

// send sends a token request of an OAuthClient.
func send(client *http.Client, request *http.Request, holder *v1alpha1.OAuthClient) (*tokenAnswer, error) {
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask for a token: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask for a token: %w", err)
	}
	var answer tokenAnswer
	if json.Unmarshal(body, &answer) != nil || answer.Error == "" && answer.AccessToken == "" {
		return nil, fmt.Errorf("%s answered %s, and not as a token endpoint does: is another server there?", request.URL, response.Status)
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("the token endpoint refused: %s %s: %s%s", response.Status, answer.Error, answer.ErrorDescription, advice(answer.Error, holder))
	}
	return &answer, nil
}

// advice says what to do about an error of the token endpoint, beside what its description says.
func advice(code string, holder *v1alpha1.OAuthClient) string {
	switch {
	case code == "unauthorized_client" && holder.Spec.Suspend:
		return fmt.Sprintf(" (kubectl mint resume %s -n %s lets it have tokens again)", holder.Name, holder.Namespace)
	case code == "invalid_scope":
		return fmt.Sprintf(" (kubectl mint why %s SCOPE -n %s says who must grant it)", holder.Name, holder.Namespace)
	case code == "invalid_target":
		return fmt.Sprintf(" (kubectl mint status %s -n %s lists the audiences, for --resource)", holder.Name, holder.Namespace)
	default:
		return ""
	}
}

func (o *tokenOptions) print(answer *tokenAnswer) error {
	if o.decode {
		token, err := decodeToken(answer.AccessToken)
		if err != nil {
			return err
		}
		return o.output.write(o.plugin.stdout, token, func(out io.Writer) error { return token.write(out, time.Now()) })
	}
	return o.output.write(o.plugin.stdout, answer, func(out io.Writer) error {
		_, err := fmt.Fprintln(out, answer.AccessToken)
		return err
	})
}

var errNoJWT = errors.New("it is no signed JWT, which has three parts in base64url with dots in between")
