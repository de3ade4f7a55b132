package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

var noon = time.Date(2030, 4, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) metav1.Time { return metav1.NewTime(noon.Add(d)) }

func TestStatusIsWrittenForPeople(t *testing.T) {
	status := clientStatus{
		Namespace: "billing", Name: "worker", ClientID: "billing.worker", Ready: "True", Reason: "Issued", Message: "it works", SecretName: "worker",
		Methods:  []v1alpha1.AuthenticationMethod{v1alpha1.MethodClientSecret, v1alpha1.MethodServiceAccount},
		LastUsed: []v1alpha1.AuthenticationStatus{{Method: v1alpha1.MethodServiceAccount, LastUsed: at(-time.Hour)}},
		Credentials: []v1alpha1.CredentialStatus{
			{Version: 2, Created: at(-3 * time.Hour)},
			{Version: 1, Created: at(-72 * time.Hour), LastUsed: ptr.To(at(-2 * time.Hour)), Expires: ptr.To(at(48 * time.Hour))},
		},
		Rotating: "Waiting for Deployment/worker",
		Scopes:   []v1alpha1.Scope{"invoices:read"},
		Resources: []v1alpha1.ResourceStatus{{
			ResourceServer: v1alpha1.ResourceServerReference{Namespace: "shop", Name: "orders"}, Audience: "https://orders.shop.svc",
			Scopes: []v1alpha1.ScopeStatus{{Name: "orders:read", State: v1alpha1.ScopeDenied, Reason: "ClientNotAllowed"}},
		}},
	}
	var text strings.Builder
	if err := status.write(&text, noon); err != nil {
		t.Fatal(err)
	}
	const expected = `Client             billing/worker
Client ID          billing.worker
Ready              True (Issued): it works
Secret             worker
Authenticates by   ClientSecret, ServiceAccount
Rotating           Waiting for Deployment/worker

Client secrets
  VERSION   CREATED   LAST USED   EXPIRES
  2         3h ago    never       - (the present one)
  1         3d ago    120m ago    in 2d

Last used
  METHOD           LAST USED
  ServiceAccount   60m ago

Scopes
  SCOPE           AT                                      STATE     REASON
  invoices:read   the issuer's default audience           Granted   Unowned
  orders:read     shop/orders (https://orders.shop.svc)   Denied    ClientNotAllowed
`
	if text.String() != expected {
		t.Errorf("it is\n%s", text.String())
	}

	text.Reset()
	if err := statusTable([]clientStatus{status}, true, noon).write(&text, ""); err != nil {
		t.Fatal(err)
	}
	const row = `NAMESPACE   NAME     READY   REASON   SECRET   VERSION   LAST USED   OLD ONES   SCOPES
billing     worker   True    Issued   worker   2         60m ago     1 valid    invoices:read (1 not granted)
`
	if text.String() != row {
		t.Errorf("the table is\n%s", text.String())
	}
}

func TestClaimsAreCheckedAsAnAPIWould(t *testing.T) {
	good := map[string]any{
		"iss": "https://issuer", "sub": "a.b", "client_id": "a.b", "jti": "1", "aud": "https://api", "scope": "x",
		"iat": json.Number("1901275200"), "exp": json.Number("1901278800"), // noon, and an hour later
	}
	now := time.Unix(1901275260, 0)
	for name, c := range map[string]struct {
		typ    string
		change map[string]any
		fails  string
	}{
		"as it is":                     {},
		"a media type in full":         {typ: "application/at+jwt"},
		"an audience in a list":        {change: map[string]any{"aud": []any{"https://other", "https://api"}}},
		"a certificate's confirmation": {change: map[string]any{"cnf": map[string]any{"x5t#S256": strings.Repeat("A", 43)}}},
		"an ID token":                  {typ: "JWT", fails: "typ"},
		"another audience":             {change: map[string]any{"aud": "https://other"}, fails: "aud"},
		"no audience":                  {change: map[string]any{"aud": nil}, fails: "aud"},
		"expired at this second":       {change: map[string]any{"exp": json.Number("1901275260")}, fails: "exp"},
		"no expiry":                    {change: map[string]any{"exp": nil}, fails: "exp"},
		"not yet valid":                {change: map[string]any{"nbf": json.Number("1901275261")}, fails: "exp"},
		"from the future":              {change: map[string]any{"iat": json.Number("1901275300")}, fails: "exp"},
		"a confirmation by name":       {change: map[string]any{"cnf": map[string]any{"kid": "1"}}, fails: "cnf"},
		"a thumbprint that is short":   {change: map[string]any{"cnf": map[string]any{"jkt": "AAAA"}}, fails: "cnf"},
		"no jti":                       {change: map[string]any{"jti": nil}, fails: "claims"},
		"no iat":                       {change: map[string]any{"iat": nil}, fails: "claims"},
	} {
		t.Run(name, func(t *testing.T) {
			token := decodedToken{Header: map[string]any{"typ": "at+jwt"}, Claims: maps.Clone(good)}
			maps.Copy(token.Claims, c.change)
			if c.typ != "" {
				token.Header["typ"] = c.typ
			}
			for _, got := range checkClaims(token, "https://api", now) {
				if (got.Result == verdictFailed) != (got.Name == c.fails) {
					t.Errorf("%+v", got)
				}
			}
		})
	}
}

