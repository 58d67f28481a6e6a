"""The Redis transport (common/store/redis/redis.h) against real servers, and against liars."""

import re
import socket
import threading

import pytest
from harness.papers import make_papers
from harness.process import ROOT
from harness.redis import Cluster, RedisServer, Sentinels, slot_of
from harness.served import run_served


def names_in(name):
    source = (ROOT / "tests" / "served" / "store_redis" / f"{name}.c").read_text()
    found = re.findall(r"(?:FRESH|cmocka_unit_test)\((\w+)\)", source)
    return [test for test in found if test != "test"]


@pytest.fixture
def server(tmp_path):
    one = RedisServer(tmp_path / "redis").start()
    yield one
    one.kill()


def test_a_server_that_works(server):
    run_served("store_redis", "redis_standalone_test", {"REDIS_URL": server.url + "/3"})


def test_a_unix_socket(tmp_path):
    path = tmp_path / "redis.sock"
    one = RedisServer(tmp_path / "redis", ("unixsocket", path)).start()
    try:
        run_served("store_redis", "redis_standalone_test", {"REDIS_URL": f"unix://{path}?db=3"})
    finally:
        one.kill()


def test_a_name_is_resolved(server):
    run_served("store_redis", "redis_refused_test",
               {"REDIS_URL": f"redis://localhost:{server.port}"}, test="commands_are_served")


@pytest.mark.parametrize("name", names_in("redis_faults_test"))
def test_faults(server, name):
    run_served("store_redis", "redis_faults_test", {"REDIS_URL": server.url}, test=name, deeds={
        "kill": server.kill, "start": server.start, "restart": server.restart,
        "pause": server.pause, "resume": server.resume,
        "demote": lambda: server.command("REPLICAOF", "127.0.0.1", "1"),
        "promote": lambda: server.command("REPLICAOF", "NO", "ONE"),
    })


LOCKED = [("requirepass", "s3cret:/@"), ("user", "doorman on >p@ss:w/rd ~* &* +@all"),
          ("user", "narrow on >narrow ~* &* +get +set +ping")]
LOGINS = {
    "password": ({"REDIS_PASSWORD": "s3cret:/@"}, True),
    "password in the URL": ({"REDIS_URL": "redis://:s3cret%3A%2F%40@{address}"}, True),
    "ACL user": ({"REDIS_USERNAME": "doorman", "REDIS_PASSWORD": "p@ss:w/rd"}, True),
    "ACL user in the URL": ({"REDIS_URL": "redis://doorman:p%40ss%3Aw%2Frd@{address}/0"}, True),
    "ACL user who may not name a connection":
        ({"REDIS_USERNAME": "narrow", "REDIS_PASSWORD": "narrow"}, True),
    "wrong password": ({"REDIS_PASSWORD": "other"}, False),
    "wrong ACL user": ({"REDIS_USERNAME": "nobody", "REDIS_PASSWORD": "p@ss:w/rd"}, False),
    "no password": ({}, False),
}


@pytest.mark.parametrize("login", LOGINS)
def test_login(tmp_path, login):
    settings, served = LOGINS[login]
    one = RedisServer(tmp_path / "redis", *LOCKED, password="s3cret:/@").start()
    settings = {key: value.replace("{address}", one.address) for key, value in settings.items()}
    if "REDIS_URL" not in settings:
        settings["REDIS_HOST"] = one.address
    try:
        output = run_served("store_redis", "redis_refused_test", settings,
                            test="commands_are_served" if served else "nothing_is_served")
    finally:
        one.kill()
    if not served:
        assert re.search("Redis client error (WRONGPASS|NOAUTH)", output), output
    for secret in ("s3cret", "p@ss", "p%40ss", "other"):
        assert secret not in output


def test_a_password_that_is_repeated_is_not_logged(tmp_path):
    one = RedisServer(tmp_path / "redis", ("rename-command", 'AUTH ""')).start()
    try:
        output = run_served("store_redis", "redis_refused_test",
                            {"REDIS_HOST": one.address, "REDIS_PASSWORD": "open-sesame"},
                            test="nothing_is_served")
    finally:
        one.kill()
    assert "Redis client error AUTH was refused" in output
    assert "open-sesame" not in output


