"""bench/run --outage: what a Redis that is gone costs, how soon it is noticed, how soon a change is
in force everywhere, and that limits and credits hold to the single call over three sidecars.

doorman-admin, three doorman-gateways, Redis (in a network namespace of its own, so that its packets
can be dropped) and MongoDB on this machine, release build, default settings but those named in the
table. Writes bench/results-outage.md.
"""

import argparse
import concurrent.futures
import contextlib
import itertools
import json
import math
import os
import pathlib
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from comparison import commit, machine_line
from figures import table
from proxies import ROOT

from harness import platform  # noqa: E402 (path set by proxies)
from harness.moved_clock import MovedClock  # noqa: E402
from harness.network import Namespace  # noqa: E402
from harness.platform import expect  # noqa: E402
from harness.process import free_port, wait_until  # noqa: E402
from harness.redis import RedisServer  # noqa: E402
from harness.split import Split  # noqa: E402
from harness.upstream import Upstream  # noqa: E402

SIDECARS, CALLS, LIMIT = 3, 1000, 100
PER_SECOND, CONNECTIONS = 300, 16  # of the load during an outage
DEADLINE = 60
HOUR = 3600
NGINX = """daemon off; worker_processes 1; pid @F@/nginx.pid; error_log @F@/nginx.err;
events { worker_connections 2048; }
http { access_log off; keepalive_requests 1000000; client_body_temp_path @F@; proxy_temp_path @F@;
fastcgi_temp_path @F@; uwsgi_temp_path @F@; scgi_temp_path @F@;
server { listen 127.0.0.1:@P@; location / { return 200 "{}"; } } }
"""


def say(text):
    print(f"outage: {text}", file=sys.stderr, flush=True)


