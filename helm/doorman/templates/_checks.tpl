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
{{- if and $v.externalMongodb.existingSecret (not $v.externalMongodb.username) }}{{ fail "externalMongodb.existingSecret holds the password of a user: set externalMongodb.username" }}{{ end -}}
{{- end -}}
{{- range $store := list "externalRedis" "externalMongodb" -}}
{{- $tls := (index $v $store).tls -}}
{{- if and $tls.existingSecret (not $tls.enabled) }}{{ fail (printf "%s.tls.existingSecret is of no use without %s.tls.enabled: the store would be spoken to in the clear" $store $store) }}{{ end -}}
{{- if and $tls.clientCertificate (not $tls.existingSecret) }}{{ fail (printf "%s.tls.clientCertificate needs %s.tls.existingSecret with it" $store $store) }}{{ end -}}
{{- end -}}
{{- if and (eq $v.externalRedis.mode "sentinel") (not $v.externalRedis.sentinelHosts) }}{{ fail "externalRedis.mode sentinel needs externalRedis.sentinelHosts" }}{{ end -}}
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
{{- if and (not $v.admin.enabled) (include "doorman.needsGatewaySecret" .) (not $v.auth.existingGatewaySecret) }}{{ fail "without admin the gateways' secrets are somebody else's: set auth.existingGatewaySecret" }}{{ end -}}
{{- range $key, $least := dict "adminPassword" 12 "jwtSecretKey" 32 "memEncryptionKey" 32 -}}
{{- $value := index $v.auth $key -}}
{{- if and $value (lt (len $value) $least) (or (eq $v.env "production") (eq $key "adminPassword")) }}{{ fail (printf "auth.%s is too short: %d characters or more" $key $least) }}{{ end -}}
{{- end -}}
{{- range splitList "," $v.auth.tokenEncryptionKey -}}
{{- if and . (lt (len .) 32) (eq $v.env "production") }}{{ fail "auth.tokenEncryptionKey is too short: 32 characters or more, also of each in a list" }}{{ end -}}
{{- end -}}
{{- if and $v.auth.jwtSecretKey $v.auth.jwtKeys }}{{ fail "auth.jwtSecretKey and auth.jwtKeys exclude each other: choose one" }}{{ end -}}
{{- if ne (empty $v.auth.jwtKeys) (empty $v.auth.jwtPublicKeys) }}{{ fail "auth.jwtKeys and auth.jwtPublicKeys go together: the same kids, private and public halves" }}{{ end -}}
{{- if and (not $memory) (ne (empty $v.auth.policySigningKey) (empty $v.auth.policyVerifyKey)) }}{{ fail "auth.policySigningKey and auth.policyVerifyKey go together: two halves of one pair" }}{{ end -}}
{{- if or $v.tls.enabled $v.tls.existingSecret $v.tls.certManager.enabled }}{{ fail "tls is for a later release: this one ends no TLS itself; let the ingress do it and leave tls out (config.https.enabled says so to the programs)" }}{{ end -}}
{{- if or (hasKey $v.static "KUBE_EVENTS_ENABLED") (hasKey $v.config "kube") (hasKey $v.config "kube_events") (hasKey $v.config "kube_events_enabled") }}{{ fail "KUBE_EVENTS_ENABLED alone gives no right to create Events: set kubeEvents.enabled" }}{{ end -}}
{{- if and $v.kubeEvents.enabled (not $v.serviceAccount.create) (not $v.serviceAccount.name) }}{{ fail "kubeEvents.enabled needs a ServiceAccount of its own: set serviceAccount.create or serviceAccount.name" }}{{ end -}}
{{- if and $v.kubeEvents.enabled $v.networkPolicy.enabled (not $v.networkPolicy.apiServerPorts) }}{{ fail "kubeEvents.enabled must reach the API server: networkPolicy.apiServerPorts is empty" }}{{ end -}}
{{- $https := default (dict) $v.config.https -}}
{{- if and (eq $v.env "production") (not $v.existingConfigMap) (not (or $https.enabled $https.only $v.config.https_enabled $v.config.https_only)) }}{{ fail "production needs TLS in front of it: leave config.https.enabled true, or set env to development" }}{{ end -}}
{{- $keys := .Files.Get "files/settings.json" | fromJson -}}
{{- range $path := include "doorman.paths" (dict "map" $v.config) | splitList "\n" -}}
{{- $name := $path | replace "." "_" | upper -}}
{{- if has $name $keys.secret }}{{ fail (printf "config.%s (%s) is a secret and config becomes a ConfigMap: secrets belong to auth, or to env with secretKeyRef" $path $name) }}{{ end -}}
{{- if has $name $keys.restart }}{{ fail (printf "config.%s (%s) is read at start only: it is set by other values of the chart, or by static" $path $name) }}{{ end -}}
{{- if hasPrefix "SSL_" $name }}{{ fail (printf "config.%s (%s) is for a later release: this one ends no TLS itself" $path $name) }}{{ end -}}
{{- end -}}
{{- range $name, $value := $v.static -}}
{{- if has $name $keys.secret }}{{ fail (printf "static becomes a ConfigMap: %s is a secret and belongs to auth, or to env with secretKeyRef" $name) }}{{ end -}}
{{- if hasPrefix "SSL_" $name }}{{ fail (printf "static.%s is for a later release: this one ends no TLS itself" $name) }}{{ end -}}
{{- $other := get (dict "PORT" "the chart's own (the Service's port is free)" "THREADS" "admin.threads, gateway.threads, sidecar.threads" "ADMIN_UPSTREAM_URL" "gateway.forwardPlatform" "DOORMAN_CONFIG_FILE" "config or existingConfigMap" "METRICS_PORT" "metrics.port" "MEM_OR_EXTERNAL" "mode" "ENV" "env" "PRODUCTION_STRICT" "productionStrict") $name -}}
{{- if $other }}{{ fail (printf "static.%s would say what another value says: %s" $name $other) }}{{ end -}}
{{- if kindIs "map" $value }}{{ fail (printf "static.%s: one text, number, bool or list" $name) }}{{ end -}}
{{- end -}}
{{- range $part := list "admin" "gateway" -}}
{{- $values := index $v $part -}}
{{- if and $values.ingress.enabled (not $values.ingress.hosts) }}{{ fail (printf "%s.ingress.enabled needs %s.ingress.hosts, for instance [{host: admin.example.com}]" $part $part) }}{{ end -}}
{{- range $values.ingress.hosts -}}
{{- range .paths -}}
{{- if regexMatch "^/(metrics|internal)(/|$)" .path }}{{ fail (printf "%s.ingress: %s is not for the world" $part .path) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- with $values.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}{{ fail (printf "%s.autoscaling: minReplicas is above maxReplicas" $part) }}{{ end -}}
{{- if and .enabled (not .targetCPUUtilizationPercentage) (not .targetMemoryUtilizationPercentage) (not .metrics) }}{{ fail (printf "%s.autoscaling needs a metric to scale by" $part) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if and $v.gateway.autoscaling.enabled (eq $v.gateway.kind "DaemonSet") }}{{ fail "a DaemonSet has a pod on every node: gateway.autoscaling.enabled must be false" }}{{ end -}}
{{- if has (int $v.metrics.port) (list 3001 5001 (int $v.sidecar.port)) }}{{ fail "metrics.port must be a port of its own: 3001, 5001 and sidecar.port are taken" }}{{ end -}}
{{- $pdb := list $v.admin.podDisruptionBudget $v.gateway.podDisruptionBudget -}}
{{- range $pdb -}}
{{- if and .enabled (not (kindIs "invalid" .minAvailable)) (not (kindIs "invalid" .maxUnavailable)) }}{{ fail "a podDisruptionBudget takes minAvailable or maxUnavailable, not both" }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* dict map, [prefix]: the path of every key in it, one a line. schema, $comment and x-... are no settings. */}}
{{- define "doorman.paths" -}}
{{- $prefix := .prefix -}}
{{- range $key, $value := .map -}}
{{- if not (and (empty $prefix) (or (has $key (list "schema" "$comment")) (hasPrefix "x-" $key))) -}}
{{- $path := empty $prefix | ternary $key (printf "%s.%s" $prefix $key) -}}
{{- printf "%s\n" $path -}}
{{- if kindIs "map" $value }}{{ include "doorman.paths" (dict "map" $value "prefix" $path) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
