package controllers

import (
	"cmp"
	"slices"
	"strings"
)

// variable is one line of an env file.
type variable struct{ name, key string }

// envFile returns values as a file of environment variables that sh and dotenv read alike, sorted by name. The CRD refuses keys
// whose names would be the same; should there be any, the order of the keys decides.
func envFile(values map[string][]byte) []byte {
	var variables []variable
	for key := range values {
		variables = append(variables, variable{name: variableName(key), key: key})
	}
	slices.SortFunc(variables, func(a, b variable) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.key, b.key))
	})
	var file strings.Builder
	for _, v := range variables {
		file.WriteString(v.name + "=" + quoted(string(values[v.key])) + "\n")
	}
	return []byte(file.String())
}

// variableName turns a key of a Secret into the name of an environment variable, as the CRD's validation rule does.
func variableName(key string) string {
	name := strings.Map(func(r rune) rune {
		if r == '_' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '_'
	}, strings.ToUpper(key))
	if name != "" && '0' <= name[0] && name[0] <= '9' {
		return "_" + name
	}
	return name
}

// quoted quotes a value where sh needs it, which otherwise ends it at a space. Single quotes leave all else as it is, and so do
// double quotes a single one unless an expansion is in it; for both together there is only what sh alone understands.
func quoted(value string) string {
	switch {
	case strings.IndexFunc(value, special) < 0:
		return value
	case !strings.Contains(value, "'"):
		return "'" + value + "'"
	case !strings.ContainsAny(value, "$`\"\\"):
		return `"` + value + `"`
	default:
		return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
	}
}

// special reports whether a character might mean something to sh or dotenv.
func special(r rune) bool {
	plain := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:,@%+=", r)
	return !plain
}
