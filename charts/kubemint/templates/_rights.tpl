{{/*
The ClusterRoles of files/ that Kubemint itself holds, a list of:
  directory  where in files/ the role is
  role       its name, without kubemint
  account    the service account that holds it
  own        whether it is for Kubemint's own Secrets too, in the release's namespace
  cluster    whether it is of no use in a namespace
*/}}
{{- define "kubemint.rights" -}}
{{- $controller := include "kubemint.serviceAccountName" . }}
{{- $tokenServer := include "kubemint.tokenServerAccountName" . }}
- {directory: rbac, role: "", account: {{ $controller }}, own: true}
{{- if eq .Values.tokenServer.mode "standalone" }}
- {directory: rbac-standalone, role: -tokenserver, account: {{ $tokenServer }}, own: true}
{{- end }}
{{- if .Values.watchPods }}
- {directory: rbac-watch-pods, role: -pod-reader, account: {{ $controller }}}
{{- end }}
{{- if .Values.restartWorkloads }}
- {directory: rbac-restart-workloads, role: -workload-restarter, account: {{ $controller }}}
{{- end }}
{{- if .Values.authentication.reviewServiceAccountTokens }}
- {directory: rbac-review-tokens, role: -token-reviewer, account: {{ $tokenServer }}, cluster: true}
{{- end }}
{{- end }}

{{/* What a right is called in a namespace. There, kubemint is the Role of the lease. */}}
{{- define "kubemint.namespacedRole" -}}
{{- include "kubemint.fullname" .root }}{{ .role | default "-namespaced" }}
{{- end }}
