"""A failed reload as a Kubernetes Event (KUBE_EVENTS_ENABLED): to an API server with a certificate
of a CA of our own, as the account that is mounted where the kubelet mounts it."""

import signal
import socket
import ssl
import types

import pytest
import requests

from harness.config import ConfigFile, generation, reloads
from harness.kubernetes import NAMESPACE, POD, UID, Account, ApiServer, environment
from harness.papers import make_papers
from harness.process import Doorman, wait_until
from harness.split import Split

pytestmark = pytest.mark.memory

PATIENCE = 20.0
BROKEN = "log:\n  level: LOUD\n"
SENT = 'doorman_kube_events_total{result="sent"}'
FAILED = 'doorman_kube_events_total{result="failed"}'
NOT_SENT = "a Kubernetes Event could not be sent"


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    return make_papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture
def start_server(papers):
    started = []

    def start(*args, **options):
        started.append(ApiServer(papers, *args, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def server(start_server):
    return start_server()


@pytest.fixture
def file(tmp_path):
    return ConfigFile(tmp_path / "config")


@pytest.fixture
def account(tmp_path, papers):
    return Account(tmp_path / "account", papers / "ca.pem")


@pytest.fixture
def start_pod(tmp_path, file):
    """A doorman that only reloads when it is asked to, in a pod with that account."""
    started = []

    def start(server, account, **settings):
        running = Doorman(tmp_path / "pod", {"DOORMAN_CONFIG_FILE": file.path,
                                             "CONFIG_WATCH": "false", **environment(server),
                                             **settings})
        running.prefix = account.prefix() if account else []
        started.append(running)
        return running.start()

    yield start
    for running in started:
        running.stop()


def hang_up(program, result="failure"):
    before = reloads(program, result)
    program.signal(signal.SIGHUP)
    wait_until(lambda: reloads(program, result) > before, PATIENCE, f"a {result}")


def events(program, sample):
    return program.metrics()[sample]


def until(program, sample, count):
    wait_until(lambda: events(program, sample) == count, PATIENCE, f"{sample} {count}")


# --- what is told ---


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_failed_reload_is_an_event_of_its_pod(start_server, account, start_pod, file, host):
    server = start_server(host=host)
    pod = start_pod(server, account)
    file.write(BROKEN + "max:\n  page_size: 0\n")
    hang_up(pod)
    until(pod, SENT, 1)
    (path, headers, event), = server.posts
    assert path == f"/api/v1/namespaces/{NAMESPACE}/events"
    assert headers["Authorization"] == "Bearer first.token.0"
    where = f"[{host}]" if ":" in host else host
    assert headers["Host"] == f"{where}:{server.port}"
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"] == "doorman"
    assert (event["reason"], event["type"]) == ("ConfigReloadFailed", "Warning")
    assert event["involvedObject"] == {"apiVersion": "v1", "kind": "Pod", "namespace": NAMESPACE,
                                       "name": POD, "uid": UID}
    assert event["metadata"] == {"generateName": f"{POD}.", "namespace": NAMESPACE}
    assert event["source"] == {"component": "doorman"}
    message = event["message"]
    for wanted in (f"{file.path}:2:10: LOG_LEVEL: ", "; expected TRACE, DEBUG, ",
                   f"{file.path}:4:14: MAX_PAGE_SIZE: "):
        assert wanted in message, message
    assert message.endswith("; keeping generation 1"), message
    assert events(pod, FAILED) == 0 and NOT_SENT not in pod.log()
    assert "first.token.0" not in pod.log()


def test_a_good_reload_is_none_and_the_token_is_read_each_time(server, account, start_pod, file):
    pod = start_pod(server, account)
    file.write("log: {level: INFO}\n")
    hang_up(pod, "success")
    file.write(BROKEN)
    hang_up(pod)
    until(pod, SENT, 1)
    account.rotate("second.token.0")
    hang_up(pod)
    until(pod, SENT, 2)
    assert [headers["Authorization"] for _, headers, _ in server.posts] == [
        "Bearer first.token.0", "Bearer second.token.0"]
    assert all(message.endswith("; keeping generation 2") for message in server.messages)


def test_the_same_broken_file_is_told_once_by_the_watch(server, account, start_pod, file):
    """As the log: once for each content, however often it is written or polled."""
    pod = start_pod(server, account, CONFIG_WATCH="true", CONFIG_DEBOUNCE_MS="20",
                    CONFIG_POLL_SECONDS="0")
    for _ in range(3):
        file.write(BROKEN)
        until(pod, SENT, 1)
    file.write("max_page_size: none\n")
    until(pod, SENT, 2)
    first, second = server.messages
    assert "LOG_LEVEL" in first and "MAX_PAGE_SIZE" in second
    assert reloads(pod, "failure") == 2


def test_a_message_is_bounded_and_counts_the_rest(server, account, start_pod, file):
    pod = start_pod(server, account)
    file.write("".join(f"no_such_setting_{n}: 1\n" for n in range(200)))
    hang_up(pod)
    until(pod, SENT, 1)
    message, = server.messages
    assert len(message.encode()) <= 1024
    told = message.count("no_such_setting_")
    assert told >= 3 and f"; {200 - told} more in the log; keeping generation 1" in message


def test_one_fault_that_is_too_long_is_cut(server, account, start_pod, tmp_path):
    deep = ConfigFile(tmp_path.joinpath(*["deep" * 60] * 4))
    pod = start_pod(server, account, DOORMAN_CONFIG_FILE=deep.path)
    deep.write(BROKEN)
    hang_up(pod)
    until(pod, SENT, 1)
    message, = server.messages
    assert len(message.encode()) <= 1024
    assert message.startswith(str(deep.path)[:900]) and message.endswith("keeping generation 1")


def test_a_secret_is_in_no_event(server, account, start_pod, tmp_path):
    secret = tmp_path / "jwt"
    secret.write_text("first-secret-0123456789abcdef0123456789\n")
    pod = start_pod(server, account, JWT_SECRET_KEY=None, JWT_SECRET_KEY_FILE=secret)
    secret.write_text("canary\n" * 1000)
    hang_up(pod)
    until(pod, SENT, 1)
    message, = server.messages
    assert "JWT_SECRET_KEY" in message and "canary" not in message


# --- what goes wrong costs a line of the log, nothing else ---


def answer_with_the_handshake(listener, papers):
    """The last bytes of a TLS 1.2 handshake and a whole answer leave in one segment."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(papers / "server.pem", papers / "server.key")
    link, _ = listener.accept()
    heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(heard, said, server_side=True)
    while True:
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            link.sendall(said.read())
            heard.write(link.recv(65536))
    session.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    link.sendall(said.read())
    return link


def test_an_answer_that_came_with_the_handshake_is_heard(account, start_pod, file, papers):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        host, port = listener.getsockname()
        pod = start_pod(types.SimpleNamespace(host=host, port=port), account)
        file.write(BROKEN)
        hang_up(pod)
        with answer_with_the_handshake(listener, papers):
            told_once(pod, "the API server answered 403")


def told_once(pod, why):
    until(pod, FAILED, 1)
    wait_until(lambda: NOT_SENT in pod.log(), PATIENCE, "its line")
    lines = [line for line in pod.log().splitlines() if NOT_SENT in line]
    assert len(lines) == 1 and why in lines[0] and "WARNING" in lines[0], lines
    assert "first.token.0" not in pod.log()


def unharmed(pod, file):
    assert generation(pod) == 1
    assert requests.get(f"{pod.url}/readyz", timeout=10).status_code == 200
    file.write("log: {level: INFO}\n")
    hang_up(pod, "success")
    assert generation(pod) == 2


@pytest.mark.parametrize("case", ["another CA", "another name", "no TLS", "nobody"])
def test_a_server_that_is_not_the_right_one_hears_no_token(start_server, account, start_pod, file,
                                                           papers, case):
    server = start_server("elsewhere" if case == "another name" else "server",
                          tls=case != "no TLS")
    if case == "another CA":
        (account.folder / "ca.crt").write_bytes((papers / "otherca.pem").read_bytes())
    if case == "nobody":
        server.stop()
    pod = start_pod(server, account)
    file.write(BROKEN)
    hang_up(pod)
    told_once(pod, {"another CA": "certificate refused: ",
                    "another name": "certificate refused: IP address mismatch",
                    "no TLS": "wrong version number", "nobody": "connecting failed"}[case])
    assert server.posts == []
    unharmed(pod, file)


def test_a_refusal_is_told_with_its_sentence(server, account, start_pod, file):
    sentence = 'events is forbidden: User "system:serviceaccount:shop:d" cannot create resource'
    server.status, server.answer = 403, {"kind": "Status", "code": 403, "message": sentence}
    pod = start_pod(server, account)
    file.write(BROKEN)
    hang_up(pod)
    told_once(pod, "the API server answered 403: events is forbidden: User ")
    assert len(server.posts) == 1
    unharmed(pod, file)


@pytest.mark.parametrize("answer", [{"message": "x" * 100000}, ["no Status"], {"message": 7}])
def test_an_odd_refusal_is_told_too(server, account, start_pod, file, answer):
    server.status, server.answer = 500, answer
    pod = start_pod(server, account)
    file.write(BROKEN)
    hang_up(pod)
    told_once(pod, "the API server answered 500")
    unharmed(pod, file)


@pytest.fixture
def waiting(server, account, start_pod, file):
    """A pod whose Event is on its way to a server that never answers."""
    server.status = None
    pod = start_pod(server, account)
    file.write(BROKEN)
    hang_up(pod)
    wait_until(lambda: server.posts, PATIENCE, "the post")
    return pod


def test_a_server_without_an_answer_holds_nothing_up(waiting, file):
    pod = waiting
    unharmed(pod, file)  # and it has not been given up yet
    assert events(pod, FAILED) == 0
    told_once(pod, "")


def test_an_end_does_not_wait_for_an_event(waiting):
    assert waiting.terminate() == 0
    assert NOT_SENT not in waiting.log()


@pytest.mark.parametrize("missing", ["token", "ca.crt", "namespace", "account", "server"])
def test_what_is_missing_is_told_once_at_the_start(server, account, start_pod, file, missing):
    settings = {}
    if missing == "server":
        settings = {"KUBERNETES_SERVICE_HOST": None}
    elif missing != "account":
        (account.folder / missing).unlink()
    pod = start_pod(server, None if missing == "account" else account, **settings)
    file.write(BROKEN)
    for _ in range(2):
        hang_up(pod)
    wait_until(lambda: pod.log().count("reload failed") == 2, PATIENCE, "the second line")
    said = [line for line in pod.log().splitlines() if "no Kubernetes Event can be sent" in line]
    why = {"server": "KUBERNETES_SERVICE_HOST", "account": "serviceaccount/"}.get(missing, missing)
    assert len(said) == 1 and why in said[0] and "WARNING" in said[0], said
    assert NOT_SENT not in pod.log() and server.posts == []
    unharmed(pod, file)


def test_nothing_is_sent_where_it_is_not_wanted(server, account, start_pod, file):
    pod = start_pod(server, account, KUBE_EVENTS_ENABLED=None)
    file.write(BROKEN)
    hang_up(pod)
    assert SENT not in pod.metrics() and "Kubernetes" not in pod.log()
    pod.terminate()
    assert server.posts == []


# --- two programs ---


def test_admin_and_sidecar_tell_each_of_itself(server, account, tmp_path, file):
    running = Split(tmp_path / "split", {"DOORMAN_CONFIG_FILE": file.path, "CONFIG_WATCH": "false",
                                         **environment(server)})
    for program in running.programs:
        program.prefix = account.prefix()
    running.start()
    try:
        file.write(BROKEN)
        for program in running.programs:
            hang_up(program)
            until(program, SENT, 1)
    finally:
        running.stop()
    assert [event["source"]["component"] for _, _, event in server.posts] == [
        "doorman-admin", "doorman-gateway"]
