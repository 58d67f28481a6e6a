"""Published policy (common/store/redis/live_redis_follow.c, _publish.c) on real Redis: forged,
rolled back, moved and cut values, gaps, an emptied store, racing and crashing admins, the copy on
disk."""

import pytest
from harness.redis import Cluster, RedisServer
from harness.served import run_served


@pytest.fixture(params=["standalone", "cluster"])
def settings(request, tmp_path):
    if request.param == "standalone":
        servers = RedisServer(tmp_path / "redis")
        nodes, said = [servers], {"REDIS_URL": servers.url}
    else:
        servers = Cluster(tmp_path / "redis")
        nodes, said = servers.nodes, {"REDIS_HOST": servers.hosts, "REDIS_MODE": "cluster"}
    servers.start()
    yield {**said, "DOORMAN_TEST_REDIS_NODES": ",".join(n.address for n in nodes)}
    servers.stop()


@pytest.mark.parametrize("name", ["live_policy_test", "live_policy_admins_test"])
def test_policy(settings, name):
    print(run_served("store_redis", name, settings))
