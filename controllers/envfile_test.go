package controllers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubemint/kubemint/tokenserver/credential"
)

func TestEnvFile(t *testing.T) {
	for name, test := range map[string]struct {
		values map[string]string
		want   string
	}{
		"the default shape": {
			map[string]string{"client_id": "billing.worker", "token_url": "https://[::1]:8443/a/oauth2/token", "issuer": "https://id.example.com:8443/a", "client_secret": "kubemint_a-B_9"},
			"CLIENT_ID=billing.worker\nCLIENT_SECRET=kubemint_a-B_9\nISSUER=https://id.example.com:8443/a\nTOKEN_URL='https://[::1]:8443/a/oauth2/token'\n",
		},
		"several scopes":    {map[string]string{"scope": "invoices:read invoices:write"}, "SCOPE='invoices:read invoices:write'\n"},
		"names":             {map[string]string{"client-id": "a", ".tokenUrl": "b", "2nd": "c", "X_Y": "d"}, "CLIENT_ID=a\nX_Y=d\n_2ND=c\n_TOKENURL=b\n"},
		"one name twice":    {map[string]string{"client_id": "b", "client-id": "a"}, "CLIENT_ID=a\nCLIENT_ID=b\n"},
		"a quote":           {map[string]string{"scope": "it's"}, "SCOPE=\"it's\"\n"},
		"a quote and a $":   {map[string]string{"scope": "it's $x"}, `SCOPE='it'\''s $x'` + "\n"},
		"the home of a cat": {map[string]string{"scope": "~cat"}, "SCOPE='~cat'\n"},
		"a comment":         {map[string]string{"scope": "a #b"}, "SCOPE='a #b'\n"},
		"empty":             {map[string]string{"scope": ""}, "SCOPE=\n"},
	} {
		t.Run(name, func(t *testing.T) {
			values := map[string][]byte{}
			for key, value := range test.values {
				values[key] = []byte(value)
			}
			for range 10 { // Maps have no order.
				if got := string(envFile(values)); got != test.want {
					t.Fatalf("got\n%swant\n%s", got, test.want)
				}
			}
		})
	}
}

// Whatever a scope may hold, the shell reads it as it is.
func TestEnvFileInShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh")
	}
	for _, value := range []string{
		"", "a b", "invoices:read", "it's", "it's `uname` $HOME ${HOME}", "$HOME", "`uname`", "a;b", "a&b|c", "a#b #c", "~root", "a:~root", "*", "!!", "<a>", "(a)", "a=b", "'",
		"!#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~", credential.Generate(),
	} {
		path := filepath.Join(t.TempDir(), "oauth.env")
		must(t, os.WriteFile(path, envFile(map[string][]byte{"scope": []byte(value)}), 0o600))
		output, err := exec.CommandContext(t.Context(), sh, "-c", `. "$1"; printf %s "$SCOPE"`, "sh", path).CombinedOutput()
		if err != nil || string(output) != value {
			t.Errorf("%q came out as %q: %v", value, output, err)
		}
	}
}

func TestInSyncWithEnvFile(t *testing.T) {
	edit := func(old, replacement string) func([]byte) []byte {
		return func(file []byte) []byte { return []byte(strings.Replace(string(file), old, replacement, 1)) }
	}
	for name, test := range map[string]struct {
		change func(file []byte) []byte
		want   bool
	}{
		"as made":               {func(file []byte) []byte { return file }, true},
		"gone":                  {func([]byte) []byte { return nil }, false},
		"another value":         {edit("billing.worker", "billing.other"), false},
		"another client secret": {edit("CLIENT_SECRET=kubemint_", "CLIENT_SECRET="+credential.Generate()+"\n#"), false},
		"client secret spoilt":  {edit("CLIENT_SECRET=kubemint_", "CLIENT_SECRET=kubemint_A"), false},
		"client secret masked": {func(file []byte) []byte {
			_, after, _ := strings.Cut(string(file), "CLIENT_SECRET=")
			secret, _, _ := strings.Cut(after, "\n")
			return edit(secret, "sha256:0000")(file)
		}, false},
		"a line more": {func(file []byte) []byte { return append(file, "PATH=/tmp\n"...) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			desired, _, decision := sampleSecret()
			clientSecret := decision.Secret
			desired.envFileKey, desired.caKey = "oauth.env", "ca.crt"
			desired.data["ca.crt"] = []byte("a certificate")
			secret := desired.build(decision)
			if file := string(secret.Data["oauth.env"]); !strings.Contains(file, "CLIENT_SECRET="+clientSecret+"\n") || strings.Contains(file, "certificate") {
				t.Fatalf("it has the lines\n%s", strings.ReplaceAll(file, clientSecret, "..."))
			}
			secret.Data["oauth.env"] = test.change(secret.Data["oauth.env"])
			secret.Data = credential.SealData(secret.Data)
			if _, got := desired.inSync(secret); got != test.want {
				t.Errorf("in sync: %t", got)
			}
		})
	}
}
