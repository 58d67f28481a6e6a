"""Where threads meet in one process: callers on the worker, handlers on the admin server's threads,
signals on the control loop. What a race breaks shows in the ThreadSanitizer build."""

import signal
import threading

import pytest

from harness import platform
from harness.platform import expect
from harness.process import START_DEADLINE, shape, wait_until

KEY = "a-memory-encryption-key-of-forty-characters"
ROUNDS = 8

pytestmark = pytest.mark.tsan


class Crew:
    """Threads that run a function until told to stop; the first exception of any is the test's."""

    def __init__(self):
        self.stop = threading.Event()
        self.threads = []
        self.errors = []
        self.rounds = 0

    def start(self, work):
        def run():
            try:
                while not self.stop.is_set():
                    work()
                    self.rounds += 1
            except Exception as error:  # told to the test's own thread by end()
                self.errors.append(error)

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
        if self.errors:
            raise self.errors[0]


def callers(crew, running, path, token, count=4):
    for _ in range(count):
        session = platform.Session(running.url)
        session.headers["Authorization"] = f"Bearer {token}"
        crew.start(lambda session=session: expect(session.get(path), 200))


def published(running, admin, upstream):
    api, user = platform.make_callable(admin, upstream)
    return api, user, platform.rest_path(api, "/hello")


def change_everything(admin, api, user):
    """One round of what an administrator does; nothing of it touches the user's right to call."""
    name = platform.unique("u")
    other = platform.make_user(admin, name)
    platform.subscribe(admin, other, api)
    platform.revoke(admin, other)
    expect(admin.put(f"/platform/user/{user.username}", json={"rate_limit_duration": 100000}))
    expect(admin.put(f"/platform/api/{api['api_name']}/v1", json={"api_description": name}))
    platform.make_endpoint(admin, api, f"/{name}")
    expect(admin.delete(f"/platform/endpoint/GET/{api['api_name']}/v1/{name}"))
    expect(admin.delete(f"/platform/user/{name}"))
    expect(admin.delete("/api/caches"))


def test_calls_pass_while_everything_changes(start_doorman, upstream):
    running = start_doorman(MEM_ENCRYPTION_KEY=KEY)
    admin = platform.login(running.url)
    api, user, path = published(running, admin, upstream)
    crew = Crew()
    callers(crew, running, path, user.token)
    crew.start(lambda: platform.login(running.url))
    crew.start(running.metrics)
    try:
        for _ in range(ROUNDS):
            change_everything(admin, api, user)
            running.signal(signal.SIGUSR1)
            running.signal(signal.SIGHUP)
    finally:
        crew.end()
    assert crew.rounds > 0
    if shape() == "memory":
        wait_until(lambda: "memory dump written" in running.log(), START_DEADLINE, "the dump")
    running.stop()


def test_a_revocation_stops_callers_at_once(start_doorman, upstream):
    running = start_doorman()
    admin = platform.login(running.url)
    _, user, path = published(running, admin, upstream)
    revoked = threading.Event()
    late = []

    def call(session):
        known = revoked.is_set()
        answer = session.get(path)
        expect(answer, 200, 401)
        if known and answer.status_code == 200:
            late.append(answer)

    crew = Crew()
    for _ in range(4):
        session = platform.Session(running.url)
        session.headers["Authorization"] = f"Bearer {user.token}"
        crew.start(lambda session=session: call(session))
    try:
        wait_until(lambda: crew.rounds > 10 or crew.errors, START_DEADLINE, "calls")
        platform.revoke(admin, user)
        revoked.set()
        before = crew.rounds
        wait_until(lambda: crew.rounds > before + 20 or crew.errors, START_DEADLINE, "calls")
    finally:
        crew.end()
    assert not late


def test_sigterm_under_load_ends_well(start_doorman, upstream):
    running = start_doorman(MEM_ENCRYPTION_KEY=KEY)
    admin = platform.login(running.url)
    _, user, path = published(running, admin, upstream)
    crew = Crew()
    statuses = []

    def call(session):
        try:
            statuses.append(session.get(path).status_code)
        except platform.requests.ConnectionError:
            crew.stop.set()  # the port is closed

    for _ in range(4):
        session = platform.Session(running.url)
        session.headers["Authorization"] = f"Bearer {user.token}"
        crew.start(lambda session=session: call(session))
    wait_until(lambda: len(statuses) > 20, START_DEADLINE, "calls")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    crew.end()
    assert set(statuses) == {200}
