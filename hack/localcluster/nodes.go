package localcluster

import (
	"fmt"
	"os"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// APIServerAddress and APIServerPort are where kube-apiserver listens in a cluster that is to have nodes. The caller gives the address to
// an interface. It is the first of the range of Services, that of the Service `kubernetes`, because pods look for the API
// server there, and the certificate that envtest makes is for the address it listens at.
const (
	APIServerAddress = "10.0.0.1"
	APIServerPort    = "6443"
)

// controllerManagerFlagsForNodes: in an outage of the API server, kube-controller-manager hears of no node. In other clusters it
// loses its lease then, and starts anew with the API server; here it goes on, and would take all nodes for dead at once.
var controllerManagerFlagsForNodes = []string{"--node-monitor-grace-period=5m"}

// configureForNodes makes the API server treat kubelets and pods as other clusters do.
func configureForNodes(server *envtest.APIServer) {
	server.Address, server.Port = APIServerAddress, APIServerPort
	server.Configure().
		Set("authorization-mode", "Node", "RBAC").
		Set("enable-admission-plugins", "NodeRestriction").
		Set("kubelet-preferred-address-types", "InternalIP"). // no DNS knows the node's name
		Disable("disable-admission-plugins")                  // envtest's ServiceAccount: pods get tokens here
}

// UserKubeconfig writes a kubeconfig file for a user with a client certificate: a kubelet, say.
func (c *Cluster) UserKubeconfig(path, name string, groups ...string) error {
	user, err := c.environment.AddUser(envtest.User{Name: name, Groups: groups}, nil)
	if err != nil {
		return fmt.Errorf("make a certificate for %s: %w", name, err)
	}
	config, err := user.KubeConfig()
	if err != nil {
		return fmt.Errorf("make a kubeconfig for %s: %w", name, err)
	}
	if err := os.WriteFile(path, config, 0o600); err != nil {
		return fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	return nil
}
