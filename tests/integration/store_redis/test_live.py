"""Live state (common/store/live.h) on real Redis: the contract of every backend, and what only a
server can show. The servers' clock is in the test's hand, far from the clients' own."""

import concurrent.futures
import re
import threading

import pytest
from harness.moved_clock import MovedClock
from harness.redis import Cluster, RedisServer, Sentinels
from harness.served import run_served

START = 1700000000  # just before the time at which the tests start
NEVER_MS = 10**13  # no node takes another for dead when the clock jumps
ROUNDS, PROCESSES, CALLS, LIMIT = 20, 3, 334, 100


class Deployment:
    def __init__(self, folder, mode):
        clock = MovedClock(folder, START)
        if mode == "standalone":
            self.servers = RedisServer(folder / "redis")
            self.nodes = [self.servers]
            self.settings = {"REDIS_URL": self.servers.url}
        elif mode == "sentinel":
            self.servers = Sentinels(folder / "redis")
            self.nodes = [self.servers.master]
            self.servers.replica.clock = clock
            self.settings = {"REDIS_SENTINEL_HOSTS": self.servers.hosts,
                             "REDIS_SENTINEL_MASTER": Sentinels.NAME}
        else:
            self.servers = Cluster(folder / "redis", ("cluster-node-timeout", NEVER_MS))
            self.nodes = self.servers.nodes
            self.settings = {"REDIS_HOST": self.servers.hosts, "REDIS_MODE": "cluster"}
        for node in self.nodes:
            node.clock = clock
        self.servers.start()
        if mode == "sentinel":  # a busy machine is no reason for a failover here
            for sentinel in self.servers.sentinels:
                sentinel.command("SENTINEL", "SET", Sentinels.NAME, "down-after-milliseconds",
                                 60000)
        self.settings["DOORMAN_TEST_REDIS_NODES"] = ",".join(n.address for n in self.nodes)
        self.settings["DOORMAN_TEST_REDIS_CLOCK"] = str(clock.file)


@pytest.fixture(params=["standalone", "sentinel", "cluster"])
def deployment(request, tmp_path):
    started = Deployment(tmp_path, request.param)
    yield started
    started.servers.stop()


@pytest.fixture
def standalone(tmp_path):
    started = Deployment(tmp_path, "standalone")
    yield started
    started.servers.stop()


def test_contract(deployment):
    """The suite of the memory backend, unchanged."""
    run_served("store_redis", "live_contract_test", deployment.settings)


def test_counting(standalone):
    run_served("store_redis", "live_counting_test", standalone.settings)


def test_exactly_the_limit_passes(deployment):
    """Three processes, more than 1,000 calls at once, one window: exactly L pass, 20 times of 20."""
    together = threading.Barrier(PROCESSES)
    settings = {**deployment.settings, "LIVE_ROUNDS": str(ROUNDS), "LIVE_CALLS": str(CALLS),
                "LIVE_LIMIT": str(LIMIT)}

    def process(_):
        return run_served("store_redis", "live_exact_test", settings,
                          deeds={"go": lambda: together.wait(60)})

    with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
        outputs = list(pool.map(process, range(PROCESSES)))
    said = [re.findall(r"passed (\d+) refused (\d+) unknown (\d+)", text)[1:] for text in outputs]
    assert all(len(rounds) == ROUNDS for rounds in said)
    for at in range(ROUNDS):
        passed, refused, unknown = (sum(int(rounds[at][i]) for rounds in said) for i in range(3))
        assert (passed, refused, unknown) == (LIMIT, PROCESSES * CALLS - LIMIT, 0), at
