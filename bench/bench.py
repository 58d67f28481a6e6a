"""Runs the comparison and writes the table. Called by bench/run, which sees to tools and builds."""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import resource
import signal
import statistics
import sys
import tempfile
import time

import load
import over_redis
import proxies
import scale
from comparison import BUSY, FEW, Comparison, demand_free, describe, rotated, say
from figures import Target, ratios, spread, table
from load import Void
from proxies import ROOT, platform

STREAM_PAUSE = 1.0
MB = 1 << 20


@dataclasses.dataclass
class Plan:
    """How much of everything; the quick one only shows that all of it works."""

    pairs: int = 7
    tries: int = 28             # rounds until enough of them are valid
    seconds: int = 4               # whole ones: wrk knows no others
    warm_up: int = 1
    idle: int = 10_000
    apis: int = 1_000
    endpoints: int = 10
    starts: int = 15
    body: int = 100 * MB


QUICK = Plan(pairs=2, tries=6, seconds=1, warm_up=1, idle=2_000, apis=50, starts=3,
             body=20 * MB)


def latencies(machine, plan, runners, per_second):
    """{proxy: [figures of each round]} at one fixed rate, interleaved."""
    found = {proxy.name: [] for proxy in runners}
    void = []
    for number in range(plan.tries):
        if len(found[runners[0].name]) == plan.pairs:
            break
        order = rotated(runners, number)
        try:
            load_round = {}
            for proxy in order:
                load.at_rate(machine, proxy, per_second, plan.warm_up, BUSY)
                load_round[proxy.name] = load.at_rate(machine, proxy, per_second, plan.seconds,
                                                      BUSY)
        except Void as reason:
            void.append(str(reason))
            say(f"void: {reason}")
            continue
        for name, result in load_round.items():
            found[name].append(result)
    return found, void


def idle_cost(plan, proxy, count):
    """Bytes that one more idle connection keeps resident."""
    load.wrk(proxy, BUSY, plan.warm_up)
    before = load.wait_for_growth_to_end(proxy, 1)
    held = load.IdleConnections(proxy, count)
    try:
        after = load.wait_for_growth_to_end(proxy, 1)
    finally:
        held.close()
    return (after - before) * 1024 / count


def start_times(plan, make):
    """Milliseconds from exec to the first 200 on readiness, each time a fresh process."""
    times = []
    for _ in range(plan.starts):
        proxy = make()
        began = time.perf_counter()
        proxy.spawn()
        while not proxy.answers():
            if time.perf_counter() - began > 20:
                raise RuntimeError(f"{proxy.name} does not start")
            time.sleep(0.0005)
        times.append(1000 * (time.perf_counter() - began))
        proxy.stop()
    return spread(times)


def idle_resident(proxy):
    return load.wait_for_growth_to_end(proxy, 1) / 1024


@dataclasses.dataclass
class Resident:
    """MB of one policy: without load, and the peak with busy connections."""

    quiet: float
    busy: float


def resident(plan, proxy):
    quiet = idle_resident(proxy)
    proxy.log_in()
    proxy.forget_peak()
    load.wrk(proxy, BUSY, max(plan.seconds, 3))
    return Resident(quiet, proxy.peak_kb() / 1024)


def large_policy(machine, plan):
    """Of doorman with a large policy: as it was created, and restarted from its dump."""
    proxy = proxies.Bench(machine, "doorman_large", {"MEM_ENCRYPTION_KEY": proxies.SECRET}).start()
    try:
        admin, _ = proxy.publish()
        for number in range(plan.apis - 1):
            api = platform.make_api(admin, proxies.UPSTREAM, name=f"api{number}")
            for endpoint in range(plan.endpoints):
                platform.make_endpoint(admin, api, f"/resource{endpoint}/{{id}}")
        created = resident(plan, proxy)
        proxy.stop()
        proxy.start()
        return created, resident(plan, proxy)
    finally:
        proxy.stop()


