"""The tools of the integration tests do what those tests rely on, and fail when they should."""

import os
import signal
import stat
import subprocess
import sys
import threading

import pytest
import requests

from harness import process
from harness.process import Doorman
from harness.raw import LyingUpstream, RawConnection
from harness.upstream import Upstream

# Stands in for the product: serves readiness, then ends as its second argument says.
FAKE = """#!/usr/bin/env python3
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path == "/metrics":
            self.wfile.write(b'# HELP x y\\nx_total{code="200"} 7\\n')
    def log_message(self, *_):
        pass
def end(*_):
    print(os.environ.get("FAKE_LAST_WORDS", ""), flush=True)
    os._exit(int(os.environ.get("FAKE_EXIT", "0")))
signal.signal(signal.SIGTERM, end)
if "FAKE_DIES" in os.environ:
    sys.exit(3)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    path = tmp_path / "bin" / "doorman"
    path.parent.mkdir()
    path.write_text(FAKE)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("DOORMAN_BIN_DIR", str(path.parent))
    return lambda **settings: Doorman(tmp_path / "work", settings)


def test_a_clean_program_starts_and_stops(fake):
    running = fake().start()
    assert running.resident_kb() > 0
    running.stop()
    assert not running.running()


STARTER = """
import os, signal, sys, threading
sys.path.insert(0, sys.argv[1])
from harness.process import Doorman
started = []
thread = threading.Thread(target=lambda: started.append(Doorman(sys.argv[2]).start()))
thread.start()
thread.join()  # who started it is gone, we are not
assert started[0].is_ready()
print(started[0].pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def is_running(pid):
    try:
        stat = process.pathlib.Path(f"/proc/{pid}/stat").read_text()
        return stat.rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_does_not_outlive_killed_tests(fake, tmp_path):
    killed = subprocess.run([sys.executable, "-c", STARTER, process.ROOT / "tests", tmp_path / "w"],
                            stdout=subprocess.PIPE, text=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    process.wait_until(lambda: not is_running(int(killed.stdout)), 20, "the end of the program")


def test_an_exit_code_is_noticed(fake):
    running = fake(FAKE_EXIT=1).start()
    with pytest.raises(RuntimeError, match="exit code 1"):
        running.stop()


@pytest.mark.parametrize("words", [
    "==7==ERROR: AddressSanitizer: heap-use-after-free",
    "==7==ERROR: LeakSanitizer: detected memory leaks",
    "WARNING: ThreadSanitizer: data race",
    "x.c:3:4: runtime error: signed integer overflow",
])
def test_a_sanitizer_report_is_noticed(fake, words):
    running = fake(FAKE_LAST_WORDS=words).start()
    with pytest.raises(RuntimeError, match="sanitizer"):
        running.stop()


def test_an_early_end_is_noticed(fake):
    with pytest.raises(RuntimeError, match="exit code 3"):
        fake(FAKE_DIES=1).start()


def test_a_missing_program_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setenv("DOORMAN_BIN_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        Doorman(tmp_path).start()


def test_settings_of_the_shell_do_not_reach_the_program(fake, monkeypatch):
    monkeypatch.setenv("LOG_LEVEL", "TRACE")
    assert "LOG_LEVEL" not in fake().environment()


def test_metrics_are_read(fake):
    running = fake().start()
    running.metrics_url = running.url
    assert running.metrics() == {'x_total{code="200"}': 7.0}
    running.kill()
    assert running.process.returncode == -signal.SIGKILL


def test_two_processes_never_get_the_same_port():
    mine = {process.free_port() for _ in range(20)}
    assert len(mine) == 20
    port = mine.pop()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        process.random.choice = iter([port, port, 31999, 31998, 31997]).__next__
        process.random.choice = (lambda take: lambda _: take())(process.random.choice)
        os.write(writer, str(process.free_port()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 10)) != port


def test_upstream_records_and_answers(request):
    server = Upstream(lambda r: (201, [("X-A", "1")], b"made") if r.method == "POST" else None)
    request.addfinalizer(server.stop)
    made = requests.post(server.url + "/a%2Fb?c", data=b"body", timeout=10)
    assert (made.status_code, made.headers["X-A"], made.content) == (201, "1", b"made")
    got = server.next_request()
    assert (got.method, got.target, got.body) == ("POST", "/a%2Fb?c", b"body")
    assert requests.get(server.url, timeout=10).json()["upstream"] == "ok"
    assert len(server.requests) == 2


def test_upstream_reads_and_writes_chunks(request):
    server = Upstream(lambda r: (200, [], (c for c in (b"a" * 10, b"b"))))
    request.addfinalizer(server.stop)
    answer = requests.post(server.url, data=(c for c in (b"x", b"yz")), timeout=10)
    assert answer.content == b"a" * 10 + b"b"
    assert server.next_request().body == b"xyz"


def test_lying_upstream_says_what_the_script_says(request):
    went_on = threading.Event()

    def script(connection, number):
        assert connection.read_until(b"\r\n\r\n").startswith(b"GET / ")
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        went_on.wait(10)
        raise ValueError(number)

    server = LyingUpstream(script)
    with RawConnection(server.address) as client:
        answer = client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").read_response()
        assert (answer.status, answer.body) == (200, b"ok")
        went_on.set()
        assert client.closed_by_peer()
    request.addfinalizer(server.stop)
    process.wait_until(lambda: server.faults, 10, "the fault")
    assert isinstance(server.faults[0], ValueError)


def test_raw_reads_chunks_and_ends(request):
    def script(connection, _):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                        b"3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nT: 1\r\n\r\n"
                        b"HTTP/1.1 200 OK\r\nA: 1\r\nA: 2\r\n\r\nrest")

    server = LyingUpstream(script)
    request.addfinalizer(server.stop)
    with RawConnection(server.address) as client:
        assert client.read_response().body == b"abcd"
        last = client.read_response()
        assert (last.headers("a"), last.body) == (["1", "2"], b"rest")
