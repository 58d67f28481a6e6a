"""Every value set, the example and the manifests against the schemas of Kubernetes 1.27 to 1.34
(operations.md §11.5). The API server of test_chart.py is one of them; this needs none."""

import kubernetes_validate
import pytest
import yaml
from harness.cluster import CHART, ROOT, helm

VERSIONS = [f"1.{minor}" for minor in range(27, 35)]
SETS = sorted((ROOT / "helm" / "ci").glob("*.yaml"))
FOREIGN = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}  # of the Prometheus operator


def judge(text, version):
    objects = [o for o in yaml.safe_load_all(text) if o and o["kind"] not in FOREIGN]
    assert objects
    for o in objects:
        kubernetes_validate.validate(o, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", SETS, ids=lambda p: p.stem)
def test_every_version_takes_every_value_set(values, version):
    judge(helm("template", "d", CHART, "-f", values, "--kube-version", f"{version}.0",
               "--api-versions", "monitoring.coreos.com/v1").stdout, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_takes_the_example(example, version):
    judge(helm("template", "orders", example, "--kube-version", f"{version}.0").stdout, version)


@pytest.mark.parametrize("version", VERSIONS[3:])  # their preStop is sleep: 1.30 and newer
def test_newer_versions_take_the_manifests(version):
    for manifest in (ROOT / "manifests").glob("*.yaml"):
        judge(manifest.read_text(), version)


def test_a_key_that_kubernetes_does_not_know_is_found():
    text = (ROOT / "manifests" / "memory.yaml").read_text()
    broken = text.replace("terminationGracePeriodSeconds", "terminationGraceSeconds", 1)
    assert broken != text
    with pytest.raises(kubernetes_validate.ValidationError):
        judge(broken, "1.32")
