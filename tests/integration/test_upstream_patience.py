"""How long doorman waits for an upstream in each state, how many connections it opens, and names.

gateway.md §14; the deadlines of docs/upstream.md, each met by what only it can end.
"""

import select
import socket
import threading

import pytest

from harness.plane import Plane, check_refusal
from harness.process import Doorman
from harness.upstream import Upstream

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
WAIT = 20
LONG = "60"  # a deadline that another one must come before


def patient(**settings):
    """A fixture: a doorman that all of the module's tests share, patient but for the settings."""
    @pytest.fixture(scope="module")
    def plane(tmp_path_factory):
        deadlines = {"HTTP_CONNECT_TIMEOUT": LONG, "HTTP_READ_TIMEOUT": LONG,
                     "HTTP_WRITE_TIMEOUT": LONG, "HTTP_TIMEOUT": LONG, **settings}
        running = Doorman(tmp_path_factory.mktemp("patient"), deadlines).start()
        yield Plane(running, None)
        running.stop()

    return plane


connecting = patient(HTTP_CONNECT_TIMEOUT="0.5")
writing = patient(HTTP_WRITE_TIMEOUT="0.5", MAX_BODY_SIZE_BYTES="67108864")
budgeted = patient(GATEWAY_TIMEOUT="1")
narrow = patient(HTTP_MAX_CONNECTIONS="2", HTTP_TIMEOUT="1")


def get(plane, path, raw):
    return raw(plane.doorman).send(f"GET {path}/x HTTP/1.1\r\nHost: h\r\n\r\n")


def timeouts(plane):
    return plane.doorman.metrics()["doorman_upstream_timeouts_total"]


@pytest.fixture
def full_backlog():
    """A port whose queue is full: who connects is neither accepted nor refused."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(0)
    fillers = []
    while True:
        filler = socket.socket()
        filler.setblocking(False)
        fillers.append(filler)
        filler.connect_ex(server.getsockname())
        if not select.select([], [filler], [], 0.5)[1]:
            break
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    for open_one in fillers + [server]:
        open_one.close()


def test_a_port_that_does_not_answer_ends_by_the_connect_timeout(connecting, raw, full_backlog):
    path, before = connecting.publish(full_backlog), timeouts(connecting)
    answer = get(connecting, path, raw).read_response()
    check_refusal(answer, 504, "GTW010")
    assert timeouts(connecting) == before + 1


def test_an_upstream_that_takes_nothing_ends_by_the_write_timeout(writing, raw, lying_upstream):
    gone = threading.Event()

    def deaf(connection, _):
        connection.read_until(b"\r\n\r\n")
        gone.wait(WAIT)

    path, before = writing.publish(lying_upstream(deaf).url), timeouts(writing)
    size = 64 * 1024 * 1024
    client = raw(writing.doorman)
    client.send(f"POST {path}/x HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n")
    block = b"y" * 65536
    while not select.select([client.socket], [], [], 0)[0]:  # until an answer is there
        if select.select([], [client.socket], [], 0.1)[1]:
            client.socket.send(block, socket.MSG_DONTWAIT)
    answer = client.read_response()
    gone.set()
    check_refusal(answer, 504, "GTW010")
    assert timeouts(writing) == before + 1


def test_signs_of_life_do_not_outlast_the_budget(budgeted, raw, lying_upstream):
    """Every byte renews the read timeout; GATEWAY_TIMEOUT counts from the request's begin."""
    ended = threading.Event()

    def alive(connection, _):
        connection.read_until(b"\r\n\r\n")
        connection.send("HTTP/1.1 200 OK\r\nX: ")
        try:
            while not ended.wait(0.05):
                connection.send("y")
        except ConnectionError:
            ended.set()

    path = budgeted.publish(lying_upstream(alive).url)
    check_refusal(get(budgeted, path, raw).read_response(), 504, "GTW010")
    assert ended.wait(WAIT)  # the call was given up, the upstream has seen it


def test_a_budget_cuts_an_answer_that_has_begun(budgeted, raw, lying_upstream):
    ended = threading.Event()

    def endless(connection, _):
        connection.read_until(b"\r\n\r\n")
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while not ended.wait(0.05):
                connection.send("1\r\ny\r\n")
        except ConnectionError:
            ended.set()

    client = get(budgeted, budgeted.publish(lying_upstream(endless).url), raw)
    assert b" 200 " in client.read_until(b"\r\n\r\n")
    try:
        rest = client.read_all()
    except ConnectionResetError:
        rest = b""
    assert not rest.endswith(b"0\r\n\r\n")
    assert ended.wait(WAIT)


class Holding:
    """An upstream that keeps every request until told to answer."""

    def __init__(self):
        self.came, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, connection, _):
        while connection.read_until(b"\r\n\r\n"):
            self.came.release()
            if not self.go.acquire(timeout=WAIT):
                return
            connection.send(OK)


def test_no_more_connections_than_allowed_and_the_others_wait(narrow, raw, lying_upstream):
    script = Holding()
    upstream = lying_upstream(script)
    path = narrow.publish(upstream.url)
    clients = [get(narrow, path, raw) for _ in range(4)]
    assert all(script.came.acquire(timeout=WAIT) for _ in range(2))
    assert not script.came.acquire(blocking=False)
    for _ in clients:
        script.go.release()
    assert [client.read_response().body for client in clients] == [b"ok"] * 4
    assert upstream.n_connections == 2


def test_who_waits_too_long_for_a_connection_is_504(narrow, raw, lying_upstream):
    script = Holding()
    upstream = lying_upstream(script)
    path = narrow.publish(upstream.url)
    busy = [get(narrow, path, raw) for _ in range(2)]
    assert all(script.came.acquire(timeout=WAIT) for _ in range(2))
    check_refusal(get(narrow, path, raw).read_response(), 504, "GTW010")
    for _ in busy:
        script.go.release()
    assert [client.read_response().body for client in busy] == [b"ok"] * 2
    assert upstream.n_connections == 2


# ---- names ----

def test_a_name_of_the_hosts_file_is_an_upstream(connecting, raw):
    server = Upstream(lambda r: (200, [], r.header("host").encode()))
    name = f"localhost:{server.url.rsplit(':', 1)[1]}"
    path = connecting.publish(f"http://{name}")
    for _ in range(2):  # asked for, then remembered
        answer = get(connecting, path, raw).read_response()
        assert (answer.status, answer.body.decode()) == (200, name)
    server.stop()


def test_a_name_that_nobody_has_is_no_upstream(connecting, raw):
    path = connecting.publish("http://doorman-test.invalid:80")
    answer = get(connecting, path, raw).read_response()
    # no name server: 502 at once or, where one keeps silent, 504 at the end of the connect timeout
    assert answer.status in (502, 504)
    check_refusal(answer, answer.status, "GTW006" if answer.status == 502 else "GTW010")
