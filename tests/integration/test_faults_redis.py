"""Redis breaks under load, with the real programs (docs/failure-matrix.md).

Nobody is taken for unknown, not allowed or not there because of it, nobody who was revoked gets in,
limits do what their API says, and operators are told.
"""

import time

import pytest
import requests
from harness import platform
from harness.faults import AWAY, BACK, DEADLINE, REASONS, judge, standing
from harness.network import Namespace, SlowLink
from harness.platform import expect
from harness.process import ADMIN_EMAIL, ADMIN_PASSWORD, wait_until
from harness.redis import RedisServer
from harness.split import readyz


def break_and_mend(stand, breaks, mends, reason):
    """reason: the word of the log line that says why Redis counts as away."""
    gateway = stand.gateway
    with stand.load() as load:
        for name in stand.paths:
            load.wait_for(name, 200)
        assert stand.readiness() == (200, "ready", "connected")
        before = gateway.metrics()
        breaks()
        load.wait_for("deny", 503)
        load.wait_for("credits", 503)
        for name in ("allow", "local"):
            load.wait_for(name, 200)
        load.wait_for("revoked", 401)
        wait_until(lambda: AWAY in gateway.log(), DEADLINE, "the line that tells of it")
        assert reason in next(l for l in gateway.log().splitlines() if AWAY in l)
        wait_until(lambda: stand.readiness() == (200, "degraded", "disconnected"), DEADLINE,
                   "degraded readiness")
        during = gateway.metrics()
        for mode in ("deny", "allow", "local"):
            name = f'doorman_limit_store_down_total{{mode="{mode}"}}'
            assert during[name] > before[name], name
        assert during["doorman_redis_breakers_open"] == 1
        assert during["doorman_redis_up"] == 0
        answer = requests.get(gateway.url + stand.paths["allow"], timeout=30,
                              headers=stand.fields(stand.stranger))
        assert (answer.status_code, answer.json()["error_code"]) == (503, "STORE001")
        assert answer.headers["X-Doorman-Reason"] == "user"
        mends()
        for name in stand.paths:
            load.wait_for(name, 200)
        load.wait_for("revoked", 401)
        wait_until(lambda: stand.readiness() == (200, "ready", "connected"), DEADLINE, "readiness")
    judge(load)
    assert BACK in gateway.log()
    assert gateway.metrics()["doorman_redis_breakers_open"] == 0
    wait_until(lambda: stand.write().status_code == 200, DEADLINE, "writes on /platform")


def test_stopped(tmp_path, upstream):
    with standing(tmp_path, upstream) as stand:
        break_and_mend(stand, stand.split.redis.stop, stand.split.redis.start, "connection lost")


def test_stopped_process(tmp_path, upstream):
    with standing(tmp_path, upstream) as stand:
        break_and_mend(stand, stand.split.redis.pause, stand.split.redis.resume,
                       "no answer in time")


def test_black_hole(tmp_path, upstream):
    network = Namespace()
    redis = RedisServer(tmp_path / "redis")
    redis.host, redis.inside = network.address, network.inside
    redis.options.append(("protected-mode", "no"))
    try:
        network.start()
        with standing(tmp_path, upstream, redis) as stand:
            break_and_mend(stand, network.drop, network.pass_on, "no answer in time")
    finally:
        redis.kill()
        network.stop()


def test_slow(tmp_path, upstream):
    redis = RedisServer(tmp_path / "redis")
    link = SlowLink(redis.port)
    settings = {"REDIS_URL": f"redis://127.0.0.1:{link.port}"}

    def slow():
        link.delay = 0.7

    def quick():
        link.delay = 0.0

    try:
        with standing(tmp_path, upstream, redis, settings) as stand:
            break_and_mend(stand, slow, quick, "no answer in time")
    finally:
        link.stop()


def test_out_of_memory(tmp_path, upstream):
    with standing(tmp_path, upstream) as stand:
        redis, unlimited = stand.split.redis, stand.make_user(rate_limit_enabled=False)
        platform.subscribe(stand.admin, unlimited, "/".join(stand.paths["deny"].split("/")[3:5]))
        call = (stand.paths["deny"], stand.fields(unlimited))
        with stand.load(unlimited=call) as load:
            for name in stand.paths:
                load.wait_for(name, 200)
            redis.command("CONFIG", "SET", "maxmemory", "1")
            for name in REASONS:
                load.wait_for(name, 503)
            for name in ("allow", "local"):
                load.wait_for(name, 200)
            load.wait_for("unlimited", 200)
            assert stand.write().status_code == 503
            wait_until(lambda: "OOM" in stand.gateway.log(), DEADLINE, "what Redis said")
            redis.command("CONFIG", "SET", "maxmemory", "0")
            for name in stand.paths:
                load.wait_for(name, 200)
        judge(load)
        assert {a.status for a in load.seen("unlimited")} == {200}
        wait_until(lambda: stand.write().status_code == 200, DEADLINE, "writes on /platform")


