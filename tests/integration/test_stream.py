"""Bytes that flow through: streams, large bodies, interim answers, trailers, kept connections,
and which server gets a call (gateway.md §12, §15; docs/upstream.md)."""

import queue
import select
import socket
import tempfile
import threading

import pytest

from harness import platform
from harness.platform import expect
from harness.plane import Plane
from harness.process import Doorman

MB = 1024 * 1024
BIG = 64 * MB
# Kernel buffers on both sides, and ours: far below BIG, far above what they take.
BUFFERED = 32 * MB
# Of a sanitizer build, which frees late; a release build grows by a fraction of it (bench/).
GROWTH_KB = 16 * 1024
WAIT = 20
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def doorman(tmp_path_factory):
    running = Doorman(tmp_path_factory.mktemp("doorman"),
                      {"MAX_BODY_SIZE_BYTES": str(BIG)}).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def plane(doorman):
    return Plane(doorman, None)


def get(path, *fields, method="GET", version="1.1"):
    lines = [f"{method} {path}/x HTTP/{version}", "Host: h", *fields]
    return "\r\n".join(lines) + "\r\n\r\n"


def serve(connection, answer=OK):
    while connection.read_until(b"\r\n\r\n"):
        connection.send(answer)


# ---- as they come ----

def test_events_arrive_as_they_are_sent(plane, raw, lying_upstream):
    seen = queue.Queue()

    def script(connection, _):
        connection.read_until(b"\r\n\r\n")
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for i in range(5):
            connection.send(f"data: {i}\n\n")
            assert seen.get(timeout=WAIT) == i

    client = raw().send(get(plane.publish(lying_upstream(script).url)))
    head = client.read_until(b"\r\n\r\n")
    assert b"text/event-stream" in head and b"Transfer-Encoding: chunked" in head
    for i in range(5):
        assert client.read_until(b"\n\n").endswith(f"data: {i}\n\n".encode())
        seen.put(i)
    assert client.read_until(b"\r\n0\r\n\r\n").endswith(b"\r\n0\r\n\r\n")


def test_a_request_body_arrives_as_it_is_sent(plane, raw, lying_upstream):
    heard = queue.Queue()

    def script(connection, _):
        connection.read_until(b"\r\n\r\n")
        for _ in range(5):
            heard.put(connection.read_exactly(1))
        connection.send(OK)

    client = raw().send(get(plane.publish(lying_upstream(script).url), "Content-Length: 5",
                            method="POST"))
    for byte in b"hello":
        client.send(bytes([byte]))
        assert heard.get(timeout=WAIT) == bytes([byte])
    assert client.read_response().body == b"ok"


def test_both_sides_may_talk_at_once(plane, raw, lying_upstream):
    def echo(connection, _):
        connection.read_until(b"\r\n\r\n")
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while (size := connection.read_until(b"\r\n")) != b"0\r\n":
            connection.send(size + connection.read_exactly(int(size, 16) + 2))
        connection.read_until(b"\r\n")
        connection.send("0\r\n\r\n")

    client = raw().send(get(plane.publish(lying_upstream(echo).url),
                            "Transfer-Encoding: chunked", method="POST"))
    client.read_until(b"\r\n\r\n")
    for word in ("one", "three", "seven"):
        chunk = f"{len(word)}\r\n{word}\r\n".encode()
        assert client.send(chunk).read_exactly(len(chunk)) == chunk
    assert client.send("0\r\n\r\n").read_exactly(5) == b"0\r\n\r\n"


def test_early_hints_come_before_the_answer(plane, raw, lying_upstream):
    seen = threading.Event()

    def script(connection, _):
        connection.read_until(b"\r\n\r\n")
        connection.send("HTTP/1.1 100 Continue\r\n\r\n")
        connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\n\r\n")
        assert seen.wait(WAIT)
        connection.send(OK)

    path = plane.publish(lying_upstream(script).url)
    client = raw().send(get(path))
    hints = client.read_response()
    assert (hints.status, hints.header("link")) == (103, "</a.css>")
    assert hints.header("connection") is None
    seen.set()
    assert client.read_response().body == b"ok"
    client = raw().send(get(path, version="1.0"))  # which knows no interim answers
    assert client.read_response().status == 200


