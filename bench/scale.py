"""bench/run --scale: what grows with the policy and with time. doorman-admin and doorman-gateway
over real Redis and a server of MongoDB's wire protocol; nginx is the upstream.

Large sets are written into the document store as another program would (copies of documents that
the admin made), so that what is measured is the product and not 100,000 calls of /platform.
"""

import contextlib
import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import uuid

import load
import proxies
from comparison import commit, machine_line, say
from figures import Target, spread, table
from proxies import Machine, platform

from harness.changes import Changes  # noqa: E402 (path set by proxies)
from harness.mongo import MongoServer  # noqa: E402
from harness.process import JWT_SECRET, Doorman, free_port, wait_until  # noqa: E402
from harness.redis import RedisServer  # noqa: E402
from harness.split import readyz  # noqa: E402

MB = 1 << 10  # KB in one
CONNECTIONS = 32
CALLS_DEADLINE = 900.0
START_DEADLINE = 900.0  # of an admin that publishes everything
CALLERS = pathlib.Path(__file__).with_name("callers.lua")


class Sizes:
    """How much of everything; the quick ones only show that all of it works."""

    def __init__(self, quick):
        self.changes, self.early = (40, 20) if quick else (1_000, 100)
        self.users = 2_000 if quick else 100_000
        self.apis, self.endpoints = (20, 10) if quick else (1_000, 10)
        self.starts = 3 if quick else 15


class Upstream(proxies.Upstream):
    """The one of the comparisons on any free port: nothing else names it here."""

    def command(self):
        command, fixed = super().command(), f":{self.port} "
        self.port = free_port()
        command[-1].write_text(command[-1].read_text().replace(fixed, f":{self.port} "))
        return command

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


class Programs:
    """One admin and one sidecar of one worker, with a Redis and a database of their own."""

    _numbers = itertools.count(1)

    def __init__(self, machine, mongo, name, gateway=None):
        self.folder = machine.folder / "out" / name
        self.mongo = mongo
        self.database = f"scale{next(self._numbers)}"
        self.redis = RedisServer(self.folder / "redis")
        shared = {"ENV": None, "LOGS_DIR": None, "ACCESS_LOG": "off", "MEM_OR_EXTERNAL": "REDIS",
                  "REDIS_URL": self.redis.url, "THREADS": "1",
                  # Redis shares a core with the load: how soon it answers is not asked here.
                  "REDIS_ADMISSION_TIMEOUT_MS": "1000"}
        self.admin = Doorman(self.folder / "admin",
                             {**shared, "MONGO_DB_URI": mongo.uri, "MONGO_DB_NAME": self.database},
                             name="doorman-admin")
        self.gateway = Doorman(self.folder / "gateway",
                               {**shared, "DOORMAN_ADMIN_PASSWORD": None,
                                "ADMIN_UPSTREAM_URL": self.admin.url, **(gateway or {})},
                               name="doorman-gateway")
        self.gateway.prefix = machine.pinned(machine.proxy_core)

    def start_admin(self):
        """Seconds from exec to readiness, however long it publishes."""
        began = time.monotonic()
        self.admin.spawn()
        wait_until(self.admin.is_ready, START_DEADLINE, "readiness of the admin")
        return time.monotonic() - began

    def start_gateway(self):
        """Milliseconds from exec to the first 200 on /readyz."""
        began = time.perf_counter()
        self.gateway.spawn()
        wait_until(self.gateway.is_ready, 30, "readiness of the sidecar")
        return 1000 * (time.perf_counter() - began)

    def start(self):
        self.redis.start()
        self.start_admin()
        self.start_gateway()
        platform.after_write[self.admin.url] = self.settle
        return self

    def settle(self):
        wanted = readyz(self.admin)["generation"]
        wait_until(lambda: (readyz(self.gateway) or {}).get("generation", 0) >= wanted, 60,
                   f"generation {wanted} in the sidecar")

    def stop(self):
        platform.after_write.pop(self.admin.url, None)
        for program in (self.gateway, self.admin):
            if program.running():
                program.stop()
        self.redis.stop()

    def publish(self, upstream):
        """An API with one endpoint and one user who may call it; gives admin, API, path, token."""
        admin = platform.login(self.admin.url)
        api = platform.make_api(admin, upstream.url, name="bench")
        platform.make_endpoint(admin, api, "/data")
        user = platform.make_user(admin, "bench")
        platform.subscribe(admin, user, api)
        return admin, api, "/api/rest/bench/v1/data", user.token


@contextlib.contextmanager
def traffic(gateway, path, faults, *words):
    """wrk until the block ends; then `faults` holds how many calls there were and how many failed.
    words: ("-H", a field), or a script with its arguments behind "--"."""
    options = list(words[:words.index("--")] if "--" in words else words)
    process = subprocess.Popen(
        ["wrk", "-t1", f"-c{CONNECTIONS}", "-d3600s", "--timeout", "10s", *options,
         gateway.url + path, *words[len(options):]],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)  # then it tells what it counted
        out = process.communicate(timeout=30)[0]
        counts = [sum(map(int, re.findall(pattern, line))) for line in out.splitlines()
                  for pattern in (r"Non-2xx or 3xx responses: (\d+)",
                                  r"(?:connect|read|write|timeout) (\d+)")]
        faults["requests"] = int(re.search(r"(\d+) requests in", out).group(1))
        faults["failed"] = sum(counts)


