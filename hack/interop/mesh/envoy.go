package main

import (
	"bytes"
	"errors"
	"fmt"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/credential_injector/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/http/injected_credentials/oauth2/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
)

// checkEnvoy checks a whole configuration of Envoy, or secrets for one.
func checkEnvoy(content []byte) error {
	var message proto.Message = &bootstrapv3.Bootstrap{}
	if bytes.Contains(content, []byte("\nresources:\n")) {
		message = &discoveryv3.DiscoveryResponse{}
	}
	if err := decode(content, message); err != nil {
		return err
	}
	e := envoy{clusters: map[string]bool{}}
	if bootstrap, ok := message.(*bootstrapv3.Bootstrap); ok {
		for _, cluster := range bootstrap.GetStaticResources().GetClusters() {
			e.clusters[cluster.GetName()] = true
		}
	}
	e.visitWhole(message)
	return errors.Join(e.problems...)
}

// envoy is one configuration, and what is wrong with it.
type envoy struct {
	clusters map[string]bool
	problems []error
}

func (e *envoy) complain(format string, args ...any) {
	e.problems = append(e.problems, fmt.Errorf(format, args...))
}

// visitWhole checks a message by its own rules, which reach to all but the messages that are packed into it.
func (e *envoy) visitWhole(message proto.Message) {
	if validator, ok := message.(interface{ ValidateAll() error }); ok {
		if err := validator.ValidateAll(); err != nil {
			e.complain("%w", err)
		}
	}
	e.visit(message)
}

// visit looks for deprecated fields, names that nothing has, and packed messages.
func (e *envoy) visit(message proto.Message) {
	e.checkReferences(message)
	message.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Options().(*descriptorpb.FieldOptions).GetDeprecated() {
			e.complain("%s is deprecated", field.FullName())
		}
		e.visitField(field, value)
		return true
	})
}

func (e *envoy) visitField(field protoreflect.FieldDescriptor, value protoreflect.Value) {
	switch {
	case field.IsMap() && field.MapValue().Message() != nil:
		value.Map().Range(func(_ protoreflect.MapKey, element protoreflect.Value) bool {
			e.visitPacked(element.Message().Interface())
			return true
		})
	case field.IsList() && field.Message() != nil:
		for n := range value.List().Len() {
			e.visitPacked(value.List().Get(n).Message().Interface())
		}
	case !field.IsMap() && field.Message() != nil:
		e.visitPacked(value.Message().Interface())
	}
}

func (e *envoy) visitPacked(message proto.Message) {
	packed, ok := message.(*anypb.Any)
	if !ok {
		e.visit(message)
		return
	}
	unpacked, err := packed.UnmarshalNew()
	if err != nil {
		e.complain("%w", err)
		return
	}
	e.visitWhole(unpacked)
}

// checkReferences finds names that nothing has.
func (e *envoy) checkReferences(message proto.Message) {
	switch m := message.(type) {
	case *corev3.HttpUri:
		e.mustBeCluster(m.GetCluster())
	case *routev3.RouteAction:
		e.mustBeCluster(m.GetCluster())
	case *jwtv3.JwtAuthentication:
		for _, rule := range m.GetRules() {
			if name := rule.GetRequires().GetProviderName(); m.GetProviders()[name] == nil {
				e.complain("there is no provider %q", name)
			}
		}
	}
}

func (e *envoy) mustBeCluster(name string) {
	if !e.clusters[name] {
		e.complain("there is no cluster %q", name)
	}
}
