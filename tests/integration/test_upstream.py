"""Upstreams that lie, fail, are away or slow: what the client gets, and who is asked again.

gateway.md §14; what of an answer is refused stands in docs/upstream.md.
"""

import queue
import re
import threading

import pytest

from harness.plane import Plane, check_refusal
from harness.process import Doorman, free_port, wait_until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEAD = "HTTP/1.1 200 OK\r\n"
WAIT = 20


@pytest.fixture(scope="module")
def doorman(tmp_path_factory):
    running = Doorman(tmp_path_factory.mktemp("doorman"), {
        "HTTP_RETRY_BASE_DELAY": "0.01", "CIRCUIT_BREAKER_TIMEOUT": "2"}).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def plane(doorman):
    return Plane(doorman, None)


@pytest.fixture
def call(plane, raw):
    """call(path) sends a request on a connection of its own and reads what comes."""
    def send(path, method="GET", body=None):
        framing = "" if body is None else f"Content-Length: {len(body)}\r\n"
        message = f"{method} {path}/x HTTP/1.1\r\nHost: h\r\n{framing}\r\n{body or ''}"
        client = raw().send(message)
        while (answer := client.read_response(to_head=method == "HEAD")).status < 200:
            pass
        return answer
    return send


def read_request(connection):
    """The head of the next request, its body passed over; None when there is none."""
    head = connection.read_until(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    if length:
        connection.read_exactly(int(length.group(1)))
    return head or None


def serve(connection):
    """Goes on as a good server."""
    while read_request(connection):
        connection.send(OK)


def lies(lie, closed):
    """A script: the first connection gets the lie, the others are served well."""
    def script(connection, number):
        read_request(connection)
        if number > 0:
            connection.send(OK)
            serve(connection)
            return
        try:
            lie(connection)
            connection.socket.settimeout(WAIT)
            closed.put(connection.closed_by_peer())
        except ConnectionError:
            closed.put(True)
    return script


def endless(connection):
    connection.send(HEAD)
    for i in range(1_000_000):
        connection.send(f"X{i}: y\r\n")


CL = "Content-Length: "
BROKEN = {
    "two lengths": HEAD + CL + "2\r\n" + CL + "3\r\n\r\nok!",
    "the same length twice": HEAD + CL + "2\r\n" + CL + "2\r\n\r\nok",
    "a list of lengths": HEAD + CL + "2, 2\r\n\r\nok",
    "length and chunked": HEAD + CL + "2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": HEAD + CL + "-1\r\n\r\n",
    "a length beyond 2^64": HEAD + CL + "18446744073709551618\r\n\r\nok",
    "an unknown encoding": HEAD + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length with 204": "HTTP/1.1 204 No Content\r\n" + CL + "2\r\n\r\nok",
    "no HTTP": "SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2": "HTTP/2.0 200 OK\r\n" + CL + "2\r\n\r\nok",
    "ICY": "ICY 200 OK\r\n" + CL + "2\r\n\r\nok",
    "a status that is no number": "HTTP/1.1 abc OK\r\n" + CL + "2\r\n\r\nok",
    "a status of two digits": "HTTP/1.1 99 OK\r\n" + CL + "2\r\n\r\nok",
    "a status over 599": "HTTP/1.1 600 OK\r\n" + CL + "2\r\n\r\nok",
    "a switch nobody asked for": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "obs-fold": HEAD + CL + "2\r\nX: a\r\n b\r\n\r\nok",
    "NUL in a value": HEAD + CL + "2\r\nX: a\0b\r\n\r\nok",
    "a bare CR": HEAD + CL + "2\r\nX: a\rb\r\n\r\nok",
    "space before the colon": HEAD + CL + "2\r\nX : y\r\n\r\nok",
    "no colon": HEAD + CL + "2\r\nX\r\n\r\nok",
    "300 fields": HEAD + CL + "2\r\n" + "".join(f"X{i}: y\r\n" for i in range(300)) + "\r\nok",
    "a field of 40 KB": HEAD + CL + "2\r\nX: " + "y" * 40000 + "\r\n\r\nok",
    "endless fields": endless,
    "endless interim answers": lambda c: [c.send("HTTP/1.1 102 Processing\r\n\r\n")
                                          for _ in range(1_000_000)],
    "the end at once": lambda c: c.half_close(),
    "the end inside the status line": lambda c: c.send("HTTP/1.1 20").half_close(),
    "the end inside the fields": lambda c: c.send(HEAD + "X: y\r\n").half_close(),
    "a reset": lambda c: c.reset(),
}


@pytest.mark.parametrize("lie", BROKEN.values(), ids=BROKEN)
def test_what_is_no_answer_is_502_and_its_connection_ends(plane, call, lying_upstream, lie):
    closed = queue.Queue()
    upstream = lying_upstream(lies(lie if callable(lie) else lambda c: c.send(lie), closed))
    path = plane.publish(upstream.url)
    check_refusal(call(path), 502, "GTW006")
    if lie is not BROKEN["a reset"]:
        assert closed.get(timeout=WAIT) is True
    assert call(path).body == b"ok"
    assert upstream.n_connections == 2


CHUNKED = HEAD + "Transfer-Encoding: chunked\r\n\r\n"
CUT = {
    "the end inside a length": (HEAD + CL + "10\r\n\r\n", "hello", True),
    "the end between chunks": (CHUNKED, "5\r\nhello\r\n", True),
    "the end inside a chunk": (CHUNKED, "a\r\nhello", True),
    "no number": (CHUNKED, "5\r\nhello\r\nzz\r\n", False),
    "more than the chunk's size": (CHUNKED, "5\r\nhello!\r\n", False),
    "NUL in a trailer": (CHUNKED, "5\r\nhello\r\n0\r\nX: \0\r\n\r\n", False),
    "endless trailers": (CHUNKED, "5\r\nhello\r\n0\r\n" + "X: y\r\n" * 10000, False),
}


@pytest.mark.parametrize("head, rest, ends", CUT.values(), ids=CUT)
def test_an_answer_that_breaks_off_is_cut_visibly(plane, raw, lying_upstream, head, rest, ends):
    closed, seen = queue.Queue(), threading.Event()

    def lie(connection):
        connection.send(head)
        assert seen.wait(WAIT)
        connection.send(rest)
        if ends:
            connection.half_close()

    path = plane.publish(lying_upstream(lies(lie, closed)).url)
    client = raw().send(f"GET {path}/x HTTP/1.1\r\nHost: h\r\n\r\n")
    assert b" 200 " in client.read_until(b"\r\n\r\n")
    seen.set()
    got = b""
    try:
        while piece := client.read_exactly(1):
            got += piece
    except ConnectionResetError:
        pass
    assert b"\r\n0\r\n" not in got and b"hello!" not in got and len(got) < 60
    assert closed.get(timeout=WAIT) is True


BEHIND = {
    "another answer": ("GET", OK + OK, 200, b"ok"),
    "garbage": ("GET", OK + b"garbage", 200, b"ok"),
    "a body for HEAD": ("HEAD", OK, 200, b""),
    "a body of 204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\nsmuggled", 204, b""),
    "a body of 304": ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\nsmuggled", 304, b""),
}


