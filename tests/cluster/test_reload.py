"""An edit of the ConfigMap reaches running programs, and only a good one."""

import pathlib

import pytest
from harness.cluster import run, wait_until

SWAP = 90  # the kubelet may take its sync period until the files change
IN_FORCE = 10  # after the swap
PODS = pathlib.Path("/tmp/doorman-cluster/kubelet/root/pods")  # where the node is this machine
GENERATION = "doorman_config_generation"
SUCCESSFUL = "doorman_config_last_reload_successful"
SUCCESS_TIME = "doorman_config_last_reload_success_timestamp_seconds"
FAILURES = 'doorman_config_reload_total{result="failure"}'


@pytest.fixture
def pods(release):
    return [p for c in ("admin", "gateway") for p in release.space.pods(c)]


def restarts(space):
    return [space.restarts(c) for c in ("admin", "gateway")]


def frame_options(space, pod):
    port = pod["spec"]["containers"][0]["ports"][0]["containerPort"]
    answer = space.call("GET", f"http://{pod['status']['podIP']}:{port}/platform/monitor/liveness")
    return {n.lower(): v for n, v in answer["headers"]}.get("x-frame-options")


def swap_time(pod):
    """When the kubelet swapped the files of the pod's ConfigMap; None on another node."""
    volume = PODS / pod["metadata"]["uid"] / "volumes" / "kubernetes.io~configmap" / "config"
    return (volume / "..data").lstat().st_mtime if volume.is_dir() else None


def reload_everywhere(release, pods, change, wanted):
    """Edits; waits until every pod answers with the wanted X-Frame-Options. Gives the old text."""
    space = release.space
    old = release.edit_config(change)
    for pod in pods:
        name = pod["metadata"]["name"]
        wait_until(lambda p=pod: frame_options(space, p) == wanted, SWAP + IN_FORCE,
                   f"X-Frame-Options {wanted} from {name}")
        swapped = swap_time(pod)
        if swapped is not None:
            took = space.metrics(pod)[SUCCESS_TIME] - swapped
            print(f"\nreload: {name}: {took:.1f} s after the swap")
            assert took <= IN_FORCE
    return old


@pytest.mark.smoke
def test_an_edit_changes_every_pod_within_seconds_of_the_swap_and_restarts_none(release, pods):
    space = release.space
    before = {p["metadata"]["name"]: space.metrics(p)[GENERATION] for p in pods}
    started, sets = restarts(space), space.k("get", "replicasets", "-o", "name")
    old = reload_everywhere(release, pods, lambda text: text +
                            "security_header:\n  x_frame_options: SAMEORIGIN\n", "SAMEORIGIN")
    for pod in pods:
        assert space.metrics(pod)[GENERATION] == before[pod["metadata"]["name"]] + 1
    reload_everywhere(release, pods, lambda _: old, "DENY")
    assert restarts(space) == started
    assert space.k("get", "replicasets", "-o", "name") == sets


def test_a_broken_edit_changes_nothing_and_shows_in_metrics(release, pods, published):
    space = release.space
    before = {p["metadata"]["name"]: space.metrics(p) for p in pods}
    started = restarts(space)
    old = release.edit_config(lambda text: text + "security_header:\n  x_frame_options: SAMEORIGIN"
                              "\nlog_format: LOUD\n")
    try:
        for pod in pods:
            was = before[pod["metadata"]["name"]]
            wait_until(lambda p=pod, w=was: space.metrics(p)[FAILURES] > w[FAILURES],
                       SWAP + IN_FORCE, "the failure is counted")
            now = space.metrics(pod)
            assert now[GENERATION] == was[GENERATION] and now[SUCCESSFUL] == 0
            assert now[SUCCESS_TIME] == was[SUCCESS_TIME]
            assert space.readiness(pod)["status"] == 200
            assert frame_options(space, pod) == "DENY", "not half of a file"
            said = space.k("logs", pod["metadata"]["name"])
            assert "doorman.yaml:" in said and "LOG_FORMAT" in said
        assert published.call()["status"] == 200
    finally:
        release.edit_config(lambda _: old)
    for pod in pods:
        wait_until(lambda p=pod: space.metrics(p)[SUCCESSFUL] == 1, SWAP + IN_FORCE,
                   "the mended file is taken")
    assert restarts(space) == started


def events(space, part):
    """Of failed reloads, with that in their message."""
    found = space.get("events", "--field-selector", "reason=ConfigReloadFailed")["items"]
    return [e for e in found if part in e["message"]]


def test_a_broken_edit_is_an_event_of_every_pod(release, pods):
    """Once each, and the fault stands in it."""
    space = release.space
    ids = sorted(p["metadata"]["uid"] for p in pods)
    old = release.edit_config(lambda text: text + "max_page_size: none\n")
    try:
        wait_until(lambda: len(events(space, "MAX_PAGE_SIZE")) >= len(ids), SWAP + IN_FORCE,
                   lambda: f"an Event of each: {space.k('get', 'events')}")
    finally:
        release.edit_config(lambda _: old)
    for pod in pods:
        wait_until(lambda p=pod: space.metrics(p)[SUCCESSFUL] == 1, SWAP + IN_FORCE,
                   "the mended file is taken")
        assert space.metrics(pod)['doorman_kube_events_total{result="failed"}'] == 0
    made = events(space, "MAX_PAGE_SIZE")
    assert sorted(e["involvedObject"]["uid"] for e in made) == ids
    for event in made:
        assert event["type"] == "Warning" and "doorman.yaml:" in event["message"]
        assert event["source"]["component"] in ("doorman-admin", "doorman-gateway")
    described = space.k("describe", "pod", pods[0]["metadata"]["name"])
    assert "ConfigReloadFailed" in described and "MAX_PAGE_SIZE" in described


def test_the_account_of_the_pods_may_do_nothing_but_that(release):
    space = release.space
    account = f"--as=system:serviceaccount:{space.name}:{release.full}"

    def may(*what):
        return run("kubectl", "-n", space.name, "auth", "can-i", *what, account,
                   good=False).stdout.strip() == "yes"

    assert may("create", "events")
    for what in (("list", "events"), ("get", "secrets"), ("get", "configmaps"), ("list", "pods")):
        assert not may(*what), what
