package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// directTimeout is how long to wait for a connection before trying a port-forward: addresses of the cluster often lead nowhere.
const directTimeout = 3 * time.Second

// road leads to an issuer: directly, or by a port-forward to a pod behind its Service. The URL stays as it is either way, so that the
// certificate is verified for the issuer's own name.
type road struct {
	via               string
	cluster           *cluster // nil where there is none
	kubemintNamespace string
	stderr            io.Writer

	mu    sync.Mutex
	local string // the address of the port-forward, once there is one
	stop  chan struct{}
}

// dial connects to an issuer's address. It is tried the other way only where no connection comes about, before anything was sent.
func (r *road) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: directTimeout}
	if r.via == viaPortForward {
		return r.dialForwarded(ctx, dialer, address)
	}
	connection, err := dialer.DialContext(ctx, network, address)
	if err == nil || r.via == viaDirect || r.cluster == nil {
		return connection, err
	}
	forwarded, forwardErr := r.dialForwarded(ctx, dialer, address)
	if forwardErr != nil {
		return nil, fmt.Errorf("%w; and by port-forward: %w", err, forwardErr)
	}
	return forwarded, nil
}

func (r *road) dialForwarded(ctx context.Context, dialer *net.Dialer, address string) (net.Conn, error) {
	local, err := r.forward(ctx, address)
	if err != nil {
		return nil, err
	}
	return dialer.DialContext(ctx, "tcp", local)
}

// forward forwards a local port to the pod that serves an address, once.
func (r *road) forward(ctx context.Context, address string) (local string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.local != "" {
		return r.local, nil
	}
	if r.cluster == nil {
		return "", errors.New("there is no cluster to forward a port to: name one by --kubeconfig")
	}
	pod, port, err := r.cluster.podBehind(ctx, address, r.kubemintNamespace)
	if err != nil {
		return "", err
	}
	stop := make(chan struct{})
	forwarded, err := r.cluster.forwardPort(ctx, pod, port, stop)
	if err != nil {
		close(stop)
		return "", fmt.Errorf("forward a port to pod %s: %w", pod, err)
	}
	_, _ = fmt.Fprintf(r.stderr, "Reaching %s by port-forward to pod %s\n", address, pod)
	r.local, r.stop = net.JoinHostPort("127.0.0.1", strconv.Itoa(int(forwarded))), stop
	return r.local, nil
}

// close ends the port-forward, if there is one.
func (r *road) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		close(r.stop)
		r.local, r.stop = "", nil
	}
}

// serviceOf returns the Service that an issuer's host names. Hosts outside the cluster name none: it is then Kubemint's own.
func serviceOf(host, kubemintNamespace string) types.NamespacedName {
	if parts := strings.Split(host, "."); len(parts) >= 3 && parts[2] == "svc" {
		return types.NamespacedName{Namespace: parts[1], Name: parts[0]}
	}
	return types.NamespacedName{Namespace: kubemintNamespace, Name: "kubemint"}
}

// podBehind returns a ready pod behind the Service of an address, and the port there.
func (c *cluster) podBehind(ctx context.Context, address, kubemintNamespace string) (pod types.NamespacedName, port int32, err error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return pod, 0, err
	}
	var service corev1.Service
	name := serviceOf(host, kubemintNamespace)
	if err := c.Get(ctx, name, &service); apierrors.IsNotFound(err) {
		return pod, 0, fmt.Errorf("there is no Service %s: name the namespace of Kubemint by --kubemint-namespace", name)
	} else if err != nil {
		return pod, 0, err
	}
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(service.Namespace), client.MatchingLabels(service.Spec.Selector)); err != nil {
		return pod, 0, err
	}
	for i := range pods.Items {
		if port := targetPort(&service, &pods.Items[i], portText); port != 0 && isReady(&pods.Items[i]) {
			return client.ObjectKeyFromObject(&pods.Items[i]), port, nil
		}
	}
	return pod, 0, fmt.Errorf("no pod behind Service %s is ready: see kubectl get pods -n %s", name, name.Namespace)
}

func isReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue && pod.DeletionTimestamp.IsZero()
		}
	}
	return false
}

// targetPort returns the pod's port behind the Service's, or behind its first one where it has not the port of the URL, as with a proxy
// in front.
func targetPort(service *corev1.Service, pod *corev1.Pod, port string) int32 {
	if len(service.Spec.Ports) == 0 {
		return 0
	}
	target := service.Spec.Ports[0].TargetPort
	for _, candidate := range service.Spec.Ports {
		if strconv.Itoa(int(candidate.Port)) == port {
			target = candidate.TargetPort
		}
	}
	if target.Type == intstr.Int {
		return target.IntVal
	}
	return namedPort(pod, target.StrVal)
}

// forwardPort forwards a free local port to a pod's until stop is closed, as kubectl port-forward does.
func (c *cluster) forwardPort(ctx context.Context, pod types.NamespacedName, port int32, stop chan struct{}) (local uint16, err error) {
	dialer, err := c.portForwardDialer(pod)
	if err != nil {
		return 0, err
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.NewOnAddressesForStreaming(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		return 0, err
	}
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		return 0, err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return 0, err
	}
	return ports[0].Local, nil
}

// portForwardDialer speaks over a WebSocket, or where the API server is too old for that, as SPDY.
func (c *cluster) portForwardDialer(pod types.NamespacedName) (httpstream.Dialer, error) {
	core, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return nil, err
	}
	address := core.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	overWebSocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(address, c.config)
	if err != nil {
		return nil, err
	}
	overSPDY, err := spdyDialer(address, c.config)
	if err != nil {
		return nil, err
	}
	return portforward.NewFallbackDialerForStreaming(overWebSocket, overSPDY, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

func spdyDialer(address *url.URL, config *rest.Config) (httpstream.Dialer, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	return spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, address), nil
}
