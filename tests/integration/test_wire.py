"""What the listener refuses (gateway.md §1.1, §6.1).

Every refusal is also checked from behind: of one message received at most one request reaches the
upstream, and of a refused one none.
"""

import pytest

from harness.plane import Plane, check_refusal
from harness.upstream import Upstream

SMUGGLED = "GET {p}/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(scope="module")
def plane(doorman):
    upstream = Upstream()
    yield Plane(doorman, upstream)
    upstream.stop()


POST = "POST {p}/x HTTP/1.1\r\nHost: h\r\n"
GET = "GET {p}/x HTTP/1.1\r\nHost: h\r\n"
CHUNKED_END = "\r\n0\r\n\r\n" + SMUGGLED
FRAMING = {
    "two lengths": "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "the same length twice": "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": "Content-Length: 5, 5\r\n\r\nhello",
    "a negative length": "Content-Length: -1\r\n\r\n",
    "a signed length": "Content-Length: +5\r\n\r\nhello",
    "a hexadecimal length": "Content-Length: 0x5\r\n\r\nhello",
    "a length and more": "Content-Length: 5 5\r\n\r\nhello",
    "an empty length": "Content-Length:\r\n\r\n",
    "a length beyond 2^64": "Content-Length: 18446744073709551621\r\n\r\nhello",
    "length, then chunked": "Content-Length: 6\r\nTransfer-Encoding: chunked" + CHUNKED_END,
    "chunked, then length": "Transfer-Encoding: chunked\r\nContent-Length: 6" + CHUNKED_END,
    "chunked and length 0": "Transfer-Encoding: chunked\r\nContent-Length: 0" + CHUNKED_END,
    **{f"Transfer-Encoding: {value!r}": f"Transfer-Encoding: {value}" + CHUNKED_END for value in (
        "xchunked", "chunkedx", "chunk", "identity", "gzip, chunked", "chunked, identity",
        "chunked, chunked", "chunked,", ", chunked", "chunked;q=1", '"chunked"', "chun ked",
        "\x0bchunked", "chunked\x0c", "")},
    "chunked after identity": (
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked" + CHUNKED_END),
    "chunked twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked" + CHUNKED_END,
    "chunked behind a fold": "Transfer-Encoding:\r\n chunked" + CHUNKED_END,
    "chunked behind a bare LF": "X: y\nTransfer-Encoding: chunked" + CHUNKED_END,
    "chunked behind a bare CR": "X: y\rTransfer-Encoding: chunked" + CHUNKED_END,
    "space before the colon of chunked": "Transfer-Encoding : chunked" + CHUNKED_END,
    "tab before the colon of a length": "Content-Length\t: 5\r\n\r\nhello",
    "NUL in chunked": "Transfer-Encoding: chunked\0" + CHUNKED_END,
}


@pytest.mark.parametrize("fields", FRAMING.values(), ids=FRAMING)
def test_ambiguous_framing_is_refused(plane, fields):
    plane.refused(POST + fields + SMUGGLED, 400)


HEADS = {
    "Transfer-Encoding in HTTP/1.0": (
        "POST {p}/x HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked" + CHUNKED_END),
    "space before the colon": GET + "X : y\r\n\r\n",
    "bare LF": "GET {p}/x HTTP/1.1\nHost: h\n\n",
    "a bare LF between fields": GET + "X: y\nY: z\r\n\r\n",
    "a bare LF at the end": GET + "X: y\r\n\n",
    "a bare CR in a value": GET + "X: a\rb\r\n\r\n",
    "a bare CR before a field": GET + "\rX: b\r\n\r\n",
    "obs-fold": GET + "X: a\r\n b\r\n\r\n",
    "obs-fold by tab": GET + "X: a\r\n\tb\r\n\r\n",
    "a fold before the first field": "GET {p}/x HTTP/1.1\r\n X: y\r\nHost: h\r\n\r\n",
    "NUL in a value": GET + "X: a\0b\r\n\r\n",
    "NUL in a name": GET + "X\0: a\r\n\r\n",
    "NUL in the target": "GET {p}/x\0y HTTP/1.1\r\nHost: h\r\n\r\n",
    "a control byte in a value": GET + "X: a\x01b\r\n\r\n",
    "DEL in a value": GET + "X: a\x7fb\r\n\r\n",
    "a name that is no token": GET + "X(y): z\r\n\r\n",
    "no name": GET + ": z\r\n\r\n",
    "no colon": GET + "X\r\n\r\n",
    "no Host": "GET {p}/x HTTP/1.1\r\nX: y\r\n\r\n",
    "two Hosts": GET + "Host: i\r\n\r\n",
    "the same Host twice": GET + "Host: h\r\n\r\n",
    "a list of Hosts": "GET {p}/x HTTP/1.1\r\nHost: h, i\r\n\r\n",
    "a Host with a path": "GET {p}/x HTTP/1.1\r\nHost: h/i\r\n\r\n",
    "a Host with a user": "GET {p}/x HTTP/1.1\r\nHost: u@h\r\n\r\n",
    "a Host with a bad port": "GET {p}/x HTTP/1.1\r\nHost: h:99999\r\n\r\n",
    "absolute-form against Host": "GET http://other{p}/x HTTP/1.1\r\nHost: h\r\n\r\n",
    "absolute-form of another scheme": "GET ftp://h{p}/x HTTP/1.1\r\nHost: h\r\n\r\n",
    "authority-form": "GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
    "asterisk-form of GET": "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
    "%00": "GET {p}/x%00y HTTP/1.1\r\nHost: h\r\n\r\n",
    "half an escape": "GET {p}/x%2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "no escape": "GET {p}/x%zz HTTP/1.1\r\nHost: h\r\n\r\n",
    "a fragment": "GET {p}/x#y HTTP/1.1\r\nHost: h\r\n\r\n",
    "bytes above ASCII in the target": "GET {p}/\xe4 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a blank in the target": "GET {p}/x y HTTP/1.1\r\nHost: h\r\n\r\n",
    "two blanks": "GET  {p}/x HTTP/1.1\r\nHost: h\r\n\r\n",
    "a tab": "GET\t{p}/x HTTP/1.1\r\nHost: h\r\n\r\n",
    "a blank behind the version": "GET {p}/x HTTP/1.1 \r\nHost: h\r\n\r\n",
    "HTTP/2.0": "GET {p}/x HTTP/2.0\r\nHost: h\r\n\r\n",
    "HTTP/1.2": "GET {p}/x HTTP/1.2\r\nHost: h\r\n\r\n",
    "HTTP/0.9": "GET {p}/x\r\n\r\n",
    "http/1.1": "GET {p}/x http/1.1\r\nHost: h\r\n\r\n",
    "HTTP/1.10": "GET {p}/x HTTP/1.10\r\nHost: h\r\n\r\n",
    "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS hello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no HTTP": "EHLO h\r\n\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_malformed_heads_are_refused(plane, head):
    plane.refused(head, 400)


SEGMENTS = ("..", ".", "%2e%2e", "%2E.", ".%2e", "%2e", "..;x", "a%2fb", "a%2Fb", "a%5cb", "a\\b",
            "a%3fb", "a%23b", "a%0ab", "a%0d%0ab", "a%7f", "%ff", "%c0%ae%c0%ae")


@pytest.mark.parametrize("segment", SEGMENTS)
def test_paths_with_two_readings_are_refused(plane, segment):
    """GTW011 by the guard or by the resolver: nothing reaches the upstream either way."""
    with plane.connect() as connection:
        connection.send(f"GET {plane.path}/{segment}/x HTTP/1.1\r\nHost: h\r\n\r\n")
        check_refusal(connection.read_response(), 400)
    assert plane.saw() == []


def test_too_much_of_a_head_is_refused(plane):
    plane.refused(GET + "".join(f"X{i}: y\r\n" for i in range(1000)) + "\r\n", 431)
    plane.refused(GET + "".join(f"X{i}: y\r\n" for i in range(128)) + "\r\n", 431)
    plane.refused(GET + "X: " + "y" * 32768 + "\r\n\r\n", 431)
    plane.refused(GET + "X" * 40000, 431)
    plane.refused("GET {p}/" + "a" * 8192 + " HTTP/1.1\r\nHost: h\r\n\r\n", 414)
    plane.refused("GET {p}/" + "a" * 40000, 414)


def test_limits_of_a_head_are_inclusive(plane):
    def accepted(head):
        with plane.connect() as connection:
            assert connection.send(head).read_response().status == 200

    fields = "".join(f"X{i}: y\r\n" for i in range(127))
    accepted(f"GET /api/health HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
    target = plane.path + "/"
    accepted(f"GET {target}{'a' * (8192 - len(target))} HTTP/1.1\r\nHost: h\r\n\r\n")
    rest = 32768 - len(plane.get("x", "X: ", "Y: "))
    accepted(plane.get("x", "X: " + "y" * (rest // 2), "Y: " + "y" * (rest - rest // 2)))
    assert len(plane.saw()) == 2


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_methods_of_proxies_are_refused(plane, method):
    target = "h:80" if method == "CONNECT" else "{p}/x"
    plane.refused(f"{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n", 405, "GTW405")


def test_a_method_without_a_route_is_405_with_allow(plane):
    with plane.connect() as connection:
        plane.send(connection, "LINK {p}/x HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = check_refusal(connection.read_response(), 405, "GTW405")
        assert answer.header("allow").split(", ")[:5] == ["GET", "POST", "PUT", "DELETE", "PATCH"]
    assert plane.saw() == []


def test_an_unknown_expectation_is_refused(plane):
    plane.refused(POST + "Expect: 200-ok\r\nContent-Length: 5\r\n\r\nhello", 417)


CHUNKS = {
    "no number": "zz\r\nhello\r\n0\r\n\r\n",
    "a sign": "+5\r\nhello\r\n0\r\n\r\n",
    "a prefix": "0x5\r\nhello\r\n0\r\n\r\n",
    "beyond 2^64": "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a bare LF behind the size": "5\nhello\r\n0\r\n\r\n",
    "a bare CR behind the size": "5\rhello\r\n0\r\n\r\n",
    "more than its size": "5\r\nhelloo\r\n0\r\n\r\n",
    "no CRLF behind the data": "5\r\nhello0\r\n\r\n",
    "a bare LF behind the data": "5\r\nhello\n0\r\n\r\n",
    "a blank before the size": " 5\r\nhello\r\n0\r\n\r\n",
    "an extension": "5;a=b\r\nhello\r\n0\r\n\r\n",
    "a folded trailer": "5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n",
    "NUL in a trailer": "5\r\nhello\r\n0\r\nX: a\0b\r\n\r\n",
    "1,000 trailers": "5\r\nhello\r\n0\r\n" + "".join(f"X{i}: y\r\n" for i in range(1000)) + "\r\n",
}


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
def test_bad_chunks_end_the_connection(plane, chunks):
    with plane.connect() as connection:
        plane.send(connection, POST + "Transfer-Encoding: chunked\r\n\r\n" + chunks + SMUGGLED)
        check_refusal(connection.read_response(), 431 if "X999" in chunks else 400)
        assert connection.closed_by_peer()
    assert plane.saw() == []
