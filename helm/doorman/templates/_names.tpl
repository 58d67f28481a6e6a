{{/* Names and labels. */}}
{{- define "doorman.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "doorman.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "doorman.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* The chart's own win over commonLabels: selectors and policies find objects by them. */}}
{{- define "doorman.labels" -}}
{{- $own := dict "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- $_ := set $own "app.kubernetes.io/name" (include "doorman.name" .) -}}
{{- $_ := set $own "app.kubernetes.io/instance" .Release.Name -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- toYaml (merge $own .Values.commonLabels) -}}
{{- end -}}

{{/* dict root, component, labels: of a pod, or of an object that has labels of its own. */}}
{{- define "doorman.labelsWith" -}}
{{- $own := dict -}}
{{- with .component }}{{ $_ := set $own "app.kubernetes.io/component" . }}{{ end -}}
{{- $fixed := pick (fromYaml (include "doorman.labels" .root)) "app.kubernetes.io/name" "app.kubernetes.io/instance" -}}
{{- toYaml (merge $own $fixed (default (dict) .labels) (fromYaml (include "doorman.labels" .root))) -}}
{{- end -}}

{{/* dict root, component: what never changes in the life of a release. */}}
{{- define "doorman.selector" -}}
app.kubernetes.io/name: {{ include "doorman.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* dict root, name, [component], [annotations], [labels], [namespace]: metadata of an object. */}}
{{- define "doorman.metadata" -}}
metadata:
  name: {{ .name }}
  namespace: {{ default (include "doorman.namespace" .root) .namespace }}
  labels:
    {{- include "doorman.labelsWith" . | nindent 4 }}
  {{- with merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* dict root, image, [repository]: registry/repository:tag or @digest. */}}
{{- define "doorman.image" -}}
{{- $registry := default .root.Values.global.imageRegistry .image.registry -}}
{{- $repository := default .repository .image.repository -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{- $repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .root.Chart.AppVersion .image.tag }}{{ end -}}
{{- end -}}

{{- define "doorman.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "doorman.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "doorman.configMap" -}}
{{- default (printf "%s-config" (include "doorman.fullname" .)) .Values.existingConfigMap -}}
{{- end -}}

{{- define "doorman.adminSecret" -}}
{{- default (include "doorman.fullname" .) .Values.auth.existingSecret -}}
{{- end -}}

{{- define "doorman.gatewaySecret" -}}
{{- default (printf "%s-gateway" (include "doorman.fullname" .)) .Values.auth.existingGatewaySecret -}}
{{- end -}}

{{/* What of the product there is: "true" or nothing. */}}
{{- define "doorman.memory" -}}{{ if eq .Values.mode "memory" }}true{{ end }}{{- end -}}
{{- define "doorman.hasAdmin" -}}{{ if .Values.admin.enabled }}true{{ end }}{{- end -}}
{{- define "doorman.hasGateway" -}}
{{- if and (not (include "doorman.memory" .)) .Values.gateway.enabled (ne .Values.gateway.kind "none") }}true{{ end -}}
{{- end -}}
{{- define "doorman.hasSidecars" -}}
{{- if and (not (include "doorman.memory" .)) (ne .Values.sidecar.injection "none") }}true{{ end -}}
{{- end -}}
{{- define "doorman.needsGatewaySecret" -}}
{{- if or (include "doorman.hasGateway" .) (include "doorman.hasSidecars" .) }}true{{ end -}}
{{- end -}}
{{- define "doorman.adminPort" -}}{{ if include "doorman.memory" . }}5001{{ else }}3001{{ end }}{{- end -}}
{{- define "doorman.adminUrl" -}}
http://{{ include "doorman.fullname" . }}-admin.{{ include "doorman.namespace" . }}:{{ .Values.admin.service.port }}
{{- end -}}
{{- define "doorman.gatewayUrl" -}}
{{- if include "doorman.hasGateway" . -}}
http://{{ include "doorman.fullname" . }}-gateway.{{ include "doorman.namespace" . }}:{{ .Values.gateway.service.port }}
{{- else -}}
{{ include "doorman.adminUrl" . }}
{{- end -}}
{{- end -}}
