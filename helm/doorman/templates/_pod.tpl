{{/* Parts of pods that admin, gateway and sidecar share. */}}

{{/* Mounts of a program's container. dict root, role, prefix (of volume names). */}}
{{- define "doorman.mounts" -}}
{{- $p := .prefix -}}
- {name: {{ $p }}config, mountPath: /etc/doorman/config, readOnly: true}
- {name: {{ $p }}secrets, mountPath: /etc/doorman/secrets, readOnly: true}
- {name: {{ $p }}data, mountPath: /var/lib/doorman}
- {name: {{ $p }}scratch, mountPath: /tmp}
{{- if .root.Values.kubeEvents.enabled }}
- {name: {{ $p }}account, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}
{{- range $store, $tls := fromYaml (include "doorman.storeTls" .) }}
- {name: {{ $p }}{{ $store }}-tls, mountPath: /etc/doorman/{{ $store }}-tls, readOnly: true}
{{- end }}
{{- end -}}

{{/* The volumes behind them, but for data. dict root, role, prefix, mode (of the secrets' files). */}}
{{- define "doorman.volumes" -}}
{{- $p := .prefix -}}
- name: {{ $p }}config
  configMap:
    name: {{ include "doorman.configMap" .root }}
- name: {{ $p }}secrets
  projected:
    defaultMode: {{ .mode }}
    sources:
      {{- include "doorman.secretSources" . | nindent 6 }}
- name: {{ $p }}scratch
  emptyDir: {}
{{- if .root.Values.kubeEvents.enabled }}
{{- /* What automount would give to every container of the pod. */}}
- name: {{ $p }}account
  projected:
    defaultMode: {{ .mode }}
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end }}
{{- $mode := .mode }}
{{- range $store, $tls := fromYaml (include "doorman.storeTls" .) }}
- name: {{ $p }}{{ $store }}-tls
  secret:
    secretName: {{ $tls.existingSecret }}
    defaultMode: {{ $mode }}
{{- end }}
{{- end -}}

{{/* dict values (startupProbe, livenessProbe, readinessProbe), startup (path). Whoever gives a way to ask of his
     own is not asked twice. */}}
{{- define "doorman.probes" -}}
{{- range $kind, $path := dict "startupProbe" (default "liveness" .startup) "livenessProbe" "liveness" "readinessProbe" "readiness" }}
{{- with index $.values $kind }}
{{- $ours := dict "httpGet" (dict "path" (printf "/platform/monitor/%s" $path) "port" "metrics") }}
{{- range $way := list "httpGet" "exec" "tcpSocket" "grpc" }}
{{- if hasKey (index $.values $kind) $way }}{{ $ours = dict }}{{ end }}
{{- end }}
{{ $kind }}:
  {{- toYaml (merge $ours .) | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Endpoints drop the pod while it waits. dict root, seconds, program (for clusters without sleep). */}}
{{- define "doorman.preStop" -}}
preStop:
  {{- if semverCompare ">=1.30-0" .root.Capabilities.KubeVersion.Version }}
  sleep:
    seconds: {{ .seconds }}
  {{- else }}
  exec:
    command: [/usr/bin/{{ .program }}, drain, --wait, {{ .seconds | quote }}]
  {{- end }}
{{- end -}}

{{/* Environment of a program's container. dict root, role, port, threads, env. */}}
{{- define "doorman.env" -}}
{{- /* Named, so that a ConfigMap without it stops the start rather than mean defaults. */}}
- name: DOORMAN_CONFIG_FILE
  value: /etc/doorman/config/doorman.yaml
- name: PORT
  value: {{ .port | quote }}
- name: THREADS
  value: {{ .threads | quote }}
{{- include "doorman.secretEnv" . }}
{{- if and (eq .role "gateway") .root.Values.gateway.forwardPlatform .root.Values.admin.enabled }}
- name: ADMIN_UPSTREAM_URL
  value: {{ include "doorman.adminUrl" .root }}
{{- end }}
{{- if .root.Values.kubeEvents.enabled }}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
{{- end }}
{{- with .env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The container of a program. dict root, role, name, program, values, image, repository, port, threads. */}}
{{- define "doorman.container" -}}
- name: {{ .name }}
  image: {{ include "doorman.image" (dict "root" .root "image" .image "repository" .repository) }}
  imagePullPolicy: {{ .image.pullPolicy }}
  {{- with .values.command }}
  command: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.args }}
  args: {{ toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .values.containerSecurityContext | nindent 4 }}
  ports:
    - {name: http, containerPort: {{ .port }}, protocol: TCP}
    - {name: metrics, containerPort: {{ .root.Values.metrics.port }}, protocol: TCP}
  envFrom:
    - configMapRef:
        name: {{ include "doorman.fullname" .root }}-static
    {{- if eq .role "admin" }}
    - configMapRef:
        name: {{ include "doorman.fullname" .root }}-static-admin
    {{- end }}
    {{- with .values.envFrom }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  env:
    {{- include "doorman.env" (merge (dict "env" .values.env) .) | nindent 4 }}
  {{- include "doorman.probes" (dict "values" .values) | trim | nindent 2 }}
  lifecycle:
    {{- if .values.lifecycle }}
    {{- toYaml .values.lifecycle | nindent 4 }}
    {{- else }}
    {{- include "doorman.preStop" (dict "root" .root "seconds" .values.preStopSeconds "program" .program) | nindent 4 }}
    {{- end }}
  resources:
    {{- toYaml .values.resources | nindent 4 }}
  volumeMounts:
    {{- include "doorman.mounts" (merge (dict "prefix" "") .) | nindent 4 }}
    {{- with .values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Everything of a pod template. dict as above, and component. */}}
{{- define "doorman.podTemplate" -}}
metadata:
  labels:
    {{- include "doorman.labelsWith" (dict "root" .root "component" .component "labels" .values.podLabels) | nindent 4 }}
  annotations:
    {{- /* Hot keys are not part of any checksum: an edit reloads, it does not roll; most secrets are files read anew. */}}
    checksum/static: {{ include "doorman.static.checksum" . }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "doorman.serviceAccount" .root }}
  automountServiceAccountToken: {{ .root.Values.serviceAccount.automount }}
  enableServiceLinks: false
  {{- with .root.Values.global.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .values.podSecurityContext | nindent 4 }}
  terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
  {{- with .values.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    {{- include "doorman.container" . | nindent 4 }}
    {{- with .values.sidecars }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" }}
  {{- with index $.values $key }}
  {{ $key }}: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  volumes:
    {{- include "doorman.volumes" (merge (dict "prefix" "" "mode" 0440) .) | nindent 4 }}
    - name: data
      {{- if and (include "doorman.memory" .root) .root.Values.persistence.enabled }}
      persistentVolumeClaim:
        claimName: {{ default (printf "%s-data" (include "doorman.fullname" .root)) .root.Values.persistence.existingClaim }}
      {{- else }}
      emptyDir: {}
      {{- end }}
    {{- with .values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
