"""The chart as a text: what it renders, for which values, and what it refuses."""

import re

import pytest
import yaml
from harness.cluster import CHART, ROOT, Space, helm, run

SETS = sorted((ROOT / "helm" / "ci").glob("*.yaml"))


def rendered(*arguments, stdin=None):
    made = helm("template", "d", CHART, *arguments, stdin=stdin).stdout
    return [o for o in yaml.safe_load_all(made) if o]


def of_kind(objects, kind):
    return [o for o in objects if o["kind"] == kind]


@pytest.mark.smoke
@pytest.mark.parametrize("values", SETS, ids=lambda p: p.stem)
def test_lint_is_content(values):
    helm("lint", "--strict", CHART, "-f", values)


@pytest.mark.smoke
@pytest.mark.parametrize("values", SETS, ids=lambda p: p.stem)
def test_the_api_server_takes_every_value_set(values):
    with Space(f"doorman-dry-{values.stem}") as space:
        made = helm("template", "d", CHART, "-f", values, "-n", space.name, "--validate").stdout
        space.k("create", "--dry-run=server", "-f", "-", stdin=made)


def test_manifests_are_current():
    run(ROOT / "scripts" / "manifests", "check")


@pytest.mark.parametrize("manifest", sorted((ROOT / "manifests").glob("*.yaml")),
                         ids=lambda p: p.stem)
def test_the_api_server_takes_every_manifest(manifest):
    with Space("doorman") as space:  # the one that the manifests name
        space.k("create", "--dry-run=server", "-f", manifest)


REDIS = {"redis": {"enabled": True}, "mongodb": {"enabled": True}}


