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

{{- define "kubemint.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "kubemint.image" -}}
{{- with .Values.image }}
{{- .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
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

{{/* The volumes of the pods, each mounted below /etc/kubemint by its name. */}}
{{- define "kubemint.volumes" -}}
{{- with .Values.tls.secretName }}
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
{{- if and (ne .mode "files") (or .secretName .caKey) }}
{{- fail (printf "tls.secretName and tls.caKey do not go with tls.mode=%s: set tls.mode=files, or leave them out" .mode) }}
{{- end }}
{{- if and (ne .mode "managed") .hosts }}
{{- fail (printf "tls.hosts does not go with tls.mode=%s: it is for the managed certificate; leave it out" .mode) }}
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
{{- with .Values.audiencePolicy }}
{{- /* Fails where the pattern is no regular expression, instead of every ResourceServer later. */}}
{{- $_ := mustRegexMatch (.pattern | replace "{namespace}" "a") "" }}
{{- end }}
{{- with .Values.serviceAccount }}
{{- if not (or .create .name) }}
{{- fail "serviceAccount.create=false needs serviceAccount.name: name the service account that Kubemint is to run as" }}
{{- end }}
{{- end }}
{{- end }}
