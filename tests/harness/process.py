"""Programs under test: started on free ports, watched until they are ready, stopped and judged."""

import concurrent.futures
import fcntl
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Long enough for a sanitizer build on a loaded machine; nothing waits this long when all is well.
START_DEADLINE = 30.0
STOP_DEADLINE = 30.0
POLL = 0.01

ADMIN_EMAIL = "admin@doorman.dev"
ADMIN_PASSWORD = "Test-Admin-Passw0rd!"
JWT_SECRET = "test-secret-0123456789abcdef0123456789"

SANITIZER_REPORT = re.compile(
    r"ERROR: (AddressSanitizer|LeakSanitizer)|WARNING: ThreadSanitizer|: runtime error: ")

# A small quarantine, as tests hold resident memory against its bound while megabytes pass through.
# No counters of libmongoc in shared memory: a killed program leaves them behind, and another with
# its pid would then print a line that is not ours.
LIBRARY_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:quarantine_size_mb=4",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=0:second_deadlock_stack=1:exitcode=66:"
                    f"suppressions={ROOT}/tests/harness/tsan.supp",
    "MONGOC_DISABLE_SHM": "1",
}


def bin_dir():
    return pathlib.Path(os.environ.get("DOORMAN_BIN_DIR", ROOT / "build" / "asan" / "bin"))


def shape():
    """"memory": doorman alone; "split": doorman-admin and doorman-gateway over real stores."""
    value = os.environ.get("DOORMAN_TEST_SHAPE", "memory")
    if value not in ("memory", "split"):
        raise ValueError(f"DOORMAN_TEST_SHAPE={value}: memory or split")
    return value


def program(name="doorman"):
    path = bin_dir() / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not built (DOORMAN_BIN_DIR names another folder)")
    return path


# Below the range from which the kernel takes ports for outgoing connections.
PORTS = range(10000, 32000)
_claims = []


def free_port():
    """A free TCP port that no other test process takes while this one lives.

    doorman listens with SO_REUSEPORT: two of them on one port would share its traffic and no call
    would fail. So a port is claimed by a lock file before it is tried.
    """
    folder = pathlib.Path(tempfile.gettempdir()) / f"doorman-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    while True:
        port = random.choice(PORTS)
        claim = open(folder / str(port), "w")
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port


def wait_until(question, deadline, what):
    """Asks again and again until the answer is true; the deadline only bounds a failure."""
    end = time.monotonic() + deadline
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {deadline:g} s")
        time.sleep(POLL)


# The kernel ends a child with the thread that started it, so this one lives as long as we do.
_launcher = concurrent.futures.ThreadPoolExecutor(1, "launcher")


def orphanless(command):
    """The same program, which does not outlive us: not even where we are killed or time out."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)]


def launch(command, **options):
    """subprocess.Popen of a server of the tests."""
    return _launcher.submit(subprocess.Popen, orphanless(command), **options).result()


def halt(process):
    """SIGSTOP, and every thread has stopped: until then a busy machine lets some go on."""
    def stopped():
        stats = pathlib.Path(f"/proc/{process.pid}/task").glob("*/stat")
        return all(stat.read_text().rsplit(")", 1)[1].split()[0] == "T" for stat in stats)

    process.send_signal(signal.SIGSTOP)
    wait_until(stopped, STOP_DEADLINE, "the halt")


class Doorman:
    """One running doorman. Settings are environment names; None removes a default of the tests."""

    def __init__(self, folder, settings=None, arguments=("run",), name="doorman"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.metrics_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.metrics_url = f"http://127.0.0.1:{self.metrics_port}"
        self.log_path = self.folder / "output.log"
        self.settings = {
            "ENV": "test",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "METRICS_PORT": str(self.metrics_port),
            "MEM_OR_EXTERNAL": "MEM",
            "DOORMAN_DATA_DIR": str(self.folder),
            "LOGS_DIR": str(self.folder / "logs"),
            "DOORMAN_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "JWT_SECRET_KEY": JWT_SECRET,
            # Every test of a file logs in from the same address.
            "LOGIN_IP_RATE_LIMIT": "1000000",
            "LOGIN_IP_RATE_WINDOW": "60",
            **(settings or {}),
        }
        self.arguments = list(arguments)
        self.name = name
        self.prefix = []  # a command that runs the program, such as taskset
        self.process = None

    def environment(self):
        """Only what is named: a setting of the caller's shell must not decide a test."""
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR", "DOORMAN_FAULT")
                if key in os.environ}
        ours = {key: str(value) for key, value in self.settings.items() if value is not None}
        return {**kept, **LIBRARY_OPTIONS, **ours}

    def spawn(self):
        """Starts the program without waiting for anything."""
        with open(self.log_path, "ab") as log:
            self.process = launch(
                [*self.prefix, program(self.name), *self.arguments], cwd=self.folder,
                env=self.environment(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT)
        return self

    def start(self):
        self.spawn()
        try:
            wait_until(self.is_ready, START_DEADLINE, "readiness")
        except (TimeoutError, RuntimeError) as error:
            self.kill()
            raise RuntimeError(f"doorman did not get ready: {error}\n{self.log()}") from error
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"it ended with exit code {self.process.returncode}")
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, deadline=STOP_DEADLINE):
        """The exit code, when the program ends by itself."""
        return self.process.wait(timeout=deadline)

    def terminate(self):
        """SIGTERM; the exit code. A program that does not end is killed and reported."""
        if self.running():
            self.signal(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"doorman ignored SIGTERM for {STOP_DEADLINE:g} s\n{self.log()}") \
                from None

    def stop(self):
        """Ends it as an orchestrator does and demands a clean end."""
        code = self.terminate()
        self.check_log()
        if code != 0:
            raise RuntimeError(f"doorman ended with exit code {code} on SIGTERM\n{self.log()}")

    def kill(self):
        """kill -9: no dump, no drain, nothing checked."""
        if self.running():
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def check_log(self):
        text = self.log()
        if SANITIZER_REPORT.search(text):
            raise RuntimeError(f"a sanitizer reported a fault\n{text[-20000:]}")

    def resident_kb(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1))

    def metrics(self):
        """The samples of /metrics: {'name{label="x"}': value}."""
        with urllib.request.urlopen(f"{self.metrics_url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
