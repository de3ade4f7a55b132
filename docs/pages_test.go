// Package docs_test holds the documentation against the code: links lead somewhere, manifests are what the API knows, and what users see
// has its place in docs/troubleshooting.md.
package docs_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// root is the repository's.
const root = ".."

// page is a Markdown file, by its path from the root.
type page struct {
	path string
	// text is what stands outside of code, and anchors are those of its headings.
	text    string
	anchors []string
	blocks  []block
}

// block is a fenced block of code.
type block struct {
	language string
	line     int
	text     string
}

var (
	inlineCode = regexp.MustCompile("`[^`\n]*`")
	heading    = regexp.MustCompile(`^#{1,6} +(.*?)[ #]*$`)
	link       = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)[^)]*\)`)
	htmlAnchor = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
)

// files returns the paths from the root of all files of the project whose names a function takes.
func files(t *testing.T, takes func(name string) bool) []string {
	t.Helper()
	var found []string
	if err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "bin", "node_modules"}, entry.Name()):
			return filepath.SkipDir
		case !entry.IsDir() && takes(entry.Name()):
			relative, err := filepath.Rel(root, name)
			found = append(found, filepath.ToSlash(relative))
			return err
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// pages returns all Markdown files, by their paths.
func pages(t *testing.T) map[string]*page {
	t.Helper()
	all := map[string]*page{}
	for _, file := range files(t, func(name string) bool { return path.Ext(name) == ".md" }) {
		all[file] = parse(file, read(t, file))
	}
	return all
}

// parse tells code from text, by fences alone.
func parse(file, content string) *page {
	p := &page{path: file}
	seen := map[string]int{}
	var text strings.Builder
	var open *block
	for i, line := range strings.Split(content, "\n") {
		fence := strings.TrimSpace(line)
		switch {
		case open != nil && fence == "```":
			p.blocks = append(p.blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(fence, "```"):
			open = &block{language: strings.TrimPrefix(fence, "```"), line: i + 1}
		default:
			if title := heading.FindStringSubmatch(line); title != nil {
				p.anchors = append(p.anchors, anchorOf(title[1], seen))
			}
			text.WriteString(inlineCode.ReplaceAllString(line, "") + "\n")
		}
	}
	p.text = text.String()
	for _, anchor := range htmlAnchor.FindAllStringSubmatch(p.text, -1) {
		p.anchors = append(p.anchors, anchor[1])
	}
	return p
}

// anchorOf returns the anchor that GitHub gives a heading: another one where it was seen before.
func anchorOf(title string, seen map[string]int) string {
	title = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(title, "$1")
	anchor := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, title)
	seen[anchor]++
	if again := seen[anchor] - 1; again > 0 {
		return anchor + "-" + strconv.Itoa(again)
	}
	return anchor
}