class Clones:
    """Documents like one that the admin made, under other names."""

    def __init__(self, programs):
        self.programs = programs

    def insert(self, collection, documents, piece=1_000):
        with self.programs.mongo.database(self.programs.database) as database:
            while batch := list(itertools.islice(documents, piece)):
                database[collection].insert_many(batch, ordered=False)

    def template(self, collection, **key):
        with self.programs.mongo.database(self.programs.database) as database:
            found = database[collection].find_one(key)
        for name in ("_id", "_dm_version"):
            found.pop(name, None)
        return found

    def users(self, count):
        user = self.template("users", username="bench")
        mine = self.template("subscriptions", username="bench")
        names = [f"user-{number:06}" for number in range(count)]
        self.insert("users", ({**user, "username": n, "email": f"{n}@example.com"} for n in names))
        self.insert("subscriptions", ({**mine, "username": n} for n in names))
        return names

    def apis(self, count, endpoints):
        api = self.template("apis", api_name="bench")
        endpoint = self.template("endpoints", api_name="bench")
        ids = {f"api{number}": str(uuid.uuid4()) for number in range(count)}
        self.insert("apis", ({**api, "api_name": name, "api_id": key, "api_path": f"/{name}/v1"}
                             for name, key in ids.items()))
        self.insert("endpoints", (
            {**endpoint, "api_name": name, "api_id": key, "endpoint_id": str(uuid.uuid4()),
             "endpoint_uri": f"/resource{number}/{{id}}"}
            for name, key in ids.items() for number in range(endpoints)))


def token_of(name):
    head = {"alg": "HS256", "typ": "JWT"}
    now = int(time.time())
    claims = {"sub": name, "jti": str(uuid.uuid4()), "iat": now, "nbf": now, "exp": now + 86400,
              "token_use": "access"}
    return proxies.sign_hs256(head, claims, JWT_SECRET)


