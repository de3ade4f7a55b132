package localcluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// trustNobody is the authentication configuration of a new cluster. It adds nobody to those whom the API server knows
// anyway: holders of its client certificates and of service account tokens.
const trustNobody = `apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt: []
`

// SetAuthenticationConfig replaces the API server's AuthenticationConfiguration, which the server reloads by itself. If the
// new one is broken it keeps the old one, and says so only in its log and its metrics.
//
// A new issuer is trusted ten seconds later: the server asks whether the issuer's keys are there first at once, which they
// cannot be, and then every ten seconds. An issuer that is gone is trusted for up to ten seconds more with tokens that the
// server has just seen. The anonymous section cannot be changed while the server runs.
func (c *Cluster) SetAuthenticationConfig(yaml []byte) error {
	if !c.options.AuthenticationConfig {
		return errors.New("set the authentication configuration: the cluster was started without Options.AuthenticationConfig")
	}
	if err := replaceFile(c.authenticationConfig(), yaml); err != nil {
		return fmt.Errorf("set the authentication configuration: %w", err)
	}
	return nil
}

func (c *Cluster) authenticationConfig() string {
	return filepath.Join(c.dir, "authentication.yaml")
}

// replaceFile writes a file in one step, so that a reader who watches it never sees half of it.
func replaceFile(path string, data []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}