@pytest.mark.parametrize("values, sentence", [
    ({}, "Redis is needed"),
    ({"redis": {"enabled": True}}, "MongoDB is needed by the admin"),
    ({"mode": "memory"}, "mode memory keeps everything in one process: set admin.replicaCount"),
    ({"mode": "memory", "admin": {"replicaCount": 1}, **REDIS}, "mode memory uses no store"),
    ({**REDIS, "externalRedis": {"host": "r"}}, "redis.enabled and externalRedis exclude"),
    ({**REDIS, "externalMongodb": {"hosts": ["m:1"]}}, "mongodb.enabled and externalMongodb"),
    ({**REDIS, "auth": {"existingSecret": "s"}}, "go together: the gateways' one holds public"),
    ({**REDIS, "auth": {"existingSecret": "s", "existingGatewaySecret": "g", "vaultKey": "v"}},
     "auth.vaultKey must not be set beside it"),
    ({**REDIS, "auth": {"jwtKeys": "[]"}}, "auth.jwtKeys and auth.jwtPublicKeys go together"),
    ({**REDIS, "config": {"vault_key": "x"}}, "secrets belong to auth"),
    ({**REDIS, "static": {"REDIS_PASSWORD": "x"}}, "REDIS_PASSWORD is a secret"),
    ({**REDIS, "config": {"jwt": {"private": {"key": "x"}}}}, "JWT_PRIVATE_KEY) is a secret"),
    ({**REDIS, "config": {"redis": {"host": "x"}}}, "host (REDIS_HOST) is read at start only"),
    ({**REDIS, "config": {"max": {"connections": 9}}}, "MAX_CONNECTIONS) is read at start only"),
    ({**REDIS, "config": {"ssl": {"certfile": "x"}}}, "this one ends no TLS itself"),
    ({**REDIS, "config": {"https": {"enabled": False}}}, "production needs TLS in front of it"),
    ({**REDIS, "static": {"SSL_CERTFILE": "x"}}, "this one ends no TLS itself"),
    ({**REDIS, "static": {"THREADS": 8}}, "admin.threads, gateway.threads"),
    ({**REDIS, "tls": {"enabled": True}}, "tls is for a later release"),
    ({**REDIS, "tls": {"existingSecret": "s"}}, "tls is for a later release"),
    ({**REDIS, "tls": {"certManager": {"enabled": True}}}, "tls is for a later release"),
    ({**REDIS, "externalRedis": {"tls": {"existingSecret": "s"}}}, "spoken to in the clear"),
    ({**REDIS, "externalMongodb": {"tls": {"enabled": True, "clientCertificate": True}}},
     "externalMongodb.tls.clientCertificate needs"),
    ({"redis": {"enabled": True}, "externalMongodb": {"hosts": ["m"], "existingSecret": "s"}},
     "set externalMongodb.username"),
    ({**REDIS, "admin": {"enabled": False}}, "set auth.existingGatewaySecret"),
    ({**REDIS, "admin": {"ingress": {"enabled": True}}}, "needs admin.ingress.hosts"),
    ({**REDIS, "admin": {"ingress": {"enabled": True, "hosts": [
        {"host": "h", "paths": [{"path": "/metrics"}]}]}}}, "/metrics is not for the world"),
    ({**REDIS, "gateway": {"autoscaling": {"enabled": True, "minReplicas": 20}}},
     "minReplicas is above maxReplicas"),
    ({**REDIS, "gateway": {"kind": "DaemonSet", "autoscaling": {"enabled": True}}},
     "a DaemonSet has a pod on every node"),
    ({**REDIS, "metrics": {"port": 5001}}, "metrics.port must be a port of its own"),
    ({**REDIS, "auth": {"adminPassword": "short"}}, "auth.adminPassword is too short"),
    ({**REDIS, "auth": {"tokenEncryptionKey": "a" * 32 + ",short"}}, "tokenEncryptionKey is too"),
    ({"externalRedis": {"host": "r"}, "externalMongodb": {"hosts": ["m:1"]}},
     "production needs a Redis password"),
    ({**REDIS, "static": {"KUBE_EVENTS_ENABLED": "true"}}, "set kubeEvents.enabled"),
    ({**REDIS, "config": {"kube": {"events_enabled": True}}}, "set kubeEvents.enabled"),
    ({**REDIS, "kubeEvents": {"enabled": True}, "serviceAccount": {"create": False}},
     "kubeEvents.enabled needs a ServiceAccount of its own"),
    ({**REDIS, "kubeEvents": {"enabled": True}, "networkPolicy": {"apiServerPorts": []}},
     "networkPolicy.apiServerPorts is empty"),
    ({**REDIS, "networkPolicy": {"apiServerPorts": ["https"]}}, "apiServerPorts"),
    ({**REDIS, "gateway": {"podDisruptionBudget": {"minAvailable": 1}}},
     "takes minAvailable or maxUnavailable, not both"),
    ({**REDIS, "admin": {"replicas": 2}}, "replicas"),
    ({**REDIS, "mode": "cluster"}, "mode"),
    ({**REDIS, "gateway": {"threads": 0}}, "threads"),
    ({**REDIS, "injector": {"failurePolicy": "Fail"}}, "injector"),
    ({**REDIS, "sidecar": {"injection": "webhook"}},
     'sidecar.injection must be one of the following: "none", "template", "cli"'),
])
def test_what_cannot_work_is_refused_with_a_sentence(values, sentence):
    made = helm("template", "d", CHART, "-f", "-", stdin=yaml.safe_dump(values), good=False)
    assert made.returncode != 0, "it was rendered"
    assert sentence in made.stderr, made.stderr


def test_hot_keys_are_in_no_checksum_and_restart_only_ones_are():
    def checksums(values):
        made = rendered("-f", "-", stdin=yaml.safe_dump({**REDIS, **values}))
        return {o["metadata"]["name"]: o["spec"]["template"]["metadata"]["annotations"]
                for o in of_kind(made, "Deployment") if "annotations" in
                o["spec"]["template"]["metadata"]}
    plain = checksums({})
    assert plain and checksums({"config": {"log": {"level": "DEBUG"}}}) == plain
    assert checksums({"static": {"MAX_PAGE_SIZE": "50"}}) != plain


