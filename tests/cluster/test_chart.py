"""The chart as a text: what it renders, for which values, and what it refuses."""

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
    ({**REDIS, "config": {"redis": {"host": "x"}}}, "config.redis is read at start only"),
    ({**REDIS, "tls": {"enabled": True, "existingSecret": "s"}}, "tls.enabled ends TLS here"),
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
    assert kube("1.32.0") == {"sleep": {"seconds": 5}}
    assert kube("1.28.0")["exec"]["command"][1:] == ["drain", "--wait", "5"]


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
