{{/* Combinations that cannot work, each told by a sentence. */}}
{{- define "doorman.checks" -}}
{{- $v := .Values -}}
{{- $memory := eq $v.mode "memory" -}}
{{- if $memory -}}
{{- if gt (int $v.admin.replicaCount) 1 }}{{ fail "mode memory keeps everything in one process: set admin.replicaCount to 1" }}{{ end -}}
{{- if $v.admin.autoscaling.enabled }}{{ fail "mode memory keeps everything in one process: admin.autoscaling.enabled must be false" }}{{ end -}}
{{- if or $v.redis.enabled $v.mongodb.enabled $v.externalRedis.host $v.externalMongodb.hosts }}{{ fail "mode memory uses no store: leave redis, mongodb, externalRedis and externalMongodb out" }}{{ end -}}
{{- else -}}
{{- if not (or $v.redis.enabled $v.externalRedis.host $v.externalRedis.sentinelHosts) }}{{ fail "Redis is needed: set externalRedis.host (or sentinelHosts), or redis.enabled for trying out, or mode memory" }}{{ end -}}
{{- if and $v.redis.enabled (or $v.externalRedis.host $v.externalRedis.sentinelHosts) }}{{ fail "redis.enabled and externalRedis exclude each other: choose one" }}{{ end -}}
{{- if $v.admin.enabled -}}
{{- if not (or $v.mongodb.enabled $v.externalMongodb.hosts) }}{{ fail "MongoDB is needed by the admin: set externalMongodb.hosts, or mongodb.enabled for trying out, or mode memory" }}{{ end -}}
{{- if and $v.mongodb.enabled $v.externalMongodb.hosts }}{{ fail "mongodb.enabled and externalMongodb.hosts exclude each other: choose one" }}{{ end -}}
{{- if and (gt (len $v.externalMongodb.hosts) 1) (not $v.externalMongodb.replicaSetName) }}{{ fail "several externalMongodb.hosts need externalMongodb.replicaSetName" }}{{ end -}}
{{- if and $v.externalMongodb.username (not $v.externalMongodb.existingSecret) }}{{ fail "externalMongodb.username needs externalMongodb.existingSecret with its password" }}{{ end -}}
{{- end -}}
{{- if and $v.externalRedis.sentinelHosts (gt (int $v.externalRedis.db) 0) (eq $v.externalRedis.mode "cluster") }}{{ fail "a Redis Cluster has no sentinels and only database 0" }}{{ end -}}
{{- if and (eq $v.env "production") (eq (include "doorman.strict" .) "true") -}}
{{- if and $v.externalRedis.host (not $v.externalRedis.existingSecret) }}{{ fail "production needs a Redis password: set externalRedis.existingSecret, or productionStrict=false" }}{{ end -}}
{{- if and $v.admin.enabled (not $v.externalMongodb.replicaSetName) }}{{ fail "production needs a replica set: set externalMongodb.replicaSetName, or productionStrict=false" }}{{ end -}}
{{- if and $v.admin.enabled (not $v.externalMongodb.username) }}{{ fail "production needs a MongoDB user: set externalMongodb.username and existingSecret, or productionStrict=false" }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if and $v.admin.enabled (eq $v.env "production") (eq (include "doorman.strict" .) "true") (not $v.existingConfigMap) (not (contains "domain:" (include "doorman.config" .))) }}{{ fail "production needs the cookies' domain: set config.cookie.domain or an ingress host, or productionStrict=false" }}{{ end -}}
{{- range $key, $value := dict "jwtSecretKey" $v.auth.jwtSecretKey "jwtKeys" $v.auth.jwtKeys "policySigningKey" $v.auth.policySigningKey "policyVerifyKey" $v.auth.policyVerifyKey "tokenEncryptionKey" $v.auth.tokenEncryptionKey "vaultKey" $v.auth.vaultKey "memEncryptionKey" $v.auth.memEncryptionKey "adminPassword" $v.auth.adminPassword -}}
{{- if and $v.auth.existingSecret $value }}{{ fail (printf "auth.existingSecret holds every secret: auth.%s must not be set beside it" $key) }}{{ end -}}
{{- end -}}
{{- if and (include "doorman.needsGatewaySecret" .) (ne (empty $v.auth.existingSecret) (empty $v.auth.existingGatewaySecret)) $v.admin.enabled }}{{ fail "auth.existingSecret and auth.existingGatewaySecret go together: the gateways' one holds public halves only" }}{{ end -}}
{{- if and $v.auth.jwtSecretKey $v.auth.jwtKeys }}{{ fail "auth.jwtSecretKey and auth.jwtKeys exclude each other: choose one" }}{{ end -}}
{{- if ne (empty $v.auth.jwtKeys) (empty $v.auth.jwtPublicKeys) }}{{ fail "auth.jwtKeys and auth.jwtPublicKeys go together: the same kids, private and public halves" }}{{ end -}}
{{- if and (not $memory) (ne (empty $v.auth.policySigningKey) (empty $v.auth.policyVerifyKey)) }}{{ fail "auth.policySigningKey and auth.policyVerifyKey go together: two halves of one pair" }}{{ end -}}
{{- $https := default (dict) $v.config.https -}}
{{- if and $v.tls.enabled $https.enabled }}{{ fail "tls.enabled ends TLS here, config.https.enabled says that a proxy does: use config.https.only with tls.enabled" }}{{ end -}}
{{- if and $v.tls.enabled (not $v.tls.existingSecret) (not $v.tls.certManager.enabled) }}{{ fail "tls.enabled needs tls.existingSecret or tls.certManager.enabled" }}{{ end -}}
{{- range $key, $value := $v.config -}}
{{- if has $key (list "redis" "mongo" "mongo_db" "env" "threads" "mem_or_external" "snapshot_file") }}{{ fail (printf "config.%s is read at start only: it is set by other values of the chart, or by static" $key) }}{{ end -}}
{{- end -}}
{{- if or (hasKey $v.static "KUBE_EVENTS_ENABLED") (hasKey $v.config "kube") (hasKey $v.config "kube_events") (hasKey $v.config "kube_events_enabled") }}{{ fail "KUBE_EVENTS_ENABLED alone gives no right to create Events: set kubeEvents.enabled" }}{{ end -}}
{{- if and $v.kubeEvents.enabled (not $v.serviceAccount.create) (not $v.serviceAccount.name) }}{{ fail "kubeEvents.enabled needs a ServiceAccount of its own: set serviceAccount.create or serviceAccount.name" }}{{ end -}}
{{- if and $v.kubeEvents.enabled $v.networkPolicy.enabled (not $v.networkPolicy.apiServerPorts) }}{{ fail "kubeEvents.enabled must reach the API server: networkPolicy.apiServerPorts is empty" }}{{ end -}}
{{- if regexMatch "(?m)(password|secret_key|encryption_key|vault_key|signing_key|bearer_token|auth_token)\\s*:" (toYaml $v.config) }}{{ fail "config becomes a ConfigMap: secrets belong to auth" }}{{ end -}}
{{- range $name, $value := $v.static -}}
{{- if regexMatch "(PASSWORD|SECRET_KEY|ENCRYPTION_KEY|VAULT_KEY|SIGNING_KEY|JWT_KEYS|_TOKEN)$" $name }}{{ fail (printf "static becomes a ConfigMap: %s is a secret and belongs to auth" $name) }}{{ end -}}
{{- end -}}
{{- $pdb := list $v.admin.podDisruptionBudget $v.gateway.podDisruptionBudget -}}
{{- range $pdb -}}
{{- if and .enabled (not (kindIs "invalid" .minAvailable)) (not (kindIs "invalid" .maxUnavailable)) }}{{ fail "a podDisruptionBudget takes minAvailable or maxUnavailable, not both" }}{{ end -}}
{{- end -}}
{{- end -}}