def test_a_restart_only_secret_that_the_values_hold_rolls_its_readers():
    def checksums(signing, verify):
        made = rendered("-f", "-", stdin=yaml.safe_dump({**REDIS, "auth": {
            "policySigningKey": signing, "policyVerifyKey": verify}}))
        return [pod_of(made, f"d-doorman-{c}")["metadata"]["annotations"]["checksum/static"]
                for c in ("admin", "gateway")]
    before, after = checksums("a", "b"), checksums("a", "b,c")
    assert before[0] == after[0] and before[1] != after[1]


def pod_of(objects, name):
    return [o["spec"]["template"] for o in objects if o["metadata"]["name"] == name
            and "template" in o.get("spec", {})][0]


def container_of(objects, name):
    return pod_of(objects, name)["spec"]["containers"][0]


def variables(container):
    return {e["name"]: e.get("value") for e in container["env"]}


def test_numbers_lists_and_overrides_of_static_arrive_as_they_were_written():
    made = rendered("-f", "-", stdin=yaml.safe_dump({**REDIS, "static": {
        "MAX_CONNECTIONS": 1000000, "CONFIG_WATCH": False, "REDIS_DB": 3,
        "REDIS_SENTINEL_HOSTS": ["a:1", "b:2"]}, "config": {"max": {"body_size_bytes": 10485760}}}))
    static = [o["data"] for o in of_kind(made, "ConfigMap")
              if o["metadata"]["name"] == "d-doorman-static"][0]
    assert static["MAX_CONNECTIONS"] == "1000000" and static["CONFIG_WATCH"] == "false"
    assert static["REDIS_DB"] == "3" and static["REDIS_SENTINEL_HOSTS"] == "a:1,b:2"
    config = [o["data"]["doorman.yaml"] for o in of_kind(made, "ConfigMap")
              if o["metadata"]["name"] == "d-doorman-config"][0]
    assert "body_size_bytes: 10485760\n" in config


STORES = {"productionStrict": False, "externalRedis": {"host": "r", "existingSecret": "redis"},
          "externalMongodb": {"hosts": ["m:27018"], "username": "u", "existingSecret": "mongo"}}


def test_client_certificates_of_the_stores_reach_their_programs():
    tls = {"enabled": True, "existingSecret": "certs", "clientCertificate": True}
    values = {**STORES, "externalRedis": {"host": "r", "tls": {**tls, "serverName": "redis.x"}},
              "externalMongodb": {"hosts": ["m"], "tls": tls}}
    made = rendered("-f", "-", stdin=yaml.safe_dump(values))
    admin, gateway = (container_of(made, f"d-doorman-{c}") for c in ("admin", "gateway"))
    for container in (admin, gateway):
        seen = variables(container)
        assert seen["REDIS_TLS_CA_FILE"] == "/etc/doorman/redis-tls/ca.crt"
        assert seen["REDIS_TLS_CERT_FILE"] == "/etc/doorman/redis-tls/tls.crt"
        assert seen["REDIS_TLS_KEY_FILE"] == "/etc/doorman/redis-tls/tls.key"
        assert "redis-tls" in [m["name"] for m in container["volumeMounts"]]
    for container in (admin, container_of(made, "d-doorman-migrate")):
        assert variables(container)["MONGO_TLS_CERT_KEY_FILE"] == "/etc/doorman/mongodb-tls/tls.pem"
        assert "mongodb-tls" in [m["name"] for m in container["volumeMounts"]]
    assert "mongo" not in yaml.safe_dump(pod_of(made, "d-doorman-gateway")).lower()
    static = [o["data"] for o in of_kind(made, "ConfigMap")
              if o["metadata"]["name"] == "d-doorman-static"][0]
    assert static["REDIS_TLS"] == "true" and static["REDIS_TLS_SERVER_NAME"] == "redis.x"