def test_trailers_pass(plane, raw, lying_upstream):
    answer = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
              b"2\r\nok\r\n0\r\nContent-Length: 9\r\nX-Sum: 7\r\nSet-Cookie: a=b\r\n\r\n")
    path = plane.publish(lying_upstream(lambda c, _: serve(c, answer)).url)
    client = raw().send(get(path, "TE: trailers"))
    client.read_until(b"\r\n\r\n")
    assert client.read_exactly(7) == b"2\r\nok\r\n"
    assert client.read_until(b"\r\n\r\n") == b"0\r\nX-Sum: 7\r\n\r\n"


@pytest.mark.parametrize("status, fields", [
    (204, ""), (304, "ETag: \"a\"\r\n"), (304, "Content-Length: 10\r\n"),
    (200, "Content-Length: 0\r\n")])
def test_answers_without_a_body_keep_the_connection(plane, raw, lying_upstream, status, fields):
    answer = f"HTTP/1.1 {status} S\r\n{fields}\r\n".encode()
    upstream = lying_upstream(lambda c, _: serve(c, answer))
    path = plane.publish(upstream.url)
    client = raw()
    for _ in range(3):
        got = client.send(get(path)).read_response()
        assert (got.status, got.body) == (status, b"")
        assert got.header("transfer-encoding") is None
    assert upstream.n_connections == 1


# ---- back-pressure ----

def push(connection, total):
    """Sends until the other side takes no more or all is out; gives how much is."""
    block, sent = b"y" * 65536, 0
    while sent < total and select.select([], [connection.socket], [], 1)[1]:
        sent += connection.socket.send(block[:total - sent], socket.MSG_DONTWAIT)
    return sent


def count(connection, total):
    got = len(connection.buffer)
    connection.buffer = b""
    while got < total and (piece := connection.socket.recv(MB)):
        got += len(piece)
    return got


@pytest.mark.parametrize("framing", [f"Content-Length: {BIG}\r\n\r\n", "\r\n"],
                         ids=["length", "until the end"])
def test_a_slow_reader_slows_the_upstream(plane, raw, doorman, lying_upstream, framing):
    stuck = queue.Queue()

    def script(connection, _):
        connection.read_until(b"\r\n\r\n")
        connection.send("HTTP/1.1 200 OK\r\n" + framing)
        sent = push(connection, BIG)
        stuck.put(sent)
        connection.send(b"y" * (BIG - sent))

    path = plane.publish(lying_upstream(script).url)
    before = doorman.resident_kb()
    client = raw().send(get(path, version="1.0"))
    assert stuck.get(timeout=60) < BUFFERED
    assert doorman.resident_kb() - before < GROWTH_KB
    client.read_until(b"\r\n\r\n")
    assert count(client, BIG) == BIG
    assert doorman.resident_kb() - before < GROWTH_KB


def test_a_slow_upstream_slows_the_client(plane, raw, doorman, lying_upstream):
    go = threading.Event()

    def script(connection, _):
        connection.read_until(b"\r\n\r\n")
        assert go.wait(60)
        connection.send(f"HTTP/1.1 200 OK\r\nX-Got: {count(connection, BIG)}\r\n"
                        "Content-Length: 0\r\n\r\n")

    path = plane.publish(lying_upstream(script).url)
    before = doorman.resident_kb()
    client = raw().send(get(path, f"Content-Length: {BIG}", method="PUT"))
    sent = push(client, BIG)
    assert sent < BUFFERED
    assert doorman.resident_kb() - before < GROWTH_KB
    go.set()
    client.send(b"y" * (BIG - sent))
    assert client.read_response().status == 200
    assert doorman.resident_kb() - before < GROWTH_KB


# ---- kept connections ----

