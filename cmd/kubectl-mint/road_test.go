package main_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// From a workstation, the issuer's name leads nowhere. A kubelet that does nothing but forward ports stands in for the node.
func TestTheIssuerIsReachedByPortForward(t *testing.T) {
	runPod(t, "kubemint", suite.kubemint.Port)
	namespace := newNamespace(t)
	worker := newClient(namespace, "worker")
	settled(t, worker, v1alpha1.ReasonIssued)
	inCluster := fmt.Sprintf("https://%s:%d/oauth2/token", serviceHost, suite.kubemint.Port)

	got := mint(t, "token", "worker", "-n", namespace, "--token-url", inCluster, "--decode")
	contains(t, got.stdout, namespace+".worker")
	contains(t, got.stderr, "by port-forward to pod kubemint-system/kubemint")
	// Where it is reached directly, no port is forwarded, unless that is asked for.
	if got := mint(t, "token", "worker", "-n", namespace); got.code != 0 || got.stderr != "" {
		t.Errorf("directly: %+v", got)
	}
	contains(t, mint(t, "token", "worker", "-n", namespace, "--via", "port-forward").stderr, "by port-forward")
	fails(t, serviceHost, "token", "worker", "-n", namespace, "--token-url", inCluster, "--via", "direct")
	// The certificate is verified for the name in the URL, whatever the road.
	fails(t, "certificate is valid for", "token", "worker", "-n", namespace, "--token-url", "https://kubemint.kubemint-system.svc.other/oauth2/token")
}

func TestWithoutAPodThePortForwardSaysWhatToLookAt(t *testing.T) {
	namespace := newNamespace(t)
	settled(t, newClient(namespace, "worker"), v1alpha1.ReasonIssued)

	fails(t, "there is no Service "+namespace+"/kubemint", "token", "worker", "-n", namespace, "--via", "port-forward", "--kubemint-namespace", namespace)
}

// runPod makes a node, and on it a ready pod of the name behind a Service of that name, whose port leads to one of this machine.
func runPod(t *testing.T, name string, port int) {
	t.Helper()
	kubelet := startKubelet(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "forwarder"}}
	labels := map[string]string{"app.kubernetes.io/name": name}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kubemint-system", Name: name, Labels: labels},
		Spec: corev1.PodSpec{NodeName: node.Name, Containers: []corev1.Container{{
			Name: name, Image: name, Ports: []corev1.ContainerPort{{Name: "token", ContainerPort: int32(port)}, {Name: "metrics", ContainerPort: metricsPort(t)}},
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr.To(false), RunAsNonRoot: ptr.To(true),
				Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
		}}},
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kubemint-system", Name: name},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 443, TargetPort: intstr.FromString("token")}}},
	}
	for _, object := range []client.Object{node, pod, service} {
		create(t, object)
		t.Cleanup(func() { _ = suite.admin.Delete(context.Background(), object, client.GracePeriodSeconds(0)) })
	}
	bare := node.DeepCopy()
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(kubelet)
	waiting := pod.DeepCopy()
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	for object, before := range map[client.Object]client.Object{node: bare, pod: waiting} {
		if err := suite.admin.Status().Patch(t.Context(), object, client.MergeFrom(before)); err != nil { // Others write there, too.
			t.Fatal(err)
		}
	}
}

// metricsPort is where the suite's kubemint serves its metrics.
func metricsPort(t *testing.T) int32 {
	t.Helper()
	address, err := url.Parse(suite.kubemint.Metrics)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseInt(address.Port(), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int32(port)
}

// startKubelet serves what kubelets serve under /portForward, and returns its port.
func startKubelet(t *testing.T) int {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/portForward/") {
			http.NotFound(w, r)
			return
		}
		if _, err := httpstream.Handshake(r, w, []string{"portforward.k8s.io"}); err != nil {
			return
		}
		streams := make(chan httpstream.Stream, 8)
		connection := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(stream httpstream.Stream, _ <-chan struct{}) error {
			streams <- stream
			return nil
		})
		if connection == nil {
			return
		}
		defer connection.Close() //nolint:errcheck // It has ended.
		for {
			select {
			case stream := <-streams:
				go forwardStream(stream)
			case <-connection.CloseChan():
				return
			}
		}
	}))
	server.StartTLS()
	t.Cleanup(server.CloseClientConnections)
	return server.Listener.Addr().(*net.TCPAddr).Port
}

// forwardStream connects a stream of data to the port that it names. Of those for errors, there are none to tell.
func forwardStream(stream httpstream.Stream) {
	if stream.Headers().Get("streamType") != "data" {
		_ = stream.Close()
		return
	}
	connection, err := net.DialTimeout("tcp", "127.0.0.1:"+stream.Headers().Get("port"), 5*time.Second)
	if err != nil {
		_ = stream.Reset()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(stream, connection); _ = stream.Close() })
	both.Go(func() { _, _ = io.Copy(connection, stream); _ = connection.(*net.TCPConn).CloseWrite() })
	both.Wait()
	_ = connection.Close()
}