def peak_kb(program):
    status = pathlib.Path(f"/proc/{program.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1))


@contextlib.contextmanager
def ahead_of_others(*pids):
    """Priority, also of what these processes start: the machine may have other work."""
    for pid in pids:
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        for pid in pids:
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def cpu_ms(program):
    fields = pathlib.Path(f"/proc/{program.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / proxies.TICKS


def answered(program):
    return sum(value for name, value in program.metrics().items()
               if name.startswith("doorman_http_requests_total"))


class ScaleRun:
    def __init__(self, machine: Machine, quick):
        self.machine, self.sizes = machine, Sizes(quick)
        self.notes = []

    def measure(self):
        with contextlib.ExitStack() as running:
            self.upstream = Upstream(self.machine).start()
            running.callback(self.upstream.stop)
            mongo = MongoServer(self.machine.folder / "out" / "mongo").start()
            running.callback(mongo.stop)
            self.store = "mongod" if mongo.mongod else "FerretDB 1.23 (SQLite)"
            for part in (self.changes, self.users, self.starts):
                say(part.__doc__)
                part(mongo)

    @contextlib.contextmanager
    def programs(self, mongo, name, **settings):
        programs = Programs(self.machine, mongo, name, settings)
        try:
            yield programs.start()
        except BaseException:
            keep = self.machine.folder.parent / "doorman-scale-logs"
            shutil.copytree(programs.folder, keep, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("data"))
            say(f"logs: {keep}")
            raise
        finally:
            programs.stop()

    def changes(self, mongo):
        """policy changes under load"""
        with self.programs(mongo, "changes") as p:
            admin, api, path, token = p.publish(self.upstream)
            changes, counted = Changes(admin, api, "bench", self.upstream.url), {}
            began = time.monotonic()
            with traffic(p.gateway, path, counted, "-H", f"Authorization: Bearer {token}"):
                while changes.done < self.sizes.early:
                    changes.one()
                self.early = p.gateway.resident_kb()
                while changes.done < self.sizes.changes:
                    changes.one()
                self.late = p.gateway.resident_kb()
            self.load = counted
            say(f"{changes.done} changes in {time.monotonic() - began:.0f} s, "
                f"{self.early} KB -> {self.late} KB, {counted}")

    def users(self, mongo):
        """users and subscriptions in the store"""
        with self.programs(mongo, "users") as p:
            p.publish(self.upstream)
            p.gateway.stop()
            p.admin.stop()
            names = Clones(p).users(self.sizes.users)
            self.admin_start = p.start_admin()
            self.admin_peak = peak_kb(p.admin)
            p.start_gateway()
            self.idle = load.wait_for_growth_to_end(p.gateway, 1)
            self.call_all(p, names)
            say(f"admin {self.admin_start:.1f} s, {self.admin_peak} KB; gateway {self.idle} KB, "
                f"peak {self.peak} KB")
            p.admin.stop()
            self.admin_restart = p.start_admin()

    def call_all(self, p, names):
        """Every user of the set calls."""
        tokens = self.machine.folder / "cfg" / "tokens"
        tokens.write_text("".join(token_of(name) + "\n" for name in names))
        self.callers = {}
        with traffic(p.gateway, "/api/rest/bench/v1/data", self.callers, "-s", CALLERS, "--",
                     tokens):
            wait_until(lambda: answered(p.gateway) >= len(names), CALLS_DEADLINE, "calls")
            self.called = p.gateway.resident_kb()
        self.peak = peak_kb(p.gateway)

    def cold(self, p):
        """Milliseconds until ready, and of those on a processor."""
        times, used = [], []
        with ahead_of_others(os.getpid(), *([p.redis.process.pid] if p.redis.running() else [])):
            for _ in range(self.sizes.starts):
                times.append(p.start_gateway())
                used.append(cpu_ms(p.gateway))
                p.gateway.stop()
        return spread(times), spread(used)

    def starts(self, mongo):
        """cold starts with a large policy"""
        copy = self.machine.folder / "out" / "starts" / "last-good"
        with self.programs(mongo, "starts", SNAPSHOT_FILE=str(copy),
                           REVOCATION_FAIL_MODE="open") as p:
            p.publish(self.upstream)
            p.gateway.stop()
            p.admin.stop()
            Clones(p).apis(self.sizes.apis, self.sizes.endpoints)
            p.start_admin()
            p.start_gateway()
            p.settle()
            self.large = load.wait_for_growth_to_end(p.gateway, 1)
            p.gateway.stop()
            self.from_redis, self.cpu_redis = self.cold(p)
            say(f"from Redis {self.from_redis.show()} ms")
            self.copy_mb = copy.stat().st_size / (1 << 20)
            p.admin.stop()
            p.redis.stop()
            self.from_file, self.cpu_file = self.cold(p)
            say(f"from the copy {self.from_file.show()} ms")

    # --- words ---

    def judge(self):
        one = (lambda value: spread([value]))
        s = self.sizes
        bound = min(0.05 * self.early, MB) / MB
        apis = f"{s.apis:,} APIs × {s.endpoints} endpoints, exec to ready"
        users = f"gateway, {s.users:,} users and subscriptions in the store"
        return [
            Target(f"failed requests during {s.changes:,} policy changes", 0, "",
                   one(self.load["failed"])),
            Target(f"resident growth of the gateway from change {s.early} to {s.changes:,}",
                   round(bound, 2), "MB", one((self.late - self.early) / MB)),
            Target(f"{users}, resident", 25, "MB", one(self.idle / MB)),
            Target(f"{users}, peak while all of them call", 25, "MB", one(self.peak / MB)),
            Target("their calls that failed", 0, "", one(self.callers["failed"])),
            Target(f"{apis}, from Redis", 1000, "ms", self.from_redis),
            Target(f"{apis}, from SNAPSHOT_FILE, Redis away", 1000, "ms", self.from_file),
        ]

    def report(self):
        s = self.sizes
        judged = table([["figure", "promised", "measured", ""], *(t.row() for t in self.judge())])
        return "\n".join([
            "# Scale", "", f"{machine_line()}; {commit()}; documents in {self.store}. Release "
            "build, one worker, access log off, REDIS_ADMISSION_TIMEOUT_MS=1000, else default "
            "settings; the gateway on one core, all the rest on another.", "", judged, "",
            f"- Under load: {self.load['requests']:,} requests by {CONNECTIONS} connections; "
            f"resident {self.early / MB:.1f} MB after change {s.early}, {self.late / MB:.1f} MB "
            f"after the last. Every change was in force before the next was written.",
            f"- Callers: {self.callers['requests']:,} calls, each of the next user; afterwards "
            f"{self.called / MB:.1f} MB resident.",
            f"- doorman-admin with {s.users:,} users and subscriptions: ready "
            f"{self.admin_start:.1f} s after exec when all was new, {self.admin_restart:.1f} s "
            f"when nothing was; peak {self.admin_peak / MB:.1f} MB.",
            f"- Large policy: {self.large / MB:.1f} MB resident; the copy on disk "
            f"{self.copy_mb:.1f} MB; {s.starts} starts each, quartiles in brackets, on a "
            f"processor {self.cpu_redis.median:.0f} ms from Redis, {self.cpu_file.median:.0f} ms "
            "from the copy (of which half a second is spent waiting for Redis). From the copy with "
            "`REVOCATION_FAIL_MODE=open`, since the copy holds no revocations.",
            f"- Load average of the machine: {os.getloadavg()[1]:.0f} at the end. Only the cold "
            "starts ran ahead of its other work (SCHED_RR); times of the admin are those of a "
            "machine with nothing else to do only where this is about 2."]) + "\n"
