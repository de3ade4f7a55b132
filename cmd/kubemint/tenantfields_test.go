package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// claim is an object with a word in one of its fields that is another tenant's.
type claim struct {
	field  string // its path, as spec.resources[].scopes[]
	object client.Object
}

// claimer makes objects of a base, each with one word in one field. It finds the fields by their types, so that a new one is tried too.
type claimer struct {
	t    *testing.T
	base client.Object
	// words are what fields are set to, and keys what maps are given them under.
	words, keys []string
	// items are what lists of structs hold where the base's have nothing: the struct's other fields must be valid.
	items map[reflect.Type]any

	claims []claim
}

// claimsOn returns an object for each field of a base, but the status, and each word.
func claimsOn(t *testing.T, base client.Object, words, keys []string, items ...any) []claim {
	t.Helper()
	c := &claimer{t: t, base: base, words: words, keys: keys, items: map[reflect.Type]any{}}
	for _, item := range items {
		c.items[reflect.TypeOf(item)] = item
	}
	object := reflect.ValueOf(base).Elem()
	for i := range object.NumField() {
		switch field := object.Type().Field(i); field.Name {
		case "TypeMeta", "Status": // The client sets the one, and nobody but Kubemint may write the other.
		default:
			c.walk(object.Field(i), nameOf(field))
		}
	}
	return c.claims
}

// nameOf returns a field's name in JSON.
func nameOf(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}

// walk sets what a value holds to each word in turn, and leaves it as it was.
func (c *claimer) walk(v reflect.Value, path string) {
	switch v.Interface().(type) {
	case metav1.Duration, metav1.Time, metav1.FieldsV1: // They hold no names.
		return
	}
	before := reflect.ValueOf(v.Interface())
	defer func() { v.Set(before) }()
	switch v.Kind() { //nolint:exhaustive // The others end the test.
	case reflect.Bool, reflect.Int32, reflect.Int64: // Nor do they.
	case reflect.String:
		for _, word := range c.words {
			v.SetString(word)
			c.keep(path)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		c.walk(v.Elem(), path)
	case reflect.Struct:
		for i := range v.NumField() {
			c.walk(v.Field(i), path+"."+nameOf(v.Type().Field(i)))
		}
	case reflect.Slice:
		c.walkList(v, path+"[]")
	case reflect.Map:
		c.walkMap(v, path+"{}")
	default:
		c.t.Fatalf("%s is of kind %s, which is not tried: add a case", path, v.Kind())
	}
}

// walkList walks the one item of a list.
func (c *claimer) walkList(list reflect.Value, path string) {
	of := list.Type().Elem()
	item := reflect.New(of).Elem()
	switch given, found := c.items[of]; {
	case list.Len() > 0:
		item.Set(list.Index(0))
	case found:
		item.Set(reflect.ValueOf(given))
	case of.Kind() == reflect.Struct:
		c.t.Fatalf("%s: the base has no %s, nor is there one among the items: add one, else none is tried that is valid", path, of)
	}
	list.Set(reflect.Append(reflect.MakeSlice(list.Type(), 0, 1), item))
	c.walk(list.Index(0), path)
}

// walkMap sets each key to each word.
func (c *claimer) walkMap(entries reflect.Value, path string) {
	of := entries.Type().Elem()
	for _, key := range c.keys {
		if ofMetadata := strings.Contains(key, "/"); ofMetadata && strings.HasSuffix(path, "ata{}") || !ofMetadata && strings.HasPrefix(path, "metadata.") {
			continue // Keys of metadata have a slash, and those of a Secret's data have none.
		}
		for _, word := range c.words {
			entries.Set(reflect.MakeMap(entries.Type()))
			entries.SetMapIndex(reflect.ValueOf(key).Convert(entries.Type().Key()), reflect.ValueOf(word).Convert(of))
			c.keep(path)
		}
	}
}

func (c *claimer) keep(path string) {
	c.claims = append(c.claims, claim{path, c.base.DeepCopyObject().(client.Object)})
}

// wellKnownNames are the constants in api/v1alpha1/names.go: keys are those of labels, annotations and data, words the others.
func wellKnownNames(t *testing.T) (keys, words []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../api/v1alpha1/names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		constant, is := node.(*ast.ValueSpec)
		if !is {
			return true
		}
		value, err := strconv.Unquote(constant.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		switch name := constant.Names[0].Name; {
		case strings.HasPrefix(name, "Label"), strings.HasPrefix(name, "Annotation"), strings.HasSuffix(name, "Key"):
			keys = append(keys, value)
		default:
			words = append(words, value)
		}
		return true
	})
	if len(keys) < 10 || len(words) < 5 {
		t.Fatalf("found only the keys %q and the words %q", keys, words)
	}
	return keys, words
}

// bases are objects of a tenant in which each list has something, so that each field of it can be tried. Names are the other tenant's
// where that is possible, as most is decided by name.
func bases(namespace string) (*v1alpha1.OAuthClient, *v1alpha1.ResourceServer, *corev1.Secret) {
	server := newResourceServer(namespace, "https://theirs.tenants.test")
	allow(namespace)(server)
	server.Spec.AllowedClients[0].Name = "worker"
	server.Spec.Claims.AcceptFromClients = []v1alpha1.ClaimName{"team"}
	c := newAsker(namespace, server)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}}
	for _, object := range []client.Object{c, server, secret} {
		object.SetName("")
		object.SetGenerateName("try-")
	}
	return c, server, secret
}

// ownedBy is an owner reference, to an object of another namespace.
func ownedBy(c *v1alpha1.OAuthClient) metav1.OwnerReference {
	controller := true
	return metav1.OwnerReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "OAuthClient", Name: c.Name, UID: c.UID, Controller: &controller}
}