@pytest.mark.parametrize("method, sent, status, body", BEHIND.values(), ids=BEHIND)
def test_bytes_behind_an_answer_reach_nobody(
        plane, call, lying_upstream, method, sent, status, body):
    closed = queue.Queue()
    upstream = lying_upstream(lies(lambda c: c.send(sent), closed))
    path = plane.publish(upstream.url)
    answer = call(path, method)
    assert (answer.status, answer.body) == (status, body)
    assert closed.get(timeout=WAIT) is True
    assert call(path).body == b"ok"
    assert upstream.n_connections == 2


# ---- away and silent ----

@pytest.mark.parametrize("server", ["http://127.0.0.1:{}", "unix:/nonexistent/{}.sock"])
def test_an_upstream_that_is_away_is_502(plane, call, server):
    check_refusal(call(plane.publish(server.format(free_port()))), 502, "GTW006")


@pytest.mark.parametrize("said", ["", HEAD + CL + "2\r\n"], ids=["nothing", "half a head"])
def test_a_silent_upstream_is_504(plane, call, lying_upstream, doorman, said):
    closed = queue.Queue()
    upstream = lying_upstream(lies(lambda c: c.send(said), closed))
    before = doorman.metrics()["doorman_upstream_timeouts_total"]
    check_refusal(call(plane.publish(upstream.url, api_read_timeout=0.3)), 504, "GTW010")
    assert closed.get(timeout=WAIT) is True
    assert doorman.metrics()["doorman_upstream_timeouts_total"] == before + 1


def test_silence_inside_a_body_cuts(plane, raw, lying_upstream):
    closed = queue.Queue()
    upstream = lying_upstream(lies(lambda c: c.send(HEAD + CL + "10\r\n\r\nhello"), closed))
    path = plane.publish(upstream.url, api_read_timeout=0.3)
    client = raw().send(f"GET {path}/x HTTP/1.1\r\nHost: h\r\n\r\n")
    try:
        assert client.read_response().body == b"hello"
        assert client.closed_by_peer()
    except ConnectionResetError:
        pass
    assert closed.get(timeout=WAIT) is True


# ---- retries (R5) ----