def test_network_policies_open_the_ports_that_the_stores_have():
    def egress(**redis):
        values = {**STORES, "externalRedis": {"existingSecret": "redis", **redis}}
        made = of_kind(rendered("-f", "-", stdin=yaml.safe_dump(values)), "NetworkPolicy")
        rules = [p["spec"]["egress"] for p in made if p["metadata"]["name"].endswith("-admin")][0]
        return {port["port"] for rule in rules for port in rule["ports"]}
    assert egress(host="r") == {53, 6379, 27018}
    assert egress(host="r-0:7000,r-1:7001,r-2", port=7002) == {53, 7000, 7001, 7002, 27018}
    assert egress(sentinelHosts=["s:5000", "s"]) == {53, 5000, 26379, 6379, 27018}


def test_an_existing_secret_may_name_its_entries_and_hold_one_shared_secret():
    values = {**REDIS, "auth": {"existingSecret": "s", "existingGatewaySecret": "g",
                                "existingSecretKeys": {"jwtSecretKey": "JWT", "vaultKey": "V"}}}
    made = rendered("-f", "-", stdin=yaml.safe_dump(values))
    for component, secret in (("admin", "s"), ("gateway", "g")):
        pod = pod_of(made, f"d-doorman-{component}")["spec"]
        sources = [v["projected"]["sources"] for v in pod["volumes"] if v["name"] == "secrets"][0]
        files = {i["path"]: i["key"] for i in sources[0]["secret"]["items"]}
        assert sources[0]["secret"]["name"] == secret and files["jwt-secret-key"] == "JWT"
        assert "jwt-keys" not in files and files.get("vault-key", "V") == "V"
        seen = variables(pod["containers"][0])
        assert seen["JWT_SECRET_KEY_FILE"] == "/etc/doorman/secrets/jwt-secret-key"
        assert "JWT_KEYS_FILE" not in seen


def test_labels_of_the_user_neither_double_nor_replace_the_charts():
    values = {**REDIS, "commonLabels": {"team": "a", "app.kubernetes.io/name": "x"},
              "admin": {"podLabels": {"team": "b", "app.kubernetes.io/component": "x"}}}
    text = helm("template", "d", CHART, "-f", "-", stdin=yaml.safe_dump(values)).stdout
    pod = pod_of([o for o in yaml.safe_load_all(text) if o], "d-doorman-admin")
    assert pod["metadata"]["labels"]["team"] == "b"
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "admin"
    assert pod["metadata"]["labels"]["app.kubernetes.io/name"] == "doorman"
    for document in text.split("\n---\n"):
        yaml.load(document, Loader=UniqueKeys)


