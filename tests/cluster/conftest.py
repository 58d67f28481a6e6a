"""Fixtures of the cluster tests. One release is shared; tests leave it as they found it."""

import shutil

import pytest
from harness.cluster import ORDERS, ROOT, Release, Space, helm, upstream_objects


@pytest.fixture(scope="session")
def space():
    with Space("doorman-test") as space:
        space.start_client()
        space.apply(upstream_objects())
        space.k("rollout", "status", f"deployment/{ORDERS}", "--timeout=120s")
        yield space


@pytest.fixture(scope="session")
def release(space):
    return Release(space, values={"kubeEvents": {"enabled": True}}).install()


class Published:
    """An API behind the release's gateways, and a user who may call it without limits."""

    def __init__(self, release):
        self.release = release
        self.token = release.publish(release.log_in(), "orders", [f"http://{ORDERS}:8000"])
        self.path = "/api/rest/orders/v1/orders"
        self.url = release.gateway_url + self.path

    def call(self, address=None):
        url = f"http://{address}:5001{self.path}" if address else self.url
        return self.release.space.call("GET", url, token=self.token)


@pytest.fixture(scope="session")
def published(release):
    return Published(release)


@pytest.fixture(scope="session")
def example(tmp_path_factory):
    """The example, with its dependency."""
    tree = tmp_path_factory.mktemp("tree")
    for part in ("helm", "examples"):
        shutil.copytree(ROOT / part, tree / part)
    chart = tree / "examples" / "orders" / "chart"
    helm("dependency", "build", chart)
    return chart
