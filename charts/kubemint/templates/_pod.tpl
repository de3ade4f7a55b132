{{/* The flags of kubemint, the same for all pods but for the mode: both halves must agree on most of them, and pass over the others. */}}
{{- define "kubemint.args" -}}
- --issuer={{ include "kubemint.issuer" . }}
{{- with .Values.issuer.defaultAudience }}
- {{ printf "--default-audience=%s" . | quote }}
{{- end }}
{{- if ne .Values.issuer.maxTokenLifetime "24h" }}
- --max-token-lifetime={{ .Values.issuer.maxTokenLifetime }}
{{- end }}
{{- if eq .Values.issuer.unownedScopes "forbid" }}
- --unowned-scopes=forbid
{{- end }}
{{- with .Values.issuer.unownedScopesNamespaces }}
- --unowned-scopes-namespaces={{ join "," . }}
{{- end }}
- --signing-algorithm={{ .Values.signing.algorithm }}
- --signing-key-rotation={{ .Values.signing.rotation }}
- --tls-mode={{ ternary "files" .Values.tls.mode (eq .Values.tls.mode "cert-manager") }}
{{- if and .Values.tls.hosts (eq .Values.tls.mode "managed") }}
- --tls-hosts={{ join "," .Values.tls.hosts }}
{{- end }}
{{- if include "kubemint.tlsSecret" . }}
- --tls-cert-file=/etc/kubemint/tls/tls.crt
- --tls-key-file=/etc/kubemint/tls/tls.key
{{- end }}
{{- with .Values.tls.caKey }}
- --ca-file=/etc/kubemint/tls/{{ . }}
{{- end }}
{{- if or .Values.tls.clientCA.secretName .Values.tls.clientCA.configMapName }}
- --client-ca-file=/etc/kubemint/client-ca/ca.crt
{{- end }}
{{- with .Values.authentication }}
{{- if ne .assertionMaxAge "1m" }}
- --assertion-max-age={{ .assertionMaxAge }}
{{- end }}
{{- if .acceptTokenEndpointAudience }}
- --accept-token-endpoint-audience
{{- end }}
{{- with .keySetNetworks }}
- --key-set-networks={{ join "," . }}
{{- end }}
{{- if .keySetCA.configMapName }}
- --key-set-ca-file=/etc/kubemint/key-set-ca/{{ .keySetCA.key }}
{{- end }}
{{- if ne .serviceAccountTokenMaxAge "1h" }}
- --service-account-token-max-age={{ .serviceAccountTokenMaxAge }}
{{- end }}
{{- if .trustedIssuers }}
- --trusted-issuers-file=/etc/kubemint/trusted-issuers/trusted-issuers.yaml
{{- end }}
{{- end }}
{{- with .Values.watchNamespaces }}
- --watch-namespaces={{ join "," . }}
{{- end }}
- --workers={{ .Values.workers }}
{{- with include "kubemint.dpop" . }}
- --dpop={{ . }}
{{- end }}
{{- if ne .Values.tokenReuse "0s" }}
- --token-reuse={{ .Values.tokenReuse }}
{{- end }}
- --shutdown-delay={{ .Values.shutdownDelaySeconds }}s
- --log-level={{ .Values.logLevel }}
- --log-format={{ .Values.logFormat }}
{{- with .Values.tracing.endpoint }}
- --otlp-endpoint={{ . }}
{{- end }}
{{- if .Values.watchPods }}
- --watch-pods
{{- end }}
{{- if .Values.restartWorkloads }}
- --restart-workloads
{{- end }}
{{- if .Values.authentication.reviewServiceAccountTokens }}
- --review-service-account-tokens
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
The pod template of the Deployments. It is given:
  root            the chart
  name            app.kubernetes.io/name of the pods, by which they are selected
  mode            what they run, as in --mode; empty for all
  serviceAccount  whom they run as
  values          the values that each Deployment has of its own: resources, priorityClassName and topologySpreadConstraints
*/}}
{{- define "kubemint.podTemplate" -}}
{{- with .root -}}
metadata:
  labels:
    {{- merge (dict "app.kubernetes.io/name" $.name) .Values.podLabels .Values.commonLabels | toYaml | nindent 4 }}
  {{- $annotations := deepCopy .Values.podAnnotations }}
  {{- with .Values.authentication.trustedIssuers }}
  {{- /* It is read at the start, so that other issuers need other pods. */}}
  {{- $_ := set $annotations "checksum/trusted-issuers" (toYaml . | sha256sum) }}
  {{- end }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ $.serviceAccount }}
  {{- /* The delay, 15 s for requests under way, and 5 to spare. */}}
  terminationGracePeriodSeconds: {{ add .Values.shutdownDelaySeconds 20 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  containers:
  - name: kubemint
    image: {{ include "kubemint.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args:
    {{- with $.mode }}
    - --mode={{ . }}
    {{- end }}
    {{- include "kubemint.args" . | nindent 4 }}
    env:
    - name: POD_NAMESPACE
      valueFrom:
        fieldRef:
          fieldPath: metadata.namespace
    {{- if and .Values.tracing.endpoint (ne (float64 .Values.tracing.samplingRatio) 1.0) }}
    - {name: OTEL_TRACES_SAMPLER, value: parentbased_traceidratio}
    - {name: OTEL_TRACES_SAMPLER_ARG, value: {{ .Values.tracing.samplingRatio | quote }}}
    {{- end }}
    {{- with .Values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    ports:
    {{- if ne $.mode "controller" }}
    - {name: token, containerPort: 8443}
    {{- end }}
    - {name: health, containerPort: 8081}
    - {name: metrics, containerPort: 8080}
    livenessProbe:
      httpGet: {path: /healthz, port: health}
    readinessProbe:
      httpGet: {path: /readyz, port: health}
      periodSeconds: 2
    {{- with $.values.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.containerSecurityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- $volumes := include "kubemint.volumes" . | fromYamlArray }}
    {{- if or $volumes .Values.extraVolumeMounts }}
    volumeMounts:
    {{- range $volumes }}
    - {name: {{ .name }}, mountPath: /etc/kubemint/{{ .name }}, readOnly: true}
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- end }}
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with concat $volumes .Values.extraVolumes }}
  volumes:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.values.topologySpreadConstraints }}
  topologySpreadConstraints:
  {{- range . }}
  {{- /* Of the Deployment's own pods, where it is not said of which. */}}
  - {{- merge (deepCopy .) (dict "labelSelector" (dict "matchLabels" (dict "app.kubernetes.io/name" $.name))) | toYaml | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}