def test_a_database_that_is_not_there(tmp_path):
    one = RedisServer(tmp_path / "redis", ("databases", 4)).start()
    try:
        output = run_served("store_redis", "redis_refused_test",
                            {"REDIS_HOST": one.address, "REDIS_DB": "7"}, test="nothing_is_served")
    finally:
        one.kill()
    assert "Redis client error ERR DB index is out of range" in output


# --- TLS ---

@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    return make_papers(tmp_path_factory.mktemp("papers"))


def tls_options(papers, *more):
    return [("tls-port", "{port}"), ("port", 0), ("tls-cert-file", papers / "server.pem"),
            ("tls-key-file", papers / "server.key"), ("tls-ca-cert-file", papers / "ca.pem"), *more]


@pytest.fixture
def tls_server(tmp_path, papers):
    one = RedisServer(tmp_path / "redis", *tls_options(papers, ("tls-auth-clients", "optional")),
                      tls=papers / "ca.pem").start()
    yield one
    one.kill()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_tls(tls_server, papers, host):
    run_served("store_redis", "redis_standalone_test",
               {"REDIS_URL": f"rediss://{host}:{tls_server.port}/3",
                "REDIS_TLS_CA_FILE": str(papers / "ca.pem")})


@pytest.mark.parametrize("name", ["a_stopped_server_is_told_and_found_again",
                                  "a_black_hole_is_cut_and_dialled_again",
                                  "what_redis_does_not_take_is_bounded"])
def test_tls_faults(tls_server, papers, name):
    run_served("store_redis", "redis_faults_test",
               {"REDIS_URL": f"rediss://localhost:{tls_server.port}",
                "REDIS_TLS_CA_FILE": str(papers / "ca.pem")}, test=name, deeds={
                    "kill": tls_server.kill, "start": tls_server.start,
                    "pause": tls_server.pause, "resume": tls_server.resume})


TLS_REFUSED = {
    "another CA": ({"REDIS_TLS_CA_FILE": "otherca.pem"}, "certificate refused"),
    "another name": ({"REDIS_TLS_CA_FILE": "ca.pem", "REDIS_TLS_SERVER_NAME": "redis.example"},
                     "certificate refused: hostname mismatch"),
    "CAs of the system": ({}, "certificate refused"),
}


@pytest.mark.parametrize("case", TLS_REFUSED)
def test_tls_that_cannot_be_trusted(tls_server, papers, case):
    settings, said = TLS_REFUSED[case]
    settings = {k: str(papers / v) if v.endswith(".pem") else v for k, v in settings.items()}
    output = run_served("store_redis", "redis_refused_test",
                        {"REDIS_URL": f"rediss://localhost:{tls_server.port}", **settings},
                        test="nothing_is_served")
    assert f"Redis client error TLS: {said}" in output


def test_tls_against_a_plain_server(server, papers):
    run_served("store_redis", "redis_refused_test",
               {"REDIS_URL": f"rediss://localhost:{server.port}",
                "REDIS_TLS_CA_FILE": str(papers / "ca.pem")}, test="nothing_is_served")


@pytest.mark.parametrize("own", [True, False])
def test_tls_with_a_client_certificate(tmp_path, papers, own):
    settings = {"REDIS_TLS_CA_FILE": str(papers / "ca.pem")}
    if own:
        settings |= {"REDIS_TLS_CERT_FILE": str(papers / "client.pem"),
                     "REDIS_TLS_KEY_FILE": str(papers / "client.key")}
    one = RedisServer(tmp_path / "redis", *tls_options(papers, ("tls-auth-clients", "yes")),
                      tls=papers / "ca.pem", own=(papers / "client.pem", papers / "client.key"))
    try:
        one.start()
        run_served("store_redis", "redis_refused_test",
                   {"REDIS_URL": f"rediss://localhost:{one.port}", **settings},
                   test="commands_are_served" if own else "nothing_is_served")
    finally:
        one.kill()


