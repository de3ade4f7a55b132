// Wycheproof runs the vectors of the Wycheproof project for JWS and JWK through the verifier of assertions: what they say is
// invalid must be refused, and what is valid must be accepted, but for what Kubemint refuses on purpose. It ends with an error
// where it is otherwise. Run it with `make wycheproof`.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/c2sp/wycheproof"

	"github.com/kubemint/kubemint/tokenserver/assertion"
)

// files are those of the vectors that are about signatures in JOSE.
var files = []string{"json_web_signature_test.json", "json_web_key_test.json"}

// vectors are a file of the project.
type vectors struct {
	Groups []group `json:"testGroups"`
}

// group is vectors for one key, or one key set.
type group struct {
	Comment string          `json:"comment"`
	Public  json.RawMessage `json:"public"`
	Private json.RawMessage `json:"private"`
	Tests   []vector        `json:"tests"`
}

type vector struct {
	ID      int    `json:"tcId"`
	Comment string `json:"comment"`
	JWS     string `json:"jws"`
	Result  string `json:"result"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "wycheproof: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	counted := tally{excepted: map[int]int{}}
	for _, file := range files {
		if err := counted.runFile(file); err != nil {
			return err
		}
	}
	fmt.Printf("%d valid vectors accepted, %d invalid ones refused, %d private keys refused\n",
		counted.accepted, counted.refused, counted.privateKeys)
	fmt.Println("valid vectors that are refused on purpose:")
	for i, exception := range exceptions {
		fmt.Printf("  %3d  %-6s %-9s %s\n", counted.excepted[i], exception.algorithm, exception.comment, exception.why)
		if counted.excepted[i] == 0 {
			counted.wrong = append(counted.wrong, fmt.Errorf("no vector is refused because %q: take the exception out", exception.why))
		}
	}
	if counted.accepted == 0 || counted.refused == 0 {
		counted.wrong = append(counted.wrong, errors.New("the vectors have another form than is known: nothing was tested"))
	}
	return errors.Join(counted.wrong...)
}

// tally is what became of the vectors.
type tally struct {
	accepted, refused, privateKeys int
	excepted                       map[int]int // By the index of the exception.
	wrong                          []error
}

func (t *tally) runFile(name string) error {
	content, err := fs.ReadFile(wycheproof.TestVectors, name)
	if err != nil {
		return err
	}
	var parsed vectors
	if err := json.Unmarshal(content, &parsed); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, group := range parsed.Groups {
		t.runGroup(name, group)
	}
	return nil
}

// runGroup runs the vectors of a group with its public keys, or, where it has none, with its symmetric ones.
func (t *tally) runGroup(file string, group group) {
	published := group.Public
	if published == nil {
		published = group.Private
	}
	if group.Private != nil {
		t.refuses(file, group)
	}
	keys, err := assertion.ParseKeys(asSet(published))
	for _, vector := range group.Tests {
		verified := err
		if err == nil {
			_, verified = keys.Payload(vector.JWS)
		}
		if problem := t.judge(published, vector, verified); problem != nil {
			t.wrong = append(t.wrong, fmt.Errorf("%s: %d %s %s: %w", file, vector.ID, group.Comment, vector.Comment, problem))
		}
	}
}

// refuses asks that private keys are refused, where public ones are to be published.
func (t *tally) refuses(file string, group group) {
	if _, err := assertion.ParseKeys(asSet(group.Private)); err == nil {
		t.wrong = append(t.wrong, fmt.Errorf("%s: the private key of %s was accepted", file, group.Comment))
		return
	}
	t.privateKeys++
}

// judge counts a vector, or says what is wrong.
func (t *tally) judge(key json.RawMessage, vector vector, verified error) error {
	exception := exceptionFor(key, vector)
	switch {
	case vector.Result == "invalid" && verified != nil:
		t.refused++
	case vector.Result == "invalid":
		return errors.New("it is invalid, and was accepted")
	case vector.Result != "valid":
		return fmt.Errorf("it is %q, which is not known", vector.Result)
	case exception >= 0 && verified != nil:
		t.excepted[exception]++
	case exception >= 0:
		return errors.New("it was to be refused on purpose, and was accepted: take the exception out")
	case verified != nil:
		return fmt.Errorf("it is valid, and was refused: %w", verified)
	default:
		t.accepted++
	}
	return nil
}

// asSet returns a key as a set of one. A set is left as it is.
func asSet(key json.RawMessage) []byte {
	if _, isSet := membersOf(key)["keys"]; isSet {
		return key
	}
	return []byte(`{"keys":[` + string(key) + `]}`)
}

func membersOf(text json.RawMessage) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil
	}
	return members
}
