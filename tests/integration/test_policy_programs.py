"""Policy between doorman-admin and its sidecars: a cache flush under traffic, a Redis that restarts
empty. What the values themselves must withstand is in store_redis/test_policy.py."""

import threading
import time

import pytest
from harness import platform
from harness.platform import expect
from harness.network import SlowLink
from harness.process import wait_until
from harness.split import Split, call, published, readyz

DEADLINE = 20.0


@pytest.fixture
def split(tmp_path):
    running = Split(tmp_path / "split", gateways=2).start()
    yield running
    running.stop()


class Traffic:
    """Calls of one user to every sidecar, one after the other, until the end."""

    def __init__(self, split, user, path):
        self.statuses, self.ended = [], threading.Event()
        self.thread = threading.Thread(target=self.run, args=(split, user, path))

    def run(self, split, user, path):
        while not self.ended.is_set():
            self.statuses += [call(g, user, path) for g in split.gateways]

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: len(self.statuses) > 10, DEADLINE, "traffic")
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def test_flushed_caches_leave_no_gap(split, upstream):
    admin, user, path = published(split, upstream)
    with Traffic(split, user, path) as traffic:
        for _ in range(10):
            expect(admin.delete("/api/caches"), 200)
            seen = len(traffic.statuses)
            wait_until(lambda n=seen: len(traffic.statuses) > n + 4, DEADLINE, "more calls")
    assert set(traffic.statuses) == {200}


def test_flushed_caches_reset_limits_and_reach_every_sidecar(split, upstream):
    admin, user, path = published(split, upstream, rate_limit_enabled=True, rate_limit_duration=2,
                                  rate_limit_duration_type="hour")
    assert [call(split.gateways[i % 2], user, path) for i in range(3)] == [200, 200, 429]
    before = [readyz(g)["generation"] for g in split.gateways]
    expect(admin.delete("/api/caches"), 200)
    wait_until(lambda: all(readyz(g)["generation"] > n for g, n in zip(split.gateways, before)),
               DEADLINE, "a new generation in every sidecar")
    assert [call(g, user, path) for g in split.gateways] == [200, 200]


def test_redis_restarted_empty_gets_everything_again(split, upstream):
    admin, user, path = published(split, upstream)
    revoked = platform.make_user(admin)
    platform.revoke(admin, revoked)
    assert [call(g, user, path) for g in split.gateways] == [200, 200]
    generation = max(readyz(g)["generation"] for g in split.gateways)
    with Traffic(split, user, path) as traffic:
        split.redis.stop()
        split.redis.start()
        wait_until(lambda: all((readyz(g) or {}).get("generation", 0) > generation
                               for g in split.gateways), DEADLINE, "a higher generation")
        seen = len(traffic.statuses)
        wait_until(lambda: len(traffic.statuses) > seen + 10, DEADLINE, "more calls")
    # Nobody is taken for unknown, not allowed or not there meanwhile.
    assert set(traffic.statuses) <= {200, 503}
    assert traffic.statuses[-4:] == [200] * 4
    assert [call(g, revoked, path) for g in split.gateways] == [401, 401]
    written = time.monotonic()
    assert platform.make_user(admin) is not None, "writes go on"
    assert time.monotonic() - written < DEADLINE


def test_a_starting_admin_compares_all_users_and_keeps_nobody_from_writing(split, tmp_path):
    """It stands in the midst of its look at them, for as long as it takes another to write."""
    first = platform.login(split.admin_program.url)
    link = SlowLink(split.redis.port)
    second = split.another_admin(tmp_path / "second", REDIS_SOCKET_TIMEOUT="60",
                                 REDIS_URL=f"redis://127.0.0.1:{link.port}")
    link.hold(b"doorman:policy:obj:user:")
    try:
        second.spawn()
        assert link.held.wait(DEADLINE)
        made = [platform.make_user(first).username for _ in range(5)]
        assert not second.is_ready()
        link.go_on()
        wait_until(second.is_ready, DEADLINE, "the second admin")
        late = platform.login(second.url)
        assert [expect(late.get(f"/platform/user/{name}"), 200)["username"]
                for name in made] == made
        second.stop()
    finally:
        second.kill()
        link.stop()


def test_the_next_start_mends_users_that_differ(split, upstream):
    """One is gone from Redis, one is another's, one is not in the documents any more."""
    admin, user, path = published(split, upstream)
    other, gone = platform.make_user(admin), platform.make_user(admin)
    names = [f"doorman:policy:obj:user:{u.username}" for u in (user, other, gone)]
    left = split.redis.command("GET", names[2])
    expect(admin.delete(f"/platform/user/{gone.username}"), 200)
    split.admin_program.stop()
    split.redis.command("DEL", names[0])
    split.redis.command("SET", names[1], left)
    split.redis.command("SET", names[2], left)
    split.admin_program.start()
    split.settle()
    fresh = split.gateways[1]
    fresh.stop()
    fresh.start()  # it has read nothing yet
    assert call(fresh, user, path) == 200
    assert call(fresh, other, path) == 403  # known, without a subscription
    assert call(fresh, gone, path) == 401