def quantile(values, q):
    """The smallest value that so many are not above."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def load_average():
    with open("/proc/loadavg", encoding="ascii") as file:
        return f"load average {' '.join(file.read().split()[:3])}"


# --- clients ---

def at_once(ports, request, calls):
    """So many calls at the same time, each on a connection of its own that already stands, spread
    over the ports; their statuses, None where the connection ended. Yields as answers come."""
    selector = selectors.DefaultSelector()
    links = []
    for number in range(calls):
        link = socket.create_connection(("127.0.0.1", ports[number % len(ports)]), timeout=DEADLINE)
        link.setblocking(False)
        links.append(link)
        selector.register(link, selectors.EVENT_READ, bytearray())
    for link in links:
        link.send(request)
    left = calls
    while left:
        ready = selector.select(DEADLINE)
        if not ready:
            raise TimeoutError(f"{left} calls were not answered")
        for key, _ in ready:
            try:
                data = key.fileobj.recv(65536)
            except ConnectionError:
                data = b""
            key.data.extend(data)
            whole = b"\r\n\r\n" in key.data
            if data and not whole:
                continue
            selector.unregister(key.fileobj)
            key.fileobj.close()
            left -= 1
            yield int(key.data[9:12]) if whole else None


def request_to(path, token, close=False):
    end = "Connection: close\r\n" if close else ""
    return (f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
            f"{end}\r\n").encode()


class Rate:
    """rate.c in the background."""

    def __init__(self, rate, port, request, seconds, folder):
        file = pathlib.Path(folder) / "request"
        file.write_bytes(request)
        self.process = subprocess.Popen(
            [str(rate), str(port), str(PER_SECOND), f"{seconds:g}", str(CONNECTIONS), str(file)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def figures(self):
        out = self.process.communicate(timeout=DEADLINE)[0]
        if self.process.returncode != 0:
            raise RuntimeError(out)
        return json.loads(out)


# --- the rig ---

class Rig:
    def __init__(self, folder, upstream, clock=False, namespace=None):
        redis = RedisServer(folder / "redis")
        if namespace:
            redis.host, redis.inside = namespace.address, namespace.inside
            redis.options.append(("protected-mode", "no"))
        if clock:
            redis.clock = MovedClock(folder, 1700000000)
        settings = {"ACCESS_LOG": "off", "REDIS_ADMISSION_TIMEOUT_MS": None}
        if clock:  # late is not away here: a limit's share is not the limit
            settings["REDIS_ADMISSION_TIMEOUT_MS"] = "1000"
        self.split = Split(folder / "split", settings, gateways=SIDECARS, redis=redis)
        self.redis, self.upstream = redis, upstream

    def __enter__(self):
        self.split.start()
        self.admin = platform.login(self.split.admin_program.url)
        return self

    def __exit__(self, fault, *_):
        for program in self.split.programs if fault else ():
            say("\n".join(line for line in program.log().splitlines() if " INFO " not in line))
        self.split.kill()

    @property
    def ports(self):
        return [gateway.port for gateway in self.split.gateways if gateway.running()]

    def publish(self, **fields):
        api = platform.make_api(self.admin, self.upstream, **fields)
        platform.make_endpoint(self.admin, api, "/data")
        return api, platform.rest_path(api, "/data")

    def user(self, *apis, **fields):
        user = platform.make_user(self.admin, **fields)
        for api in apis:
            platform.subscribe(self.admin, user, api)
        return user


@contextlib.contextmanager
def nginx(folder):
    port = free_port()
    config = pathlib.Path(folder) / "nginx.conf"
    config.write_text(NGINX.replace("@F@", str(folder)).replace("@P@", str(port)))
    process = subprocess.Popen(["nginx", "-e", f"{folder}/nginx.err", "-c", str(config)],
                               stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: listening(port), DEADLINE, "nginx")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# --- outages ---

class Outage:
    """One fault again and again under load. Figures are of the worst round, but for the added p99:
    a difference of two p99 is mostly what else the machine did, so all are told and the median
    judged."""

    def __init__(self, rig, rate, folder, rounds):
        self.rig, self.rate, self.folder, self.rounds = rig, rate, folder, rounds
        api, self.path = rig.publish(api_limit_on_store_down="local")
        self.user = rig.user(api, rate_limit_enabled=True, rate_limit_duration=100000000,
                             rate_limit_duration_type="hour")
        self.gateway = rig.split.gateways[0]
        self.request = request_to(self.path, self.user.token)

    def load(self, seconds):
        return Rate(self.rate, self.gateway.port, self.request, seconds, self.folder)

    def breakers(self):
        return self.gateway.metrics()["doorman_redis_breakers_open"]

    def until(self, wanted, since):
        while self.breakers() != wanted:
            if time.monotonic() - since > DEADLINE:
                raise TimeoutError("the breaker")
            time.sleep(0.002)
        return time.monotonic() - since

    def run(self, breaks, mends):
        opened, back, added, bad = [], [], [], 0
        for _ in range(self.rounds):
            before = self.load(4).figures()
            across = self.load(6)
            time.sleep(1.5)  # well inside the load
            broken = time.monotonic()
            breaks()
            opened.append(self.until(1, broken))
            bad += across.figures()["bad"]
            during = self.load(4).figures()
            across = self.load(6)
            time.sleep(1.5)
            mends()
            back.append(self.until(0, time.monotonic()))
            after = across.figures()
            bad += before["bad"] + during["bad"] + after["bad"]
            added.append((during["p99"] - before["p99"]) / 1000)
        each = ", ".join(f"{one:.1f}" for one in added)
        return max(opened), statistics.median(added), bad, max(back), each


def schedule(policy, priority):
    """Ours and all servers', thread by thread: one of ours starts the servers, and each is born
    with the policy of whoever starts it."""
    ours = pathlib.Path("/proc/self/task")
    servers = [pid for t in ours.iterdir() for pid in (t / "children").read_text().split()]
    for process in [ours, *(pathlib.Path(f"/proc/{pid}/task") for pid in servers)]:
        for thread in process.iterdir():
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))


@contextlib.contextmanager
def before_others():
    """At real-time priority, with all that is started meanwhile: milliseconds are measured here,
    and other work of the machine would be what is seen."""
    schedule(os.SCHED_FIFO, 1)
    try:
        yield
    finally:
        schedule(os.SCHED_OTHER, 0)


def outages(rate, folder, rounds):
    space = Namespace()
    rows = []
    with before_others(), contextlib.ExitStack() as running:
        running.callback(space.stop)
        space.start()
        upstream = running.enter_context(nginx(folder))
        rig = running.enter_context(Rig(folder, upstream, namespace=space))
        outage = Outage(rig, rate, folder, rounds)
        for name, breaks, mends in (
                ("stopped", rig.redis.kill, rig.redis.start),
                ("SIGSTOP", rig.redis.pause, rig.redis.resume),
                ("black hole", space.drop, space.pass_on)):
            say(name)
            opened, added, bad, back, each = outage.run(breaks, mends)
            rows += [
                row(f"Redis {name}: breaker open after, worst of {rounds}", opened, 1, "s"),
                row(f"Redis {name}: p99 added while open, median of {each}", added, 5,
                    "ms"),
                row(f"Redis {name}: answers that are not 200, policy local", bad, 0, ""),
                row(f"Redis {name}: as before after its return, worst of {rounds}", back, 2, "s")]
    return rows


def changes(folder):
    with nginx(folder) as upstream, Rig(folder, upstream) as rig:
        return freshness(rig) + revocations(rig)


def row(what, value, limit, unit, exactly=False):
    met = value == limit if exactly else value <= limit
    shown = f"{value:.3f}" if isinstance(value, float) else str(value)
    return [what, f"{'=' if exactly else '≤'} {limit} {unit}".strip(), f"{shown} {unit}".strip(),
            "met" if met else "NOT MET"]


# --- how soon a change is everywhere ---

def freshness(rig, writes=200):
    say("freshness")
    api, path = rig.publish()
    user = rig.user(api)
    body = {False: 403, True: 200}
    direct = platform.Session(rig.split.admin_program.url)  # no waiting between write and look
    direct.headers.update(rig.admin.headers)
    platform.after_write.pop(direct.url)
    took = []

    def until(port, wanted):
        session = platform.Session(f"http://127.0.0.1:{port}")
        session.headers.update(user.headers)
        while session.get(path).status_code != wanted:
            pass
        return time.monotonic()

    with concurrent.futures.ThreadPoolExecutor(SIDECARS) as pool:
        for number in range(writes):
            active = number % 2 == 1
            expect(direct.put(f"/platform/api/{api['api_name']}/v1", json={"active": active}), 200)
            written = time.monotonic()
            seen = pool.map(lambda port, a=active: until(port, body[a]), rig.ports)
            took.append(max(seen) - written)
    platform.after_write[direct.url] = rig.split.settle
    say(f"p50 {quantile(took, .5):.3f} s, worst {max(took):.3f} s")
    return [row(f"write on /platform → enforced in {SIDECARS} sidecars, p99 of {writes}",
                quantile(took, 0.99), 1, "s")]


def revocations(rig, rounds=20):
    say("revocation")
    api, path = rig.publish()
    late = calls = 0
    for _ in range(rounds):
        user = rig.user(api)
        ended, answers = threading.Event(), []

        def loop(port, user=user, ended=ended, answers=answers):
            session = platform.Session(f"http://127.0.0.1:{port}")
            session.headers.update(user.headers)
            while not ended.is_set():
                began = time.monotonic()
                answers.append((began, session.get(path).status_code))

        threads = [threading.Thread(target=loop, args=(port,)) for port in rig.ports]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(answers) > 20, DEADLINE, "calls")
        platform.revoke(rig.admin, user)
        revoked = time.monotonic()
        wait_until(lambda: sum(began > revoked for began, _ in answers) > 30, DEADLINE, "calls")
        ended.set()
        for thread in threads:
            thread.join()
        after = [status for began, status in answers if began > revoked]
        late += sum(status != 401 for status in after)
        calls += len(after)
    return [row(f"successes after the 200 of a revocation, {rounds} users, {calls} calls on "
                f"{SIDECARS} sidecars", late, 0, "", exactly=True)]


# --- exactly as many as there are ---

def count(statuses):
    found = {}
    for status in statuses:
        found[status] = found.get(status, 0) + 1
    return found


def limits(folder, rounds=20):
    say("limits")
    exact = 0
    with contextlib.ExitStack() as running:
        upstream = running.enter_context(nginx(folder))
        rig = running.enter_context(Rig(folder, upstream, clock=True))
        api, path = rig.publish()
        for _ in range(rounds):
            user = rig.user(api, rate_limit_enabled=True, rate_limit_duration=LIMIT,
                            rate_limit_duration_type="hour")
            found = count(at_once(rig.ports, request_to(path, user.token, True), CALLS))
            exact += found == {200: LIMIT, 429: CALLS - LIMIT}
            say(str(found))
    return [row(f"rounds in which exactly {LIMIT} of {CALLS} calls at once pass, one window of an "
                f"hour, {SIDECARS} sidecars (REDIS_ADMISSION_TIMEOUT_MS=1000)", exact, rounds,
                f"of {rounds}", exactly=True)]


class Holding(Upstream):
    """Answers nobody until it is let go."""

    def __init__(self):
        self.go, self.arrived = threading.Event(), itertools.count(1)
        self.waiting = 0
        super().__init__(self.hold)

    def hold(self, _):
        self.waiting = next(self.arrived)
        self.go.wait(DEADLINE)
        return 200, [], b"{}"


def with_credits(rig):
    group = platform.unique("g")
    tier = {"tier_name": "default", "credits": LIMIT, "input_limit": 0, "output_limit": 0,
            "reset_frequency": "monthly"}
    expect(rig.admin.post("/platform/credit", json={
        "api_credit_group": group, "api_key": "k", "api_key_header": "X-Partner-Key",
        "credit_tiers": [tier]}), 201)
    api, path = rig.publish(api_credits_enabled=True, api_credit_group=group)
    user = rig.user(api)
    expect(rig.admin.post(f"/platform/credit/{user.username}", json={
        "username": user.username,
        "users_credits": {group: {"tier_name": "default", "available_credits": LIMIT}}}), 200)
    return request_to(path, user.token, True)


def credits(folder):
    say("credits")
    with contextlib.ExitStack() as running:
        upstream = Holding()
        running.callback(upstream.stop)
        rig = running.enter_context(Rig(folder, upstream.url, clock=True))
        upstream.go.set()
        found = count(at_once(rig.ports, with_credits(rig), CALLS))
        say(str(found))
        plain = found.get(200, 0)
        upstream.go.clear()
        request, upstream.arrived = with_credits(rig), itertools.count(1)
        half = CALLS // 2
        statuses = []
        taker = threading.Thread(target=lambda: statuses.extend(
            at_once(rig.ports, request, half)))
        taker.start()
        # Half-way: all credits are reserved, nobody was answered but those refused.
        wait_until(lambda: upstream.waiting >= LIMIT, DEADLINE, "as many calls as credits")
        wait_until(lambda: len(statuses) == half - LIMIT, DEADLINE, "the refused ones")
        max(rig.split.gateways, key=lambda g: g.metrics()["doorman_inflight_requests"]).kill()
        upstream.go.set()
        taker.join()
        lost = statuses.count(None)
        rig.redis.clock.set(rig.redis.clock.seconds + HOUR)  # their holds end
        statuses += at_once(rig.ports, request, CALLS - half)
        say(str(count(statuses)))
    what = f"of {CALLS} calls at once on {LIMIT} credits, {SIDECARS} sidecars, are answered"
    return [row(what, plain, LIMIT, "", exactly=True),
            row(f"{what}, one sidecar killed half-way with {lost} of them reserved",
                statuses.count(200), LIMIT, "", exactly=True)]


def main():
    parser = argparse.ArgumentParser(prog="bench/run --outage")
    parser.add_argument("--outage", action="store_true")
    parser.add_argument("--quick", action="store_true", help="one round of each, writes to build/")
    parser.add_argument("--rate", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # a run that is ended ends what it started
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    rounds = 1 if arguments.quick else 5
    with tempfile.TemporaryDirectory(prefix="doorman-outage-") as name:
        folder = pathlib.Path(name)
        parts = []
        for part in ("outages", "changes", "limits", "credits"):
            (folder / part).mkdir()
        folder.chmod(0o755)
        parts += outages(arguments.rate, folder / "outages", rounds)
        parts += changes(folder / "changes")
        parts += limits(folder / "limits", 2 if arguments.quick else 20)
        parts += credits(folder / "credits")
    text = "\n".join([
        "# Redis away, changes, limits across sidecars", "",
        f"{machine_line()}; {load_average()}, {commit()}.", "",
        f"`bench/run --outage`. One sidecar under {PER_SECOND} calls a second on {CONNECTIONS} "
        "kept connections (open loop) while Redis, in a network namespace of its own, breaks and "
        "comes back; three sidecars for the rest. Default settings but those named. Times are seen "
        "from outside: the sidecar's metrics, asked again and again. Outages are measured at "
        "real-time priority (SCHED_FIFO): the machine may do other work.", "",
        table([["figure", "promised", "measured", ""], *parts]), ""])
    print(text)
    target = ROOT / "build" / "bench" / "results-outage.md" if arguments.quick else \
        ROOT / "bench" / "results-outage.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    say(f"written to {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
