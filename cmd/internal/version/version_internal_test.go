package version

import (
	"encoding/json"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// What the linker set wins; the Go command fills in the rest.
func TestBuildIsCompletedByTheGoCommand(t *testing.T) {
	info := &debug.BuildInfo{Main: debug.Module{Version: "v0.0.0-20260701120000-abcdef012345"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abcdef0123456789"}, {Key: "vcs.time", Value: "2026-07-01T12:00:00Z"}, {Key: "vcs.modified", Value: "true"}}}
	unset, set := Build{}, Build{Version: "v0.1.0", Commit: "0123"}
	unset.complete(info)
	set.complete(info)
	if want := (Build{Version: "v0.0.0-20260701120000-abcdef012345", Commit: "abcdef0123456789", CommitTime: "2026-07-01T12:00:00Z", Modified: true}); unset != want {
		t.Errorf("got %+v, want %+v", unset, want)
	}
	if set.Version != "v0.1.0" || set.Commit != "0123" {
		t.Errorf("got %+v", set)
	}
}

func TestCommand(t *testing.T) {
	build := Of("v0.1.0", "0123")
	printed := func(args ...string) string {
		t.Helper()
		var out strings.Builder
		command := Command("kubemint", build)
		command.SetOut(&out)
		command.SetArgs(args)
		if err := command.Execute(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if text := printed(); !strings.Contains(text, "v0.1.0\n") || !strings.Contains(text, "0123") || !strings.Contains(text, runtime.Version()) ||
		!strings.Contains(text, runtime.GOOS+"/"+runtime.GOARCH) {
		t.Errorf("it prints\n%s", text)
	}
	for form, parse := range map[string]func([]byte, any) error{"json": json.Unmarshal, "yaml": func(b []byte, v any) error { return yaml.UnmarshalStrict(b, v) }} {
		var parsed Build
		if err := parse([]byte(printed("-o", form)), &parsed); err != nil || parsed != build {
			t.Errorf("in %s: %+v, %v", form, parsed, err)
		}
	}
}
