package assertion

import (
	"errors"
	"strings"
)

// ServiceAccount is the service account that a token of Kubernetes is for, and the pod that it is bound to.
type ServiceAccount struct {
	Namespace, Name string
	// UID tells the account from another that had, or will have, its name.
	UID string
	// Pod is empty where the token is bound to none.
	Pod string
}

// Subject is the sub of the account's tokens.
func (s ServiceAccount) Subject() string { return serviceAccountPrefix + s.Namespace + ":" + s.Name }

const serviceAccountPrefix = "system:serviceaccount:"

var (
	errNoServiceAccount = errors.New("it is no service account token that a cluster made: " +
		"use one that is projected into the pod, not one of a Secret")
	errServiceAccounts = errors.New("its sub and its claim kubernetes.io name different service accounts")
)

// ServiceAccount returns the service account that the token is for. Its sub, and its claim kubernetes.io, must agree.
func (c *Claims) ServiceAccount() (ServiceAccount, error) {
	bound, ok := c.kubernetes.(object)
	if !ok || !strings.HasPrefix(c.Subject, serviceAccountPrefix) {
		return ServiceAccount{}, errNoServiceAccount
	}
	var account ServiceAccount
	account.Namespace, _ = bound["namespace"].(string)
	own, _ := bound["serviceaccount"].(object)
	account.Name, _ = own["name"].(string)
	account.UID, _ = own["uid"].(string)
	if account.Namespace == "" || account.Name == "" || account.UID == "" {
		return ServiceAccount{}, errNoServiceAccount
	}
	if account.Subject() != c.Subject {
		return ServiceAccount{}, errServiceAccounts
	}
	pod, _ := bound["pod"].(object)
	account.Pod, _ = pod["name"].(string)
	return account, nil
}
