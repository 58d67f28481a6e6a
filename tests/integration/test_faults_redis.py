"""Redis breaks under load, with the real programs (docs/failure-matrix.md).

Nobody is taken for unknown, not allowed or not there because of it, nobody who was revoked gets in,
limits do what their API says, and operators are told.
"""

import contextlib
import time

import pytest
import requests
from harness import platform
from harness.load import Load
from harness.network import Namespace, SlowLink
from harness.platform import expect
from harness.process import wait_until
from harness.redis import RedisServer
from harness.split import Split, readyz

DEADLINE = 60.0
SETTINGS = {"REDIS_ADMISSION_TIMEOUT_MS": "300", "REDIS_SOCKET_TIMEOUT": "2"}
AWAY, BACK = "live store away", "live store back"


class Stand:
    """A sidecar with four APIs, one for each thing that may be decided without Redis."""

    def __init__(self, split, upstream):
        self.split, self.gateway = split, split.gateways[0]
        self.admin = platform.login(split.url)
        self.user = self.make_user()
        self.paths = {mode: self.publish(upstream, api_limit_on_store_down=mode)
                      for mode in ("deny", "allow", "local")}
        self.group = platform.unique("g")
        expect(self.admin.post("/platform/credit", json={
            "api_credit_group": self.group, "api_key": "k", "api_key_header": "X-Partner-Key",
            "credit_tiers": [{"tier_name": "default", "credits": 1000000, "input_limit": 0,
                              "output_limit": 0, "reset_frequency": "monthly"}]}), 201)
        self.paths["credits"] = self.publish(upstream, api_credits_enabled=True,
                                             api_credit_group=self.group)
        self.give(self.user)
        self.revoked = self.make_user()
        platform.subscribe(self.admin, self.revoked, "/".join(self.paths["allow"].split("/")[3:5]))
        assert requests.get(self.gateway.url + self.paths["allow"], timeout=30,
                            headers=self.fields(self.revoked)).status_code == 200
        platform.revoke(self.admin, self.revoked)
        self.stranger = self.make_user()  # whom this sidecar has not seen yet

    def give(self, user, credits=1000000):
        expect(self.admin.post(f"/platform/credit/{user.username}", json={
            "username": user.username, "users_credits": {
                self.group: {"tier_name": "default", "available_credits": credits}}}), 200)

    def make_user(self):
        return platform.make_user(self.admin, rate_limit_enabled=True, rate_limit_duration=1000000,
                                  rate_limit_duration_type="hour")

    def publish(self, upstream, **fields):
        api = platform.make_api(self.admin, upstream.url, **fields)
        platform.make_endpoint(self.admin, api, "/hello")
        platform.subscribe(self.admin, self.user, api)
        return platform.rest_path(api, "/hello")

    @staticmethod
    def fields(user):
        return {"Authorization": user.headers["Authorization"]}

    def load(self):
        calls = {name: (path, self.fields(self.user)) for name, path in self.paths.items()}
        calls["revoked"] = (self.paths["allow"], self.fields(self.revoked))
        return Load(self.gateway, calls)

    def readiness(self):
        answer = platform.Session(self.gateway.metrics_url).get("/platform/monitor/readiness")
        return answer.status_code, answer.json()["status"], answer.json()["redis"]

    def write(self):
        """A change over /platform."""
        return self.admin.put(f"/platform/user/{self.user.username}",
                              json={"throttle_queue_limit": 100})


REASONS = {"deny": "limits; store", "credits": "credits; store"}


def judge(load):
    """Whatever happened: these are all the verdicts there may be."""
    for a in load.answers:
        if a.name == "revoked":
            assert a.status in (401, 503), a
        elif a.status != 200:
            assert (a.status, a.code) == (503, "STORE001"), a
            assert a.reason in (REASONS.get(a.name), "user"), a
            assert int(a.retry_after) > 0, a


@contextlib.contextmanager
def standing(tmp_path, upstream, redis=None, settings=None):
    split = Split(tmp_path / "split", {**SETTINGS, **(settings or {})}, redis=redis)
    try:
        split.start()
        yield Stand(split, upstream)
        split.stop()
    finally:
        split.kill()


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
        redis = stand.split.redis
        with stand.load() as load:
            for name in stand.paths:
                load.wait_for(name, 200)
            redis.command("CONFIG", "SET", "maxmemory", "1")
            for name in REASONS:
                load.wait_for(name, 503)
            for name in ("allow", "local"):
                load.wait_for(name, 200)
            assert stand.write().status_code == 503
            wait_until(lambda: "OOM" in stand.gateway.log(), DEADLINE, "what Redis said")
            redis.command("CONFIG", "SET", "maxmemory", "0")
            for name in stand.paths:
                load.wait_for(name, 200)
        judge(load)
        wait_until(lambda: stand.write().status_code == 200, DEADLINE, "writes on /platform")


def test_read_only_replica(tmp_path, upstream):
    with standing(tmp_path, upstream) as stand:
        redis = stand.split.redis
        break_and_mend(stand, lambda: redis.command("REPLICAOF", "127.0.0.1", "1"),
                       lambda: redis.command("REPLICAOF", "NO", "ONE"), "")
        assert "the server is a replica" in stand.gateway.log()


@contextlib.contextmanager
def admin_asleep(stand):
    """Nobody publishes anew before the test has seen what happens until then."""
    admin = stand.split.admin_program
    admin.signal(19)
    yield lambda: admin.signal(18)


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
        with admin_asleep(stand) as wake:
            generation = readyz(stand.gateway)["generation"]
            break_and_mend(stand, breaks, wake, reason)
        assert readyz(stand.gateway)["generation"] > generation
        assert redis.command("EXISTS", f"jwt:revoke_all:{stand.revoked.username}") == 1


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
        stand.split.redis.start() if fault == "stop" else stand.split.redis.resume()
        wait_until(lambda: stand.admin.get("/platform/role/all").status_code == 200, DEADLINE,
                   "the admin again")
        assert stand.admin.get("/platform/role/late").status_code == 404
