{{/* For charts that put the gateway beside their application. With this chart as dependency `doorman`,
     the context is .Subcharts.doorman:

       {{ if include "doorman.sidecar.native" .Subcharts.doorman }}
       initContainers:   # else it is one of containers
         {{ include "doorman.sidecar.container" .Subcharts.doorman | nindent 8 }}
       {{ end }}
       volumes:
         {{ include "doorman.sidecar.volumes" .Subcharts.doorman | nindent 8 }}

     helm README, "Sidecar", has the whole of it; examples/orders is a complete chart. */}}

{{/* "true" where an init container may go on running beside the others (Kubernetes 1.29). */}}
{{- define "doorman.sidecar.native" -}}
{{- if kindIs "bool" .Values.sidecar.nativeSidecar -}}
{{- if .Values.sidecar.nativeSidecar }}true{{ end -}}
{{- else if semverCompare ">=1.29-0" .Capabilities.KubeVersion.Version -}}
true
{{- end -}}
{{- end -}}

{{/* A list item: of initContainers where native, else of containers. */}}
{{- define "doorman.sidecar.container" -}}
{{- $s := .Values.sidecar -}}
{{- $g := .Values.gateway -}}
{{- $image := dict -}}
{{- range $key := list "registry" "repository" "tag" "digest" "pullPolicy" -}}
{{- $_ := set $image $key (default (index $g.image $key) (index $s.image $key)) -}}
{{- end -}}
{{- $native := include "doorman.sidecar.native" . -}}
- name: doorman-gateway
  image: {{ include "doorman.image" (dict "root" . "image" $image "repository" "doorman-gateway") }}
  imagePullPolicy: {{ $image.pullPolicy }}
  {{- if $native }}
  restartPolicy: Always
  {{- end }}
  securityContext:
    {{- /* The pod is another's: what admin and gateway have from theirs is told here. */}}
    {{- $user := dict "runAsNonRoot" true "runAsUser" 65532 "runAsGroup" 65532 "seccompProfile" (dict "type" "RuntimeDefault") }}
    {{- toYaml (merge (dict) $g.containerSecurityContext $user) | nindent 4 }}
  ports:
    - {name: doorman, containerPort: {{ $s.port }}, protocol: TCP}
    - {name: metrics, containerPort: {{ .Values.metrics.port }}, protocol: TCP}
  envFrom:
    - configMapRef:
        name: {{ include "doorman.fullname" . }}-static
  env:
    {{- include "doorman.env" (dict "root" . "role" "gateway" "port" $s.port "threads" $s.threads "env" $s.env) | nindent 4 }}
    {{- if $native }}
    {{- /* Hot elsewhere; here it hangs together with the application's preStop, not with the gateways' of their own. */}}
    - name: SHUTDOWN_DELAY_SECONDS
      value: {{ max 0 (sub (int $s.appPreStopSeconds) 2) | quote }}
    {{- end }}
  {{- include "doorman.probes" (dict "values" $g "startup" ($s.waitForReady | ternary "readiness" "liveness")) | trim | nindent 2 }}
  lifecycle:
    {{- if $native }}
    {{- /* It is told to stop only after the application has ended; clients on kept connections must leave before. */}}
    preStop:
      exec:
        command: [/usr/bin/doorman-gateway, drain]
    {{- else }}
    {{- include "doorman.preStop" (dict "root" . "seconds" $s.appPreStopSeconds "program" "doorman-gateway") | nindent 4 }}
    {{- end }}
  resources:
    {{- toYaml $s.resources | nindent 4 }}
  volumeMounts:
    {{- include "doorman.mounts" (dict "root" . "role" "gateway" "prefix" "doorman-") | nindent 4 }}
{{- end -}}

{{/* List items of volumes. Files of secrets are readable for the sidecar's user whatever the pod's fsGroup is;
     no other container mounts them. */}}
{{- define "doorman.sidecar.volumes" -}}
{{- include "doorman.volumes" (dict "root" . "role" "gateway" "prefix" "doorman-" "mode" 0444) }}
- name: doorman-data
  emptyDir: {}
{{- end -}}

{{/* Of the application's container: it stays until endpoints have dropped the pod, and so does the sidecar, which
     ends after it. */}}
{{- define "doorman.sidecar.appLifecycle" -}}
preStop:
  {{- if semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version }}
  sleep:
    seconds: {{ .Values.sidecar.appPreStopSeconds }}
  {{- else }}
  exec:
    command: [sleep, {{ .Values.sidecar.appPreStopSeconds | quote }}]
  {{- end }}
{{- end -}}

{{/* targetPort of the application's Service: a number, for the control plane (seen with 1.32) does not find named
     ports of init containers. */}}
{{- define "doorman.sidecar.port" -}}
{{- .Values.sidecar.port -}}
{{- end -}}

{{/* Labels of the pod: by them PodMonitor and NetworkPolicy find sidecars. */}}
{{- define "doorman.sidecar.podLabels" -}}
doorman.io/injected: "true"
doorman.io/release: {{ .Release.Name }}
{{- end -}}

{{/* Annotations of the pod: restart-only settings roll it. */}}
{{- define "doorman.sidecar.podAnnotations" -}}
checksum/doorman-static: {{ include "doorman.static.checksum" (dict "root" . "role" "gateway") }}
{{- end -}}

{{/* All of it as one document, for `doorman-admin inject --sidecar` (sidecar.injection: cli). */}}
{{- define "doorman.sidecar.parts" -}}
container:
  {{- include "doorman.sidecar.container" . | nindent 2 }}
volumes:
  {{- include "doorman.sidecar.volumes" . | nindent 2 }}
labels:
  {{- include "doorman.sidecar.podLabels" . | nindent 2 }}
annotations:
  {{- include "doorman.sidecar.podAnnotations" . | nindent 2 }}
appLifecycle:
  {{- include "doorman.sidecar.appLifecycle" . | nindent 2 }}
port: {{ include "doorman.sidecar.port" . }}
{{- end -}}