TWICE, FREELY = {"api_allowed_retry_count": 2}, {"api_retry_non_idempotent": True}
RETRIES = [
    ("GET", None, {}, [503, 200], 503, 1),
    ("GET", None, TWICE, [503, 503, 200], 200, 3),
    ("GET", None, TWICE, [503, 503, 503, 200], 503, 3),
    ("GET", None, {"api_allowed_retry_count": 9}, [500, 502, 503, 504, 200], 504, 4),
    ("GET", None, TWICE, [404, 200], 404, 1),
    ("GET", None, TWICE, [501, 200], 501, 1),
    ("GET", None, TWICE, ["end", 200], 200, 2),
    ("GET", None, TWICE, ["silence", 200], 200, 2),
    ("GET", None, TWICE, ["silence", "silence", "silence", 200], 504, 3),
    ("GET", None, TWICE, ["lie", 200], 502, 1),
    ("HEAD", None, TWICE, [503, 200], 200, 2),
    ("PUT", None, TWICE, [503, 200], 200, 2),
    ("DELETE", None, TWICE, [503, 200], 200, 2),
    ("POST", None, TWICE, [503, 200], 503, 1),
    ("POST", "{}", TWICE, [503, 200], 503, 1),
    ("PATCH", None, TWICE, [503, 200], 503, 1),
    ("POST", None, TWICE, ["end", 200], 502, 1),
    ("POST", None, TWICE, ["silence", 200], 504, 1),
    ("POST", None, {**TWICE, **FREELY}, [503, 200], 200, 2),
    ("POST", "{}", {**TWICE, **FREELY}, [503, 200], 200, 2),
    ("POST", None, FREELY, [503, 200], 503, 1),
    ("PATCH", None, {**TWICE, **FREELY}, ["end", 200], 200, 2),
]


@pytest.mark.parametrize("method, body, fields, script, status, calls", RETRIES)
def test_retries(
        plane, doorman, call, lying_upstream, method, body, fields, script, status, calls):
    steps, asked = iter(script), []

    def play(connection, _):
        while head := read_request(connection):
            asked.append(head.split(b" ")[0].decode())
            step = next(steps)
            if step == "end":
                return
            if step == "silence":
                connection.closed_by_peer()
                return
            connection.send("nonsense\r\n\r\n" if step == "lie" else
                            f"HTTP/1.1 {step} S\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    patience = {"api_read_timeout": 1} if "silence" in script else {}
    path = plane.publish(lying_upstream(play).url, **patience, **fields)
    before = doorman.metrics()["doorman_http_retries_total"]
    assert call(path, method, body).status == status
    assert asked == [method] * calls
    assert doorman.metrics()["doorman_http_retries_total"] == before + calls - 1


def test_retry_enabled_false_overrides_every_count(start_doorman, start_upstream, raw):
    upstream = start_upstream(lambda _: (503, [], b""))
    plane = Plane(start_doorman(RETRY_ENABLED="false"), upstream, **TWICE)
    with plane.connect() as client:
        assert client.send(plane.get("x")).read_response().status == 503
    assert len(upstream.requests) == 1


# ---- circuit breaker ----

class Patient:
    """An upstream whose answers the test chooses while calls run."""

    def __init__(self, lying_upstream):
        self.status, self.calls, self.release = 500, queue.Queue(), threading.Event()
        self.release.set()
        self.server = lying_upstream(self.script)

    def script(self, connection, _):
        while read_request(connection):
            self.calls.put(self.status)
            assert self.release.wait(WAIT)
            connection.send(f"HTTP/1.1 {self.status} S\r\nContent-Length: 0\r\n\r\n")


def test_five_failures_open_the_circuit_and_one_probe_closes_it(
        plane, call, raw, lying_upstream, doorman):
    upstream = Patient(lying_upstream)
    path = plane.publish(upstream.server.url)
    other = plane.publish(upstream.server.url)
    assert [call(path).status for _ in range(5)] == [500] * 5
    answer = check_refusal(call(path), 503, "GTW999")
    assert int(answer.header("retry-after")) >= 1
    assert upstream.calls.qsize() == 5
    assert call(other).status == 500  # a circuit belongs to its API

    upstream.status = 200
    upstream.release.clear()
    upstream.calls = queue.Queue()
    probes = []

    def probing():  # the circuit lets nobody through until its time is over
        probes.append(raw().send(f"GET {path}/x HTTP/1.1\r\nHost: h\r\n\r\n"))
        try:
            upstream.calls.get(timeout=0.1)
            return True
        except queue.Empty:
            return False

    wait_until(probing, WAIT, "half-open")
    check_refusal(call(path), 503, "GTW999")
    upstream.release.set()
    statuses = [probe.read_response().status for probe in probes]
    assert sorted(statuses) == [200] + [503] * (len(probes) - 1)
    assert upstream.calls.qsize() == 0
    assert call(path).status == 200


def test_a_failed_probe_opens_the_circuit_again(plane, call, lying_upstream):
    upstream = Patient(lying_upstream)
    path = plane.publish(upstream.server.url)
    for _ in range(5):
        call(path)
    wait_until(lambda: call(path).status == 500, WAIT, "half-open")
    check_refusal(call(path), 503, "GTW999")
    assert upstream.calls.qsize() == 6


def test_a_success_forgets_failures(plane, call, lying_upstream):
    upstream = Patient(lying_upstream)
    path = plane.publish(upstream.server.url)
    for _ in range(2):
        upstream.status = 500
        assert [call(path).status for _ in range(4)] == [500] * 4
        upstream.status = 404
        assert call(path).status == 404
