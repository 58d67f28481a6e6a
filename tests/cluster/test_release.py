"""A release on a cluster: what an operator sees of it (operations.md §8.16, §11.5)."""

import json
import re
import time

import pytest
from harness.cluster import (ROOT, TAG, helm, kill_process_of, peer_ports, process_of, run,
                             wait_until)

ROLLOUT = 180
POLICY = 10  # a change of policy is in force; a second where nothing else runs
RATE = 200
MIB = 2**20


def in_force(published, address=None):
    wait_until(lambda: published.call(address)["status"] == 200, POLICY, "the API is in force")


@pytest.mark.smoke
def test_helm_test_creates_calls_and_removes_an_api(release):
    """What smoke does is said by tests/integration/test_smoke.py: its exit code decides here."""
    made = helm("test", release.name, "-n", release.space.name, "--timeout", "3m")
    assert "Phase:          Succeeded" in made.stdout, made.stdout


@pytest.mark.smoke
def test_a_call_goes_through_the_gateway_and_a_stranger_is_refused(release, published):
    in_force(published)
    assert published.call()["json"]["orders"] == []
    assert release.space.call("GET", published.url)["status"] == 401


def test_the_admin_is_reached_through_the_gateway(release, published):
    answer = release.space.call("GET", f"{release.gateway_url}/platform/user/me",
                                token=published.token)
    assert answer["status"] == 200 and answer["json"]["username"] == "ordersuser"


def test_nothing_in_a_gateways_pod_points_to_mongodb(release):
    pod = release.space.pods("gateway")[0]
    assert "mongo" not in json.dumps(pod["spec"]).lower()
    secret = release.space.get("secret", f"{release.full}-gateway")["data"]
    assert sorted(secret) == ["jwt-keys", "policy-verify-key", "token-encryption-key"]
    assert "private" not in release.secret(f"{release.full}-gateway", "jwt-keys").lower()
    assert "PRIVATE" not in release.secret(f"{release.full}-gateway", "policy-verify-key")
    static = release.space.get("configmap", f"{release.full}-static")["data"]
    assert not [k for k in static if "MONGO" in k or "DATABASE" in k]
    entry, admin = process_of(pod), process_of(release.space.pods("admin")[0])
    if entry is not None:  # the node is this machine
        assert 6379 in peer_ports(entry) and 27017 not in peer_ports(entry)
        assert 27017 in peer_ports(admin)


def test_pods_keep_the_restricted_standard_and_only_those_of_doorman_have_a_token(release):
    """The namespace enforces the standard: pods that break it would not be here."""
    labels = release.space.get("namespace", release.space.name)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for component in ("admin", "gateway", "redis", "mongodb"):
        for pod in release.space.pods(component):
            assert pod["spec"]["automountServiceAccountToken"] is False
            tokens = [v for v in pod["spec"]["volumes"] if "serviceAccountToken" in json.dumps(v)]
            assert len(tokens) == (component in ("admin", "gateway"))  # for Events
            assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"]


def test_every_metric_of_rules_and_dashboards_occurs_in_a_scrape(release, published):
    in_force(published)
    found = set()
    for component in ("admin", "gateway"):
        for pod in release.space.pods(component):
            found |= {name.split("{")[0] for name in release.space.metrics(pod)}
    wanted = set()
    for asset in sorted((ROOT / "ops").iterdir()):
        made = run("grep", "-oE", r"\b(doorman|agentidp|process)_[a-z0-9_]+", asset, good=False)
        wanted |= {name.split(":")[-1] for name in made.stdout.split()}
    assert wanted and wanted <= found, sorted(wanted - found)


