// Package v1alpha1 is Kubemint's Kubernetes API: the kinds OAuthClient and ResourceServer, their conditions and reasons, and the names
// (labels, Secret types, default keys) by which Kubemint's objects are known.
//
// +kubebuilder:object:generate=true
// +groupName=oauth.kubemint.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of the kinds in this package.
var GroupVersion = schema.GroupVersion{Group: "oauth.kubemint.dev", Version: "v1alpha1"}

// SchemeBuilder registers the kinds of this package with a runtime.Scheme.
var SchemeBuilder = runtime.NewSchemeBuilder(func(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &OAuthClient{}, &OAuthClientList{}, &ResourceServer{}, &ResourceServerList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
})

// AddToScheme adds the kinds of this package to a scheme.
var AddToScheme = SchemeBuilder.AddToScheme
