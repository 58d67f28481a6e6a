"""The programs themselves break, or their clocks do (docs/failure-matrix.md).

An admin killed after any of its writes, two admins at once, a sidecar killed under load, clocks
that leap.
"""

import concurrent.futures
import threading
import time

import jwt
import pytest
import requests
from harness import platform
from harness.faults import DEADLINE, Stand, standing
from harness.moved_clock import MovedClock
from harness.platform import expect
from harness.process import JWT_SECRET, LIBRARY_OPTIONS, wait_until
from harness.redis import RedisServer
from harness.split import Split, readyz

HOUR = 3600


def status(program, path, user):
    return requests.get(program.url + path, headers=Stand.fields(user), timeout=30).status_code


# --- an admin that ends after its n-th write ---

class Subject:
    """One API and three users, and what is done to them. Tokens are made here, not by logins: what
    takes time is hashing passwords."""

    def __init__(self, admin, upstream):
        self.api = platform.make_api(admin, upstream.url)
        self.name = self.api["api_name"]
        platform.make_endpoint(admin, self.api, "/hello")
        self.path = platform.rest_path(self.api, "/hello")
        self.users = [self.make_user(admin) for _ in range(3)]
        for user in self.users[:2]:
            platform.subscribe(admin, user.username, self.api)
        self.was_revoked = False

    @staticmethod
    def make_user(admin):
        name = platform.unique("user")
        expect(admin.post("/platform/user", json={
            "username": name, "email": f"{name}@example.com", "role": "user", "groups": ["ALL"],
            "password": platform.USER_PASSWORD}), 201)
        claims = jwt.decode(admin.token, options={"verify_signature": False})
        token = jwt.encode({**claims, "sub": name, "jti": name}, JWT_SECRET, "HS256",
                           jwt.get_unverified_header(admin.token))
        user = platform.Session(admin.url)
        user.username, user.headers["Authorization"] = name, f"Bearer {token}"
        return user

    def change(self, admin):
        """Every kind of write that a verdict hangs on; ends where the admin does."""
        first, second, third = self.users
        platform.subscribe(admin, third.username, self.api)
        platform.revoke(admin, second)
        self.was_revoked = True
        expect(admin.delete(f"/platform/user/{first.username}"), 200)
        expect(admin.put(f"/platform/api/{self.name}/v1", json={"active": False}), 200)

    def wanted(self, admin):
        """What each user is to be told, by what the admin's own documents say now."""
        active = expect(admin.get(f"/platform/api/{self.name}/v1"), 200)["active"]
        verdicts = []
        for user in self.users:
            if user.get("/platform/user/me").status_code != 200:
                verdicts.append(401)
                continue
            answer = admin.get(f"/platform/subscription/subscriptions/{user.username}")
            apis = answer.json().get("apis", []) if answer.status_code == 200 else []
            verdicts.append(200 if active and f"{self.name}/v1" in apis else 403)
        return verdicts


LEASE = "{doorman:policy:current}:lease"


def crash_after(split, admin, subject, n):
    """Where the admin ended: "start", "change", or "" (all was done before)."""
    program = split.admin_program
    program.kill()
    split.redis.command("DEL", LEASE)  # it would lapse after 5 s, which is tested elsewhere
    program.settings["DOORMAN_FAULT"] = f"store_write_exit:{n}"
    program.spawn()
    del program.settings["DOORMAN_FAULT"]
    ended = "start"
    try:
        wait_until(program.is_ready, DEADLINE, "readiness")
        ended = "change"
        subject.change(admin)
        ended = ""
        program.kill()
        split.redis.command("DEL", LEASE)
    except (RuntimeError, requests.ConnectionError):
        assert program.wait() == 137
        split.redis.command("DEL", LEASE)
    program.start()
    return ended


