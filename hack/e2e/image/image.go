// Package image makes container images without a container runtime or registry: one layer with a few static binaries, in the
// archive format of `docker save`, which `ctr images import` and `kind load image-archive` read.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Spec says what an image is.
type Spec struct {
	// Name is the image's name, without a tag: the tag is made from the content, so that another image is never taken for it.
	Name string
	// Binaries are paths of programs on this machine. Each is in the image's root under its own name; the first is the entrypoint.
	Binaries []string
}

// Image is one that was written.
type Image struct {
	Name    string `json:"name"`
	Tag     string `json:"tag"`
	Archive string `json:"archive"`
	Size    int64  `json:"size"` // unpacked
}

// Reference is what a pod's spec says.
func (i Image) Reference() string { return i.Name + ":" + i.Tag }

// user is that of the Dockerfile: not root, and in no machine's list of users.
const user = "65532:65532"

// Write writes the image's archive into the directory.
func Write(directory string, spec Spec) (Image, error) {
	layer, size, err := layer(spec.Binaries)
	if err != nil {
		return Image{}, fmt.Errorf("make the image %s: %w", spec.Name, err)
	}
	digest := sha256sum(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"User": user, "Entrypoint": []string{"/" + filepath.Base(spec.Binaries[0])}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest}},
	})
	if err != nil {
		return Image{}, err
	}
	image := Image{
		Name: spec.Name, Tag: digest[:12], Size: size,
		Archive: filepath.Join(directory, filepath.Base(spec.Name)+"-"+digest[:12]+".tar"),
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config": sha256sum(config) + ".json", "RepoTags": []string{image.Reference()}, "Layers": []string{digest + ".tar"},
	}})
	if err != nil {
		return Image{}, err
	}
	archive, err := archiveOf([]file{
		{sha256sum(config) + ".json", config, 0o644}, {digest + ".tar", layer, 0o644}, {"manifest.json", manifest, 0o644},
	})
	if err != nil {
		return Image{}, err
	}
	if err := os.WriteFile(image.Archive, archive, 0o644); err != nil {
		return Image{}, fmt.Errorf("write the image %s: %w", spec.Name, err)
	}
	return image, nil
}

// layer returns a layer with the binaries, and their size.
func layer(binaries []string) ([]byte, int64, error) {
	var files []file
	var size int64
	for _, path := range binaries {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, 0, err
		}
		size += int64(len(content))
		files = append(files, file{filepath.Base(path), content, 0o755})
	}
	archive, err := archiveOf(files)
	return archive, size, err
}

type file struct {
	name    string
	content []byte
	mode    int64
}

// archiveOf returns a tar archive that is the same for the same files: without times.
func archiveOf(files []file) ([]byte, error) {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for _, f := range files {
		if err := writer.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content))}); err != nil {
			return nil, err
		}
		if _, err := writer.Write(f.content); err != nil {
			return nil, err
		}
	}
	err := writer.Close()
	return archive.Bytes(), err
}

func sha256sum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