func TestIssuerIsComparedWithTheTrustedOne(t *testing.T) {
	token := decodedToken{Claims: map[string]any{"iss": "https://issuer"}}
	for source, c := range map[string]struct {
		issuer string
		result verdict
	}{"--issuer": {"https://issuer", verdictOK}, "Secret a/b": {"https://other", verdictFailed}, sourceToken: {"https://issuer", verdictWarning}} {
		if got := checkIssuer(place{issuer: c.issuer, source: source}, token); got.Result != c.result {
			t.Errorf("%s: %+v", source, got)
		}
	}
}

// A token may come from anybody: a terminal must not take its claims for commands.
func TestWhatATerminalWouldObeyIsQuoted(t *testing.T) {
	if got := readable("sub", "a\x1b[2J", noon); strings.Contains(got, "\x1b") {
		t.Errorf("it is %q", got)
	}
	if got := readable("sub", "größer", noon); got != "größer" {
		t.Errorf("it is %q", got)
	}
}

func TestLeaseIsFreshWhileALeaderRenewsIt(t *testing.T) {
	lease := func(holder string, age time.Duration) *coordinationv1.Lease {
		renewed := metav1.NewMicroTime(noon.Add(-age))
		return &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: &renewed, LeaseDurationSeconds: ptr.To(int32(15))}}
	}
	for name, c := range map[string]struct {
		lease  *coordinationv1.Lease
		result verdict
	}{
		"just renewed":          {lease("a", time.Second), verdictOK},
		"by a clock that is on": {lease("a", -time.Minute), verdictOK},
		"long ago":              {lease("a", time.Minute), verdictFailed},
		"released":              {lease("", time.Second), verdictFailed},
		"never held":            {&coordinationv1.Lease{}, verdictFailed},
	} {
		if got := leaseFresh(c.lease, noon); got.Result != c.result {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestClocksThatDifferAreFound(t *testing.T) {
	for apart, expected := range map[time.Duration]verdict{
		0: verdictOK, 4 * time.Second: verdictOK, -10 * time.Second: verdictWarning, time.Minute: verdictFailed, -time.Hour: verdictFailed,
	} {
		header := map[string][]string{"Date": {noon.Add(apart).Format("Mon, 02 Jan 2006 15:04:05 GMT")}}
		if got := checkClock(header, noon); got.Result != expected {
			t.Errorf("%s apart: %+v", apart, got)
		}
	}
}

func TestClientsThatAreNotReadyAreCountedByReason(t *testing.T) {
	client := func(name, status, reason string, generation int64) v1alpha1.OAuthClient {
		return v1alpha1.OAuthClient{
			ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, Generation: generation},
			Status: v1alpha1.OAuthClientStatus{ObservedGeneration: 1, Conditions: []metav1.Condition{{
				Type: v1alpha1.ConditionReady, Status: metav1.ConditionStatus(status), Reason: reason,
			}}},
		}
	}
	checks := checkClients([]v1alpha1.OAuthClient{
		client("a", "True", "Issued", 1), client("b", "False", "Suspended", 1), client("c", "False", "Forbidden", 1),
		client("d", "False", "SecretConflict", 1), client("e", "False", "SecretConflict", 1), client("f", "True", "Issued", 2),
	}, "all namespaces")
	var got []string
	for _, c := range checks {
		got = append(got, string(c.Result)+" "+strings.SplitN(c.Detail, "(", 2)[0])
	}
	expected := []string{"ok 1 of 6 ready in all namespaces", "failed Forbidden: 1 ", "warning SecretConflict: 2 ", "ok Suspended: 1 ", "warning not followed yet: 1 "}
	if !slices.Equal(got, expected) {
		t.Errorf("it is %q", got)
	}
}

func TestFieldsThatTheCRDsLackAreFound(t *testing.T) {
	missing, err := missingFields([]byte(`{"components": {"schemas": {
		"dev.kubemint.oauth.v1alpha1.OAuthClient": {"properties": {"spec": {"properties": {"secret": {"properties": {"name": {}}}}}}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"OAuthClient.spec.suspend", "OAuthClient.spec.secret.keys", "OAuthClient.status.conditions", "ResourceServer.spec.audience"} {
		if !slices.Contains(missing, field) {
			t.Errorf("%s is not among %v", field, missing)
		}
	}
	if slices.Contains(missing, "OAuthClient.spec.secret.name") {
		t.Error("a field that is there is taken to be missing")
	}
}

func TestServiceAndPortBehindTheIssuersAddress(t *testing.T) {
	for host, expected := range map[string]types.NamespacedName{
		"kubemint.oauth.svc":               {Namespace: "oauth", Name: "kubemint"},
		"mint.oauth.svc.cluster.local":     {Namespace: "oauth", Name: "mint"},
		"kubemint.example.com":             {Namespace: "own", Name: "kubemint"},
		"localhost":                        {Namespace: "own", Name: "kubemint"},
		"kubemint.kubemint-system.example": {Namespace: "own", Name: "kubemint"},
	} {
		if got := serviceOf(host, "own"); got != expected {
			t.Errorf("%s leads to %s", host, got)
		}
	}
	service := &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{
		{Port: 443, TargetPort: intstr.FromString("token")}, {Port: 9443, TargetPort: intstr.FromInt32(9000)},
	}}}
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "token", ContainerPort: 8443}}}}}}
	for port, expected := range map[string]int32{"443": 8443, "9443": 9000, "8080": 8443} {
		if got := targetPort(service, pod, port); got != expected {
			t.Errorf("port %s leads to %d", port, got)
		}
	}
}

func TestRingStatusIsJoinedWithTheKeySet(t *testing.T) {
	described := parseRingStatus("old retired (ES256) signed until x, is published until y\nnew active (ES256) signs since z, until w\nthe signing keys cannot be read (it is broken)")
	published, err := parseKeySet([]byte(`{"keys": [{"kid": "new", "alg": "ES256"}, {"kid": "unheard", "alg": "RS256"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := keysTable(joined(published, described)).write(&text, ""); err != nil {
		t.Fatal(err)
	}
	const expected = `KID       ALGORITHM   PUBLISHED   STATE     SCHEDULE
old       ES256       no          retired   signed until x, is published until y
new       ES256       yes         active    signs since z, until w
unheard   RS256       yes         -         -
`
	if text.String() != expected {
		t.Errorf("it is\n%s", text.String())
	}
}

func TestRightsThatComeWithAFlagAreAskedForWithIt(t *testing.T) {
	if hasFlag(&appsv1.Deployment{}, "--watch-pods") {
		t.Error("without a Deployment, a flag is taken to be set")
	}
	deployment := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Args: []string{"--issuer=https://issuer", "--watch-pods", "--restart-workloads=true", "--watch-namespaces=a,b"},
	}}}}}}
	if !hasFlag(deployment, "--watch-pods") || !hasFlag(deployment, "--restart-workloads") || hasFlag(deployment, "--review-service-account-tokens") {
		t.Error("the flags are not told apart")
	}
	if got := argument(deployment, "--issuer"); got != "https://issuer" {
		t.Errorf("the issuer is %q", got)
	}
	if got := watchedBy(deployment); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("it watches %q", got)
	}
}

