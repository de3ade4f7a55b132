package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestRows(t *testing.T) {
	for _, row := range []struct {
		name string
		want []string
	}{
		{"TestL07AuditLines", []string{"L07"}},
		{"FuzzP16TokenRequest/seed#0", []string{"P16"}},
		{"TestMethods/T03_PUT_is_refused", []string{"T03"}},
		{"TestPaths/T19_/oauth2//token", []string{"T19"}},
		{"TestEveryKindOfAnswer/R04_R06_R08_200", []string{"R04", "R06", "R08"}},
		{"TestA25FailureBudget/G01_another", []string{"G01"}},
		{"TestL02Hostile/CRLF,_Basic,_text", []string{"L02"}},
		{"TestMethods", nil},
		{"TestES256IsDeterministic", nil},
		{"TestRS256", nil},
		{"TestKeys/X25519,_which_cannot_sign", nil},
		{"TestKeys/L9_of_the_laws", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := (&test{name: row.name}).rows(); !slices.Equal(got, row.want) {
				t.Errorf("rows are %q, want %q", got, row.want)
			}
		})
	}
}

func TestCatalogueHasEachRowOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, group := range catalogue {
		for n, row := range group.rows {
			if seen[row.id] {
				t.Errorf("%s stands there twice", row.id)
			}
			seen[row.id] = true
			if want := fmt.Sprintf("%c%02d", group.rows[0].id[0], n+1); row.id != want {
				t.Errorf("%s stands where %s should", row.id, want)
			}
			if row.what == "" || len([]rune(row.what)) > whatWidth {
				t.Errorf("%s is described by %q", row.id, row.what)
			}
		}
	}
}

// everyRow returns what go test -json says where each row that should be there has a test that passes.
func everyRow() []string {
	var lines []string
	for _, group := range catalogue {
		for _, row := range group.rows {
			if row.missing == "" {
				lines = append(lines, passing("TestRows/"+row.id+"_x")...)
			}
		}
	}
	return lines
}

func passing(test string) []string {
	return []string{
		`{"Action":"run","Package":"p","Test":"` + test + `"}`,
		`{"Action":"attr","Package":"p","Test":"` + test + `","Key":"expected","Value":"200"}`,
		`{"Action":"attr","Package":"p","Test":"` + test + `","Key":"got","Value":"200"}`,
		`{"Action":"pass","Package":"p","Test":"` + test + `"}`,
	}
}

func ended(action, test string) string {
	return fmt.Sprintf(`{"Action":%q,"Package":"p","Test":%q}`, action, test)
}

func TestReport(t *testing.T) {
	without := func(row string) []string {
		return slices.DeleteFunc(everyRow(), func(line string) bool { return strings.Contains(line, row) })
	}
	for _, row := range []struct {
		name  string
		lines []string
		shows []string // in the table
		err   string
	}{
		{"all pass", everyRow(), []string{"T01  POST with a form and Basic", "200", "pass", "X04  DPoP"}, ""},
		{"several cases", append(everyRow(), passing("TestRows/T01_y")...), []string{"pass (2 cases)"}, ""},
		{"one of several fails", append(everyRow(), `{"Action":"output","Package":"p","Test":"TestRows/T01_z","Output":"why\n"}`,
			ended("fail", "TestRows/T01_z")), []string{"FAIL, 1 of 2 cases", "z", "why"}, "T01 fails"},
		{"skipped", append(everyRow(), ended("skip", "TestRows/T01_z")), []string{"SKIP"}, "T01 fails"},
		{"never ended", append(everyRow(), ended("run", "TestRows/T01_z")), []string{"never ended"}, "T01 fails"},
		{"no test", without("T07_"), []string{"NO TEST"}, "T07 has no test"},
		{"a row that nobody knows", append(everyRow(), ended("pass", "TestRows/T99_x")), nil, "T99 is not in the catalogue"},
		{"in part", append(everyRow(), ended("pass", "TestL10Upgrade")), []string{"pass, in part", "upgrade and back, in part"}, ""},
		{"a holder is no case of its own", append(everyRow(), ended("pass", "TestG09Same"), ended("pass", "TestG09Same/one")),
			[]string{"pass (2 cases)"}, ""},
		{"a package that does not build", append(everyRow(), `{"Action":"fail","Package":"q"}`), nil, "tests of q fail"},
		{"a test without a row fails", append(everyRow(), ended("fail", "TestOther"), `{"Action":"fail","Package":"p"}`), nil, "tests of p fail"},
	} {
		t.Run(row.name, func(t *testing.T) {
			tests := newTests()
			if err := tests.read(strings.NewReader(strings.Join(row.lines, "\n"))); err != nil {
				t.Fatal(err)
			}
			table, err := tests.report(false)
			if (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
				t.Errorf("report: %v, want %q", err, row.err)
			}
			for _, text := range row.shows {
				if !strings.Contains(table, text) {
					t.Errorf("the table does not show %q:\n%s", text, table)
				}
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	if err := newTests().read(strings.NewReader("FAIL p [build failed]\n")); err == nil {
		t.Error("what is not JSON was read")
	}
}
