package grant

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/kubemint/kubemint/tokenserver/scope"
)

// decoded returns claims as a resource server reads them, having checked that no member is there twice (J11).
func decoded(t testing.TB, c *Claims) map[string]any {
	t.Helper()
	encoded, err := c.AppendText(nil)
	if err != nil {
		t.Fatal(err)
	}
	wantNoDuplicates(t, json.NewDecoder(bytes.NewReader(encoded)))
	return decode(t, encoded)
}

// decode decodes a JSON object, with numbers as they are written.
func decode(t testing.TB, encoded []byte) (object map[string]any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		t.Fatalf("%s: %v", encoded, err)
	}
	if decoder.More() {
		t.Fatalf("%s: more than an object", encoded)
	}
	return object
}

// wantNoDuplicates reads one value, and checks that no object in it has two members of one name.
func wantNoDuplicates(t testing.TB, decoder *json.Decoder) {
	t.Helper()
	if next(t, decoder) != json.Delim('{') {
		return
	}
	seen := map[json.Token]bool{}
	for decoder.More() {
		name := next(t, decoder)
		if seen[name] {
			t.Errorf("member %q stands there twice", name)
		}
		seen[name] = true
		wantNoDuplicates(t, decoder)
	}
	next(t, decoder) // The closing brace.
}

func next(t testing.TB, decoder *json.Decoder) json.Token {
	t.Helper()
	token, err := decoder.Token()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// integer returns a claim that must be written as an integer, without exponent or fraction.
func integer(t testing.TB, claim any) int64 {
	t.Helper()
	number, _ := claim.(json.Number)
	value, err := number.Int64()
	if err != nil {
		t.Fatalf("%v is no integer", claim)
	}
	return value
}

// The encoding itself: what a token looks like, and the characters that JSON or encoding/json treat specially.
func TestAppendText(t *testing.T) {
	const plain = `{"iss":"https://issuer.example","sub":"billing.invoice-worker","aud":"https://api.example",` +
		`"client_id":"billing.invoice-worker","scope":"read","iat":1782900000,"exp":1782903600,"jti":"an-id"`
	const origin = `,"kubernetes.io":{"namespace":"billing","name":"invoice-worker","uid":"6f1c7f3e-0000-4000-8000-000000000001"}}`
	for _, test := range []struct {
		name  string
		extra map[string]string
		want  string
	}{
		{"no extra claims", nil, ``},
		{"an extra claim", map[string]string{"team": "billing"}, `,"team":"billing"`},
		{"always in the same order", map[string]string{"c": "3", "a": "1", "b": "2"}, `,"a":"1","b":"2","c":"3"`},
		{"only such as are the token's own", map[string]string{"sub": "admin", "kubernetes.io": "{}"}, ``},
		{"names differ by case", map[string]string{"SUB": "x"}, `,"SUB":"x"`},
		{"quotation mark and backslash", map[string]string{`a"b\`: `c"d\`}, `,"a\"b\\":"c\"d\\"`},
		{"control characters", map[string]string{"a": "\x00\n\x1f\x7f"}, `,"a":"\u0000\n\u001f` + "\x7f" + `"`},
		{"HTML stays as it is", map[string]string{"a": "<b>&'/"}, `,"a":"<b>&'/"`},
		{"HTML beside what is escaped", map[string]string{"a": `<b>&"`}, `,"a":"<b>&\""`},
		{"beyond ASCII", map[string]string{"a": "£€😀"}, `,"a":"£€😀"`},
		{"line separators of JavaScript", map[string]string{"a": "\u2028\u2029"}, `,"a":"\u2028\u2029"`},
		{"invalid UTF-8 in a value", map[string]string{"a": "b\xff"}, `,"a":"b\ufffd"`},
		{"invalid UTF-8 in names", map[string]string{"a\xff": "1", "a\xfe": "2"}, ``},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := client()
			c.Accesses[0].Claims = test.extra
			granted, refusal := issuer().Grant(c, nil, "")
			if refusal != nil {
				t.Fatal(refusal)
			}
			granted.ID = "an-id"
			if encoded, err := granted.AppendText(nil); err != nil || string(encoded) != plain+test.want+origin {
				t.Errorf("got  %s, %v\nwant %s", encoded, err, plain+test.want+origin)
			}
			decoded(t, granted)
		})
	}
}

// One client, and its map of extra claims, is shared by all requests.
func TestAppendTextConcurrently(t *testing.T) {
	c := client()
	c.Accesses[0].Claims = map[string]string{"team": "billing", "sub": "admin", "tier": "gold"}
	var requests sync.WaitGroup
	var seen sync.Map
	for range 100 {
		requests.Go(func() {
			granted, refusal := issuer().Grant(c, nil, "read write")
			if refusal != nil {
				t.Error(refusal)
				return
			}
			encoded, err := granted.AppendText(nil)
			if err != nil || !bytes.Contains(encoded, []byte(granted.ID)) {
				t.Errorf("AppendText = %s, %v; want jti %s", encoded, err, granted.ID)
			}
			if _, again := seen.LoadOrStore(string(encoded), true); again {
				t.Errorf("twice the same claims: %s", encoded)
			}
		})
	}
	requests.Wait()
}

// FuzzClaims compares the encoding with that of a map of the claims by encoding/json.
func FuzzClaims(f *testing.F) {
	for _, hostile := range []string{"", "team", "sub", "kubernetes.io", "SUB", `"`, `\`, `","sub":"admin`, "\x00\n\x1f\x7f", "<&>",
		"\xff\xfe", "a\xc0\x80", "\xed\xa0\x80", "\u2028\u2029", "\ufffd", "£€😀", `\u003c`, "{}", strings.Repeat("x", 1024)} {
		f.Add(hostile, hostile, "read", hostile, hostile, "other", hostile, int64(1782900000), int64(3600))
		f.Add("https://issuer.example", "billing.worker", "read "+hostile, hostile, "a\xff", hostile, "c", int64(-1), int64(1<<40))
	}
	f.Fuzz(func(t *testing.T, issuer, id, scopes, name, value, name2, value2 string, iat, lifetime int64) {
		claims := &Claims{
			Issuer: issuer, ID: value2, IssuedAt: time.Unix(iat, 0), Scopes: scope.NewSet(strings.Fields(scopes)...),
			Client: &Client{ID: id, Namespace: name, Name: value, UID: value2},
			Access: &scope.Access{Audience: value, Lifetime: time.Duration(lifetime), Claims: map[string]string{name: value, name2: value2}},
		}
		encoded, err := json.Marshal(asMap(claims))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := decoded(t, claims), decode(t, encoded); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

// asMap returns the claims by name.
func asMap(c *Claims) map[string]any {
	byName := map[string]any{}
	for name, value := range c.Access.Claims {
		if utf8.ValidString(name) {
			byName[name] = value
		}
	}
	maps.Copy(byName, map[string]any{
		"iss": c.Issuer, "sub": c.Client.ID, "aud": c.Access.Audience, "client_id": c.Client.ID, "scope": c.Scopes.String(),
		"iat": c.IssuedAt.Unix(), "exp": c.IssuedAt.Add(c.Access.Lifetime).Unix(), "jti": c.ID,
		"kubernetes.io": map[string]string{"namespace": c.Client.Namespace, "name": c.Client.Name, "uid": c.Client.UID},
	})
	return byName
}
