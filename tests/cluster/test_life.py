"""Releases of their own: from install to uninstall, without stores, without Redis."""

import base64

import pytest
from harness.cluster import (EMAIL, REGISTRY, ROOT, TAG, Release, Space, helm, image, run,
                             wait_until)

# What nobody but Kubernetes itself may leave behind in a namespace.
KINDS = ("deployments,daemonsets,replicasets,services,configmaps,secrets,ingresses,networkpolicies,"
         "poddisruptionbudgets,serviceaccounts,jobs,persistentvolumeclaims,roles,rolebindings")


def test_install_upgrade_rollback_uninstall_leave_nothing():
    with Space("doorman-life") as space:
        space.start_client()
        release = Release(space, values={"admin": {"replicaCount": 1},
                                         "gateway": {"replicaCount": 1}}).install()
        names = (release.full, f"{release.full}-gateway", f"{release.full}-redis")

        def secrets():
            return {n: space.get("secret", n)["data"] for n in names}

        def sets():
            return space.k("get", "replicasets", "-o", "name")

        made, first = secrets(), sets()
        release.helm("upgrade", change={"config": {"log": {"level": "DEBUG"}}})
        assert secrets() == made
        assert sets() == first, "a hot key rolled something"
        release.helm("upgrade", change={"static": {"MAX_PAGE_SIZE": "50"}})
        assert sets() != first, "a restart-only key must roll"
        helm("rollback", release.name, "1", "-n", space.name, "--wait", "--timeout", "3m")
        assert secrets() == made
        release.log_in()
        helm("uninstall", release.name, "-n", space.name, "--wait", "--timeout", "3m")

        def left():
            found = space.get(KINDS, "-l", f"app.kubernetes.io/instance={release.name}")["items"]
            return sorted(f"{o['kind']}/{o['metadata']['name']}" for o in found)
        # Secrets are kept by their annotation, nothing else is.
        wait_until(lambda: left() == sorted(f"Secret/{n}" for n in names), 60,
                   lambda: f"left: {left()}")


def test_memory_mode_is_one_pod_that_works():
    with Space("doorman-memory") as space:
        release = Release(space)
        release.values = {"mode": "memory", "productionStrict": False,
                          "admin": {"replicaCount": 1, "image": image("doorman")},
                          "persistence": {"enabled": False}}
        release.helm("install")
        made = helm("test", release.name, "-n", space.name, "--timeout", "3m")
        assert "Phase:          Succeeded" in made.stdout, made.stdout


@pytest.fixture(scope="module")
def lonely():
    """A release that loses its stores."""
    with Space("doorman-stores") as space:
        space.start_client()
        yield Release(space, values={"admin": {"replicaCount": 1}, "gateway": {"replicaCount": 1},
                                     "config": {"revocation": {"max_stale": 20}}}).install()


def test_the_admin_is_not_ready_while_mongodb_is_away(lonely):
    space = lonely.space
    admin, gateway = space.pods("admin")[0], space.pods("gateway")[0]
    space.scale(f"{lonely.full}-mongodb", 0)
    try:
        answer = wait_until(lambda: (lambda a: a if a["status"] == 503 else None)(
            space.readiness(admin)), 60, "the admin says that it is not ready")
        assert answer["json"]["mongodb"] == "disconnected"
        assert answer["json"]["redis"] == "connected"
        assert space.readiness(gateway)["status"] == 200
    finally:
        space.scale(f"{lonely.full}-mongodb", 1)
    # This MongoDB keeps nothing: it is back without the schema, which only a start makes. An admin
    # that finds its data again is ready by itself: tests/integration/test_faults_mongo.py.
    assert space.readiness(admin)["status"] == 503
    name = f"deployment/{lonely.full}-admin"
    space.k("rollout", "restart", name)
    space.k("rollout", "status", name, "--timeout=120s")
    wait_until(lambda: [p["metadata"]["name"] for p in space.pods("admin")] != [
        admin["metadata"]["name"]], 60, "the old pod goes")
    assert lonely.log_in()


def test_a_gateway_degrades_while_redis_is_away_and_is_not_ready_past_the_limit(lonely):
    space = lonely.space
    admin, gateway = space.pods("admin")[0], space.pods("gateway")[0]
    space.scale(f"{lonely.full}-redis", 0)
    seen = []

    def outlook():
        answer = space.readiness(gateway)
        seen.append((answer["status"], answer["json"]["status"], answer["json"]["redis"]))
        return answer["status"] == 503

    try:
        wait_until(outlook, 120, "the gateway says that it is not ready")
        assert (200, "degraded", "disconnected") in seen, seen
        answer = space.readiness(admin)
        assert answer["status"] == 503 and answer["json"]["redis"] == "disconnected"
    finally:
        space.scale(f"{lonely.full}-redis", 1)
    wait_until(lambda: space.readiness(gateway)["status"] == 200, 120, "it is ready again")
    assert sum(space.restarts("gateway").values()) == 0


def test_the_plain_manifest_of_memory_mode_works_with_the_secrets_it_names():
    """manifests/README.md, line by line; only the image is the one under test."""
    with Space("doorman") as space:
        space.start_client()
        space.apply(run(ROOT / "manifests" / "secrets").stdout)
        text = (ROOT / "manifests" / "memory.yaml").read_text()
        space.apply(text.replace("image: doorman:0.1.0", f"image: {REGISTRY}/doorman:{TAG}"))
        space.k("rollout", "status", "deployment/doorman-admin", "--timeout=120s")
        password = base64.b64decode(space.get("secret", "doorman")["data"]["admin-password"])
        answer = space.call("POST", "http://doorman-admin:3001/platform/authorization",
                            {"email": EMAIL, "password": password.decode()})
        assert answer["status"] == 200, answer
