//go:build !linux

// Package sandbox is of Linux.
package sandbox

import (
	"context"
	"errors"
)

// CgroupRoot is the control group below which containers are to be.
const CgroupRoot = "kubemint-e2e"

// ErrInside is that of a program that failed in the sandbox, and said why.
var ErrInside = errors.New("it failed in the sandbox")

// Addresses of the sandbox's loopback interface, with their networks.
type Addresses []string

// Check says whether a sandbox is possible here.
func Check() error {
	return errors.New("a node runs on Linux only: set KUBECONFIG to that of a cluster, kind's for example")
}

// Inside reports whether this process is the one that the sandbox is for.
func Inside() bool { return false }

// InitIfFirst does nothing here.
func InitIfFirst(Addresses) {}

// Run does nothing here.
func Run(context.Context) error { return Check() }
