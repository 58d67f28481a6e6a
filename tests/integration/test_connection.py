"""How the listener reads requests, and when it lets go of a client (gateway.md §5, RFC 9112)."""

import json
import queue
import select
import threading

import pytest

from harness.plane import Plane, check_refusal
from harness.process import Doorman
from harness.raw import RawConnection
from harness.upstream import Upstream

POST = "POST {p}/x HTTP/1.1\r\nHost: h\r\n"
LIMIT = 1024 * 1024


@pytest.fixture(scope="module")
def upstream():
    server = Upstream(lambda r: (200, [("X-Method", r.method)], r.target.encode() + b" " + r.body))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def plane(doorman, upstream):
    return Plane(doorman, upstream)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory, upstream):
    """A doorman that waits for nobody."""
    running = Doorman(tmp_path_factory.mktemp("hasty"), {
        "CLIENT_HEADER_TIMEOUT_SECONDS": "1.5", "CLIENT_BODY_TIMEOUT_SECONDS": "1",
        "CLIENT_BODY_DEADLINE_SECONDS": "2", "CLIENT_IDLE_TIMEOUT_SECONDS": "2"}).start()
    yield Plane(running, upstream)
    running.stop()


@pytest.fixture
def client(plane):
    plane.upstream.forget()
    with plane.connect() as connection:
        yield connection


def drip(connection, piece):
    """Sends a piece again and again until an answer comes."""
    while not select.select([connection.socket], [], [], 0.1)[0]:
        connection.send(piece)


def answers(connection, n=1, **options):
    got = [connection.read_response(**options) for _ in range(n)]
    return [(answer.status, answer.body.decode()) for answer in got]


# ---- how requests are read ----

def test_a_connection_is_kept_and_requests_answer_in_order(plane, client):
    client.send("".join(plane.get(f"r{i}") for i in range(50)))
    assert answers(client, 50) == [(200, f"/r{i} ") for i in range(50)]
    plane.send(client, POST + "Content-Length: 2\r\n\r\nhi" + plane.get("next"))
    assert answers(client, 2) == [(200, "/x hi"), (200, "/next ")]


def test_a_pipelined_fault_comes_after_the_answers_before_it(plane, client):
    client.send(plane.get("good") + "GET /x HTTP/1.1\r\n\r\n" + plane.get("smuggled"))
    assert answers(client) == [(200, "/good ")]
    check_refusal(client.read_response(), 400)
    assert client.closed_by_peer()
    assert plane.saw() == ["/good"]


def test_a_head_may_come_byte_by_byte(plane, client):
    for byte in plane.get("slow", "X: y"):
        client.send(byte)
    assert answers(client) == [(200, "/slow ")]


def test_empty_lines_before_a_request_are_skipped(plane, client):
    client.send("\r\n\r\n" + plane.get("x"))
    assert answers(client) == [(200, "/x ")]


@pytest.mark.parametrize("field, closes", [("Connection: close", True), ("X: y", False)])
def test_the_client_decides_whether_to_stay(plane, client, field, closes):
    client.send(plane.get("x", field))
    answer = client.read_response()
    assert (answer.header("connection") == "close") is closes
    assert client.closed_by_peer() if closes else answers(client.send(plane.get("y")))[0][0] == 200


@pytest.mark.parametrize("field, closes", [("X: y", True), ("Connection: keep-alive", False)])
def test_http_1_0_closes_unless_asked_to_stay(plane, client, field, closes):
    client.send(f"GET {plane.path}/x HTTP/1.0\r\n{field}\r\n\r\n")
    answer = client.read_response()
    assert answer.status == 200 and answer.header("transfer-encoding") is None
    assert client.closed_by_peer() if closes else answers(client.send(plane.get("y")))[0][0] == 200


