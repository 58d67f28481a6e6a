"""The gateway beside an application: examples/orders/chart, installed as it stands."""

import datetime

import pytest
import yaml
from harness.cluster import ORDERS, REGISTRY, TAG, Release, Space, service, \
    values_for_tests, wait_until, workload

ROLLOUT = 240


@pytest.fixture(scope="module")
def orders(example):
    """A release named orders; the product within it is orders-doorman."""
    product = values_for_tests()
    product["admin"]["replicaCount"] = 1
    values = {"doorman": product,
              "image": {"repository": f"{REGISTRY}/doorman-example-orders", "tag": TAG}}
    with Space("doorman-sidecar") as space:
        space.start_client()
        release = Release(space, name=ORDERS, chart=example)
        release.values = values
        yield release.install()


@pytest.fixture(scope="module")
def published(orders):
    """The token of a user who may call the API behind the sidecars, and its address."""
    token = orders.publish(orders.log_in(), "orders", ["http://127.0.0.1:8000"])
    url = f"http://{ORDERS}/api/rest/orders/v1/orders"
    answers = []

    def in_force():
        answers.append(orders.space.call("GET", url, token=token))
        return answers[-1]["status"] == 200
    wait_until(in_force, 20, lambda: f"the API is in force: {answers[-1]}")
    return token, url


def time_of(text):
    return datetime.datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00")


def app_pods(space):
    found = space.get("pods", "-l", f"app={ORDERS}")["items"]
    return [p for p in found if "deletionTimestamp" not in p["metadata"]]


def test_the_application_is_reached_through_its_sidecar_only(orders, published):
    token, url = published
    assert orders.space.call("GET", url)["status"] == 401
    pod = app_pods(orders.space)[0]
    direct = orders.space.call("GET", f"http://{pod['status']['podIP']}:8000/orders")
    assert direct["status"] == 0, "the application must keep to loopback"


def test_the_sidecar_is_ready_before_the_application_starts(orders):
    for pod in app_pods(orders.space):
        sidecar = pod["status"]["initContainerStatuses"][0]
        app = pod["status"]["containerStatuses"][0]
        assert sidecar["started"] is True and sidecar["restartCount"] == 0
        began = time_of(sidecar["state"]["running"]["startedAt"])
        assert time_of(app["state"]["running"]["startedAt"]) >= began
        # The kubelet starts the application only after the startup probe, which asks readiness.
        spec = pod["spec"]["initContainers"][0]
        assert spec["startupProbe"]["httpGet"]["path"].endswith("/readiness")
        assert spec["restartPolicy"] == "Always"


def test_the_sidecar_outlives_the_application(orders, published):
    """Their last words, by the node's clock."""
    space = orders.space
    pod = app_pods(space)[0]["metadata"]["name"]
    logs = {c: space.follow(pod, c) for c in ("orders", "doorman-gateway")}
    space.k("delete", "pod", pod, "--timeout=90s")
    lines = {c: follower.lines() for c, follower in logs.items()}
    stopped = [line for line in lines["orders"] if "orders: stopped" in line]
    told = [line for line in lines["doorman-gateway"] if "Shutting down gracefully" in line]
    assert stopped and told, lines
    assert time_of(told[0].split()[0]) >= time_of(stopped[0].split()[0])


def test_an_injected_workload_is_called_through_its_sidecar(orders, published):
    """The application as anybody deploys it, patched by `doorman-admin inject`; no chart of its
    own. inject runs in the admin's pod, whose image is where it is at hand."""
    token, _ = published
    space = orders.space
    plain = workload("plain", "doorman-example-orders")
    # It keeps to loopback, where the kubelet's probe does not reach it.
    del plain["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    command = ["/usr/bin/doorman-admin", "inject", "--release", ORDERS, "--service",
               "--image", f"{REGISTRY}/doorman-gateway:{TAG}"]
    made = space.k("exec", "-i", f"deployment/{orders.full}-admin", "--", *command,
                   stdin=yaml.safe_dump_all([service("plain"), plain]))
    try:
        space.apply(made)
        space.k("rollout", "status", "deployment/plain", f"--timeout={ROLLOUT}s")
        url = "http://plain:8000/api/rest/orders/v1/orders"
        wait_until(lambda: space.call("GET", url)["status"] == 401, 20, "the Service leads there")
        assert space.call("GET", url, token=token)["status"] == 200
        pod = space.get("pods", "-l", f"app=plain,doorman.io/release={ORDERS}")["items"][0]
        assert pod["spec"]["initContainers"][0]["restartPolicy"] == "Always"
        direct = space.call("GET", f"http://{pod['status']['podIP']}:8000/orders")
        assert direct["status"] == 0, "the application must keep to loopback"
    finally:
        space.k("delete", "deployment/plain", "service/plain", "--ignore-not-found", "--wait=false")


def test_a_rollout_of_the_application_fails_no_request(orders, published):
    token, url = published
    space = orders.space
    name = f"deployment/{ORDERS}"
    space.k("rollout", "status", name, f"--timeout={ROLLOUT}s")
    with space.load(url, token) as load:
        space.k("rollout", "restart", name)
        space.k("rollout", "status", name, f"--timeout={ROLLOUT}s")
        wait_until(lambda: len(space.get("pods", "-l", f"app={ORDERS}")["items"]) == 2, 90,
                   "the old pods are gone")
    assert load.counts["faults"] == 0 and set(load.counts["statuses"]) == {"200"}, load.counts
    assert load.counts["rate"] > 25, "the machine was too busy for this to prove anything"


def test_a_job_with_the_sidecar_completes(orders):
    orders.helm("upgrade", change={"report": True})
    job = f"{ORDERS}-report"
    orders.space.k("wait", "--for=condition=complete", f"job/{job}", "--timeout=180s")
    said = orders.space.k("logs", f"job/{job}", "-c", "report")
    assert yaml.safe_load(said)["status"] == "ready"
