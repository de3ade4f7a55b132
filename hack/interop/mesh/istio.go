package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"
	securityv1beta1 "istio.io/api/security/v1beta1"
	"sigs.k8s.io/yaml"
)

// checkIstio checks the specs of Istio's objects. The rest of each is for an API server that has Istio's CRDs.
func checkIstio(content []byte) error {
	for _, document := range bytes.Split(content, []byte("\n---\n")) {
		if err := checkObject(document); err != nil {
			return err
		}
	}
	return nil
}

func checkObject(document []byte) error {
	var object struct {
		Kind string          `json:"kind"`
		Spec json.RawMessage `json:"spec"`
	}
	if err := yaml.Unmarshal(document, &object); err != nil {
		return err
	}
	specs := map[string]proto.Message{
		"RequestAuthentication": &securityv1beta1.RequestAuthentication{},
		"AuthorizationPolicy":   &securityv1beta1.AuthorizationPolicy{},
	}
	spec, known := specs[object.Kind]
	if !known {
		return fmt.Errorf("%q is of no kind that is known", object.Kind)
	}
	return decode(object.Spec, spec)
}
