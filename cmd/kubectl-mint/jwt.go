package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// decodedToken is what a JWT says. Nothing of it is verified.
type decodedToken struct {
	Header map[string]any `json:"header"`
	Claims map[string]any `json:"claims"`
}

// decodeToken takes a JWT apart.
func decodeToken(token string) (decodedToken, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return decodedToken{}, errNoJWT
	}
	var decoded decodedToken
	for part, into := range map[string]*map[string]any{parts[0]: &decoded.Header, parts[1]: &decoded.Claims} {
		text, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return decodedToken{}, errNoJWT
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(into); err != nil || *into == nil {
			return decodedToken{}, errNoJWT
		}
	}
	return decoded, nil
}

// firstClaims are the claims that are shown first, in the order in which one asks for them. The others follow by name.
var firstClaims = []string{"iss", "sub", "aud", "scope", "exp", "iat", "nbf", "client_id", "jti", "cnf"}

// write writes the token readably, with times as times.
func (d decodedToken) write(out io.Writer, now time.Time) error {
	for _, part := range []struct {
		name    string
		members map[string]any
		first   []string
	}{{"header", d.Header, []string{"alg", "typ", "kid"}}, {"claims", d.Claims, firstClaims}} {
		if _, err := fmt.Fprintln(out, part.name); err != nil {
			return err
		}
		if err := membersTable(part.members, part.first, now).write(out, "  "); err != nil {
			return err
		}
	}
	return nil
}

func membersTable(members map[string]any, first []string, now time.Time) table {
	var rows table
	for _, name := range first {
		if value, found := members[name]; found {
			rows.add(name, readable(name, value, now))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(first, name) {
			rows.add(name, readable(name, members[name], now))
		}
	}
	return rows
}

// readable returns a member's value for people: text without quotes, times as times, all else as JSON.
func readable(name string, value any, now time.Time) string {
	if text, isText := value.(string); isText {
		return printable(text)
	}
	if at, isTime := numericDate(value); isTime && slices.Contains([]string{"exp", "iat", "nbf"}, name) {
		return fmt.Sprintf("%s (%s)", at.UTC().Format(time.RFC3339), sinceNow(at, now))
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}

// printable quotes a text that a terminal might take for more than text: a token may come from anybody.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// numericDate returns the time that a claim is (RFC 7519, section 2).
func numericDate(value any) (time.Time, bool) {
	number, isNumber := value.(json.Number)
	if !isNumber {
		return time.Time{}, false
	}
	seconds, err := number.Int64()
	return time.Unix(seconds, 0), err == nil
}

// text returns a claim that is a text, or the empty text.
func (d decodedToken) text(claim string) string {
	text, _ := d.Claims[claim].(string)
	return text
}

// audiences returns the aud, which is a text or a list of them.
func (d decodedToken) audiences() []string {
	switch value := d.Claims["aud"].(type) {
	case string:
		return []string{value}
	case []any:
		var all []string
		for _, element := range value {
			if text, isText := element.(string); isText {
				all = append(all, text)
			}
		}
		return all
	default:
		return nil
	}
}