# --- servers that lie ---

GREETING = 3  # CLIENT SETNAME, ROLE, PING
ROLE = b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
LIES = {
    "no type": b"hello there\r\n",
    "nonsense in an array": b"*2\r\n$1\r\na\r\n\x00\x01\x02\r\n",
    "a negative length": b"$-7\r\n",
    "a length without end": b"$99999999999999999999999\r\n",
    "an array without end": b"*2147483647\r\n",
    "an array of too many": b"*8000000\r\n",
    "too deep": b"*1\r\n" * 200,
    "a map of RESP3": b"%1\r\n+a\r\n+b\r\n",
    "a reply to nothing": b"$1\r\nv\r\n+surplus\r\n",
    "the end inside a reply": b"$100\r\nabc",
    "no line end": b"+" + b"x" * (20 * 1024 * 1024),
    "more than fits": b"$40000000\r\n" + b"x" * 40000000,
    "many that fit": b"*4\r\n" + b"$10000000\r\n%s\r\n" % (b"x" * 10000000) * 4,
}


class Liar:
    """Greets well, then answers the next command with `lie` and closes."""

    def __init__(self, lie):
        self.lie = lie
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                link, _ = self.socket.accept()
            except OSError:
                return
            with link:
                try:
                    self.serve(link)
                except OSError:
                    pass

    def serve(self, link):
        got = b""
        while got.count(b"*") < GREETING or not got.endswith(b"PING\r\n"):
            piece = link.recv(65536)
            if not piece:
                return
            got += piece
        link.sendall(b"+OK\r\n" + ROLE + b"+PONG\r\n")
        if link.recv(65536):
            link.sendall(self.lie)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies(lie):
    liar = Liar(LIES[lie])
    test = "a_surplus_reply_cuts_the_connection" if lie == "a reply to nothing" \
        else "a_bad_reply_cuts_the_connection"
    try:
        run_served("store_redis", "redis_refused_test", {"REDIS_HOST": liar.address}, test=test)
    finally:
        liar.close()


# --- Sentinel, Cluster ---

@pytest.mark.parametrize("password", [None, "watch"])
@pytest.mark.parametrize("name", names_in("redis_sentinel_test"))
def test_sentinel(tmp_path, name, password):
    trio = Sentinels(tmp_path, password)
    settings = {"REDIS_SENTINEL_HOSTS": trio.hosts, "REDIS_SENTINEL_MASTER": Sentinels.NAME}
    if password:
        settings["REDIS_SENTINEL_PASSWORD"] = password
    try:
        trio.start()
        run_served("store_redis", "redis_sentinel_test", settings, test=name, deeds={
            "kill": trio.master.kill, "pause": trio.master.pause, "resume": trio.master.resume})
    finally:
        trio.stop()


@pytest.mark.parametrize("name", names_in("redis_cluster_test"))
def test_cluster(tmp_path, name):
    cluster = Cluster(tmp_path)
    slot = slot_of("{moved}k")
    source = cluster.owner(slot)
    lost = cluster.owner(slot_of("{gone}k"))
    target = next(n for n in cluster.nodes if n is not source)
    assert lost is not source

    def move():
        cluster.begin_migration(slot, source, target)
        cluster.move_keys(slot, source, target)
        cluster.end_migration(slot, target)

    def disown():
        for node in cluster.nodes:
            node.command("CLUSTER", "DELSLOTS", slot)

    try:
        cluster.start()
        run_served("store_redis", "redis_cluster_test",
                   {"REDIS_HOST": cluster.hosts, "REDIS_MODE": "cluster"}, test=name, deeds={
                       "move": move, "disown": disown, "kill": lost.kill, "start": lost.start,
                       "follow": lambda: cluster.add_replica(lost),
                       "begin": lambda: cluster.begin_migration(slot, source, target),
                       "keys": lambda: cluster.move_keys(slot, source, target),
                       "end": lambda: cluster.end_migration(slot, target)})
    finally:
        cluster.stop()
