package assertion

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDepth is how deep JSON may be nested: a service account token needs three levels.
const maxDepth = 16

var (
	errNotJSON    = errors.New("it is not one JSON object in UTF-8")
	errTooDeep    = errors.New("its JSON is nested too deep")
	errDuplicates = errors.New("a JSON object in it has two members whose names are equal, or differ in case only: leave one out")
)

// object is a JSON object. Numbers in it are json.Number, as they were written.
type object = map[string]any

// parseObject parses a JSON object as strictly as a credential needs it: encoding/json would take the last of two members with
// one name, and one whose name differs in case for a struct's field, where the next parser takes the first (RFC 7515, section 4;
// RFC 7519, section 4). So no object at any depth may have such members, and names are compared exactly.
func parseObject(text []byte) (object, error) {
	if !utf8.Valid(text) || !json.Valid(text) { // Valid is stricter than the tokens are, and sees what follows the value.
		return nil, errNotJSON
	}
	tokens := json.NewDecoder(bytes.NewReader(text))
	tokens.UseNumber()
	parsed, err := parseValue(tokens, 0)
	if err != nil {
		return nil, err
	}
	members, ok := parsed.(object)
	if !ok {
		return nil, errNotJSON
	}
	return members, nil
}

func parseValue(tokens *json.Decoder, depth int) (any, error) {
	token, err := tokens.Token()
	if err != nil {
		return nil, errNotJSON
	}
	if _, nested := token.(json.Delim); nested && depth == maxDepth {
		return nil, errTooDeep
	}
	switch token {
	case json.Delim('{'):
		return parseMembers(tokens, depth+1)
	case json.Delim('['):
		return parseElements(tokens, depth+1)
	default:
		return token, nil
	}
}

func parseMembers(tokens *json.Decoder, depth int) (object, error) {
	members, folded := object{}, map[string]bool{}
	for tokens.More() {
		token, err := tokens.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errNotJSON
		}
		fold := strings.Map(foldRune, name)
		if folded[fold] {
			return nil, errDuplicates
		}
		folded[fold] = true
		if members[name], err = parseValue(tokens, depth); err != nil {
			return nil, err
		}
	}
	return members, end(tokens)
}

func parseElements(tokens *json.Decoder, depth int) ([]any, error) {
	elements := []any{}
	for tokens.More() {
		element, err := parseValue(tokens, depth)
		if err != nil {
			return nil, err
		}
		elements = append(elements, element)
	}
	return elements, end(tokens)
}

// end reads the bracket that closes an object or an array.
func end(tokens *json.Decoder) error {
	if _, err := tokens.Token(); err != nil {
		return errNotJSON
	}
	return nil
}

// foldRune returns the same rune for all that are equal but for case, as encoding/json compares the names of fields.
func foldRune(r rune) rune {
	if 'a' <= r && r <= 'z' {
		return r - 'a' + 'A'
	}
	lowest := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		lowest = min(lowest, other)
	}
	return lowest
}
