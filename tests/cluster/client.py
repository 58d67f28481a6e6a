"""Calls the product from inside of the cluster. Runs in a pod; the standard library only.

client.py wait                   stays until it is told to go
client.py calls NAME < JSON line [{method, url, headers, body}] -> [{status, headers, body}]; asked
                                 again under that name, it says again what it found
client.py load   < JSON line     {url, headers, rate, connections} -> a line when every connection
                                 has had an answer; when its input ends, counts

The load keeps its connections. A request on a kept connection that dies before a byte of the answer
is sent once more on a new one, as HTTP clients do with GET (RFC 9110 §9.2.2); it is counted apart.
"""

import http.client
import json
import pathlib
import signal
import ssl
import sys
import tempfile
import threading
import time
import urllib.parse

TIMEOUT = 15


def connect(url):
    if url.scheme == "https":
        trusting = ssl._create_unverified_context()  # the tests' own certificate
        return http.client.HTTPSConnection(url.hostname, url.port, timeout=TIMEOUT,
                                           context=trusting)
    return http.client.HTTPConnection(url.hostname, url.port, timeout=TIMEOUT)


def path_of(url):
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def call(method, url, headers=None, body=None):
    url = urllib.parse.urlsplit(url)
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
    connection = connect(url)
    try:
        connection.request(method, path_of(url), body, headers)
        answer = connection.getresponse()
        return {"status": answer.status, "headers": answer.getheaders(),
                "body": answer.read().decode(errors="replace")}
    except OSError as fault:
        return {"status": 0, "headers": [], "body": repr(fault)}
    finally:
        connection.close()


def calls_once(name, calls):
    found = pathlib.Path(tempfile.gettempdir(), f"answers-{name}")
    if not found.exists():
        found.write_text(json.dumps([call(**c) for c in calls]))
    return found.read_text()


class Load:
    def __init__(self, task):
        self.url = urllib.parse.urlsplit(task["url"])
        self.headers = task.get("headers", {})
        self.connections = task.get("connections", 20)
        self.pause = self.connections / task["rate"]
        self.ended = threading.Event()
        self.under_way = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.statuses, self.faults = {}, []
        self.resent = self.opened = 0
        self.slowest = 0.0

    def once(self, connection):
        """One answer; gives (connection to go on with, or None; status)."""
        kept = connection is not None
        if not kept:
            connection = connect(self.url)
            with self.lock:
                self.opened += 1
        try:
            connection.request("GET", path_of(self.url), headers=self.headers)
            answer = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            connection.close()
            if not kept:
                raise
            with self.lock:
                self.resent += 1
            return self.once(None)
        answer.read()
        if answer.will_close:
            connection.close()
            connection = None
        return connection, answer.status

    def worker(self, number):
        connection = None
        due = time.monotonic() + self.pause * number / self.connections
        first = True
        while not self.ended.wait(max(0.0, due - time.monotonic())):
            begin = time.monotonic()
            try:
                connection, status = self.once(connection)
                with self.lock:
                    self.statuses[status] = self.statuses.get(status, 0) + 1
                    self.slowest = max(self.slowest, time.monotonic() - begin)
            except (OSError, http.client.HTTPException) as fault:
                connection = None
                with self.lock:
                    self.faults.append(f"{time.time():.3f} {fault!r}")
            if first:
                self.under_way.release()
            first = False
            due = max(due + self.pause, time.monotonic() - 1)

    def run(self):
        threads = [threading.Thread(target=self.worker, args=(n,)) for n in range(self.connections)]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        for _ in threads:
            self.under_way.acquire()
        print("under way", flush=True)
        sys.stdin.read()
        self.ended.set()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - begin
        return {"statuses": self.statuses, "faults": len(self.faults),
                "rate": round(sum(self.statuses.values()) / seconds), "seconds": round(seconds),
                "first_faults": self.faults[:5], "resent": self.resent, "opened": self.opened,
                "slowest_ms": round(self.slowest * 1000)}


def main():
    what = sys.argv[1]
    if what == "wait":
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
        return
    task = json.loads(sys.stdin.readline())
    if what == "load":
        json.dump(Load(task).run(), sys.stdout)
    else:
        print(calls_once(sys.argv[2], task))


if __name__ == "__main__":
    main()