def test_http_1_0_gets_streams_unframed(plane, client, start_upstream):
    chunks = start_upstream(lambda _: (200, [], iter([b"one", b"two"])))
    path = plane.publish(chunks.url)
    client.send(f"GET {path}/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    head, body = client.read_all().split(b"\r\n\r\n")
    assert body == b"onetwo" and b"transfer-encoding" not in head.lower()


def test_head_has_no_body_but_the_length_of_one(plane, client):
    client.send(plane.get("x").replace("GET", "HEAD", 1))
    answer = client.read_response(to_head=True)
    assert (answer.status, answer.header("content-length")) == (200, "3")
    assert answer.header("x-method") == "HEAD"
    assert answers(client.send(plane.get("next"))) == [(200, "/next ")]


def test_absolute_form_that_agrees_with_host_is_served(plane, client):
    client.send(f"GET http://H:80{plane.path}/x?q HTTP/1.1\r\nHost: h:80\r\n\r\n")
    assert answers(client) == [(200, "/x?q ")]


def test_chunks_and_trailers_pass(plane, client, upstream):
    plane.send(client, POST + "Transfer-Encoding: Chunked\r\n\r\n"
               "5\r\nhello\r\n0006\r\n world\r\nA\r\n0123456789\r\n0\r\nX-Sum: 7\r\n\r\n")
    assert answers(client.send(plane.get("next")), 2) == [
        (200, "/x hello world0123456789"), (200, "/next ")]
    received = upstream.next_request()
    assert received.headers("transfer-encoding") == ["chunked"]
    assert received.header("content-length") is None


# ---- 100-continue ----

def test_100_comes_when_the_body_is_wanted(plane, client):
    plane.send(client, POST + "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n")
    assert client.read_response().head == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answers(client.send("hello")) == [(200, "/x hello")]
    assert answers(client.send(plane.get("next"))) == [(200, "/next ")]


def test_no_100_when_the_body_came_by_itself(plane, client):
    plane.send(client, POST + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
    assert answers(client) == [(200, "/x hello")]


@pytest.mark.parametrize("message, status, code", [
    (POST + f"Content-Length: {LIMIT + 1}\r\n", 413, "REQ001"),
    ("POST /api/rest/none/v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n", 404, "GTW001"),
    ("POST /api/nope HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n", 404, "GTW404")])
def test_no_100_for_a_refusal(plane, client, message, status, code):
    plane.send(client, message + "Expect: 100-continue\r\n\r\n")
    check_refusal(client.read_response(), status, code)
    assert client.closed_by_peer()
    assert plane.saw() == []


# ---- body limit ----

def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(plane, client):
    plane.send(client, POST + f"Content-Length: {LIMIT}\r\n\r\n" + "y" * LIMIT)
    assert answers(client)[0][0] == 200
    assert plane.saw() == ["/x"]
    answer = plane.refused(POST + f"Content-Length: {LIMIT + 1}\r\n\r\n", 413, "REQ001")
    text = f"Request entity too large (max: {LIMIT} bytes)"
    assert json.loads(answer.body)["error_message"] == text


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
def test_chunks_beyond_the_limit_abort_the_upstream_call(plane, client, method):
    plane.send(client, POST.replace("POST", method) + "Transfer-Encoding: chunked\r\n\r\n")
    try:
        for _ in range(17):
            client.send("10000\r\n" + "y" * 0x10000 + "\r\n")
    except ConnectionError:
        pass
    check_refusal(client.read_response(), 413, "REQ001")
    assert plane.saw() == []


# ---- slow clients ----

def late(hasty, message, piece=None):
    hasty.upstream.forget()
    with hasty.connect() as connection:
        hasty.send(connection, message)
        if piece:
            drip(connection, piece)
        check_refusal(connection.read_response(), 408)
        assert connection.closed_by_peer()
    assert hasty.saw() == []


@pytest.mark.parametrize("message, piece", [
    ("", None), ("GET {p}/x HTTP/1.1\r\nHost: h\r\n", None),
    ("GET {p}/x HTTP/1.1\r\n", "X: y\r\n")],
    ids=["silent from accept", "half a head", "dripping"])
def test_a_slow_head_is_408(hasty, message, piece):
    late(hasty, message, piece)


@pytest.mark.parametrize("message, piece", [
    (POST + "Content-Length: 1000\r\n\r\nhello", None),
    (POST + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", None),
    (POST + "Content-Length: 1000\r\n\r\nhello", "y"),
    (POST + "Transfer-Encoding: chunked\r\n\r\n", "1\r\ny\r\n")],
    ids=["length", "chunks", "dripping", "dripping chunks"])
def test_a_slow_body_is_408(hasty, message, piece):
    late(hasty, message, piece)


def test_an_idle_connection_is_closed_without_a_word(hasty):
    with hasty.connect() as connection:
        assert answers(connection.send(hasty.get("x")))[0][0] == 200
        assert connection.read_all() == b""


# ---- clients that leave ----

@pytest.fixture
def waiting(plane, lying_upstream):
    """An upstream that never answers, and tells when a call came and when it was given up."""
    came, left = threading.Event(), queue.Queue()

    def script(connection, _):
        connection.read_until(b"\r\n\r\n")
        came.set()
        left.put(connection.closed_by_peer())

    return plane.publish(lying_upstream(script).url), came, left


@pytest.mark.parametrize("leave", [RawConnection.reset, RawConnection.close,
                                   RawConnection.half_close])
def test_a_client_that_leaves_ends_its_call_upstream(plane, client, waiting, leave):
    path, came, left = waiting
    client.send(f"GET {path}/x HTTP/1.1\r\nHost: h\r\n\r\n")
    assert came.wait(20)
    leave(client)
    assert left.get(timeout=20) is True


def test_a_client_that_leaves_within_its_body_ends_its_call(plane, client, waiting):
    path, came, left = waiting
    client.send(f"POST {path}/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhello")
    assert came.wait(20)
    client.close()

    left.get(timeout=20)


def test_who_announced_the_end_may_close_its_side_first(plane, client):
    client.send(plane.get("x", "Connection: close")).half_close()
    assert answers(client) == [(200, "/x ")]
    assert client.closed_by_peer()


def test_half_a_request_and_a_half_closed_connection_end_quietly(plane, client):
    client.send("GET /x HTTP/1.1\r\n").half_close()
    assert client.read_all() == b""


# ---- too many clients ----

@pytest.fixture(scope="module")
def narrow(tmp_path_factory, upstream):
    running = Doorman(tmp_path_factory.mktemp("narrow"), {"MAX_CONNECTIONS": "16"}).start()
    yield Plane(running, upstream)
    running.stop()


def test_a_new_client_takes_the_place_of_the_longest_idle_one(narrow):
    idle = [narrow.connect() for _ in range(16)]
    for connection in idle:
        assert answers(connection.send(narrow.get("x")))[0][0] == 200
    with narrow.connect() as late_one:
        assert answers(late_one.send(narrow.get("y"))) == [(200, "/y ")]
        assert idle[0].closed_by_peer()
        assert answers(idle[1].send(narrow.get("z"))) == [(200, "/z ")]
    for connection in idle:
        connection.close()


def test_busy_clients_keep_their_places(narrow):
    busy = []
    for _ in range(16):
        busy.append(narrow.connect())
        narrow.send(busy[-1], POST + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert busy[-1].read_response().status == 100
    with narrow.connect() as refused:
        assert refused.closed_by_peer()
    for connection in busy:
        assert answers(connection.send("hi")) == [(200, "/x hi")]
        connection.close()