def test_read_only_replica(tmp_path, upstream):
    with standing(tmp_path, upstream) as stand:
        redis = stand.split.redis
        break_and_mend(stand, lambda: redis.command("REPLICAOF", "127.0.0.1", "1"),
                       lambda: redis.command("REPLICAOF", "NO", "ONE"), "")
        log = stand.gateway.log()  # one line a second: the refused script's or the connection's
        assert "READONLY" in log or "the server is a replica" in log


@pytest.mark.parametrize("mode", ["closed", "open"])
def test_mirror_too_old(tmp_path, upstream, mode):
    """Past REVOCATION_MAX_STALE nobody knows who is revoked: 503, or the old mirror by choice."""
    settings = {"REVOCATION_MAX_STALE": "1", "REVOCATION_FAIL_MODE": mode}
    with standing(tmp_path, upstream, settings=settings) as stand:
        with stand.load() as load:
            load.wait_for("local", 200)
            stand.split.redis.stop()
            if mode == "closed":
                load.wait_for("local", 503)
                load.wait_for("revoked", 503)
                wait_until(lambda: stand.readiness()[0] == 503, DEADLINE, "readiness")
            else:
                age = "doorman_revocation_mirror_age_seconds"
                wait_until(lambda: stand.gateway.metrics()[age] > 2, DEADLINE, "an old mirror")
                load.wait_for("local", 200)
                load.wait_for("revoked", 401)
                assert stand.readiness() == (200, "degraded", "disconnected")
            stand.split.redis.start()
            load.wait_for("local", 200)
            load.wait_for("revoked", 401)
        reasons = {a.reason for a in load.seen("local") if a.status != 200}
        assert reasons <= {"revocation", "user"}
        assert mode == "open" or "revocation" in reasons
        assert {a.status for a in load.seen("revoked")} <= {401, 503}


@pytest.mark.parametrize("fault", ["flushed", "restarted"])
def test_emptied(tmp_path, upstream, fault):
    with standing(tmp_path, upstream) as stand:
        redis = stand.split.redis

        def breaks():
            if fault == "flushed":
                redis.command("FLUSHALL")
            else:
                redis.restart()

        reason = {"flushed": "lost what it held", "restarted": "connection lost"}[fault]
        with stand.admin_asleep() as wake:
            generation = readyz(stand.gateway)["generation"]
            break_and_mend(stand, breaks, wake, reason)
        admin = stand.split.admin_program
        assert "policy.store.lost" in admin.log()
        wait_until(lambda: "policy.restored" in admin.log(), DEADLINE, "the line that tells of it")
        assert readyz(stand.gateway)["generation"] > generation
        assert redis.command("EXISTS", f"jwt:revoke_all:{stand.revoked.username}") == 1


def test_set_back_to_an_older_state(tmp_path, upstream):
    """As a replica is that took over without the last writes, or a backup: what it does not know is
    no verdict, and the admin writes all of it again."""
    with standing(tmp_path, upstream) as stand:
        redis, key = stand.split.redis, "doorman:policy:current"
        copy = "redis.call('SET', KEYS[{}], redis.call('GET', KEYS[{}]))"
        redis.command("EVAL", copy.format(2, 1), 2, key, "older")
        generation = readyz(stand.gateway)["generation"]
        assert stand.write().status_code == 200
        wait_until(lambda: readyz(stand.gateway)["generation"] > generation, DEADLINE, "the write")
        revocation = f"jwt:revoke_all:{stand.revoked.username}"
        with stand.load() as load, stand.admin_asleep() as wake:
            load.wait_for("deny", 200)
            redis.command("EVAL", copy.format(1, 2) + " redis.call('DEL', KEYS[3])", 3, key,
                          "older", revocation)
            wait_until(lambda: "lost what it held" in stand.gateway.log(), DEADLINE, "the line")
            load.wait_for("deny", 503)  # calls that were under way have ended
            load.wait_for("revoked", 401)
            since = len(load.answers)
            load.wait_for("revoked", 401)
            assert {a.status for a in load.seen("revoked", since)} == {401}
            wake()
            for name in stand.paths:
                load.wait_for(name, 200)
        wait_until(lambda: redis.command("EXISTS", revocation) == 1, DEADLINE, "the revocation")
        assert "policy.store.lost" in stand.split.admin_program.log()
        assert {a.status for a in load.answers if a.name != "revoked"} <= {200, 503}


