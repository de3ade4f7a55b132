package localcluster

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenLifetime of service account kubeconfigs: longer than any test or demo.
const tokenLifetime = 12 * time.Hour

// Config is how a client reaches the cluster as an administrator, without a limit on its requests. The caller may change it.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Kubeconfig is the path of a kubeconfig file for an administrator.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "admin.kubeconfig") }

// ServiceAccountKubeconfig writes a kubeconfig file with a new token of an existing service account, so that a process
// can run with just the permissions it would have in a pod.
func (c *Cluster) ServiceAccountKubeconfig(ctx context.Context, namespace, name string) (string, error) {
	token, err := c.serviceAccountToken(ctx, namespace, name)
	if err != nil {
		return "", fmt.Errorf("request a token of service account %s/%s: %w", namespace, name, err)
	}
	return c.TokenKubeconfig(token, filepath.Join(c.dir, namespace+"."+name+".kubeconfig"))
}

// TokenKubeconfig writes a kubeconfig file for the bearer of a token.
func (c *Cluster) TokenKubeconfig(token, path string) (string, error) {
	config, err := clientcmd.LoadFromFile(c.Kubeconfig())
	if err != nil {
		return "", fmt.Errorf("read the admin kubeconfig: %w", err)
	}
	for user := range config.AuthInfos {
		config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token}
	}
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", fmt.Errorf("write a kubeconfig with a token: %w", err)
	}
	return path, nil
}

func (c *Cluster) serviceAccountToken(ctx context.Context, namespace, name string) (string, error) {
	seconds := int64(tokenLifetime.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	answer, err := c.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return answer.Status.Token, nil
}

// Kubectl runs kubectl as an administrator and returns what it wrote to standard output and standard error.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	kubectl, err := binary("kubectl")
	if err != nil {
		return "", err
	}
	// The usual cache of API groups is by host and port, and another cluster may have had this port before.
	cache := filepath.Join(c.dir, "kubectl-cache")
	args = append([]string{"--kubeconfig=" + c.Kubeconfig(), "--cache-dir=" + cache}, args...)
	output, err := exec.CommandContext(ctx, kubectl, args...).CombinedOutput()
	if err != nil {
		return string(output), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args[2:], " "), err, output)
	}
	return string(output), nil
}
