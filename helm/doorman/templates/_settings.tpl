{{/* Settings: doorman.yaml (hot), environment (restart-only), files (secrets). */}}

{{/* doorman.yaml. The cookies' domain is the ingress's host unless told. */}}
{{- define "doorman.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $host := "" -}}
{{- if .Values.admin.ingress.enabled -}}
{{- range .Values.admin.ingress.hosts }}{{ $host = default (trimPrefix "*." (default "" .host)) $host }}{{ end -}}
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

{{/* A value as a variable's text: a number as it was written (1000000, not 1e+06), a list by commas. */}}
{{- define "doorman.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else if kindIs "slice" . }}{{ join "," . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{/* Restart-only settings of every program; what `static` says wins. */}}
{{- define "doorman.static.common" -}}
{{- $all := fromYaml (include "doorman.static.own" .) -}}
{{- range $name, $value := .Values.static }}{{ $_ := set $all $name (include "doorman.text" $value) }}{{ end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* What a pod must be rolled for. Of secrets, those that are read at start only, where the values hold them.
     dict root, role. */}}
{{- define "doorman.static.checksum" -}}
{{- $admin := eq .role "admin" -}}
{{- $parts := list (include "doorman.static.common" .root) -}}
{{- if $admin }}{{ $parts = append $parts (include "doorman.static.admin" .root) }}{{ end -}}
{{- $parts = append $parts ($admin | ternary .root.Values.auth.policySigningKey .root.Values.auth.policyVerifyKey) -}}
{{- join "\n" $parts | sha256sum -}}
{{- end -}}

{{- define "doorman.static.own" -}}
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
{{- with $redis.tls.serverName }}
REDIS_TLS_SERVER_NAME: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
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

{{/* Names of the entries: of a Secret of the user's, or of those that secrets.yaml makes. */}}
{{- define "doorman.secretKeys" -}}
{{- if or .Values.auth.existingSecret .Values.auth.existingGatewaySecret -}}
{{- toYaml .Values.auth.existingSecretKeys -}}
{{- else -}}
jwtKeys: jwt-keys
jwtSecretKey: {{ .Values.auth.jwtSecretKey | empty | ternary "" "jwt-secret-key" | quote }}
policySigningKey: policy-signing-key
policyVerifyKey: policy-verify-key
tokenEncryptionKey: token-encryption-key
vaultKey: vault-key
memEncryptionKey: mem-encryption-key
adminPassword: admin-password
{{- end -}}
{{- end -}}

{{/* Which stores are reached by TLS with files of a Secret: redis, mongodb -> their tls values. dict root, role. */}}
{{- define "doorman.storeTls" -}}
{{- $out := dict -}}
{{- $v := .root.Values -}}
{{- if not (include "doorman.memory" .root) -}}
{{- if and (not $v.redis.enabled) $v.externalRedis.tls.existingSecret }}{{ $_ := set $out "redis" $v.externalRedis.tls }}{{ end -}}
{{- if and (eq .role "admin") (not $v.mongodb.enabled) $v.externalMongodb.tls.existingSecret }}{{ $_ := set $out "mongodb" $v.externalMongodb.tls }}{{ end -}}
{{- end -}}
{{- toYaml $out -}}
{{- end -}}

{{/* Secrets as files below /etc/doorman/secrets: the variables that name them. dict root, role. */}}
{{- define "doorman.secretEnv" -}}
{{- $root := .root -}}
{{- $files := dict -}}
{{- if (fromYaml (include "doorman.secretKeys" $root)).jwtSecretKey -}}
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
{{- $tls := fromYaml (include "doorman.storeTls" .) }}
{{- range $store, $secret := $tls }}
{{- $env := eq $store "redis" | ternary "REDIS_TLS" "MONGO_TLS" }}
- name: {{ $env }}_CA_FILE
  value: /etc/doorman/{{ $store }}-tls/ca.crt
{{- if $secret.clientCertificate }}
{{- if eq $store "redis" }}
- name: REDIS_TLS_CERT_FILE
  value: /etc/doorman/redis-tls/tls.crt
- name: REDIS_TLS_KEY_FILE
  value: /etc/doorman/redis-tls/tls.key
{{- else }}
- name: MONGO_TLS_CERT_KEY_FILE
  value: /etc/doorman/mongodb-tls/tls.pem
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where those files come from: sources of a projected volume. dict root, role. */}}
{{- define "doorman.secretSources" -}}
{{- $root := .root -}}
{{- $keys := fromYaml (include "doorman.secretKeys" $root) -}}
{{- $memory := include "doorman.memory" $root -}}
- secret:
    name: {{ if eq .role "gateway" }}{{ include "doorman.gatewaySecret" $root }}{{ else }}{{ include "doorman.adminSecret" $root }}{{ end }}
    items:
      {{- if $keys.jwtSecretKey }}
      - {key: {{ $keys.jwtSecretKey }}, path: jwt-secret-key}
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
