"""A replica of Redis takes over under load, with the real programs (docs/failure-matrix.md)."""

import pytest
from harness.faults import AWAY, BACK, DEADLINE, judge, standing
from harness.process import wait_until
from harness.redis import Cluster, Sentinels, slot_of


def sentinel(folder):
    trio = Sentinels(folder)
    return trio, lambda stand: trio.master.kill


def cluster(folder):
    nodes = Cluster(folder)

    def breaks(stand):
        # Of the node with what every sidecar looks at, and with this user's revocation.
        lost = nodes.owner(slot_of("doorman:policy:current"))
        nodes.add_replica(lost)
        return lost.kill

    return nodes, breaks


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", [sentinel, cluster])
def test_failover(tmp_path, upstream, kind):
    servers, prepare = kind(tmp_path / "redis")
    with standing(tmp_path, upstream, servers) as stand:
        breaks = prepare(stand)
        with stand.load() as load:
            for name in stand.paths:
                load.wait_for(name, 200)
            breaks()
            wait_until(lambda: AWAY in stand.gateway.log(), DEADLINE, "the line that tells of it")
            assert "connection lost" in next(
                line for line in stand.gateway.log().splitlines() if AWAY in line)
            wait_until(lambda: BACK in stand.gateway.log(), DEADLINE, "the new master")
            for name in stand.paths:
                load.wait_for(name, 200)
            load.wait_for("revoked", 401)
            wait_until(lambda: stand.readiness() == (200, "ready", "connected"), DEADLINE, "ready")
            wait_until(lambda: stand.write().status_code == 200, DEADLINE, "writes on /platform")
            wait_until(lambda: "policy.restored" in stand.split.admin_program.log(), DEADLINE,
                       "everything compared")
        judge(load)
