package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Every condition has a section in docs/troubleshooting.md, and every reason and event a row that says what to do.
func TestReasonsAreExplained(t *testing.T) {
	content := read(t, "docs/troubleshooting.md")
	sections := strings.Join(regexp.MustCompile("(?m)^## .*$").FindAllString(content, -1), "\n")
	reasons := 0
	inspect(t, "api/v1alpha1", func(node ast.Node) {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return
		}
		name, value := spec.Names[0].Name, text(spec.Values[0])
		switch {
		case strings.HasPrefix(name, "Condition"):
			if !strings.Contains(sections, "`"+value+"`") {
				t.Errorf("there is no section of the condition %s", value)
			}
		case strings.HasPrefix(name, "Reason"), strings.HasPrefix(name, "Event"):
			if reasons++; !regexp.MustCompile("(?m)^\\|[^|]*`" + value + "`").MatchString(content) {
				t.Errorf("there is no row of %s", value)
			}
		}
	})
	if reasons < 50 {
		t.Errorf("only %d reasons were found", reasons)
	}
}

// Every error of the token endpoint is explained there.
func TestErrorsAreExplained(t *testing.T) {
	content, codes := read(t, "docs/troubleshooting.md"), 0
	inspect(t, "tokenserver", func(node ast.Node) {
		pair, ok := node.(*ast.KeyValueExpr)
		if !ok {
			return
		}
		if key, ok := pair.Key.(*ast.Ident); !ok || key.Name != "Code" || text(pair.Value) == "" {
			return
		}
		if codes++; !strings.Contains(content, "`"+text(pair.Value)+"`") {
			t.Errorf("the error %s is missing", text(pair.Value))
		}
	})
	if codes < 10 {
		t.Errorf("only %d errors were found", codes)
	}
}

// Every warning and error in the log is explained there, by its words up to the first comma, colon or semicolon.
func TestLogLinesAreExplained(t *testing.T) {
	content, lines := read(t, "docs/troubleshooting.md"), 0
	for _, directory := range []string{"cmd/kubemint", "controllers", "tokenserver"} {
		inspect(t, directory, func(node ast.Node) {
			message := warning(node)
			if message == "" {
				return
			}
			begins, _, _ := strings.Cut(strings.NewReplacer(":", ",", ";", ",").Replace(message), ",")
			if lines++; !strings.Contains(content, begins) {
				t.Errorf("the log line %q is missing", message)
			}
		})
	}
	if lines < 8 {
		t.Errorf("only %d log lines were found", lines)
	}
}

// warning returns the message that a call logs as a warning or an error; empty where it does nothing like it.
func warning(node ast.Node) string {
	call, ok := node.(*ast.CallExpr)
	if !ok {
		return ""
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || method.Sel.Name != "Warn" && method.Sel.Name != "Error" || !strings.Contains(strings.ToLower(types.ExprString(method.X)), "log") {
		return ""
	}
	for _, argument := range call.Args[:min(2, len(call.Args))] { // A logr.Logger is given the error first.
		if message := text(argument); message != "" {
			return message
		}
	}
	return ""
}

// inspect shows a function all nodes of the Go files below a directory but for tests.
func inspect(t *testing.T, directory string, see func(ast.Node)) {
	t.Helper()
	for _, file := range files(t, func(name string) bool { return path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go") }) {
		if !strings.HasPrefix(file, directory+"/") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool { see(node); return true })
	}
}

// text returns the value of a string literal; empty for everything else.
func text(node ast.Expr) string {
	literal, ok := node.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return ""
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		return ""
	}
	return value
}
