"""Gzip of answers (gateway.md §2.3, platform-access.md §1.3), on the wire."""

import json
import queue
import zlib

import pytest

from harness import platform
from harness.plane import Plane
from harness.upstream import Upstream

TEXT = json.dumps([{"id": i, "name": f"item {i}"} for i in range(200)]).encode()
JSON = ("Content-Type", "application/json")
MB = 1024 * 1024
WAIT = 20


def gunzip(data):
    stream = zlib.decompressobj(wbits=31)
    out = stream.decompress(data)
    assert stream.eof and not stream.unused_data
    return out


@pytest.fixture(scope="module")
def answers():
    """What the upstream sends, by the last segment of the path."""
    return {}


@pytest.fixture(scope="module")
def plane(doorman, answers):
    upstream = Upstream(lambda r: answers[r.target.rsplit("/", 1)[1]])
    yield Plane(doorman, upstream)
    upstream.stop()


@pytest.fixture
def ask(plane, answers):
    def send(answer, accept="Accept-Encoding: gzip", method="GET", **options):
        answers["x"] = answer
        with plane.connect() as client:
            message = plane.get("x", *([accept] if accept else []), **options)
            client.send(message.replace("GET", method, 1))
            return client.read_response(to_head=method == "HEAD")
    return send


@pytest.mark.parametrize("accept", [
    "gzip", "GZIP", "deflate, gzip;q=0.5", "br;q=1.0, gzip", "gzip;q=0.001"])
def test_who_accepts_gzip_gets_it(ask, accept):
    got = ask((200, [JSON, ("ETag", '"a"'), ("Vary", "Accept"), ("Accept-Ranges", "bytes")], TEXT),
              f"Accept-Encoding: {accept}")
    assert gunzip(got.body) == TEXT and len(got.body) < len(TEXT) / 2
    assert got.header("content-encoding") == "gzip"
    assert got.header("transfer-encoding") == "chunked" and got.header("content-length") is None
    assert got.headers("vary") == ["Accept", "Accept-Encoding"]
    assert got.header("etag") == 'W/"a"' and got.header("accept-ranges") is None


PLAIN = {
    "nothing said": ((200, [JSON], TEXT), {"accept": None}),
    "gzip refused": ((200, [JSON], TEXT), {"accept": "Accept-Encoding: gzip;q=0, br"}),
    "gzip refused in full": ((200, [JSON], TEXT), {"accept": "Accept-Encoding: gzip; Q=0.000"}),
    "another word": ((200, [JSON], TEXT), {"accept": "Accept-Encoding: xgzipx"}),
    "too small": ((200, [JSON], b"[" + b" " * 497 + b"]"), {}),
    "encoded already": ((200, [JSON, ("Content-Encoding", "br")], TEXT), {}),
    "a picture": ((200, [("Content-Type", "image/png")], TEXT), {}),
    "no type": ((200, [], TEXT), {}),
    "a part": ((206, [JSON, ("Content-Range", "bytes 0-999/2000")], TEXT), {}),
    "not to be touched": ((200, [JSON, ("Cache-Control", "private, no-transform")], TEXT), {}),
    "HTTP/1.0": ((200, [JSON], TEXT), {"version": "1.0"}),
    "HEAD": ((200, [JSON], TEXT), {"method": "HEAD"}),
}


@pytest.mark.parametrize("answer, options", PLAIN.values(), ids=PLAIN)
def test_everybody_else_gets_it_as_it_is(ask, answer, options):
    got = ask(answer, **options)
    assert got.status == answer[0]
    assert got.header("content-encoding") == dict(answer[1]).get("Content-Encoding")
    assert got.header("content-length") == str(len(answer[2]))
    if options.get("method") != "HEAD":
        assert got.body == answer[2]


def test_the_smallest_that_is_compressed(ask):
    body = b"[" + b" " * 498 + b"]"
    got = ask((404, [JSON], body))
    assert (got.status, gunzip(got.body)) == (404, body)


def test_the_connection_goes_on_behind_a_compressed_answer(plane, answers):
    answers["x"] = (200, [JSON], TEXT)
    with plane.connect() as client:
        client.send(plane.get("x", "Accept-Encoding: gzip") + plane.get("x"))
        assert gunzip(client.read_response().body) == TEXT
        assert client.read_response().body == TEXT


def scripted(plane, lying_upstream, kind, pieces, seen):
    """An answer without a length whose next piece waits until the last one was seen."""
    def script(connection, _):
        connection.read_until(b"\r\n\r\n")
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            connection.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            seen.get(timeout=WAIT)
        connection.send("0\r\n\r\n")
    return plane.publish(lying_upstream(script).url)


def read_chunk(client):
    size = int(client.read_until(b"\r\n"), 16)
    return client.read_exactly(size + 2)[:-2]


