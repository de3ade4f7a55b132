package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/kubemint/kubemint/tokenserver/registry"
)

type getCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// serveCertificate returns where the token endpoint gets its certificate at each handshake; nil for plain HTTP.
func serveCertificate(ctx context.Context, group *errgroup.Group, o *options, clients *registry.Registry) (getCertificate, error) {
	switch o.tlsMode {
	case tlsDisabled:
		return nil, nil
	case tlsFiles:
		watcher, err := certwatcher.New(o.tlsCertFile, o.tlsKeyFile)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert-file, --tls-key-file: %w: they must be a certificate and its private key, both PEM", err)
		}
		group.Go(func() error { return watcher.Start(ctx) })
		return watcher.GetCertificate, nil
	default:
		return clients.GetCertificate, nil
	}
}

func isCertificate(data []byte) bool {
	block, _ := pem.Decode(data)
	return block != nil && block.Type == "CERTIFICATE"
}