def streams(machine, plan):
    """Resident growth in MB while one large body passes, down and up."""
    limit = str(2 * plan.body)
    proxy = proxies.Bench(machine, "doorman_stream", {"MAX_BODY_SIZE_BYTES": limit}).start()
    sink = load.Sink(STREAM_PAUSE)
    big = machine.folder / "out" / "big"
    with open(big, "wb") as file:
        file.truncate(plan.body)
    os.chmod(big, 0o644)
    os.chmod(machine.folder / "out", 0o755)
    growth = {}
    try:
        admin, api = proxy.publish()
        platform.make_endpoint(admin, api, "/sink", "POST", endpoint_servers=[sink.url])
        load.wrk(proxy, BUSY, plan.warm_up)
        for name, run in (
                ("down", lambda: load.download(proxy, "/api/rest/bench/v1/big", plan.body,
                                               STREAM_PAUSE)),
                ("up", lambda: load.upload(proxy, "/api/rest/bench/v1/sink", plan.body))):
            before = load.wait_for_growth_to_end(proxy, 0.5)
            proxy.forget_peak()
            run()
            growth[name] = (proxy.peak_kb() - before) / 1024
        if sink.received != plan.body:
            raise Void(f"the upstream received {sink.received} of {plan.body} bytes")
    finally:
        proxy.stop()
        sink.close()
        big.unlink()
    return growth


