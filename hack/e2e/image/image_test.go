package image

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An archive says of itself what containerd needs to know, and the tag follows the content.
func TestWrite(t *testing.T) {
	directory := t.TempDir()
	program := filepath.Join(directory, "program")
	write := func(content string) (Image, map[string][]byte) {
		if err := os.WriteFile(program, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		image, err := Write(directory, Spec{Name: "example/program", Binaries: []string{program}})
		if err != nil {
			t.Fatal(err)
		}
		return image, read(t, image.Archive)
	}

	image, files := write("one")
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if got := manifest[0].RepoTags[0]; got != image.Reference() || !strings.HasPrefix(got, "example/program:") {
		t.Errorf("the archive is of %s, the image of %s", got, image.Reference())
	}
	if config := string(files[manifest[0].Config]); !strings.Contains(config, `"User":"65532:65532"`) || !strings.Contains(config, `"/program"`) {
		t.Errorf("it does not run /program as user 65532: %s", config)
	}
	if files[manifest[0].Layers[0]] == nil || image.Size != 3 {
		t.Errorf("there is no layer with 3 bytes, but %v, %d", manifest[0].Layers, image.Size)
	}
	if again, _ := write("one"); again != image {
		t.Errorf("the same content makes %v, and %v", image, again)
	}
	if other, _ := write("two"); other.Tag == image.Tag {
		t.Error("another content has the same tag")
	}
}

func read(t *testing.T, path string) map[string][]byte {
	t.Helper()
	archive, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close() //nolint:errcheck // It was read.
	files := map[string][]byte{}
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
}