@pytest.mark.timeout(600)
def test_admin_killed_after_any_write(tmp_path, upstream):
    split = Split(tmp_path / "split").start()
    program, subject, places = split.admin_program, None, []
    try:
        admin = platform.login(program.url)
        platform.after_write.pop(program.url)  # it will not answer that
        while not places or places[-1] != "":
            if subject is None or places[-1] == "change":
                subject = Subject(admin, upstream)
            places.append(crash_after(split, admin, subject, len(places) + 1))
            if places[-1] == "start":
                continue
            split.settle()
            wanted = subject.wanted(admin)
            told = [status(split.gateways[0], subject.path, user) for user in subject.users]
            assert told == wanted, f"after write {len(places)}"
            assert not subject.was_revoked or told[1] == 401, f"after write {len(places)}"
        assert told == [401, 401, 403]
        assert places.count("change") >= 12
        split.stop()
    finally:
        split.kill()


# --- two admins ---

def test_two_admins_at_once(tmp_path, upstream):
    with standing(tmp_path, upstream) as stand:
        first = stand.split.admin_program
        second = stand.split.another_admin(tmp_path / "second").start()
        admins = [platform.login(program.url) for program in (first, second)]
        name, user = stand.paths["deny"].split("/")[3], stand.make_user().username

        def write(admin, field):
            for n in range(1, 21):
                expect(admin.put(f"/platform/user/{user}", json={field: n}), 200)
                expect(admin.put(f"/platform/api/{name}/v1",
                                 json={"active": n % 2 == 0, "api_description": field}), 200)

        platform.after_write.pop(first.url)
        with stand.load() as load, concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(write, admins, ("throttle_queue_limit", "throttle_duration")))
        now = expect(admins[0].get(f"/platform/user/{user}"), 200)
        assert (now["throttle_queue_limit"], now["throttle_duration"]) == (20, 20)  # none is lost
        active = expect(admins[1].get(f"/platform/api/{name}/v1"), 200)["active"]
        newest = max(readyz(program)["generation"] for program in (first, second))
        wait_until(lambda: readyz(stand.gateway)["generation"] >= newest, DEADLINE, "the newest")
        assert status(stand.gateway, stand.paths["deny"], stand.user) == (200 if active else 403)
        assert {a.status for a in load.answers if a.name in ("allow", "local", "credits")} == {200}
        second.stop()


# --- a sidecar that is killed ---

def test_gateway_killed_under_load(tmp_path, start_upstream):
    """Its reservations come back when their holds end, and exactly as many credits are given."""
    release, waiting = threading.Event(), []

    def answer(request):
        if not release.is_set():
            waiting.append(request)
            release.wait(DEADLINE)
        return 200, [], b"{}"

    redis = RedisServer(tmp_path / "redis")
    redis.clock = MovedClock(tmp_path, 1700000000)
    upstream = start_upstream(answer)
    release.set()
    with standing(tmp_path, upstream, redis) as stand:
        payer = platform.make_user(stand.admin)
        platform.subscribe(stand.admin, payer, "/".join(stand.paths["credits"].split("/")[3:5]))
        stand.give(payer, 20)
        release.clear()

        def call(_):
            try:
                return status(stand.gateway, stand.paths["credits"], payer)
            except requests.ConnectionError:
                return None

        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            calls = [pool.submit(call, n) for n in range(30)]
            wait_until(lambda: len(waiting) == 20, DEADLINE, "as many calls as credits")
            wait_until(lambda: sum(c.done() for c in calls) == 10, DEADLINE, "the refused ones")
            assert {c.result() for c in calls if c.done()} == {401}  # GTW008: none left
            stand.gateway.kill()
            assert sorted(map(str, (c.result() for c in calls))) == ["401"] * 10 + ["None"] * 20
        release.set()
        stand.gateway.start()
        assert call(0) == 401  # held
        redis.clock.set(redis.clock.seconds + HOUR)
        assert [call(n) for n in range(25)] == [200] * 20 + [401] * 5


# --- clocks ---

