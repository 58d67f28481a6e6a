{{/* Settings: doorman.yaml (hot), environment (restart-only), files (secrets). */}}

{{/* doorman.yaml. The cookies' domain is the ingress's host unless told. */}}
{{- define "doorman.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $host := "" -}}
{{- if .Values.admin.ingress.enabled -}}
{{- range .Values.admin.ingress.hosts }}{{ $host = default .host $host }}{{ end -}}
{{- end -}}
{{- $cookie := default (dict) $config.cookie -}}
{{- if and $host (not $cookie.domain) -}}
{{- $_ := set $config "cookie" (merge (dict "domain" $host) $cookie) -}}
{{- end -}}
{{- toYaml (merge (dict "schema" 1) $config) -}}
{{- end -}}

{{- define "doorman.strict" -}}
{{- if kindIs "bool" .Values.productionStrict -}}{{ .Values.productionStrict }}
{{- else -}}{{ not (or .Values.redis.enabled .Values.mongodb.enabled) }}
{{- end -}}
{{- end -}}

{{/* Restart-only settings of every program. */}}
{{- define "doorman.static.common" -}}
ENV: {{ .Values.env | quote }}
PRODUCTION_STRICT: {{ include "doorman.strict" . | quote }}
DOORMAN_DATA_DIR: /var/lib/doorman
LOGS_DIR: /var/lib/doorman/logs
PID_FILE: /tmp/doorman.pid
METRICS_PORT: {{ .Values.metrics.port | quote }}
{{- if .Values.kubeEvents.enabled }}
KUBE_EVENTS_ENABLED: "true"
{{- end }}
{{- if include "doorman.memory" . }}
MEM_OR_EXTERNAL: MEM
{{- else }}
MEM_OR_EXTERNAL: REDIS
{{- $redis := .Values.externalRedis }}
{{- if .Values.redis.enabled }}
REDIS_HOST: {{ include "doorman.fullname" . }}-redis
REDIS_PORT: "6379"
REDIS_MODE: standalone
{{- else }}
{{- if $redis.sentinelHosts }}
REDIS_SENTINEL_HOSTS: {{ join "," $redis.sentinelHosts | quote }}
REDIS_SENTINEL_MASTER: {{ $redis.sentinelMaster | quote }}
{{- else }}
REDIS_HOST: {{ $redis.host | quote }}
REDIS_PORT: {{ $redis.port | quote }}
{{- end }}
REDIS_DB: {{ $redis.db | quote }}
REDIS_MODE: {{ $redis.mode }}
{{- with $redis.username }}
REDIS_USERNAME: {{ . | quote }}
{{- end }}
{{- if $redis.tls.enabled }}
REDIS_TLS: "true"
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.static }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* And of the admin alone; a gateway must not even know where MongoDB is. */}}
{{- define "doorman.static.admin" -}}
DOORMAN_ADMIN_EMAIL: {{ .Values.auth.adminEmail | quote }}
{{- if not (include "doorman.memory" .) }}
{{- $mongo := .Values.externalMongodb }}
{{- if .Values.mongodb.enabled }}
MONGO_DB_HOSTS: {{ include "doorman.fullname" . }}-mongodb:27017
{{- else }}
MONGO_DB_HOSTS: {{ join "," $mongo.hosts | quote }}
{{- with $mongo.replicaSetName }}
MONGO_REPLICA_SET_NAME: {{ . | quote }}
{{- end }}
{{- with $mongo.username }}
MONGO_DB_USER: {{ . | quote }}
{{- end }}
{{- if $mongo.tls.enabled }}
MONGO_TLS: "true"
{{- end }}
{{- end }}
MONGO_DB_NAME: {{ $mongo.database | quote }}
{{- end }}
{{- end -}}

