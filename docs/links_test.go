package docs_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every relative link of every page leads to a file, and every anchor to a heading.
func TestLinks(t *testing.T) {
	all, links := pages(t), 0
	for _, p := range all {
		for _, found := range link.FindAllStringSubmatch(p.text, -1) {
			if strings.Contains(found[1], "://") || strings.HasPrefix(found[1], "mailto:") {
				continue
			}
			links++
			target, anchor, _ := strings.Cut(found[1], "#")
			file := p.path
			if target != "" {
				file = path.Join(path.Dir(p.path), target)
			}
			if !exists(file) {
				t.Errorf("%s links to %s, which is not there", p.path, found[1])
				continue
			}
			if other := all[file]; anchor != "" && (other == nil || !slices.Contains(other.anchors, anchor)) {
				t.Errorf("%s links to %s, and %s has no such heading", p.path, found[1], file)
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links were found", links)
	}
}

// named is how code, manifests and messages name a page, from the root or at its address.
var named = regexp.MustCompile(`(?:^|[\s"'(\x60]|blob/main/)((?:docs|charts)/[\w./-]*\.md)\b`)

// Pages that code, manifests and messages name are there.
func TestNamedPages(t *testing.T) {
	sources := files(t, func(name string) bool {
		return slices.Contains([]string{".go", ".yaml", ".tpl", ".txt", ".sh", ".md"}, path.Ext(name)) || name == "Makefile"
	})
	names := 0
	for _, source := range sources {
		for _, found := range named.FindAllStringSubmatch(read(t, source), -1) {
			if names++; !exists(found[1]) {
				t.Errorf("%s names %s, which is not there", source, found[1])
			}
		}
	}
	if names < 20 {
		t.Errorf("only %d names were found", names)
	}
}

// Every page of docs/ is in its index.
func TestIndex(t *testing.T) {
	index := read(t, "docs/README.md")
	for file := range pages(t) {
		if path.Dir(file) == "docs" && path.Base(file) != "README.md" && !strings.Contains(index, "("+path.Base(file)+")") {
			t.Errorf("docs/README.md does not name %s", file)
		}
	}
}

// Tests that a page names are there, so that what it says is still proved.
func TestNamedTests(t *testing.T) {
	there := map[string]bool{}
	for _, file := range files(t, func(name string) bool { return strings.HasSuffix(name, "_test.go") }) {
		for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(read(t, file), -1) {
			there[found[1]] = true
		}
	}
	for file := range pages(t) {
		for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(read(t, file), -1) {
			if !there[name] {
				t.Errorf("%s names %s, which is not there", file, name)
			}
		}
	}
}

// exists reports whether there is a file or a directory, by its path from the root.
func exists(file string) bool {
	_, err := os.Stat(filepath.Join(root, file))
	return err == nil
}