def test_connections_are_kept_and_shared_by_clients(plane, raw, lying_upstream):
    upstream = lying_upstream(lambda c, _: serve(c))
    path = plane.publish(upstream.url)
    for _ in range(5):
        assert raw().send(get(path)).read_response().body == b"ok"
    assert upstream.n_connections == 1


@pytest.mark.parametrize("answer", [b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
                                    OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)])
def test_connections_that_will_close_are_not_kept(plane, raw, lying_upstream, answer):
    upstream = lying_upstream(lambda c, _: serve(c, answer))
    path = plane.publish(upstream.url)
    for n in range(1, 4):
        assert raw().send(get(path)).read_response().body == b"ok"
        assert upstream.n_connections == n


@pytest.mark.parametrize("method, status", [("GET", 200), ("PUT", 200), ("POST", 502)])
def test_a_kept_connection_that_dies_under_a_call(plane, raw, lying_upstream, method, status):
    """Sent again only where that is safe: the upstream may have done what a POST asked."""
    asked = []

    def script(connection, number):
        while head := connection.read_until(b"\r\n\r\n"):
            asked.append(head.split(b" ")[0].decode())
            if number == 0 and len(asked) == 2:
                return
            connection.send(OK)

    path = plane.publish(lying_upstream(script).url)
    assert raw().send(get(path)).read_response().body == b"ok"
    assert raw().send(get(path, method=method)).read_response().status == status
    assert asked == ["GET", method] + [method] * (status == 200)


def test_an_idle_connection_that_the_upstream_closed_is_not_used(plane, raw, lying_upstream):
    gone = queue.Queue()

    def script(connection, _):
        connection.read_until(b"\r\n\r\n")
        connection.send(OK).half_close()
        gone.put(connection.closed_by_peer())

    path = plane.publish(lying_upstream(script).url)
    for _ in range(5):
        assert raw().send(get(path, method="POST")).read_response().status == 200
        assert gone.get(timeout=WAIT) is True


# ---- servers ----

def test_a_unix_socket_is_an_upstream(plane, raw, lying_upstream):
    with tempfile.TemporaryDirectory(prefix="dm") as folder:
        upstream = lying_upstream(lambda c, _: serve(c), f"{folder}/s")
        path = plane.publish(f"unix:{folder}/s")
        client = raw()
        for _ in range(3):
            assert client.send(get(path)).read_response().body == b"ok"
        assert upstream.n_connections == 1


def named(start_upstream, name):
    return start_upstream(lambda _: (200, [], name.encode())).url


@pytest.fixture
def ask(raw):
    def send(path, *fields):
        return raw().send(get(path, *fields)).read_response().body.decode()
    return send


def test_servers_take_turns(plane, ask, start_upstream):
    path = plane.publish([named(start_upstream, name) for name in "ABC"])
    assert [ask(path) for _ in range(7)] == list("ABCABCA")


def test_an_endpoint_may_have_servers_of_its_own(plane, admin, ask, start_upstream):
    api = platform.make_api(admin, [named(start_upstream, "A")], api_public=True)
    platform.make_endpoint(admin, api, "/own/x",
                           endpoint_servers=[named(start_upstream, n) for n in "CD"])
    platform.make_endpoint(admin, api, "/x")
    assert [ask(platform.rest_path(api, "/own")) for _ in range(3)] == ["C", "D", "C"]
    assert ask(platform.rest_path(api, "")) == "A"


def test_a_client_key_routes(plane, admin, ask, start_upstream):
    path, key = plane.publish(named(start_upstream, "A")), platform.unique("key")
    expect(admin.post("/platform/routing", json={
        "routing_name": "r", "client_key": key,
        "routing_servers": [named(start_upstream, n) for n in "CD"]}), 201)
    assert [ask(path, f"client-key: {key}") for _ in range(3)] == ["C", "D", "C"]
    assert ask(path, "client-key: nobody") == "A"
    expect(admin.delete(f"/platform/routing/{key}"))
    assert ask(path, f"client-key: {key}") == "A"
