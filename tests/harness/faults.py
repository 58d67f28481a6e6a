"""Two programs and their stores with something to break: four APIs, under load by real clients.

What the answers may be while a store is away or lost its memory is the same for every fault.
"""

import contextlib
import signal

import jwt
import requests
from harness import platform
from harness.load import Load
from harness.platform import expect
from harness.process import JWT_SECRET
from harness.split import Split

DEADLINE = 60.0
DAY = 24 * 3600
SETTINGS = {"REDIS_ADMISSION_TIMEOUT_MS": "300", "REDIS_SOCKET_TIMEOUT": "2"}
AWAY, BACK = "live store away", "live store back"


class Stand:
    """A sidecar with four APIs, one for each thing that may be decided without Redis."""

    def __init__(self, split, upstream, longlived=None):
        self.split, self.gateway = split, split.gateways[0]
        self.longlived = longlived
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

    def make_user(self, **fields):
        user = platform.make_user(self.admin, **{
            "rate_limit_enabled": True, "rate_limit_duration": 1000000,
            "rate_limit_duration_type": "hour", **fields})
        if self.longlived:
            self.lengthen(user)
        return user

    def lengthen(self, user):
        """The same token, from a day before that moment to a day after it."""
        claims = jwt.decode(user.token, options={"verify_signature": False})
        claims.update(iat=self.longlived - DAY, nbf=self.longlived - DAY,
                      exp=self.longlived + DAY)
        user.token = jwt.encode(claims, JWT_SECRET, "HS256", jwt.get_unverified_header(user.token))
        user.headers["Authorization"] = f"Bearer {user.token}"

    @contextlib.contextmanager
    def admin_asleep(self):
        """Nobody writes anything anew before the test has seen what happens until then; gives what
        wakes the admin."""
        admin = self.split.admin_program
        admin.signal(signal.SIGSTOP)
        try:
            yield lambda: admin.signal(signal.SIGCONT)
        finally:
            admin.signal(signal.SIGCONT)

    def publish(self, upstream, **fields):
        api = platform.make_api(self.admin, upstream.url, **fields)
        platform.make_endpoint(self.admin, api, "/hello")
        platform.subscribe(self.admin, self.user, api)
        return platform.rest_path(api, "/hello")

    @staticmethod
    def fields(user):
        return {"Authorization": user.headers["Authorization"]}

    def load(self, **more):
        """more: name=(path, fields)"""
        calls = {name: (path, self.fields(self.user)) for name, path in self.paths.items()}
        calls.update(more)
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
def standing(tmp_path, upstream, redis=None, settings=None, prepare=None, longlived=None):
    """prepare: called with the Split before anything starts. longlived: Stand.lengthen."""
    split = Split(tmp_path / "split", {**SETTINGS, **(settings or {})}, redis=redis)
    if prepare:
        prepare(split)
    try:
        split.start()
        yield Stand(split, upstream, longlived)
        split.stop()
    finally:
        split.kill()