// What a token server has seen is held against what there is; what has just changed may be on its way.
func TestACacheThatStaysBehindIsFound(t *testing.T) {
	now := time.Now()
	client := func(created, changed time.Duration) v1alpha1.OAuthClient {
		c := v1alpha1.OAuthClient{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now.Add(-created))}}
		c.ManagedFields = []metav1.ManagedFieldsEntry{{Time: &metav1.Time{Time: now.Add(-changed)}}}
		return c
	}
	all := []v1alpha1.OAuthClient{client(time.Hour, 10*time.Minute), client(time.Hour, time.Hour)}
	for name, test := range map[string]struct {
		seen     cache
		all      []v1alpha1.OAuthClient
		expected verdict
	}{
		"all of it":              {cache{2, now.Add(-10 * time.Minute)}, all, verdictOK},
		"since it was started":   {cache{2, now.Add(-time.Minute)}, all, verdictOK},
		"not the last change":    {cache{2, now.Add(-20 * time.Minute)}, all, verdictFailed},
		"one too few":            {cache{1, now.Add(-10 * time.Minute)}, all, verdictFailed},
		"one not yet":            {cache{2, now.Add(-10 * time.Minute)}, append(slices.Clone(all), client(time.Second, time.Second)), verdictOK},
		"a change not yet":       {cache{2, now.Add(-time.Hour)}, []v1alpha1.OAuthClient{client(time.Hour, time.Second), client(time.Hour, time.Hour)}, verdictOK},
		"one that is gone":       {cache{3, now.Add(-10 * time.Minute)}, all, verdictWarning},
		"what cannot be listed":  {cache{3, now.Add(-time.Hour)}, nil, verdictOK},
		"nothing":                {cache{}, nil, verdictFailed},
		"nothing where all told": {cache{}, all, verdictFailed},
	} {
		if got := checkCache("pod", test.seen, test.all, now); got.Result != test.expected {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := parseCache("kubemint_clients 2\n"); err == nil {
		t.Error("metrics of another version are taken for it")
	}
}