def test_emptied_for_the_admin(tmp_path, upstream):
    """Revocations are in Redis: one that lost them must not let anybody in on /platform either."""
    with standing(tmp_path, upstream) as stand:
        revoked = stand.revoked
        asked = platform.Session(stand.split.admin_program.url)
        asked.headers.update(stand.fields(revoked))
        assert asked.get("/platform/user/me").status_code == 401
        statuses = []
        for _ in range(20):
            stand.split.redis.command("FLUSHALL")
            statuses.append(asked.get("/platform/user/me").status_code)
        assert set(statuses) <= {401, 503} and 503 in statuses
        wait_until(lambda: asked.get("/platform/user/me").status_code == 401, DEADLINE,
                   "the revocation again")
        wait_until(lambda: "policy.restored" in stand.split.admin_program.log(), DEADLINE,
                   "the line that tells of it")


def test_scripts_flushed(tmp_path, upstream):
    with standing(tmp_path, upstream) as stand, stand.load() as load:
        for _ in range(20):
            stand.split.redis.command("SCRIPT", "FLUSH")
            load.wait_for("credits", 200, 2)
        assert {a.status for a in load.answers if a.name != "revoked"} == {200}
        assert {a.status for a in load.seen("revoked")} == {401}
        assert AWAY not in stand.gateway.log()


def at_once(redis, key, then):
    """Something else under a key, without a moment in which nothing is there."""
    redis.command("EVAL", f"redis.call('DEL', KEYS[1]) {then}", 1, key)


def test_wrong_type_under_a_counter(tmp_path, upstream):
    with standing(tmp_path, upstream) as stand:
        redis, name = stand.split.redis, stand.user.username
        hour = int(time.time()) // 3600
        keys = [f"rate_limit:{name}:{hour + n}" for n in range(2)]  # the window may end meanwhile
        account = f"credits:{stand.group}:{name}"
        with stand.load() as load:
            for call in stand.paths:
                load.wait_for(call, 200)
            for key in [*keys, account]:
                at_once(redis, key, "redis.call('SADD', KEYS[1], 'x')")
            for call in REASONS:
                load.wait_for(call, 503)
            for call in ("allow", "local"):
                load.wait_for(call, 200)
            assert "unusable reply of Redis" in stand.gateway.log()
            assert stand.gateway.metrics()["doorman_redis_unusable_replies_total"] > 0
            assert AWAY not in stand.gateway.log()  # others' calls are decided as ever
            assert redis.command("TYPE", account) == "set"  # what others wrote there stays
            redis.command("DEL", *keys)
            at_once(redis, account, "redis.call('HSET', KEYS[1], 'balance', 1000)")
            for call in stand.paths:
                load.wait_for(call, 200)
        judge(load)


@pytest.mark.parametrize("what", ["current", "object"])
def test_wrong_type_under_policy(tmp_path, upstream, what):
    """Only admins write there: it is written anew, and what is in force stays meanwhile."""
    with standing(tmp_path, upstream) as stand:
        redis = stand.split.redis
        key = "doorman:policy:current" if what == "current" else \
            sorted(redis.command("KEYS", "doorman:policy:obj:endpoint:*"))[0]
        with stand.load() as load:
            load.wait_for("deny", 200)
            at_once(redis, key, "redis.call('SADD', KEYS[1], 'x')")
            if what == "object":  # told of by nothing: the next whole publication finds it
                expect(stand.admin.delete("/api/caches"), 200)
            wait_until(lambda: redis.command("TYPE", key) == "string", DEADLINE, "the value again")
            for call in stand.paths:
                load.wait_for(call, 200)
        judge(load)
        wait_until(lambda: stand.write().status_code == 200, DEADLINE, "writes on /platform")


@pytest.mark.parametrize("fault", ["stop", "pause"])
def test_writes_are_refused_and_not_stored(tmp_path, upstream, fault):
    with standing(tmp_path, upstream) as stand:
        getattr(stand.split.redis, fault)()
        answer = stand.admin.post("/platform/role", json={"role_name": "late",
                                                          "role_description": "x"})
        assert (answer.status_code, answer.json()["error_code"]) == (503, "STORE001")
        answer = platform.Session(stand.split.admin_program.url).post(
            "/platform/authorization", json={"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD})
        assert (answer.status_code, answer.json()["error_code"]) == (503, "STORE001")
        stand.split.redis.start() if fault == "stop" else stand.split.redis.resume()
        wait_until(lambda: stand.admin.get("/platform/role/all").status_code == 200, DEADLINE,
                   "the admin again")
        assert stand.admin.get("/platform/role/late").status_code == 404


def test_eviction_is_warned_of(tmp_path, upstream):
    redis = RedisServer(tmp_path / "redis", ("maxmemory-policy", "allkeys-lru"))
    with standing(tmp_path, upstream, redis) as stand:
        admin = stand.split.admin_program
        line = next(one for one in admin.log().splitlines() if "may evict" in one)
        assert "WARNING" in line and "allkeys-lru" in line
        redis.command("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
        admin.stop()
        admin.start()
        assert admin.log().count("may evict") == 1