class UniqueKeys(yaml.SafeLoader):
    """The API server refuses what PyYAML takes: a key twice."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), (keys, node.start_mark)
        return super().construct_mapping(node, deep)


@pytest.mark.parametrize("values", SETS, ids=lambda p: p.stem)
def test_no_key_is_rendered_twice(values):
    for document in helm("template", "d", CHART, "-f", values).stdout.split("\n---\n"):
        yaml.load(document, Loader=UniqueKeys)


def test_a_probe_of_the_users_own_kind_is_asked_alone():
    made = rendered("-f", "-", stdin=yaml.safe_dump({**REDIS, "gateway": {
        "livenessProbe": {"exec": {"command": ["/usr/bin/doorman-gateway", "healthcheck"]}}}}))
    container = container_of(made, "d-doorman-gateway")
    assert "httpGet" not in container["livenessProbe"] and container["livenessProbe"]["exec"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/platform/monitor/readiness"


def test_probes_timing_and_resources_are_those_of_the_contract():
    """operations.md §11.3."""
    made = rendered("-f", ROOT / "helm" / "ci" / "tryout.yaml")
    for component, memory in (("admin", ("128Mi", "512Mi")), ("gateway", ("32Mi", "128Mi"))):
        pod = pod_of(made, f"d-doorman-{component}")["spec"]
        container = pod["containers"][0]

        def probe(path, **numbers):
            return {"httpGet": {"path": f"/platform/monitor/{path}", "port": "metrics"}, **numbers}
        assert container["startupProbe"] == probe("liveness", periodSeconds=1, failureThreshold=60)
        assert container["livenessProbe"] == probe("liveness", initialDelaySeconds=10,
                                                   periodSeconds=30, timeoutSeconds=2,
                                                   failureThreshold=3)
        assert container["readinessProbe"] == probe("readiness", initialDelaySeconds=5,
                                                    periodSeconds=10, timeoutSeconds=3,
                                                    failureThreshold=3)
        assert pod["terminationGracePeriodSeconds"] == 45
        resources = container["resources"]
        assert (resources["requests"]["memory"], resources["limits"]["memory"]) == memory
        assert resources["requests"]["cpu"] == {"admin": "100m", "gateway": "50m"}[component]
        assert resources["limits"]["cpu"] == "1"


def all_pods(objects):
    for o in objects:
        if o["kind"] == "Pod":
            yield o["spec"]
        elif "template" in o.get("spec", {}):
            yield o["spec"]["template"]["spec"]


@pytest.mark.parametrize("values", SETS, ids=lambda p: p.stem)
def test_every_pod_is_restricted_also_those_of_jobs_and_tests(values):
    """operations.md §11.2."""
    pods = list(all_pods(rendered("-f", values)))
    assert len(pods) > 1
    for pod in pods:
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True and context["seccompProfile"]["type"]
        assert {context[k] for k in ("runAsUser", "runAsGroup", "fsGroup")} == {65532}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"]
            assert own["capabilities"]["drop"] == ["ALL"]


def test_a_budget_is_for_several_pods_of_a_deployment():
    def budgets(**values):
        made = rendered("-f", "-", stdin=yaml.safe_dump({**REDIS, **values}))
        return {o["metadata"]["name"] for o in of_kind(made, "PodDisruptionBudget")}
    assert budgets() == {"d-doorman-admin", "d-doorman-gateway"}
    assert budgets(admin={"replicaCount": 1}) == {"d-doorman-gateway"}
    assert budgets(gateway={"kind": "DaemonSet"}) == {"d-doorman-admin"}


def test_a_migration_that_is_no_hook_has_a_name_for_each_revision():
    """A Job cannot be changed: a second helm upgrade would fail."""
    made = rendered("-f", "-", stdin=yaml.safe_dump({**STORES, "migrations": {"hook": False}}))
    job = of_kind(made, "Job")[0]["metadata"]
    assert job["name"] == "d-doorman-migrate-1" and "annotations" not in job
    admin = {"env": [{"name": "X", "value": "text"}], "tolerations": [{"operator": "Exists"}]}
    hook = of_kind(rendered("-f", "-", stdin=yaml.safe_dump({**STORES, "admin": admin})), "Job")[0]
    assert hook["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert hook["metadata"]["annotations"]["helm.sh/hook-weight"] == "-5"
    pod = hook["spec"]["template"]["spec"]
    assert variables(pod["containers"][0])["X"] == "text" and pod["tolerations"]


def test_a_release_without_gateways_tests_what_it_has():
    def gateway_of(values):
        pod = [o for o in rendered("-f", ROOT / "helm" / "ci" / values) if o["kind"] == "Pod"][0]
        return variables(pod["spec"]["containers"][0])["SMOKE_GATEWAY_URL"]
    assert gateway_of("sidecars.yaml") == "none"
    assert gateway_of("tryout.yaml") == "http://d-doorman-gateway.default:5001"
    assert gateway_of("memory.yaml") == "http://d-doorman-admin.default:3001"


NOTES = """
kind: Notes
metadata: {name: notes}
text: |
  {{ include (print $.Template.BasePath "/NOTES.txt") . | nindent 2 }}
