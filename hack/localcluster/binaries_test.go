package localcluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBinaryDir(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	write(t, filepath.Join(root, "go.mod"), "module "+module+"\n")
	own := filepath.Join(root, "bin", "controlplane")
	assets := t.TempDir()
	t.Setenv("KUBEBUILDER_ASSETS", assets)

	if _, err := Start(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), "make controlplane") {
		t.Errorf("without binaries Start says %v, not what to do", err)
	}

	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager"} {
		write(t, filepath.Join(own, name), "")
	}
	write(t, filepath.Join(assets, "etcd"), "")
	if dir, err := BinaryDir(); dir != own {
		t.Errorf("with assets that lack kube-apiserver BinaryDir is %s (%v), want %s", dir, err, own)
	}

	write(t, filepath.Join(assets, "kube-apiserver"), "")
	if dir, err := BinaryDir(); dir != assets {
		t.Errorf("with assets BinaryDir is %s (%v), want %s", dir, err, assets)
	}
	if path, err := binary("kube-controller-manager"); path != filepath.Join(own, "kube-controller-manager") {
		t.Errorf("what the assets lack is %s (%v), want the module's own", path, err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}
