{{/* The name of everything in the release: kubemint, or <release>-kubemint. */}}
{{- define "kubemint.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}
{{- .Release.Name }}
{{- else }}
{{- printf "%s-%s" .Release.Name .Chart.Name }}
{{- end }}
{{- end }}

{{- define "kubemint.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "kubemint.fullname" .) }}
{{- end }}

{{/* Whom the token servers run as: where they have no controllers beside them, an account that may write nothing but status. */}}
{{- define "kubemint.tokenServerAccountName" -}}
{{- if eq .Values.tokenServer.mode "standalone" }}
{{- .Values.tokenServer.serviceAccountName | default (printf "%s-tokenserver" (include "kubemint.serviceAccountName" .)) }}
{{- else }}
{{- include "kubemint.serviceAccountName" . }}
{{- end }}
{{- end }}

{{- define "kubemint.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Whether objects of a monitoring stack are rendered, whose definitions may not be there. Given root and kind. */}}
{{- define "kubemint.monitored" -}}
{{- $there := .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) }}
{{- $mode := .root.Values.monitoring.renderMode }}
{{- if and (eq $mode "failIfMissing") (not $there) }}
{{- fail (printf "the cluster has no %s (monitoring.coreos.com/v1): install the Prometheus operator, or set monitoring.renderMode to skipIfMissing" .kind) }}
{{- end }}
{{- if or $there (eq $mode "alwaysRender") }}yes{{ end }}
{{- end }}

{{/* The host of the issuer, without a port, and the path of its URL, without a slash at the end. */}}
{{- define "kubemint.issuerHost" -}}
{{- (urlParse (include "kubemint.issuer" .)).host | splitList ":" | first }}
{{- end }}
{{- define "kubemint.issuerPath" -}}
{{- (urlParse (include "kubemint.issuer" .)).path }}
{{- end }}

{{/* The paths that clients and resource servers ask for below the issuer's host, a list. */}}
{{- define "kubemint.paths" -}}
{{- $path := include "kubemint.issuerPath" . }}
{{- if $path }}
- {{ $path }}
- /.well-known/oauth-authorization-server{{ $path }}
- /.well-known/oauth-protected-resource{{ $path }}
{{- else }}
- /
{{- end }}
{{- end }}

{{- define "kubemint.image" -}}
{{- with .Values.image }}
{{- .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/*
The number of pods that issue tokens; empty: others choose it, and there are none yet. Where there are, it is what they chose: a field that
a release had and has no longer is taken out of the cluster, which Kubernetes fills with 1.
*/}}
{{- define "kubemint.replicas" -}}
{{- if or .Values.autoscaling.enabled (kindIs "invalid" .Values.replicas) }}
{{- dig "spec" "replicas" "" (lookup "apps/v1" "Deployment" .Release.Namespace (include "kubemint.fullname" .)) }}
{{- else }}
{{- .Values.replicas }}
{{- end }}
{{- end }}

{{/* The issuer's URL: the one given, else the Service's. */}}
{{- define "kubemint.issuer" -}}
{{- if .Values.issuer.url }}
{{- .Values.issuer.url }}
{{- else }}
{{- printf "https://%s.%s.svc" (include "kubemint.fullname" .) .Release.Namespace }}
{{- if ne (int .Values.service.port) 443 }}:{{ .Values.service.port }}{{ end }}
{{- end }}
{{- end }}

{{/* The Secret with the token endpoint's certificate, where it is not Kubemint's own. */}}
{{- define "kubemint.tlsSecret" -}}
{{- if eq .Values.tls.mode "cert-manager" }}
{{- printf "%s-tls" (include "kubemint.fullname" .) }}
{{- else }}
{{- .Values.tls.secretName }}
{{- end }}
{{- end }}

{{/* The volumes of the pods, each mounted below /etc/kubemint by its name. */}}
{{- define "kubemint.volumes" -}}
{{- with include "kubemint.tlsSecret" . }}
- name: tls
  secret:
    secretName: {{ . | quote }}
{{- end }}
{{- /* The one key only: cert-manager's Secret of a CA holds its private key too. */}}
{{- with .Values.tls.clientCA }}
{{- if .secretName }}
- name: client-ca
  secret:
    secretName: {{ .secretName | quote }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- else if .configMapName }}
- name: client-ca
  configMap:
    name: {{ .configMapName | quote }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- with .Values.authentication.keySetCA.configMapName }}
- name: key-set-ca
  configMap:
    name: {{ . | quote }}
{{- end }}
{{- if .Values.authentication.trustedIssuers }}
- name: trusted-issuers
  configMap:
    name: {{ include "kubemint.fullname" . }}-trusted-issuers
{{- end }}
{{- end }}

{{/* The value of --dpop, empty for off. YAML reads off and on as booleans. */}}
{{- define "kubemint.dpop" -}}
{{- $dpop := toString .Values.dpop }}
{{- if eq $dpop "true" }}on{{ else if not (has $dpop (list "off" "false")) }}{{ $dpop }}{{ end }}
{{- end }}

{{/* Refuses values that are each right and do not go together. */}}
{{- define "kubemint.check" -}}
{{- with .Values.tls }}
{{- if and (eq .mode "files") (not .secretName) }}
{{- fail "tls.mode=files needs tls.secretName: name a Secret of type kubernetes.io/tls in the release's namespace" }}
{{- end }}
{{- if and (eq .mode "cert-manager") (not .certManager.issuerRef.name) }}
{{- fail "tls.mode=cert-manager needs tls.certManager.issuerRef.name: name a ClusterIssuer, or an Issuer in the release's namespace" }}
{{- end }}
{{- if and (ne .mode "cert-manager") .certManager.issuerRef.name }}
{{- fail (printf "tls.certManager does not go with tls.mode=%s: set tls.mode=cert-manager, or leave it out" .mode) }}
{{- end }}
{{- if and (ne .mode "files") .secretName }}
{{- fail (printf "tls.secretName does not go with tls.mode=%s: set tls.mode=files, or leave it out" .mode) }}
{{- end }}
{{- if and .caKey (not (has .mode (list "files" "cert-manager"))) }}
{{- fail (printf "tls.caKey does not go with tls.mode=%s: set tls.mode=files or cert-manager, or leave it out" .mode) }}
{{- end }}
{{- if and .hosts (not (has .mode (list "managed" "cert-manager"))) }}
{{- fail (printf "tls.hosts does not go with tls.mode=%s: it is for a certificate that is made here; leave it out" .mode) }}
{{- end }}
{{- if and .clientCA.secretName .clientCA.configMapName }}
{{- fail "tls.clientCA.secretName and tls.clientCA.configMapName are two places for one bundle: name one" }}
{{- end }}
{{- if and (eq .mode "disabled") (or .clientCA.secretName .clientCA.configMapName) }}
{{- fail "tls.clientCA does not go with tls.mode=disabled: a client's certificate in a header that a proxy forwards is never trusted; set tls.mode=managed or files, or leave it out" }}
{{- end }}
{{- if and (eq .mode "disabled") (not $.Values.issuer.url) }}
{{- fail "tls.mode=disabled needs issuer.url: set the https URL of the proxy that ends TLS" }}
{{- end }}
{{- end }}
{{- with .Values.issuer }}
{{- if and (eq .unownedScopes "allow") .unownedScopesNamespaces }}
{{- fail "issuer.unownedScopesNamespaces are the exceptions from issuer.unownedScopes=forbid: set that, or leave them out" }}
{{- end }}
{{- end }}
{{- include "kubemint.checkTests" . }}
{{- with .Values.audiencePolicy }}
{{- /* Fails where the pattern is no regular expression, instead of every ResourceServer later. */}}
{{- $_ := mustRegexMatch (.pattern | replace "{namespace}" "a") "" }}
{{- end }}
{{- with .Values.serviceAccount }}
{{- if not (or .create .name) }}
{{- fail "serviceAccount.create=false needs serviceAccount.name: name the service account that Kubemint is to run as" }}
{{- end }}
{{- if and (eq $.Values.tokenServer.mode "standalone") (not (or .create $.Values.tokenServer.serviceAccountName)) }}
{{- fail "serviceAccount.create=false needs tokenServer.serviceAccountName: name the service account that the token servers are to run as, one that may do less" }}
{{- end }}
{{- end }}
{{- if and (ne .Values.tokenServer.mode "standalone") .Values.tokenServer.serviceAccountName }}
{{- fail "tokenServer.serviceAccountName is for token servers of their own: set tokenServer.mode=standalone, or leave it out" }}
{{- end }}
{{- with .Values.autoscaling }}
{{- if and .enabled (not (or .averageCPU .averageRequests)) }}
{{- fail "autoscaling.enabled needs something to scale by: set autoscaling.averageCPU or autoscaling.averageRequests" }}
{{- end }}
{{- if and .enabled (lt (int .maxReplicas) (int .minReplicas)) }}
{{- fail "autoscaling.maxReplicas is less than autoscaling.minReplicas: raise it" }}
{{- end }}
{{- end }}
{{- if and (or .Values.ingress.enabled .Values.httpRoute.enabled) (not .Values.issuer.url) }}
{{- fail "ingress and httpRoute are for a public issuer: set issuer.url to the https URL at which it is reached" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute.enabled needs httpRoute.parentRefs: name the Gateway that routes to Kubemint" }}
{{- end }}
{{- end }}

{{/* What helm test uses: the first of the namespaces that are watched, else the release's; and an audience there, where scopes need an owner. */}}
{{- define "kubemint.testNamespace" -}}
{{- .Values.watchNamespaces | first | default .Release.Namespace }}
{{- end }}
{{- define "kubemint.testAudience" -}}
{{- $namespace := include "kubemint.testNamespace" . }}
{{- if not (or (eq .Values.issuer.unownedScopes "allow") (has $namespace .Values.issuer.unownedScopesNamespaces)) }}
{{- .Values.tests.audience | default (printf "https://%s-test.%s.svc" (include "kubemint.fullname" .) $namespace) }}
{{- end }}
{{- end }}

{{/* Refuses an audience of helm test that the release's own policy would refuse. */}}
{{- define "kubemint.checkTests" -}}
{{- $audience := include "kubemint.testAudience" . }}
{{- $namespace := include "kubemint.testNamespace" . }}
{{- with .Values.audiencePolicy }}
{{- if and $.Values.tests.enabled $audience .enabled (eq .failureAction "Deny") (not (has $namespace .exemptNamespaces)) }}
{{- $expected := .pattern | replace "{namespace}" $namespace }}
{{- if not (mustRegexMatch (printf "^(?:%s)$" $expected) $audience) }}
{{- fail (printf "helm test makes a ResourceServer for %s, which audiencePolicy.pattern forbids in namespace %s (%s): set tests.audience to one that it allows, or tests.enabled=false" $audience $namespace $expected) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