"""


@pytest.mark.parametrize("values", SETS, ids=lambda p: p.stem)
def test_the_notes_name_what_there_is(values):
    made = rendered("-f", values, "-f", "-", stdin=yaml.safe_dump({"extraObjects": [NOTES]}))
    notes = of_kind(made, "Notes")[0]["text"]
    names = {(o["kind"], o["metadata"]["name"]) for o in made}
    service = re.search(r"port-forward service/(\S+) (\d+)", notes)
    assert ("Service", service[1]) in names
    ports = [p["port"] for o in of_kind(made, "Service") if o["metadata"]["name"] == service[1]
             for p in o["spec"]["ports"]]
    assert ports == [int(service[2])] and f"http://127.0.0.1:{ports[0]}/platform" in notes
    secret = re.search(r"get secret (\S+)", notes)[1]
    assert ("Secret", secret) in names or secret in values.read_text()
    assert "helm -n default test d" in notes and [o for o in made if o["kind"] == "Pod"]
    assert ("guards of production, strict" in notes) is ("open  stores for" not in notes
                                                         and "daemonset" not in values.name)


def test_the_notes_of_gateways_alone_speak_of_no_admin():
    values = {"admin": {"enabled": False}, "auth": {"existingGatewaySecret": "g"},
              "externalRedis": {"host": "r", "existingSecret": "redis"}, "extraObjects": [NOTES]}
    made = rendered("-f", "-", stdin=yaml.safe_dump(values))
    notes = of_kind(made, "Notes")[0]["text"]
    assert "port-forward" not in notes and "helm -n" not in notes
    assert {o["kind"] for o in made} & {"Secret", "Job", "Pod"} == set()


def test_names_namespace_digest_and_extra_objects_go_everywhere():
    digest = "sha256:" + "a" * 64
    values = {**REDIS, "namespaceOverride": "other", "fullnameOverride": "gate",
              "global": {"imageRegistry": "r.example.com", "imagePullSecrets": [{"name": "p"}]},
              "commonLabels": {"team": "a"}, "commonAnnotations": {"note": "b"},
              "gateway": {"image": {"digest": digest}},
              "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap",
                                "metadata": {"name": "{{ .Release.Name }}-extra"}}]}
    made = rendered("-f", "-", stdin=yaml.safe_dump(values))
    extra = [o for o in made if o["metadata"]["name"] == "d-extra"]
    assert len(extra) == 1
    for o in made:
        if o is not extra[0]:
            assert o["metadata"]["namespace"] == "other", o["metadata"]
            assert o["metadata"]["labels"]["team"] == "a", o["metadata"]
            assert o["metadata"]["annotations"]["note"] == "b", o["metadata"]
            assert o["metadata"]["name"].startswith("gate")
    assert all(p["imagePullSecrets"] == [{"name": "p"}] for p in all_pods(made))
    image = container_of(made, "gate-gateway")["image"]
    assert image == f"r.example.com/doorman-gateway@{digest}"
    assert container_of(made, "gate-redis")["image"] == "r.example.com/redis:7.2"


def test_scaling_is_that_of_the_contract():
    made = rendered("-f", ROOT / "helm" / "ci" / "production.yaml")
    scaler = [o["spec"] for o in of_kind(made, "HorizontalPodAutoscaler")
              if o["metadata"]["name"].endswith("-gateway")][0]
    assert scaler["behavior"] == {"scaleDown": {"stabilizationWindowSeconds": 300}}
    assert scaler["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    spec = [o["spec"] for o in of_kind(made, "Deployment")]
    assert spec and not [s for s in spec if "replicas" in s]
    for s in spec:
        assert s["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "25%"}
        assert s["minReadySeconds"] == 5
    budgets = {o["metadata"]["name"]: o["spec"] for o in of_kind(made, "PodDisruptionBudget")}
    assert budgets["d-doorman-admin"]["minAvailable"] == 1
    assert budgets["d-doorman-gateway"]["maxUnavailable"] == "25%"
    assert not of_kind(rendered("-f", ROOT / "helm" / "ci" / "memory.yaml"),
                       "HorizontalPodAutoscaler")


def test_config_is_mounted_as_a_directory():
    for pod in of_kind(rendered("-f", ROOT / "helm" / "ci" / "tryout.yaml"), "Deployment"):
        for container in pod["spec"]["template"]["spec"]["containers"]:
            assert not [m for m in container["volumeMounts"] if "subPath" in m]


def test_rules_of_the_operator_are_those_of_ops():
    made = rendered("-f", "-", "--api-versions", "monitoring.coreos.com/v1", stdin=yaml.safe_dump(
        {**REDIS, "metrics": {"prometheusRule": {"enabled": True, "extra": True}}}))
    groups = of_kind(made, "PrometheusRule")[0]["spec"]["groups"]
    wanted = []
    for name in ("alerts-prometheus.yml", "alerts-extra-prometheus.yml"):
        wanted += yaml.safe_load((ROOT / "ops" / name).read_text())["groups"]
    assert groups == wanted


def test_monitors_are_left_out_where_the_operator_is_missing():
    values = ("-f", ROOT / "helm" / "ci" / "production.yaml")
    kinds = {o["kind"] for o in rendered(*values)}
    assert not kinds & {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
    kinds = {o["kind"] for o in rendered(*values, "--api-versions", "monitoring.coreos.com/v1")}
    assert kinds >= {"ServiceMonitor", "PodMonitor", "PrometheusRule", "HorizontalPodAutoscaler",
                     "PodDisruptionBudget", "Ingress", "NetworkPolicy"}


def test_a_pod_with_the_sidecar_is_reached_at_its_port_only():
    made = of_kind(rendered("-f", ROOT / "helm" / "ci" / "sidecars.yaml"), "NetworkPolicy")
    policy = [p["spec"] for p in made if p["metadata"]["name"].endswith("-sidecars")][0]
    assert policy["podSelector"]["matchLabels"]["doorman.io/injected"] == "true"
    assert [r["ports"][0]["port"] for r in policy["ingress"]] == [5001, 9464]


def test_the_parts_for_inject_are_there_when_asked_for():
    def names(injection):
        made = rendered("-f", ROOT / "helm" / "ci" / "sidecars.yaml",
                        "--set", f"sidecar.injection={injection}")
        return [o["metadata"]["name"] for o in of_kind(made, "ConfigMap")]
    assert "d-doorman-sidecar" in names("cli") and "d-doorman-sidecar" not in names("template")


def test_an_ingress_never_shows_metrics_or_internals():
    made = of_kind(rendered("-f", ROOT / "helm" / "ci" / "production.yaml"), "Ingress")
    paths = [p["path"] for i in made for r in i["spec"]["rules"] for p in r["http"]["paths"]]
    assert "/platform" in paths and "/api" in paths
    assert not [p for p in paths if p in ("/", "/metrics") or p.startswith("/internal")]


def test_an_old_cluster_gets_an_ordinary_container():
    def kube(version):
        return [o["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]
                for o in of_kind(rendered("-f", ROOT / "helm" / "ci" / "tryout.yaml",
                                          "--kube-version", version), "Deployment")
                if o["metadata"]["name"].endswith("-gateway")][0]
    for version in ("1.30.0", "1.32.0", "1.34.1"):
        assert kube(version) == {"sleep": {"seconds": 5}}
    for version in ("1.27.0", "1.29.14"):
        assert kube(version)["exec"]["command"] == ["/usr/bin/doorman-gateway", "drain", "--wait",
                                                    "5"]


@pytest.mark.parametrize("version, native", [("1.27.0", False), ("1.28.9", False),
                                             ("1.29.0", True), ("1.34.1", True)])
def test_the_example_has_the_sidecar_where_its_cluster_wants_it(example, version, native):
    made = helm("template", "orders", example, "--kube-version", version).stdout
    pod = pod_of([o for o in yaml.safe_load_all(made) if o], "orders")["spec"]
    sidecar = (pod["initContainers"] if native else pod["containers"])[0]
    assert sidecar["name"] == "doorman-gateway"
    assert sidecar.get("restartPolicy") == ("Always" if native else None)
    assert sidecar["startupProbe"]["httpGet"]["path"] == "/platform/monitor/readiness"
    assert native or "initContainers" not in pod
    assert pod["securityContext"]["runAsGroup"] == 65532
    app = pod["containers"][-1]
    assert app["name"] == "orders" and app["lifecycle"]["preStop"]
    report = helm("template", "orders", example, "--kube-version", version, "--set", "report=true",
                  good=False)
    assert (report.returncode == 0) is native, "a Job beside an ordinary container never ends"


ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
API_SERVER = {"ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}]}


def pods_of(objects):
    return [o["spec"]["template"]["spec"] for o in of_kind(objects, "Deployment")]


def egress(objects):
    return {o["metadata"]["name"]: o["spec"]["egress"] for o in of_kind(objects, "NetworkPolicy")
            if "egress" in o["spec"] and o["metadata"]["name"].endswith(("-admin", "-gateway"))}


@pytest.mark.parametrize("values", [REDIS, {"mode": "memory", "admin": {"replicaCount": 1},
                                            "productionStrict": False}], ids=["redis", "memory"])
def test_events_bring_a_right_a_token_and_a_way_and_nobody_has_them_without(values):
    made = rendered("-f", "-", stdin=yaml.safe_dump(values))
    assert not of_kind(made, "Role") and not of_kind(made, "RoleBinding")
    text = yaml.safe_dump_all(made)
    assert "serviceAccountToken" not in text and "KUBE_EVENTS_ENABLED" not in text
    assert API_SERVER not in [rule for rules in egress(made).values() for rule in rules]

    made = rendered("-f", "-", stdin=yaml.safe_dump({**values, "kubeEvents": {"enabled": True}}))
    role, = of_kind(made, "Role")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}]
    binding, = of_kind(made, "RoleBinding")
    account, = of_kind(made, "ServiceAccount")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [s["name"] for s in binding["subjects"]] == [account["metadata"]["name"]]
    static, = [o for o in of_kind(made, "ConfigMap") if o["metadata"]["name"].endswith("-static")]
    assert static["data"]["KUBE_EVENTS_ENABLED"] == "true"
    assert account["automountServiceAccountToken"] is False
    with_token = 0
    for pod in pods_of(made):
        if pod.get("serviceAccountName") != account["metadata"]["name"]:
            assert "serviceAccountToken" not in yaml.safe_dump(pod)
            continue
        with_token += 1
        assert pod["automountServiceAccountToken"] is False
        container, = pod["containers"]
        mount, = [m for m in container["volumeMounts"] if m["mountPath"] == ACCOUNT]
        volume, = [v for v in pod["volumes"] if v["name"] == mount["name"]]
        assert [next(iter(s)) for s in volume["projected"]["sources"]] == [
            "serviceAccountToken", "configMap", "downwardAPI"]
        assert {"POD_NAME", "POD_UID"} <= {e["name"] for e in container["env"]}
    assert with_token == (1 if values.get("mode") == "memory" else 2)
    assert egress(made) and all(API_SERVER in rules for rules in egress(made).values())


def test_events_without_rbac_leave_the_right_to_somebody_else():
    made = rendered("-f", "-", stdin=yaml.safe_dump(
        {**REDIS, "kubeEvents": {"enabled": True}, "rbac": {"create": False},
         "serviceAccount": {"create": False, "name": "theirs"}}))
    assert not of_kind(made, "Role") and not of_kind(made, "RoleBinding")
    assert [p for p in pods_of(made) if p.get("serviceAccountName") == "theirs"]
    assert "serviceAccountToken" in yaml.safe_dump_all(made)
