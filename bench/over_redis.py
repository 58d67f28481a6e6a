"""bench/run --redis: doorman-gateway with revocation and limit in Redis on every request, beside
HAProxy with JWT (its state is local), nginx + Lua + JWT + Redis, and Envoy with JWT.

doorman-admin, MongoDB and Redis run on the core of the load generator, like everything but the
proxy under test. The peers' configurations name Redis' port.
"""

import contextlib
import os
import re
import socket
import subprocess

import proxies
from comparison import BUSY, FEW, Comparison, demand_free, describe
from figures import Target, ratios, spread, table
from proxies import ROOT, Bench, platform

from harness.mongo import MongoServer  # noqa: E402 (path set by proxies)
from harness.process import Doorman  # noqa: E402
from harness.redis import RedisServer  # noqa: E402

REDIS_PORT = 6390
ENVOY = ROOT / "build" / "bench" / "envoy" / "bin" / "envoy"
NAMES = {"gateway": "doorman-gateway, Redis", "haproxy_hs": "HAProxy, JWT, local state",
         "nginx_lua": "nginx + Lua, JWT, Redis", "envoy": "Envoy, JWT, local state",
         "nginx": "nginx, plain"}
ASKING = ("gateway", "nginx_lua")  # those that ask Redis with every request
# Of doorman-gateway in CPU per request, 64 connections (HS256, one core each).
TARGETS = [("haproxy_hs", 0.90), ("nginx_lua", 0.60), ("envoy", 0.45)]


class Shared(RedisServer):
    """The one Redis, on the port that gw.lua names; it tells what it was asked."""

    def __init__(self, folder):
        super().__init__(folder)
        self.port = REDIS_PORT

    def cpu_seconds(self):
        text = self.command("INFO", "cpu")
        return sum(float(value) for value in re.findall(r"used_cpu_(?:sys|user):([\d.]+)", text))

    def checked(self, looks):
        """What only a request makes it do: look for revocations, count a call. looks: EXISTS of
        one request, all of them."""
        text = self.command("INFO", "commandstats")

        def calls(name):
            found = re.search(rf"cmdstat_{name}:calls=(\d+)", text)
            return int(found.group(1)) if found else 0

        return {"revocation checks in Redis": calls("exists") / looks,
                "limit checks in Redis": calls("incr")}


class NginxLua(proxies.Nginx):
    """Its token is checked, revocation and counter are in Redis, by gw.lua."""

    def __init__(self, machine, token, redis):
        super().__init__(machine, "nginx_lua", 8202, "ngxlua_hs.conf")
        self.token, self.redis = token, redis

    def command(self):
        self.machine.config("gw.lua")
        return super().command()

    def beside_seconds(self):
        return self.redis.cpu_seconds()

    def counters(self):
        return self.redis.checked(looks=1)


class Envoy(proxies.Proxy):
    def __init__(self, machine):
        super().__init__(machine, "envoy", 8222)
        self.token = proxies.peer_token("HS256", head={"kid": "k1"},
                                        claims={"iss": "https://idp.example", "aud": "gw"})

    def command(self):
        return [ENVOY, "-c", self.machine.config("envoy_hs.yaml"), "--concurrency", "1",
                "--base-id", os.getpid(), "--log-level", "error"]


class Gateway(Bench):
    """doorman-gateway, one worker, published to by a doorman-admin on the other core."""

    def __init__(self, machine, redis, mongo):
        proxies.Proxy.__init__(self, machine, "gateway", 0)
        shared = {"ENV": None, "LOGS_DIR": None, "ACCESS_LOG": "off", "MEM_OR_EXTERNAL": "REDIS",
                  "REDIS_URL": redis.url, "THREADS": "1",
                  # As gw.lua waits: by default calls that Redis keeps waiting for 50 ms go on
                  # without it, which on a busy machine would make too many runs void.
                  "REDIS_ADMISSION_TIMEOUT_MS": "1000"}
        folder = machine.folder / "out"
        self.redis = redis
        self.admin = Doorman(folder / "admin", {**shared, "MONGO_DB_URI": mongo.uri},
                             name="doorman-admin")
        self.doorman = Doorman(folder / "gateway", {**shared, "DOORMAN_ADMIN_PASSWORD": None,
                                                    "ADMIN_UPSTREAM_URL": self.admin.url},
                               name="doorman-gateway")
        self.port = self.doorman.port

    def start(self):
        self.admin.prefix = self.machine.pinned(self.machine.other_core)
        self.admin.start()
        return super().start()

    def stop(self):
        super().stop()
        self.admin.stop()

    def publish(self):
        platform.after_write[self.doorman.url] = self.settle
        return super().publish()

    def settle(self):
        """The bench calls with what it has just published."""
        wanted = generation(self.admin)
        proxies.wait_until(lambda: generation(self.doorman) >= wanted, 20, "the published policy")

    def beside_seconds(self):
        return self.redis.cpu_seconds()

    def counters(self):
        """Proof as for doorman, and by Redis; a limit decided without Redis is none."""
        # The second look is whether Redis still has the policy: else it was emptied.
        found = {**super().counters(), **self.redis.checked(looks=2)}
        found["limit checks"] -= sum(value for name, value in self.doorman.metrics().items()
                                     if name.startswith("doorman_limit_store_down_total"))
        return found


