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
