"""Clients that call again and again over connections they keep, while a test breaks something."""

import collections
import http.client
import json
import threading

from harness.process import wait_until

DEADLINE = 60.0
TIMEOUT = 60

Answer = collections.namedtuple("Answer", "name status code reason retry_after")


class Load:
    """calls: {name: (path, fields)}; each thread makes them in turn. A connection that breaks is an
    answer with the status None: no fault of a store may end one. What ends a thread fails the test.
    """

    def __init__(self, program, calls, threads=2):
        self.program, self.calls = program, calls
        self.answers = []
        self._ended, self._faults = threading.Event(), []
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()
        if self._faults and kind is None:
            raise self._faults[0]

    def _run(self):
        try:
            self._call_all()
        except Exception as fault:  # an error without a body of ours, say
            self._faults.append(fault)

    def _call_all(self):
        link = http.client.HTTPConnection("127.0.0.1", self.program.port, timeout=TIMEOUT)
        while not self._ended.is_set():
            for name, (path, fields) in self.calls.items():
                self.answers.append(self._call(link, name, path, fields))
        link.close()

    @staticmethod
    def _call(link, name, path, fields):
        try:
            link.request("GET", path, headers=fields)
            answer = link.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as broken:
            link.close()
            return Answer(name, None, repr(broken), None, None)
        code = json.loads(body).get("error_code") if answer.status >= 400 else None
        return Answer(name, answer.status, code, answer.getheader("X-Doorman-Reason"),
                      answer.getheader("Retry-After"))

    def seen(self, name, since=0):
        return [a for a in self.answers[since:] if a.name == name]

    def count(self, name, status, since=0):
        return sum(a.status == status for a in self.seen(name, since))

    def wait_for(self, name, status, times=5):
        """So many more answers from now on."""
        since = len(self.answers)
        wait_until(lambda: self.count(name, status, since) >= times, DEADLINE,
                   f"{times} answers {status} to {name}")
