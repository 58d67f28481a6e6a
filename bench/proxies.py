"""The proxies that are compared: doorman and its peers, each one worker on a core of its own."""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from harness import platform  # noqa: E402
from harness.process import Doorman, wait_until  # noqa: E402

PEERS = ROOT / "bench" / "peers"
SECRET = "0123456789abcdef0123456789abcdef"
UPSTREAM_PORT = 9000
UPSTREAM = f"http://127.0.0.1:{UPSTREAM_PORT}"
LIMIT_PER_MINUTE = 100_000_000
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


class Machine:
    """Which core carries the proxy and which all the rest; the work folder of the run."""

    def __init__(self, folder):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise SystemExit("bench: two cores are needed, one for the proxy alone")
        self.proxy_core, self.other_core = cores[0], cores[1]
        self.folder = pathlib.Path(folder)
        for name in ("cfg", "out"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        # Workers of nginx run as another user and read the large file from here.
        os.chmod(self.folder, 0o755)
        os.sched_setaffinity(0, {self.other_core})

    def pinned(self, core, command=()):
        return ["taskset", "-c", str(core), *map(str, command)]

    def demand_place(self, pid, core):
        """A figure of a process that shares its core with the load would be worth nothing."""
        for task in os.listdir(f"/proc/{pid}/task"):
            found = os.sched_getaffinity(int(task))
            if found != {core}:
                raise SystemExit(f"bench: process {pid} may run on cores {sorted(found)}, not on "
                                 f"{core} alone")

    def config(self, name):
        text = (PEERS / name).read_text().replace("@ROOT@", str(self.folder))
        path = self.folder / "cfg" / name
        path.write_text(text)
        return path


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _claims():
    return {"sub": "bench", "jti": str(uuid.uuid4()), "exp": int(time.time()) + 86400}


def _unsigned(head, claims):
    return b".".join(_base64url(json.dumps(part).encode()) for part in (head, claims))


def sign_hs256(head, claims, secret):
    text = _unsigned(head, claims)
    tag = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    return (text + b"." + _base64url(tag)).decode()


def peer_token(algorithm, private_key=None, head=None, claims=None):
    """A token as the peers' configurations expect it: HS256 with the known secret, or RS256."""
    head = {"alg": algorithm, "typ": "JWT", **(head or {})}
    claims = {**_claims(), **(claims or {})}
    if algorithm == "HS256":
        return sign_hs256(head, claims, SECRET)
    text = _unsigned(head, claims)
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", private_key],
                               input=text, capture_output=True, check=True).stdout
    return (text + b"." + _base64url(signature)).decode()