@pytest.mark.smoke
@pytest.mark.parametrize("component", ["gateway", "admin"])
def test_a_rollout_under_load_fails_no_request(release, published, component):
    space = release.space
    in_force(published)
    url = published.url
    if component == "admin":
        url = f"{release.admin_url}/platform/user/me"
    name = f"deployment/{release.full}-{component}"
    with space.load(url, published.token, RATE) as load:
        space.k("rollout", "restart", name)
        space.k("rollout", "status", name, f"--timeout={ROLLOUT}s")
        wait_until(lambda: len(space.pods(component, going=True)) == 2, 60, "the old pods are gone")
    assert load.counts["faults"] == 0 and set(load.counts["statuses"]) == {"200"}, load.counts
    assert load.counts["rate"] > RATE / 8, "the machine was too busy for this to prove anything"


def test_a_rollout_with_a_bad_setting_stops_and_the_old_pods_serve(release, published):
    space, name = release.space, f"deployment/{release.full}-gateway"
    in_force(published)
    space.k("set", "env", name, "LOG_FORMAT=LOUD")
    try:
        bad = wait_until(lambda: [p["metadata"]["name"] for p in space.pods("gateway")
                                  if any(c["restartCount"] for c in
                                         p["status"].get("containerStatuses", []))
                                  and "LOUD" in json.dumps(p["spec"])], 90, "a new pod fails")[0]
        wait_until(lambda: "LOG_FORMAT" in space.k("logs", bad, good=False), 60, "it says why")
        status = run("kubectl", "-n", space.name, "rollout", "status", name, "--timeout=10s",
                     good=False)
        assert status.returncode != 0
        assert {published.call()["status"] for _ in range(20)} == {200}
    finally:
        space.k("set", "env", name, "LOG_FORMAT-")
        space.k("rollout", "status", name, f"--timeout={ROLLOUT}s")


def test_a_killed_gateway_fails_only_requests_on_its_own_connections(release, published):
    """Two pods: a load on the other one alone must not notice, the Service's must recover."""
    space = release.space
    victim, other = space.pods("gateway")
    for pod in (victim, other):
        in_force(published, pod["status"]["podIP"])
    restarts = space.restarts("gateway")
    other_url = f"http://{other['status']['podIP']}:5001{published.path}"
    with space.load(other_url, published.token, RATE) as beside, \
            space.load(published.url, published.token, RATE / 4) as through:
        kill_process_of(space, victim)
        wait_until(lambda: space.restarts("gateway") != restarts, 60, "the kubelet starts it anew")
        space.k("rollout", "status", f"deployment/{release.full}-gateway", f"--timeout={ROLLOUT}s")
        time.sleep(2)  # some requests once all is well again
    assert beside.counts["faults"] == 0 and set(beside.counts["statuses"]) == {"200"}
    assert set(through.counts["statuses"]) == {"200"}, through.counts
    # Its own connections: those it had, and what the Service sends there until it is struck off.
    assert through.counts["faults"] <= 40, through.counts


def documented(name, unit):
    """What docs/kubernetes.md promises: the last size in the row that begins with the name."""
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    row = re.search(rf"^\| `?{name}`? \|.*$", text, re.M)[0]
    return float(re.findall(rf"(\d+) {unit}", row)[-1])


def test_container_memory_is_within_what_the_docs_say(release):
    for component in ("admin", "gateway"):
        limit = documented(component, "MiB")
        for pod in release.space.pods(component):
            mib = release.space.metrics(pod)["process_resident_memory_bytes"] / MIB
            print(f"\nmemory: {pod['metadata']['name']}: {mib:.1f} MiB resident, {limit} at most")
            assert mib < limit


@pytest.mark.smoke
@pytest.mark.parametrize("name", ["doorman-gateway", "doorman-admin"])
def test_images_are_as_small_as_the_docs_say(release, name):
    """As the node unpacked them."""
    def sizes():
        return [i["sizeBytes"] for node in release.space.get("nodes")["items"]
                for i in node["status"].get("images", []) if f"/{name}:{TAG}" in str(i["names"])]
    limit = documented(name, "MB")
    size = wait_until(sizes, 330, "the node tells its images", pause=2)[0] / 10**6
    print(f"\nimage: {name}: {size:.1f} MB, {limit} at most")
    assert size <= limit
