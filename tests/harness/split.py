"""The product in two programs: one doorman-admin and its sidecars over real Redis and MongoDB.

Split looks like harness.process.Doorman to a test: one address (the first sidecar's, which passes
/platform on to the admin), one log, one set of samples. What a test changes over /platform is in
force in every sidecar before the call returns to it (harness.platform.Session asks), as it is in
one process; how long that takes is a question for tests of its own.
"""

import atexit
import base64
import itertools
import json
import os
import pathlib
import shutil
import tempfile
import urllib.error
import urllib.request

from harness import platform
from harness.mongo import MongoServer
from harness.process import STOP_DEADLINE, Doorman, wait_until
from harness.redis import RedisServer

SETTLE_DEADLINE = 30.0

_mongo = None
_databases = itertools.count(1)


def mongo():
    """One server for all that this process of the tests starts; each has a database of its own."""
    global _mongo
    if _mongo is None:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="doorman-mongo-"))
        _mongo = MongoServer(folder).start()
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        atexit.register(_mongo.stop)
    return _mongo


def readyz(program):
    """The body of /readyz, also of an answer that says no; None when there is none."""
    try:
        with urllib.request.urlopen(f"{program.metrics_url}/readyz", timeout=5) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        return json.load(refused)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def policy_pair():
    """POLICY_SIGNING_KEY and POLICY_VERIFY_KEY."""
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(s.Encoding.Raw, s.PrivateFormat.Raw, s.NoEncryption())
    public = key.public_key().public_bytes(s.Encoding.Raw, s.PublicFormat.Raw)
    return base64.b64encode(private).decode(), base64.b64encode(public).decode()


class Split:
    """Settings reach both programs; each takes what is its own. gateways: how many sidecars.
    redis: other servers than one of its own (harness.redis), which start and stop with it."""

    def __init__(self, folder, settings=None, gateways=1, redis=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.redis = redis or RedisServer(self.folder / "redis")
        self.mongo = mongo()
        self.settings = {
            "MEM_OR_EXTERNAL": "REDIS",
            **self.redis.settings,
            # Generous: what is tested is not how fast a sanitizer build is on a loaded machine.
            "REDIS_ADMISSION_TIMEOUT_MS": "1000",
            **(settings or {}),
        }
        self.database = f"doorman_{os.getpid()}_{next(_databases)}"
        stores = {"MONGO_DB_URI": self.mongo.uri, "MONGO_DB_NAME": self.database}
        self.admin_program = Doorman(self.folder / "admin",
                                     {"THREADS": "2", **self.settings, **stores},
                                     name="doorman-admin")
        upstream = {"ADMIN_UPSTREAM_URL": self.admin_program.url, "DOORMAN_ADMIN_PASSWORD": None}
        self.gateways = [
            Doorman(self.folder / f"gateway{n}", {"THREADS": "1", **self.settings, **upstream},
                    name="doorman-gateway")
            for n in range(gateways)
        ]
        front = self.gateways[0]
        self.port, self.url = front.port, front.url
        self.metrics_port, self.metrics_url = front.metrics_port, front.metrics_url

    @property
    def programs(self):
        return [self.admin_program, *self.gateways]

    def spawn(self):
        for program in self.programs:
            program.spawn()
        return self

    def start(self):
        if not self.redis.running():  # a test may have put keys there
            self.redis.start()
        self.admin_program.start()
        for gateway in self.gateways:
            gateway.start()
        self.settle()
        platform.after_write[self.url] = platform.after_write[self.admin_program.url] = self.settle
        return self

    def another_admin(self, folder, **settings):
        """Of the same stores; not started, and the caller's to stop."""
        admin = Doorman(folder, {**self.admin_program.settings, **settings}, name="doorman-admin")
        admin.settings.update({"PORT": str(admin.port), "METRICS_PORT": str(admin.metrics_port)})
        return admin

    def settle(self):
        """Until every sidecar has in force what the admin has published."""
        wanted = (readyz(self.admin_program) or {}).get("generation", 0)
        for gateway in self.gateways:
            if gateway.running():
                wait_until(lambda g=gateway: (readyz(g) or {}).get("generation", 0) >= wanted,
                           SETTLE_DEADLINE, f"generation {wanted} in a sidecar")

    @property
    def pid(self):
        return self.gateways[0].pid

    def running(self):
        return any(program.running() for program in self.programs)

    def signal(self, number):
        for program in self.programs:
            program.signal(number)

    def wait(self, deadline=STOP_DEADLINE):
        """The exit codes of all, when they end by themselves: 0, or the first that is not."""
        return next((code for code in [p.wait(deadline) for p in self.programs] if code), 0)

    def stop(self):
        """Sidecars first, as they lean on the admin; each must end cleanly."""
        platform.after_write.pop(self.url, None)
        platform.after_write.pop(self.admin_program.url, None)
        faults = []
        for program in [*self.gateways, self.admin_program]:
            try:
                program.stop()
            except RuntimeError as fault:
                faults.append(str(fault))
        self.redis.stop()
        if faults:
            raise RuntimeError("\n".join(faults))

    def kill(self):
        for program in self.programs:
            program.kill()
        self.redis.stop()

    def log(self):
        return "".join(program.log() for program in self.programs)

    def check_log(self):
        for program in self.programs:
            program.check_log()

    def resident_kb(self):
        return self.gateways[0].resident_kb()

    def metrics(self):
        """Of all programs together: a count is what it is wherever it was counted."""
        total = {}
        for program in self.programs:
            for name, value in program.metrics().items():
                total[name] = total.get(name, 0) + value
        return total


def published(split, upstream, **fields):
    """The smallest thing to call, its user of the fields: the administrator, the user, the path."""
    admin = platform.login(split.url)
    api, user = platform.make_callable(admin, upstream, **fields)
    return admin, user, platform.rest_path(api, "/hello")


def call(program, user, path):
    """The status that one of the programs answers a user's GET with."""
    return user.get(program.url + path).status_code
