"""Real Redis: a server, a master with a replica behind three Sentinels, a cluster of three.

On free ports of loopback, nothing on disk but logs; every process is ended by its own id.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess

from harness.process import free_port, halt, launch, wait_until

START_DEADLINE = 30.0
SLOTS = 16384


class RedisError(Exception):
    pass


def _read_reply(file):
    line = file.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the connection ended inside a reply")
    mark, rest = line[:1], line[1:-2]
    if mark == b"+":
        return rest.decode()
    if mark == b"-":
        raise RedisError(rest.decode())
    if mark == b":":
        return int(rest)
    if mark == b"$":
        return None if rest == b"-1" else file.read(int(rest) + 2)[:-2].decode(errors="replace")
    if mark == b"*":
        return None if rest == b"-1" else [_read_reply(file) for _ in range(int(rest))]
    raise ConnectionError(f"what came is no reply: {line!r}")


class RedisServer:
    """One redis-server, or one Sentinel. options: ("requirepass", "x"), ("databases", 4), ..."""

    clock = None  # a MovedClock that it lives by; set before start
    host = "127.0.0.1"
    inside = ()  # what its command line begins with (harness.network)

    def __init__(self, folder, *options, sentinel=False, password=None, tls=None,
                 own=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.options = [(k, self.port if v == "{port}" else v) for k, v in options]
        self.tls = tls  # the CA's certificate
        self.own = own  # our certificate and key
        self.sentinel = sentinel
        self.password = password
        self.process = None

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    @property
    def settings(self):
        """What a program is told to find it."""
        return {"REDIS_URL": self.url}

    @property
    def url(self):
        return f"redis://{self.address}"

    def start(self):
        """Empty at every start."""
        program = shutil.which("redis-server")
        if program is None:
            raise FileNotFoundError("redis-server is not on PATH: scripts/deps test")
        config = self.folder / "redis.conf"
        if not (self.sentinel and config.exists()):  # a Sentinel keeps its own notes there
            port = [] if self.tls else [("port", self.port)]
            lines = port + [("bind", self.host), ("dir", self.folder)]
            if not self.sentinel:
                lines += [("save", '""'), ("appendonly", "no"), ("repl-diskless-sync-delay", 0)]
            config.write_text("".join(f"{key} {value}\n" for key, value in
                                      lines + self.options))
        line = [*self.inside, program, str(config)] + (["--sentinel"] if self.sentinel else [])
        with open(self.folder / "server.log", "ab") as log:
            self.process = launch(line, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=subprocess.STDOUT,
                                  env=self.clock and {**os.environ, **self.clock.environment()})
        wait_until(self.answers, START_DEADLINE, "redis-server answers")
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "server.log").read_text())
        try:
            return self.command("PING") == "PONG"
        except (OSError, RedisError):
            return False

    def connect(self):
        link = socket.create_connection((self.host, self.port), timeout=10)
        if self.tls is None:
            return link
        context = ssl.create_default_context(cafile=self.tls)
        if self.own is not None:
            context.load_cert_chain(*self.own)
        return context.wrap_socket(link, server_hostname="localhost")

    def command(self, *words):
        with self.connect() as link:
            file = link.makefile("rb")
            login = [("AUTH", self.password)] if self.password else []
            for one in login + [words]:
                parts = [str(w).encode() for w in one]
                link.sendall(b"*%d\r\n" % len(parts)
                             + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
                reply = _read_reply(file)
            return reply

    def running(self):
        return self.process is not None and self.process.poll() is None

    def pause(self):
        halt(self.process)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        if self.running():
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    stop = kill

    def restart(self):
        self.kill()
        return self.start()


class Sentinels:
    """A master, a replica and three Sentinels that make the replica master when it is gone."""

    NAME = "themaster"

    def __init__(self, folder, password=None, down_after_ms=500):
        self.folder = pathlib.Path(folder)
        self.master = RedisServer(self.folder / "one")
        self.replica = RedisServer(self.folder / "two",
                                   ("replicaof", f"127.0.0.1 {self.master.port}"))
        own = [("requirepass", password)] if password else []
        own += [("sentinel sentinel-pass", password)] if password else []
        self.sentinels = [
            RedisServer(self.folder / f"sentinel{i}", *own,
                        ("sentinel monitor", f"{self.NAME} 127.0.0.1 {self.master.port} 2"),
                        ("sentinel down-after-milliseconds", f"{self.NAME} {down_after_ms}"),
                        ("sentinel failover-timeout", f"{self.NAME} 2000"),
                        sentinel=True, password=password)
            for i in range(3)]

    @property
    def hosts(self):
        return ",".join(s.address for s in self.sentinels)

    @property
    def settings(self):
        return {"REDIS_SENTINEL_HOSTS": self.hosts, "REDIS_SENTINEL_MASTER": self.NAME}

    def start(self):
        self.master.start()
        self.replica.start()
        wait_until(lambda: "master_link_status:up" in self.replica.command("INFO", "replication"),
                   START_DEADLINE, "the replica follows")
        for sentinel in self.sentinels:
            sentinel.start()
        for sentinel in self.sentinels:
            wait_until(lambda s=sentinel: self.knows_all(s), START_DEADLINE,
                       "the Sentinels know each other")
        return self

    def knows_all(self, sentinel):
        known = sentinel.command("SENTINEL", "master", self.NAME)
        fields = dict(zip(known[::2], known[1::2]))
        return fields["num-other-sentinels"] == "2" and fields["num-slaves"] == "1"

    def running(self):
        return self.master.running()

    def stop(self):
        for server in [*self.sentinels, self.replica, self.master]:
            server.kill()


def slot_of(key):
    """Of a Cluster: CRC16 of the key, or of what stands between braces in it."""
    tag = re.search(r"\{([^}]+)\}", key)
    crc = 0
    for byte in (tag.group(1) if tag else key).encode():
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc % SLOTS


class Cluster:
    """Three masters without replicas, the slots in three equal parts."""

    def __init__(self, folder, *options):
        self.buses = [free_port() for _ in range(3)]
        self.extra = []
        self.nodes = [RedisServer(pathlib.Path(folder) / f"node{i}", ("cluster-enabled", "yes"),
                                  ("cluster-port", self.buses[i]),
                                  ("cluster-node-timeout", "1000"),
                                  ("cluster-require-full-coverage", "no"), *options)
                      for i in range(3)]

    @property
    def hosts(self):
        return ",".join(n.address for n in self.nodes)

    @property
    def settings(self):
        return {"REDIS_HOST": self.hosts, "REDIS_MODE": "cluster"}

    def start(self):
        for i, node in enumerate(self.nodes):
            node.start()
            node.command("CLUSTER", "ADDSLOTSRANGE", i * SLOTS // 3, (i + 1) * SLOTS // 3 - 1)
            node.command("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for node in self.nodes[1:]:
            node.command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, self.buses[0])
        for node in self.nodes:
            wait_until(lambda n=node: self.is_whole(n), START_DEADLINE, "the cluster is whole")
        return self

    @staticmethod
    def is_whole(node):
        if node.clock:  # a cluster lets seconds pass before it serves
            node.clock.set(node.clock.seconds + 1)
        info = node.command("CLUSTER", "INFO")
        return "cluster_state:ok" in info and "cluster_slots_ok:16384" in info \
            and len(node.command("CLUSTER", "SLOTS")) == 3

    def add_replica(self, master):
        """One more server that follows the master and takes its place when it is gone."""
        bus = free_port()
        node = RedisServer(self.nodes[0].folder.parent / "replica", ("cluster-enabled", "yes"),
                           ("cluster-port", bus), ("cluster-node-timeout", "1000"),
                           ("cluster-require-full-coverage", "no")).start()
        self.extra.append(node)
        node.command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, self.buses[0])
        name = self.id(master)
        wait_until(lambda: name in node.command("CLUSTER", "NODES"), START_DEADLINE,
                   "the replica knows its master")
        node.command("CLUSTER", "REPLICATE", name)
        wait_until(lambda: "master_link_status:up" in node.command("INFO", "replication"),
                   START_DEADLINE, "the replica follows")
        # One that is still shaking hands with the others hears of no failure and gets no vote.
        wait_until(lambda: all(self.knows_four(n, node) for n in self.nodes + [node]),
                   START_DEADLINE, "everybody knows the replica")

    def knows_four(self, node, replica):
        lines = node.command("CLUSTER", "NODES").splitlines()
        mine = [line for line in lines if line.startswith(self.id(replica))]
        return len(lines) == 4 and all(" connected" in line and "handshake" not in line
                                       for line in lines) and "slave" in mine[0].split()[2]

    def id(self, node):
        return node.command("CLUSTER", "MYID")

    def owner(self, slot):
        return self.nodes[min(slot * 3 // SLOTS, 2)]

    def begin_migration(self, slot, source, target):
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id(target))

    def move_keys(self, slot, source, target):
        for key in source.command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)

    def end_migration(self, slot, target):
        for node in [target] + [n for n in self.nodes if n is not target]:
            node.command("CLUSTER", "SETSLOT", slot, "NODE", self.id(target))

    def running(self):
        return self.nodes[0].running()

    def stop(self):
        for node in self.nodes + self.extra:
            node.kill()
