"""Load from the other core: closed loop (wrk), open loop (rate), idle connections, large bodies."""

import dataclasses
import json
import re
import socket
import subprocess
import threading
import time


class Void(Exception):
    """A run that proves nothing: errors, or a proxy that did not do the work it was asked for."""


@dataclasses.dataclass
class Closed:
    """What a closed loop gave: the CPU of the proxy, and of what it asks beside it."""

    requests: int
    seconds: float
    cpu: float
    beside: float


def wrk(proxy, connections, seconds):
    """A closed loop; Void on any error, and where the proxy's counters do not prove the work."""
    fields = [part for name, value in proxy.headers().items()
              for part in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *fields,
               f"http://127.0.0.1:{proxy.port}{proxy.path}"]
    counted = settled(proxy)
    used, beside = proxy.cpu_seconds(), proxy.beside_seconds()
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used, beside = proxy.cpu_seconds() - used, proxy.beside_seconds() - beside
    found = re.search(r"(\d+) requests in ([\d.]+)s", out)
    if "Non-2xx" in out or "Socket errors" in out or not found or int(found.group(1)) == 0:
        raise Void(f"{proxy.name}: {out}")
    requests = int(found.group(1))
    prove(proxy, counted, requests, connections)
    return Closed(requests, float(found.group(2)), used, beside)


def prove(proxy, before, requests, connections):
    """What the proxy (and its Redis) counted must be the requests: one of each for each of them.

    When the clock stops, up to one request a connection is on its way and not in wrk's count.
    """
    after = settled(proxy)
    for name, count in after.items():
        count -= before[name]
        if not requests <= count <= requests + 2 * connections:
            raise Void(f"{proxy.name}: {requests} requests, but {count:g} {name}")


def settled(proxy):
    """The counters once requests that were on their way have ended."""
    last = proxy.counters()
    while last:
        time.sleep(0.05)
        now = proxy.counters()
        if now == last:
            return now
        last = now
    return last


def at_rate(machine, proxy, per_second, seconds, connections):
    """The latency figures of an open loop; Void when an answer is bad or missing."""
    request = machine.folder / "cfg" / f"{proxy.name}.request"
    request.write_bytes(proxy.request())
    out = subprocess.run([str(machine.rate), str(proxy.port), f"{per_second:.0f}", f"{seconds:g}",
                          str(connections), str(request)],
                         capture_output=True, text=True, check=False)
    if out.returncode != 0:
        raise Void(f"{proxy.name}: {out.stderr}")
    figures = json.loads(out.stdout)
    if figures["bad"] or figures["done"] != figures["sent"]:
        raise Void(f"{proxy.name}: {out.stdout}")
    return figures


class IdleConnections:
    """Keep-alive connections that each made one call and then say nothing."""

    def __init__(self, proxy, count):
        self.sockets = []
        request = proxy.request()
        try:
            for _ in range(count):
                client = socket.create_connection(("127.0.0.1", proxy.port), timeout=20)
                self.sockets.append(client)
                client.sendall(request)
                self._read(client)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _read(client):
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = client.recv(65536)
            if not chunk:
                raise Void("an idle connection was closed")
            data += chunk
        head, body = data.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 200"):
            raise Void(f"an idle connection got {head[:80]!r}")
        left = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1)) - len(body)
        while left > 0:
            left -= len(client.recv(65536))

    def close(self):
        """By reset: thousands of orderly ends would leave their ports waiting."""
        for client in self.sockets:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        self.sockets = []


def wait_for_growth_to_end(proxy, seconds):
    """Resident memory once it no longer moves."""
    last, since = proxy.resident_kb(), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.1)
        now = proxy.resident_kb()
        if now != last:
            last, since = now, time.monotonic()
    return last


def download(proxy, path, size, pause):
    """Receives a large answer, slowly at first, so that whoever hoards bytes has the time to."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(proxy.request(path))
        data = client.recv(4096)
        time.sleep(pause)
        while b"\r\n\r\n" not in data:
            data += client.recv(4096)
        head, body = data.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 200"):
            raise Void(f"{proxy.name}: {head[:200]!r}")
        got = len(body)
        while got < size:
            chunk = client.recv(1 << 20)
            if not chunk:
                raise Void(f"{proxy.name}: {got} of {size} bytes")
            got += len(chunk)


def upload(proxy, path, size):
    """Sends a large body; the upstream behind it reads slowly at first."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in proxy.headers().items())
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\n{fields}Content-Length: {size}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as client:
        client.sendall(head.encode())
        block = b"x" * 65536
        left = size
        while left > 0:
            client.sendall(block[:left])
            left -= len(block)
        answer = client.recv(65536)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise Void(f"{proxy.name}: {answer[:200]!r}")


class Sink:
    """An upstream that counts a body without keeping it and pauses after its first bytes."""

    def __init__(self, pause):
        self.pause, self.received = pause, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._drain, args=(client,), daemon=True).start()

    def _drain(self, client):
        with client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            data = b""
            while b"\r\n\r\n" not in data:
                chunk = client.recv(4096)
                if not chunk:
                    return
                data += chunk
            head, body = data.split(b"\r\n\r\n", 1)
            time.sleep(self.pause)
            left = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1)) - len(body)
            self.received += len(body)
            while left > 0:
                chunk = client.recv(1 << 20)
                if not chunk:
                    return
                left -= len(chunk)
                self.received += len(chunk)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    def close(self):
        self._listener.close()