def test_clock_of_redis_leaps(tmp_path, upstream):
    redis = RedisServer(tmp_path / "redis")
    redis.clock = MovedClock(tmp_path, 1700000000)
    with standing(tmp_path, upstream, redis) as stand:
        limited = platform.make_user(stand.admin, rate_limit_enabled=True, rate_limit_duration=3,
                                     rate_limit_duration_type="hour")
        platform.subscribe(stand.admin, limited, "/".join(stand.paths["deny"].split("/")[3:5]))

        def calls():
            return [status(stand.gateway, stand.paths["deny"], limited) for _ in range(5)]

        with stand.load() as load:
            assert calls() == [200, 200, 200, 429, 429]
            redis.clock.set(redis.clock.seconds + HOUR)
            assert calls() == [200, 200, 200, 429, 429]  # the next window
            redis.clock.set(redis.clock.seconds - 2 * HOUR)
            assert calls() == [200, 200, 200, 429, 429]  # one that was never counted
            for name in stand.paths:
                load.wait_for(name, 200)
            load.wait_for("revoked", 401)
        assert {a.status for a in load.answers if a.name != "revoked"} == {200}
        assert {a.status for a in load.seen("revoked")} == {401}


def test_clock_of_redis_is_ahead(tmp_path, upstream):
    """By more than a token lives: what is revoked stays so, since tokens end by the programs'."""
    redis = RedisServer(tmp_path / "redis")
    redis.clock = MovedClock(tmp_path, time.time() + HOUR)
    with standing(tmp_path, upstream, redis) as stand:
        users = [stand.make_user() for _ in range(2)]
        path = stand.paths["deny"]
        for user in users:
            platform.subscribe(stand.admin, user, "/".join(path.split("/")[3:5]))
            assert status(stand.gateway, path, user) == 200
            expect(user.post("/platform/authorization/invalidate"), 200)
            assert status(stand.gateway, path, user) == 401
        mirror = redis.command("ZCARD", "doorman:revoked:jti")
        redis.clock.set(redis.clock.seconds + HOUR)  # past the end of their keys
        assert (mirror, redis.command("KEYS", "jwt:revoked:*")) == (2, [])
        assert [status(stand.gateway, path, user) for user in users] == [401, 401]
        restarted = readyz(stand.gateway)["generation"]
        redis.restart()  # empty: the admin writes them again, and so they reach the mirrors
        wait_until(lambda: readyz(stand.gateway)["generation"] > restarted, DEADLINE, "the restore")
        wait_until(lambda: status(stand.gateway, path, stand.user) == 200, DEADLINE, "Redis again")
        assert [status(stand.gateway, path, user) for user in users] == [401, 401]


@pytest.mark.parametrize("leap", [HOUR, -HOUR])
def test_clock_of_a_sidecar_leaps(tmp_path, upstream, leap):
    """Windows are Redis' own. What was said to expire does by the sidecar's clock, so the token
    here is one whose life is longer than the leap on both sides."""
    now = 1700000000
    clock = MovedClock(tmp_path, now)

    def prepare(split):
        options = LIBRARY_OPTIONS["ASAN_OPTIONS"] + ":verify_asan_link_order=0"
        split.gateways[0].settings.update(clock.environment(), ASAN_OPTIONS=options)

    with standing(tmp_path, upstream, prepare=prepare, longlived=now) as stand:
        limited = stand.make_user(rate_limit_duration=3)
        platform.subscribe(stand.admin, limited, "/".join(stand.paths["deny"].split("/")[3:5]))

        def call():
            return status(stand.gateway, stand.paths["deny"], limited)

        with stand.load() as load:
            assert [call(), call()] == [200, 200]
            clock.set(now + leap)
            assert [call(), call()] == [200, 429]
            for name in stand.paths:
                load.wait_for(name, 200)
            load.wait_for("revoked", 401)
        assert {a.status for a in load.answers if a.name != "revoked"} == {200}
        assert {a.status for a in load.seen("revoked")} == {401}