def demand_refusal(proxy):
    """A peer that let a spoilt token pass would be measured without its check."""
    right, proxy.token = proxy.token, spoilt(proxy.token)
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
            client.sendall(proxy.request())
            answer = client.recv(64)
    finally:
        proxy.token = right
    if not answer.startswith(b"HTTP/1.1 401"):
        raise SystemExit(f"bench: {proxy.name} answers a spoilt token with {answer[:12]!r}")


def spoilt(token):
    """Another signature of the same form: its first character changed, whose bits all count."""
    text, signature = token.rsplit(".", 1)
    return f"{text}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def generation(program):
    session = platform.Session(program.url)
    return session.get("/readyz").json().get("generation", 0)


class RedisRun:
    def __init__(self, machine, plan):
        self.machine, self.plan = machine, plan

    def measure(self):
        token = proxies.peer_token("HS256")
        proxies.rsa_keys(self.machine)  # gw.lua reads the public half, whatever it verifies
        for port in (proxies.UPSTREAM_PORT, REDIS_PORT, 8201, 8202, 8212, 8222):
            demand_free(port)
        with contextlib.ExitStack() as running:

            def start(thing):
                thing.start()
                running.callback(thing.stop)
                return thing

            start(proxies.Upstream(self.machine))
            redis = start(Shared(self.machine.folder / "out" / "redis"))
            mongo = start(MongoServer(self.machine.folder / "out" / "mongo"))
            for server in (redis, mongo):
                self.machine.demand_place(server.process.pid, self.machine.other_core)
            self.runners = [
                start(proxies.Nginx(self.machine, "nginx", 8201, "ngx.conf")),
                start(proxies.Haproxy(self.machine, "haproxy_hs", 8212, "ha_hs.conf", token)),
                start(NginxLua(self.machine, token, redis)),
                start(Envoy(self.machine)),
            ]
            ours = start(Gateway(self.machine, redis, mongo))
            ours.publish()
            self.runners.append(ours)
            for proxy in self.runners:
                if proxy.token:
                    demand_refusal(proxy)
            self.busy = Comparison(self.plan, self.runners, BUSY).run()
            ours.log_in()
            self.few = Comparison(self.plan, self.runners, FEW).run()
            self.resident = {p.name: p.resident_kb() / 1024 for p in self.runners}

    def judge(self):
        cpu = self.busy.cpu
        return [Target(f"CPU/request, {BUSY} connections, ÷ {NAMES[peer]}", limit, "",
                       ratios(cpu["gateway"], cpu[peer]) if cpu["gateway"] else None)
                for peer, limit in TARGETS]

    def report(self):
        rows = [["", *NAMES.values()]]
        for what, samples, digits in (
                (f"CPU per request, {BUSY} connections, µs", self.busy.cpu, 1),
                (f"CPU per request, {FEW} connections, µs", self.few.cpu, 1),
                (f"requests/s, {BUSY} connections", self.busy.rate, 0),
                (f"requests/s, {FEW} connections", self.few.rate, 0)):
            values = [spread(samples[name]) for name in NAMES]
            rows.append([what] + [v.show(digits) if v else "–" for v in values])
        rows.append([f"CPU of Redis besides, {BUSY} connections, µs"] +
                    [spread(self.busy.beside[name]).show(1)
                     if self.busy.beside[name] and name in ASKING else "–" for name in NAMES])
        rows.append(["resident, after the load, MB"] +
                    [f"{self.resident[name]:.1f}" for name in NAMES])
        judged = [["figure", "promised", "measured", ""], *(t.row() for t in self.judge())]
        void = self.busy.void + self.few.void
        parts = ["# Benchmark over Redis", "", describe(self.plan), "",
                 "doorman-gateway asks Redis with every request (revocation and one limit, one "
                 "script); so does nginx + Lua (three commands in one write); both wait up to 1 s "
                 "for it. Void unless Redis counted one look for a revocation and one call counted "
                 "for each request of either. HAProxy and Envoy keep a local counter and know no "
                 "revocation. All but nginx plain refused a token with a spoilt signature before "
                 "the first round.",
                 "",
                 "CPU per request is of the proxy alone; Redis' own, told apart below, is not in "
                 "it. Redis, MongoDB and doorman-admin share the load generator's core. "
                 f"{envoy_version()}", "", table(rows), "",
                 table(judged), "",
                 f"Rounds: {self.plan.pairs} wanted of each; void and repeated: {len(void)}."]
        if any(len(c.cpu["gateway"]) < self.plan.pairs for c in (self.busy, self.few)):
            parts.append("A comparison has fewer valid rounds than wanted.")
        return "\n".join(parts) + "\n"


def envoy_version():
    out = subprocess.run([ENVOY, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"/(\d+\.\d+\.\d+)/", out)
    return f"Envoy {found.group(1)}." if found else ""