class Run:
    def __init__(self, machine, plan, peers_only):
        self.machine, self.plan, self.peers_only = machine, plan, peers_only
        self.targets = {}
        self.rows = []
        self.notes = []

    def make_peers(self, private_key):
        hs = proxies.peer_token("HS256")
        rs = proxies.peer_token("RS256", private_key)
        self.nginx = proxies.Nginx(self.machine, "nginx", 8201, "ngx.conf")
        self.haproxy = proxies.Haproxy(self.machine, "haproxy_hs", 8212, "ha_hs.conf", hs)
        self.haproxy_rs = proxies.Haproxy(self.machine, "haproxy_rs", 8213, "ha_rs.conf", rs)
        self.ours = self.ours_rs = None

    def start_all(self, running):
        private, jwt_keys = proxies.rsa_keys(self.machine)
        self.make_peers(private)

        def start(proxy):
            proxy.start()
            running.callback(proxy.stop)
            return proxy

        for port in (proxies.UPSTREAM_PORT, 8201, 8212, 8213):
            demand_free(port)
        start(proxies.Upstream(self.machine))
        for peer in (self.nginx, self.haproxy, self.haproxy_rs):
            start(peer)
        self.idle = {p.name: idle_resident(p) for p in (self.nginx, self.haproxy)}
        if self.peers_only:
            return
        self.ours = start(proxies.Bench(self.machine, "doorman"))
        self.idle["doorman"] = idle_resident(self.ours)
        self.ours.publish()
        self.ours_rs = start(proxies.Bench(self.machine, "doorman_rs", {
            "JWT_SECRET_KEY": None, "JWT_KEYS": jwt_keys}))
        self.ours_rs.publish()

    def measure(self):
        with contextlib.ExitStack() as running:
            self.start_all(running)
            self.throughput()
            self.latency()
            self.connections()
            self.starts()
        if not self.peers_only:
            self.alone()

    def measure_cpu(self):
        """Only CPU per request, with its targets."""
        with contextlib.ExitStack() as running:
            self.start_all(running)
            self.throughput()

    def with_ours(self, *runners):
        return [p for p in (*runners, self.ours) if p is not None]

    def throughput(self):
        hs = self.with_ours(self.nginx, self.haproxy)
        self.busy = Comparison(self.plan, hs, BUSY).run()
        self.refresh()
        self.few = Comparison(self.plan, hs, FEW).run()
        self.refresh()
        rs = [p for p in (self.haproxy_rs, self.ours_rs) if p is not None]
        self.rsa = Comparison(self.plan, rs, BUSY).run()

    def refresh(self):
        for proxy in (self.ours, self.ours_rs):
            if proxy is not None:
                proxy.log_in()

    def latency(self):
        self.refresh()
        slowest = min(statistics.median(self.busy.rate[name]) if self.busy.rate[name] else 0
                      for name in ("nginx", "haproxy_hs"))
        self.fixed_rate = slowest / 2
        self.late = {}
        if slowest == 0:
            self.notes.append("no valid round at 64 connections, so no fixed rate either")
            return
        say(f"latency at {self.fixed_rate:.0f} requests/s")
        self.late, void = latencies(self.machine, self.plan,
                                    self.with_ours(self.nginx, self.haproxy), self.fixed_rate)
        self.notes += void

    def connections(self):
        say("idle connections")
        self.refresh()
        self.idle_bytes = {}
        for proxy in self.with_ours(self.nginx, self.haproxy):
            # ha.conf and ha_hs.conf admit 9,000 connections; the figure is per connection.
            count = min(self.plan.idle, 8_000) if proxy is self.haproxy else self.plan.idle
            self.idle_bytes[proxy.name] = idle_cost(self.plan, proxy, count)

    def starts(self):
        say("start-up")
        self.started = None if self.peers_only else start_times(
            self.plan, lambda: proxies.Bench(self.machine, "doorman_start"))

    def alone(self):
        with contextlib.ExitStack() as running:
            upstream = proxies.Upstream(self.machine).start()
            running.callback(upstream.stop)
            say("large bodies")
            self.streams = streams(self.machine, self.plan)
            say(f"{self.plan.apis} APIs with {self.plan.endpoints} endpoints each")
            self.large()

    def large(self):
        self.created, self.restarted = large_policy(self.machine, self.plan)
        self.notes.append(f"the large policy without load: {self.created.quiet:.1f} MB resident, "
                          f"after a restart {self.restarted.quiet:.1f} MB")

    def measure_memory(self):
        """Only what is resident of doorman, with its targets."""
        demand_free(proxies.UPSTREAM_PORT)
        with contextlib.ExitStack() as running:
            running.callback(proxies.Upstream(self.machine).start().stop)
            idle = proxies.Bench(self.machine, "doorman").start()
            self.idle = {"doorman": idle_resident(idle)}
            idle.stop()
            self.large()

    def memory_targets(self):
        single = (lambda value: None) if self.peers_only else (lambda value: spread([value()]))
        policy = f"resident, {self.plan.apis} APIs × {self.plan.endpoints} endpoints, "
        return [Target("resident, idle", 12, "MB", single(lambda: self.idle["doorman"])),
                Target(f"{policy}{BUSY} busy connections", 20, "MB",
                       single(lambda: self.created.busy)),
                Target(f"{policy}after a restart from the dump", 20, "MB",
                       single(lambda: self.restarted.busy))]

    def cpu_targets(self):
        def pair(comparison, mine, theirs):
            if self.peers_only:
                return None
            return ratios(comparison.cpu[mine], comparison.cpu[theirs])

        return [
            Target("CPU/request, 64 connections, ÷ HAProxy with JWT", 0.85, "",
                   pair(self.busy, "doorman", "haproxy_hs")),
            Target("CPU/request, 64 connections, ÷ nginx plain", 1.10, "",
                   pair(self.busy, "doorman", "nginx")),
            Target("CPU/request, 8 connections, ÷ HAProxy with JWT", 1.10, "",
                   pair(self.few, "doorman", "haproxy_hs")),
            Target("CPU/request, RS256 cached, ÷ HAProxy with RS256", 0.60, "",
                   pair(self.rsa, "doorman_rs", "haproxy_rs")),
        ]

    def judge(self):
        ours = not self.peers_only
        p99 = {name: [r["p99"] for r in rounds] for name, rounds in self.late.items()}
        single = (lambda value: spread([value])) if ours else (lambda value: None)
        return [
            *self.cpu_targets(),
            Target("p99 at the fixed rate, ÷ HAProxy with JWT", 1.15, "",
                   ratios(p99["doorman"], p99["haproxy_hs"]) if ours and p99 else None),
            *self.memory_targets(),
            Target("bytes per idle connection", 512, "B", single(self.idle_bytes.get("doorman"))),
            Target(f"{self.plan.body // MB} MB body down, resident growth", 1, "MB",
                   single(self.streams["down"] if ours else None)),
            Target(f"{self.plan.body // MB} MB body up, resident growth", 1, "MB",
                   single(self.streams["up"] if ours else None)),
            Target("exec to first 200 on readiness", 50, "ms", self.started),
        ]

    def columns(self):
        names = {"doorman": "doorman", "haproxy_hs": "HAProxy, JWT", "nginx": "nginx, plain"}
        if self.peers_only:
            del names["doorman"]
        return names

    def row(self, what, values, digits):
        shown = [values.get(name) for name in self.columns()]
        return [what] + [value.show(digits) if value else "–" for value in shown]

    def rows_of_load(self):
        def spreads(samples):
            return {name: spread(values) for name, values in samples.items()}

        rsa = {name.replace("_rs", "").replace("haproxy", "haproxy_hs"): value
               for name, value in spreads(self.rsa.cpu).items()}
        return [["", *self.columns().values()],
                self.row("CPU per request, 64 connections, µs", spreads(self.busy.cpu), 1),
                self.row("CPU per request, 8 connections, µs", spreads(self.few.cpu), 1),
                self.row("CPU per request, 64 connections, RS256, µs", rsa, 1),
                self.row("requests/s, 64 connections", spreads(self.busy.rate), 0),
                self.row("requests/s, 8 connections", spreads(self.few.rate), 0)]

    def compare(self):
        def ones(values):
            return {name: spread([value]) for name, value in values.items()}

        rows = self.rows_of_load()
        for quantile in ("p50", "p99"):
            rows.append(self.row(f"{quantile} at {self.fixed_rate:.0f} requests/s, µs", {
                name: spread(r[quantile] for r in rounds)
                for name, rounds in self.late.items()}, 0))
        rows += [self.row("resident, idle, MB", ones(self.idle), 1),
                 self.row("bytes per idle connection", ones(self.idle_bytes), 0)]
        return table(rows)

    def report_cpu(self):
        rows = [target.row() for target in self.cpu_targets()]
        return "\n".join([table(self.rows_of_load()), "",
                          table([["figure", "promised", "measured", ""], *rows])]) + "\n"

    def report_memory(self):
        rows = [target.row() for target in self.memory_targets()]
        return "\n".join([table([["figure", "promised", "measured", ""], *rows]), "",
                          *(f"Note: {note}" for note in self.notes)]) + "\n"

    def report(self):
        void = self.busy.void + self.few.void + self.rsa.void
        judged = table([["figure", "promised", "measured", ""],
                        *(target.row() for target in self.judge())])
        parts = ["# Benchmark", "", describe(self.plan), "", self.compare(), "", judged, "",
                 f"Rounds: {self.plan.pairs} wanted of each; void and repeated: {len(void)}."]
        missing = [c for c in (self.busy, self.few, self.rsa)
                   if len(next(iter(c.cpu.values()))) < self.plan.pairs]
        if missing:
            parts.append(f"{len(missing)} comparisons have fewer valid rounds than wanted.")
        parts += [f"Note: {note.splitlines()[0]}" for note in self.notes]
        return "\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("--quick", action="store_true", help="two minutes: shows that it works")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--peers-only", action="store_true", help="without doorman")
    part.add_argument("--redis", action="store_true",
                      help="doorman-gateway over Redis, beside HAProxy, nginx + Lua and Envoy")
    part.add_argument("--scale", action="store_true",
                      help="thousands of changes, users and APIs over Redis and MongoDB")
    part.add_argument("--only", choices=["memory", "cpu"],
                      help="print one part; writes nothing")
    parser.add_argument("--rate", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # a run that is ended ends what it started
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    plan = QUICK if arguments.quick else Plan()
    if hard < plan.idle + 1000:
        raise SystemExit(f"bench: {plan.idle} connections need more than {hard} open files "
                         "(ulimit -Hn)")
    with tempfile.TemporaryDirectory(prefix="doorman-bench-") as folder:
        machine = proxies.Machine(folder)
        machine.rate = pathlib.Path(arguments.rate).resolve()
        if arguments.scale:
            run = scale.ScaleRun(machine, arguments.quick)
        elif arguments.redis:
            run = over_redis.RedisRun(machine, plan)
        else:
            run = Run(machine, plan, arguments.peers_only)
        if arguments.only == "memory":
            run.measure_memory()
            print(run.report_memory())
            return
        if arguments.only == "cpu":
            run.measure_cpu()
            print(run.report_cpu())
            return
        run.measure()
        text = run.report()
    print(text)
    final = not (arguments.quick or arguments.peers_only)
    name = "results-redis.md" if arguments.redis else \
        "results-scale.md" if arguments.scale else "results.md"
    target = ROOT / "bench" / name if final else ROOT / "build" / "bench" / name
    target.write_text(text)
    say(f"written to {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