class Proxy:
    """A running proxy: where it listens, what a call looks like, what it has used so far."""

    token = None
    path = "/bench"
    ready_path = "/bench"

    def __init__(self, machine, name, port):
        self.machine, self.name, self.port = machine, name, port
        self.process = None

    def command(self):
        raise NotImplementedError

    def spawn(self):
        with open(self.machine.folder / "out" / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(
                self.machine.pinned(self.core(), self.command()),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def start(self):
        self.spawn()
        wait_until(self.answers, 20, f"the first answer of {self.name}")
        for pid in self.pids():
            self.machine.demand_place(pid, self.core())
        return self

    def core(self):
        return self.machine.proxy_core

    def answers(self):
        """One GET of the readiness path; True on 200. Any other answer shows a wrong set-up."""
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with exit code {self.process.returncode}; see "
                               f"{self.machine.folder / 'out'}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
                client.sendall(self.request(self.ready_path))
                return client.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def headers(self):
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def request(self, path=None, extra=""):
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers().items())
        return f"GET {path or self.path} HTTP/1.1\r\nHost: bench\r\n{fields}{extra}\r\n".encode()

    def pids(self):
        """The process and its children: a master's workers do the work."""
        found, queue = [], [self.process.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                queue += [int(child) for child in (task / "children").read_text().split()]
        return found

    def cpu_seconds(self):
        """utime + stime of all its processes, ended threads included."""
        total = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def resident_kb(self):
        return sum(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KB
                   for pid in self.pids())

    def peak_kb(self):
        return sum(int(re.search(r"VmHWM:\s+(\d+)",
                                 pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))
                   for pid in self.pids())

    def forget_peak(self):
        for pid in self.pids():
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")

    def beside_seconds(self):
        """CPU of a process beside the proxy that it asks with every request; told apart."""
        return 0.0

    def counters(self):
        """{what: how often}, each once per request; empty where a proxy cannot prove its work."""
        return {}


class Nginx(Proxy):
    def __init__(self, machine, name, port, config):
        super().__init__(machine, name, port)
        self.config = config

    def command(self):
        return ["nginx", "-e", self.machine.folder / "out" / f"{self.name}.err",
                "-c", self.machine.config(self.config)]


class Haproxy(Proxy):
    def __init__(self, machine, name, port, config, token):
        super().__init__(machine, name, port)
        self.config, self.token = config, token

    def command(self):
        return ["haproxy", "-db", "-f", self.machine.config(self.config)]


class Upstream(Nginx):
    """The shared upstream of the peers' folder, on the core of the load generator."""

    def __init__(self, machine):
        super().__init__(machine, "up", UPSTREAM_PORT, "up.conf")

    def core(self):
        return self.machine.other_core


class Bench(Proxy):
    """doorman as shipped: release build, default settings, access log off as for the peers."""

    path = "/api/rest/bench/v1/data"
    ready_path = "/readyz"

    def __init__(self, machine, name, settings=None):
        # The harness's settings for tests go, but for the login limit: a run logs in often.
        removed = {"ENV": None, "LOGS_DIR": None}
        self.doorman = Doorman(machine.folder / "out" / name,
                               {**removed, "ACCESS_LOG": "off", **(settings or {})})
        super().__init__(machine, name, self.doorman.port)

    def spawn(self):
        self.doorman.prefix = self.machine.pinned(self.core())
        self.process = self.doorman.spawn().process

    def answers(self):
        try:
            return super().answers()
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self.doorman.log()}") from None

    def stop(self):
        self.doorman.stop()

    def log_in(self, email=None, password=platform.USER_PASSWORD):
        """A token lives 30 minutes by default: every phase fetches its own."""
        self.token = platform.login(self.doorman.url, email or "bench@example.com", password).token

    def publish(self):
        """An API with a subscribed user whose limit is real but never reached."""
        admin = platform.login(self.doorman.url)
        api = platform.make_api(admin, UPSTREAM, name="bench")
        platform.make_endpoint(admin, api, "/data")
        platform.make_endpoint(admin, api, "/big")
        platform.make_user(admin, "bench", rate_limit_enabled=True,
                           rate_limit_duration=LIMIT_PER_MINUTE,
                           rate_limit_duration_type="minute")
        platform.subscribe(admin, "bench", api)
        self.log_in()
        return admin, api

    def counters(self):
        """One each per request, by its own metrics."""
        samples = self.doorman.metrics()

        def total(name):
            return sum(value for key, value in samples.items() if key.split("{")[0] == name)

        answered = sum(value for key, value in samples.items()
                       if key.startswith("doorman_http_requests_total{") and 'code="200"' in key)
        return {"answers of 200": answered, "token checks": total("doorman_token_checks_total"),
                "limit checks": total("doorman_limit_checks_total")}


def rsa_keys(machine):
    """Makes the RSA pair; gives the private key's path and doorman's JWT_KEYS."""
    private, public = machine.folder / "cfg" / "key.pem", machine.folder / "cfg" / "pub.pem"
    subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt",
                    "rsa_keygen_bits:2048", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    keys = [{"kid": "bench", "algorithm": "RS256", "active": True,
             "private_key": private.read_text(), "public_key": public.read_text()}]
    return private, json.dumps(keys)
