// Docs writes the files of docs/examples, which are run or validated, into the pages of docs/consumers that show them. `make generate` runs it.
//
// A page shows a file in the block of code that follows a line like
//
//	[examples/python/client.py](../examples/python/client.py):
package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const pages, examples = "docs/consumers", "docs/examples"

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "docs: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	paths, err := filepath.Glob(filepath.Join(pages, "*.md"))
	if err != nil {
		return err
	}
	shown := map[string]bool{}
	for _, path := range paths {
		if err := writePage(path, shown); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return mustShowAll(shown)
}

// block is a line that links to an example, and the block of code after it.
var block = regexp.MustCompile("(?m)^\\[[^]\n]+\\]\\((\\.\\./examples/[^)\n]+)\\):\n\n```[a-z]+\n((?:.*\n)*?)```$")

// writePage writes the files that a page shows into it, and notes them.
func writePage(path string, shown map[string]bool) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var written bytes.Buffer
	end := 0
	for _, at := range block.FindAllSubmatchIndex(page, -1) {
		file := filepath.Join(pages, string(page[at[2]:at[3]]))
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		shown[file] = true
		written.Write(page[end:at[4]])
		written.Write(content)
		end = at[5]
	}
	written.Write(page[end:])
	return os.WriteFile(path, written.Bytes(), 0o644)
}

// mustShowAll makes sure that no example is left out.
func mustShowAll(shown map[string]bool) error {
	return filepath.WalkDir(examples, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") || shown[path] {
			return err
		}
		return fmt.Errorf("no page of %s shows %s", pages, path)
	})
}