{{/* Secrets as files below /etc/doorman/secrets: the variables that name them. dict root, role. */}}
{{- define "doorman.secretEnv" -}}
{{- $root := .root -}}
{{- $files := dict -}}
{{- if $root.Values.auth.jwtSecretKey -}}
{{- $_ := set $files "JWT_SECRET_KEY_FILE" "jwt-secret-key" -}}
{{- else -}}
{{- $_ := set $files "JWT_KEYS_FILE" "jwt-keys" -}}
{{- end -}}
{{- $_ := set $files "TOKEN_ENCRYPTION_KEY_FILE" "token-encryption-key" -}}
{{- if eq .role "gateway" -}}
{{- $_ := set $files "POLICY_VERIFY_KEY_FILE" "policy-verify-key" -}}
{{- else -}}
{{- $_ := set $files "DOORMAN_ADMIN_PASSWORD_FILE" "admin-password" -}}
{{- $_ := set $files "VAULT_KEY_FILE" "vault-key" -}}
{{- if include "doorman.memory" $root -}}
{{- $_ := set $files "MEM_ENCRYPTION_KEY_FILE" "mem-encryption-key" -}}
{{- else -}}
{{- $_ := set $files "POLICY_SIGNING_KEY_FILE" "policy-signing-key" -}}
{{- if and (not $root.Values.mongodb.enabled) $root.Values.externalMongodb.existingSecret -}}
{{- $_ := set $files "MONGO_DB_PASSWORD_FILE" "mongodb-password" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (not (include "doorman.memory" $root)) (or $root.Values.redis.enabled $root.Values.externalRedis.existingSecret) -}}
{{- $_ := set $files "REDIS_PASSWORD_FILE" "redis-password" -}}
{{- end -}}
{{- range $name, $file := $files }}
- name: {{ $name }}
  value: /etc/doorman/secrets/{{ $file }}
{{- end }}
{{- if and (not (include "doorman.memory" $root)) (not $root.Values.redis.enabled) $root.Values.externalRedis.tls.existingSecret }}
- name: REDIS_TLS_CA_FILE
  value: /etc/doorman/redis-tls/ca.crt
{{- end }}
{{- if and (eq .role "admin") (not (include "doorman.memory" $root)) (not $root.Values.mongodb.enabled) $root.Values.externalMongodb.tls.existingSecret }}
- name: MONGO_TLS_CA_FILE
  value: /etc/doorman/mongodb-tls/ca.crt
{{- end }}
{{- if $root.Values.tls.enabled }}
- name: SSL_CERTFILE
  value: /etc/doorman/tls/tls.crt
- name: SSL_KEYFILE
  value: /etc/doorman/tls/tls.key
{{- end }}
{{- end -}}

{{/* Where those files come from: sources of a projected volume. dict root, role. */}}
{{- define "doorman.secretSources" -}}
{{- $root := .root -}}
{{- $keys := $root.Values.auth.existingSecretKeys -}}
{{- $memory := include "doorman.memory" $root -}}
- secret:
    name: {{ if eq .role "gateway" }}{{ include "doorman.gatewaySecret" $root }}{{ else }}{{ include "doorman.adminSecret" $root }}{{ end }}
    items:
      {{- if $root.Values.auth.jwtSecretKey }}
      - {key: jwt-secret-key, path: jwt-secret-key}
      {{- else }}
      - {key: {{ $keys.jwtKeys }}, path: jwt-keys}
      {{- end }}
      - {key: {{ $keys.tokenEncryptionKey }}, path: token-encryption-key}
      {{- if eq .role "gateway" }}
      - {key: {{ $keys.policyVerifyKey }}, path: policy-verify-key}
      {{- else }}
      - {key: {{ $keys.adminPassword }}, path: admin-password}
      - {key: {{ $keys.vaultKey }}, path: vault-key}
      {{- if $memory }}
      - {key: {{ $keys.memEncryptionKey }}, path: mem-encryption-key}
      {{- else }}
      - {key: {{ $keys.policySigningKey }}, path: policy-signing-key}
      {{- end }}
      {{- end }}
{{- if not $memory }}
{{- if $root.Values.redis.enabled }}
- secret:
    name: {{ include "doorman.fullname" $root }}-redis
    items:
      - {key: redis-password, path: redis-password}
{{- else if $root.Values.externalRedis.existingSecret }}
- secret:
    name: {{ $root.Values.externalRedis.existingSecret }}
    items:
      - {key: {{ $root.Values.externalRedis.existingSecretPasswordKey }}, path: redis-password}
{{- end }}
{{- if and (eq .role "admin") (not $root.Values.mongodb.enabled) $root.Values.externalMongodb.existingSecret }}
- secret:
    name: {{ $root.Values.externalMongodb.existingSecret }}
    items:
      - {key: {{ $root.Values.externalMongodb.existingSecretPasswordKey }}, path: mongodb-password}
{{- end }}
{{- end }}
{{- end -}}
