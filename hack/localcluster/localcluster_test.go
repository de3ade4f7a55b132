package localcluster

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const namespace = "default"

// TestCluster starts one cluster with everything there is, because a start is what takes the time.
func TestCluster(t *testing.T) {
	begin := time.Now()
	cluster, err := Start(t.Context(), Options{
		ControllerManager:    true,
		AuthenticationConfig: true,
		CRDs:                 []string{"testdata"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %s", time.Since(begin).Round(time.Millisecond))
	t.Cleanup(func() { stopTwice(t, cluster) })
	admin, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}

	t.Run("garbage is collected", func(t *testing.T) {
		owner := create(t, admin, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}})
		create(t, admin, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name:            "dependent",
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}},
		}})
		if err := admin.CoreV1().ConfigMaps(namespace).Delete(t.Context(), owner.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the dependent is gone", func(ctx context.Context) bool {
			_, err := admin.CoreV1().ConfigMaps(namespace).Get(ctx, "dependent", metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		})
	})

	t.Run("data and tokens survive an outage", func(t *testing.T) {
		create(t, admin, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "survivor"}})
		account := serviceAccountClient(t, cluster)
		if name := whoAmI(t, account); name != "system:serviceaccount:default:default" {
			t.Errorf("the kubeconfig is of %q", name)
		}

		begin := time.Now()
		if err := cluster.StopAPIServer(); err != nil {
			t.Fatal(err)
		}
		t.Logf("stopped in %s", time.Since(begin).Round(time.Millisecond))
		if _, err := admin.Discovery().ServerVersion(); err == nil {
			t.Error("the stopped server answers")
		}
		begin = time.Now()
		if err := cluster.StartAPIServer(); err != nil {
			t.Fatal(err)
		}
		t.Logf("started again in %s", time.Since(begin).Round(time.Millisecond))

		if _, err := admin.CoreV1().ConfigMaps(namespace).Get(t.Context(), "survivor", metav1.GetOptions{}); err != nil {
			t.Errorf("data of before the outage: %v", err)
		}
		if name := whoAmI(t, account); name != "system:serviceaccount:default:default" {
			t.Errorf("the token of before the outage is of %q", name)
		}
	})

	t.Run("the authentication configuration is reloaded", func(t *testing.T) {
		if err := cluster.SetAuthenticationConfig([]byte(trustNobody + "# another one\n")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the new one is taken", func(ctx context.Context) bool { return reloads(ctx, admin, "success") })

		if err := cluster.SetAuthenticationConfig([]byte("{ broken")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the broken one is refused", func(ctx context.Context) bool { return reloads(ctx, admin, "failure") })
		if name := whoAmI(t, serviceAccountClient(t, cluster)); name != "system:serviceaccount:default:default" {
			t.Errorf("with a broken authentication configuration a token is of %q", name)
		}
	})

	t.Run("kubectl", func(t *testing.T) {
		if _, err := cluster.Kubectl(t.Context(), "get", "widgets"); err != nil {
			t.Errorf("the CRD is not installed: %v", err)
		}
		output, err := cluster.Kubectl(t.Context(), "get", "configmaps", "--output=name")
		if err != nil || !strings.Contains(output, "configmap/survivor\n") {
			t.Errorf("%s (%v)", output, err)
		}
		if _, err := cluster.Kubectl(t.Context(), "get", "configmap", "nothing"); err == nil || !strings.Contains(err.Error(), "NotFound") {
			t.Errorf("kubectl get of what is not there: %v", err)
		}
	})
}

func stopTwice(t *testing.T, cluster *Cluster) {
	begin := time.Now()
	for range 2 {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("stopped in %s", time.Since(begin).Round(time.Millisecond))
}

func create(t *testing.T, client kubernetes.Interface, configMap *corev1.ConfigMap) *corev1.ConfigMap {
	t.Helper()
	created, err := client.CoreV1().ConfigMaps(namespace).Create(t.Context(), configMap, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// serviceAccountClient is a client as the default service account, which kube-controller-manager makes in its own time.
func serviceAccountClient(t *testing.T, cluster *Cluster) kubernetes.Interface {
	t.Helper()
	var path string
	eventually(t, "the service account has a kubeconfig", func(ctx context.Context) bool {
		var err error
		path, err = cluster.ServiceAccountKubeconfig(ctx, namespace, "default")
		return err == nil
	})
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func whoAmI(t *testing.T, client kubernetes.Interface) string {
	t.Helper()
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.UserInfo.Username
}

// reloads tells from the API server's metrics whether it has reloaded its authentication configuration with this outcome.
func reloads(ctx context.Context, client kubernetes.Interface, outcome string) bool {
	metrics, _ := client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	counted := regexp.MustCompile(`(?m)^apiserver_authentication_config_controller_automatic_reloads_total\{.*status="` + outcome + `"\} [1-9]`)
	return counted.Match(metrics)
}

// eventually polls a condition, and ends the test if it does not come true.
func eventually(t *testing.T, what string, condition func(context.Context) bool) {
	t.Helper()
	begin := time.Now()
	err := wait.PollUntilContextTimeout(t.Context(), pollInterval, patience, true, func(ctx context.Context) (bool, error) {
		return condition(ctx), nil
	})
	if err != nil {
		t.Fatalf("%s: not in %s", what, patience)
	}
	t.Logf("%s after %s", what, time.Since(begin).Round(time.Millisecond))
}