def test_pieces_of_a_stream_can_be_read_as_they_come(plane, raw, lying_upstream):
    seen = queue.Queue()
    pieces = [b'{"n":1}\n', b'{"n":2}\n' * 5000, b'{"n":3}\n']
    path = scripted(plane, lying_upstream, "application/x-ndjson+json", pieces, seen)
    client = raw().send(f"GET {path}/x HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n")
    assert b"Content-Encoding: gzip" in client.read_until(b"\r\n\r\n")
    stream = zlib.decompressobj(wbits=31)
    for piece in pieces:
        got = b""
        while len(got) < len(piece):
            got += stream.decompress(read_chunk(client))
        assert got == piece
        seen.put(True)
    while chunk := read_chunk(client):
        stream.decompress(chunk)
    assert stream.eof


def test_events_are_never_compressed(plane, raw, lying_upstream):
    seen = queue.Queue()
    path = scripted(plane, lying_upstream, "text/event-stream; charset=utf-8",
                    [b"data: 1\n\n", b"data: 2\n\n"], seen)
    client = raw().send(f"GET {path}/x HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n")
    assert b"Content-Encoding" not in client.read_until(b"\r\n\r\n")
    for piece in (b"data: 1\n\n", b"data: 2\n\n"):
        assert read_chunk(client) == piece
        seen.put(True)


@pytest.mark.parametrize("known", [True, False], ids=["length", "chunks"])
def test_a_large_answer_to_a_slow_reader(plane, raw, doorman, lying_upstream, known):
    """32 MB that do not compress: the reader stops, memory stays, and all of it arrives."""
    block = bytes((i * 2654435761 >> 13) & 255 for i in range(MB))
    blocks = [bytes(b ^ n for b in block[:65536]) * 16 for n in range(32)]

    def script(connection, _):
        connection.read_until(b"\r\n\r\n")
        framing = f"Content-Length: {32 * MB}" if known else "Transfer-Encoding: chunked"
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{framing}\r\n\r\n")
        for one in blocks:
            connection.send(one if known else f"{len(one):x}\r\n".encode() + one + b"\r\n")
        if not known:
            connection.send("0\r\n\r\n")
        connection.closed_by_peer()

    path = plane.publish(lying_upstream(script).url)
    before = doorman.resident_kb()
    client = raw().send(f"GET {path}/x HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n")
    client.read_until(b"\r\n\r\n")
    stream, got, grown = zlib.decompressobj(wbits=31), 0, []
    while chunk := read_chunk(client):
        if got // MB == len(grown):  # doorman has read what it takes while nobody read here
            grown.append(doorman.resident_kb() - before)
        piece = stream.decompress(chunk)
        expected = b"".join(blocks[got // MB:(got + len(piece)) // MB + 1])
        assert expected[got % MB:got % MB + len(piece)] == piece
        got += len(piece)
    assert stream.eof and got == 32 * MB
    assert len(grown) >= 32 and max(grown) < 8 * 1024


def test_an_answer_that_breaks_off_is_no_whole_gzip(plane, raw, lying_upstream):
    def script(connection, _):
        connection.read_until(b"\r\n\r\n")
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                        "Content-Length: 100000\r\n\r\n" + "y" * 50000)
        connection.half_close()

    path = plane.publish(lying_upstream(script).url)
    client = raw().send(f"GET {path}/x HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n")
    try:
        got = client.read_all()
    except ConnectionResetError:
        return
    assert not got.endswith(b"0\r\n\r\n")


def test_platform_answers(admin):
    for _ in range(5):
        platform.make_user(admin)
    answer = admin.get("/platform/user/all?page_size=100", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip" and answer.json()["total"] > 5
    assert answer.headers["Vary"] == "Origin"
    assert int(answer.headers["X-Body-Length"]) == len(answer.content)
    small = admin.get("/platform/authorization/status", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in small.headers


def test_a_body_in_memory_keeps_a_length(doorman):
    answer = platform.Session(doorman.url).get("/metrics", headers={"Accept-Encoding": "gzip"},
                                               stream=True)
    body = answer.raw.read(decode_content=False)
    assert answer.headers["Content-Length"] == str(len(body))
    assert b"doorman_" in gunzip(body)


def test_it_can_be_switched_off_and_set(start_doorman, answers):
    upstream = Upstream(lambda _: (200, [JSON], TEXT))
    for settings, encoding in (({"COMPRESSION_ENABLED": "false"}, None),
                               ({"COMPRESSION_MINIMUM_SIZE": "100000"}, None),
                               ({"COMPRESSION_LEVEL": "9"}, "gzip")):
        plane = Plane(start_doorman(**settings), upstream)
        with plane.connect() as client:
            got = client.send(plane.get("x", "Accept-Encoding: gzip")).read_response()
            assert got.header("content-encoding") == encoding
    upstream.stop()
