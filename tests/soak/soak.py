#!/usr/bin/env python3
"""Mixed load for a while: right answers all the way, and no memory or descriptor kept at the end.

    DOORMAN_BIN_DIR=build/release/bin tests/soak/soak.py SECONDS

Clients call, are refused, send bodies, break the protocol, go away half-way; an administrator makes
and deletes things. The first fifth of the time fills caches and pools; what the process grows by
after that is judged. A release build: a sanitizer's quarantine grows by design.
"""

import pathlib
import random
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import platform  # noqa: E402
from harness.process import Doorman, wait_until  # noqa: E402
from harness.raw import RawConnection  # noqa: E402
from harness.upstream import Upstream  # noqa: E402

CLIENTS = 6
WARM_UP = 0.2
# What fragmentation and late first uses may cost; a leak of 16 bytes a call passes it in a minute.
MAX_GROWTH_KB = 3072
MAX_MORE_FILES = 8


class Soak:
    def __init__(self, doorman, upstream):
        self.doorman = doorman
        self.upstream = upstream
        self.ended = threading.Event()
        self.faults = []
        self.counts = {}
        self.lock = threading.Lock()
        self.admin = platform.login(doorman.url)
        self.api = platform.make_api(self.admin, upstream.url)
        for method, uri in (("GET", "/hello"), ("POST", "/items/{id}"), ("DELETE", "/items/{id}")):
            platform.make_endpoint(self.admin, self.api, uri, method)
        self.user = platform.make_user(self.admin)
        platform.subscribe(self.admin, self.user, self.api)
        self.path = platform.rest_path(self.api)
        self.limited = platform.make_user(
            self.admin, rate_limit_enabled=True, rate_limit_duration=1,
            rate_limit_duration_type="year")
        platform.subscribe(self.admin, self.limited, self.api)
        first = self.limited.get(self.path + "hello")
        assert first.status_code == 200, first.text

    def note(self, name, good, text):
        with self.lock:
            self.counts[name] = self.counts.get(name, 0) + 1
            if not good and len(self.faults) < 20:
                self.faults.append(f"{name}: {text}")

    def answer(self, name, status, response):
        self.note(name, response.status_code == status,
                  f"{response.status_code} {response.text[:200]}, {status} expected")

    def client(self, seed):
        chance = random.Random(seed)
        user, nobody = platform.Session(self.doorman.url), platform.Session(self.doorman.url)
        limited = platform.Session(self.doorman.url)
        user.headers.update(self.user.headers)
        limited.headers.update(self.limited.headers)
        actions = [
            lambda: self.answer("call", 200, user.get(self.path + "hello")),
            lambda: self.answer("body", 200, user.post(
                self.path + f"items/{chance.randrange(10**9)}",
                data=chance.randbytes(chance.randrange(60000)))),
            lambda: self.answer("anonymous", 401, nobody.get(self.path + "hello")),
            lambda: self.answer("forged", 401, nobody.get(self.path + "hello", headers={
                "Authorization": f"Bearer a.{chance.randrange(10**9)}.c"})),
            lambda: self.answer("limited", 429, limited.get(self.path + "hello")),
            lambda: self.answer("unknown", 404, user.get(self.path + f"{chance.random()}")),
            lambda: self.refused(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
            lambda: self.refused(b"GET /%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
            self.half_a_request,
            self.goes_away,
        ]
        weights = [20, 5, 3, 3, 3, 3, 1, 1, 1, 1]
        while not self.ended.is_set():
            chance.choices(actions, weights)[0]()

    def connect(self):
        return RawConnection(("127.0.0.1", self.doorman.port))

    def refused(self, request):
        with self.connect() as connection:
            response = connection.send(request).read_response()
            self.note("refused", 400 <= response.status < 500, response.head)

    def half_a_request(self):
        with self.connect() as connection:
            connection.send(b"POST /api/rest/x/v1/y HTTP/1.1\r\nHost: a\r\nContent-Le")
        self.note("half", True, "")

    def goes_away(self):
        token = self.user.token
        connection = self.connect()
        connection.send(f"GET {self.path}hello HTTP/1.1\r\nHost: a\r\n"
                        f"Authorization: Bearer {token}\r\n\r\n")
        connection.reset()
        self.note("away", True, "")

    def administrator(self):
        admin = platform.login(self.doorman.url)
        while not self.ended.is_set():
            api = platform.make_api(admin, self.upstream.url)
            platform.make_endpoint(admin, api, "/x")
            name, version = api["api_name"], api["api_version"]
            platform.expect(admin.delete(f"/platform/api/{name}/{version}"), 200)
            self.note("admin", True, "")
            self.upstream.forget()

    def guarded(self, run, *arguments):
        try:
            run(*arguments)
        except Exception as fault:
            self.note(run.__name__, False, repr(fault))
            self.ended.set()

    def run(self, seconds):
        threads = [threading.Thread(target=self.guarded, args=(self.client, n))
                   for n in range(CLIENTS)]
        threads.append(threading.Thread(target=self.guarded, args=(self.administrator,)))
        for thread in threads:
            thread.start()
        self.ended.wait(seconds * WARM_UP)
        before = self.doorman.resident_kb()
        self.ended.wait(seconds * (1 - WARM_UP))
        self.ended.set()
        for thread in threads:
            thread.join()
        return before, self.doorman.resident_kb()


def open_files(doorman):
    return len(list(pathlib.Path(f"/proc/{doorman.pid}/fd").iterdir()))


def main(seconds):
    upstream = Upstream()
    with tempfile.TemporaryDirectory() as folder:
        # The administrator's log ring fills up to 50,000 lines: wanted growth that hides others.
        doorman = Doorman(folder, {"MEMORY_LOG_ENABLED": "false", "LOG_LEVEL": "ERROR"}).start()
        try:
            soak = Soak(doorman, upstream)
            files = open_files(doorman)
            started = time.monotonic()
            before, after = soak.run(seconds)
            took = time.monotonic() - started
            wait_until(lambda: open_files(doorman) <= files + CLIENTS + MAX_MORE_FILES, 90,
                       "the end of the connections")
        finally:
            doorman.terminate()
        total = sum(soak.counts.values())
        print(f"soak: {total} actions in {took:.0f} s: " +
              ", ".join(f"{name} {count}" for name, count in sorted(soak.counts.items())))
        print(f"soak: resident {before} kB after warm-up, {after} kB at the end, "
              f"{MAX_GROWTH_KB} kB more allowed")
        if after - before > MAX_GROWTH_KB:
            soak.faults.append(f"resident memory grew by {after - before} kB")
        if doorman.process.returncode != 0:
            soak.faults.append(f"exit code {doorman.process.returncode}")
        if took < seconds * 0.9:
            soak.faults.append("it ended early")
    for fault in soak.faults:
        print(f"soak: {fault}")
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
