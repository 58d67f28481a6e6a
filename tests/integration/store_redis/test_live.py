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
            # A busy machine is no reason for a failover here.
            self.servers = Sentinels(folder / "redis", down_after_ms=600000)
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
        self.clock = clock
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
    server = standalone.servers
    run_served("store_redis", "live_counting_test", standalone.settings, deeds={
        "kill": server.kill, "start": server.start, "pause": server.pause,
        "resume": server.resume, "demote": lambda: server.command("REPLICAOF", "127.0.0.1", "1"),
        "promote": lambda: server.command("REPLICAOF", "NO", "ONE")})


def ask_together(deployment, rounds, *settings):
    """One process for each of settings; what they said of every round, summed."""
    together = threading.Barrier(len(settings))

    def process(own):
        return run_served("store_redis", "live_exact_test",
                          {**deployment.settings, "LIVE_ROUNDS": str(rounds),
                           "LIVE_CALLS": str(CALLS), **own},
                          deeds={"go": lambda: together.wait(60)})

    with concurrent.futures.ThreadPoolExecutor(len(settings)) as pool:
        outputs = list(pool.map(process, settings))
    # The first line of each is that of warming up.
    said = [re.findall(r"passed (\d+) refused (\d+) unknown (\d+)", text)[1:] for text in outputs]
    assert all(len(one) == rounds for one in said)
    return [tuple(sum(int(one[at][i]) for one in said) for i in range(3)) for at in range(rounds)]


EXACTLY = (LIMIT, PROCESSES * CALLS - LIMIT, 0)  # passed, refused, unknown


def test_exactly_the_limit_passes(deployment):
    """Three processes, 1,002 calls at once, one window of an hour: exactly L, 20 times of 20."""
    own = {"LIVE_LIMIT": str(LIMIT)}
    assert ask_together(deployment, ROUNDS, *[own] * PROCESSES) == [EXACTLY] * ROUNDS


def test_exactly_the_credits_are_given(deployment):
    """As many as there are; those that ended processes never settled come back, and no more."""
    write, only_ask = {"LIVE_CREDITS": str(LIMIT)}, {"LIVE_CREDITS": "1"}
    assert ask_together(deployment, 5, write, only_ask, only_ask) == [EXACTLY] * 5
    nothing = (0, PROCESSES * CALLS, 0)
    assert ask_together(deployment, 5, *[only_ask] * PROCESSES) == [nothing] * 5
    deployment.clock.set(deployment.clock.seconds + 61)
    assert ask_together(deployment, 5, *[only_ask] * PROCESSES) == [EXACTLY] * 5
