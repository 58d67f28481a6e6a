"""One side by side of proxies under the same load, and the words around it."""

import datetime
import os
import platform as host
import socket
import subprocess
import sys

import load
from load import Void

BUSY = 64
FEW = 8
# Bounds of HAProxy with JWT ÷ nginx plain in CPU per request: outside, the machine was not itself.
SANE = (1.1, 1.6)


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def rotated(runners, number):
    """Nobody is always first: what runs after what must not decide."""
    first = number % len(runners)
    return runners[first:] + runners[:first]


class Comparison:
    """One side by side: the same load on each proxy in turn, round after round."""

    def __init__(self, plan, runners, connections):
        self.plan, self.runners, self.connections = plan, runners, connections
        self.cpu = {proxy.name: [] for proxy in runners}
        self.rate = {proxy.name: [] for proxy in runners}
        self.beside = {proxy.name: [] for proxy in runners}  # CPU of what it asks, in µs
        self.void = []

    def round(self, number):
        found = {}
        for proxy in rotated(self.runners, number):
            load.wrk(proxy, self.connections, self.plan.warm_up)
            found[proxy.name] = load.wrk(proxy, self.connections, self.plan.seconds)
        return found

    def sane(self, cpu):
        if {"haproxy_hs", "nginx"} <= cpu.keys():
            ratio = cpu["haproxy_hs"] / cpu["nginx"]
            if not SANE[0] <= ratio <= SANE[1]:
                raise Void(f"HAProxy with JWT ÷ nginx plain is {ratio:.2f}")

    def run(self):
        for number in range(self.plan.tries):
            if len(self.cpu[self.runners[0].name]) == self.plan.pairs:
                break
            try:
                found = self.round(number)
                cpu = {name: 1e6 * run.cpu / run.requests for name, run in found.items()}
                self.sane(cpu)
            except Void as reason:
                self.void.append(str(reason))
                say(f"void: {reason}")
                continue
            for name, run in found.items():
                self.cpu[name].append(cpu[name])
                self.rate[name].append(run.requests / run.seconds)
                self.beside[name].append(1e6 * run.beside / run.requests)
            say(f"{self.connections} connections: " +
                ", ".join(f"{name} {value:.1f} µs" for name, value in cpu.items()))
        return self


def first_line(*command):
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    return (out.stdout + out.stderr).splitlines()[0].strip()


def machine_line():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), host.machine())
    return f"{datetime.date.today()}, {model}, {os.cpu_count()} cores, Linux {host.release()}"


def commit():
    return f"doorman at commit {first_line('git', 'rev-parse', '--short', 'HEAD')}"


def describe(plan):
    return (f"{machine_line()}; {first_line('haproxy', '-v').split(' - ')[0]}, "
            f"{first_line('nginx', '-v')}, {commit()}.\n\n"
            f"Medians of {plan.pairs} interleaved rounds of {plan.seconds:g} s, quartiles in "
            "brackets; ratios are of runs in the same round. One worker each, the proxy pinned to "
            "one core, load and upstream (1 KB answers) to another; access logs off. CPU is user + "
            "system time of the proxy's processes ÷ requests. doorman: release build, default "
            "settings, every request a token check, a revocation check and a limit check, proved "
            "by its own metrics.")


def demand_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise SystemExit(f"bench: port {port} is taken; the peers' configurations need it") \
                from None
