"""Networks that misbehave: a namespace whose packets can be dropped, a link that is slow."""

import itertools
import os
import selectors
import socket
import subprocess
import threading
import time

from harness.process import free_port

_numbers = itertools.count(1)


def _run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                   stderr=subprocess.STDOUT, text=True)


class Namespace:
    """A network namespace of its own (root, iproute2, iptables), reached over a pair of virtual
    cards. Names and addresses are of this process: several may test at once."""

    def __init__(self):
        number = (os.getpid() % 4096) * 4 + next(_numbers) % 4
        self.name = f"doorman{number}"
        self.near, self.far = f"dmn{number}", f"dmf{number}"
        net = f"10.{200 + number // 64 // 256}.{number // 64 % 256}."
        first = number % 64 * 4
        self.near_address, self.address = f"{net}{first + 1}", f"{net}{first + 2}"
        self.inside = ("ip", "netns", "exec", self.name)

    def start(self):
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns",
             self.name)
        _run("ip", "address", "add", f"{self.near_address}/30", "dev", self.near)
        _run("ip", "link", "set", self.near, "up")
        _run(*self.inside, "ip", "address", "add", f"{self.address}/30", "dev", self.far)
        _run(*self.inside, "ip", "link", "set", self.far, "up")
        _run(*self.inside, "ip", "link", "set", "lo", "up")
        return self

    def drop(self):
        """Nothing comes in and nobody is told."""
        _run(*self.inside, "iptables", "-w", "-I", "INPUT", "-i", self.far, "-j", "DROP")

    def pass_on(self):
        _run(*self.inside, "iptables", "-w", "-D", "INPUT", "-i", self.far, "-j", "DROP")

    def stop(self):
        subprocess.run(("ip", "link", "del", self.near), check=False, stderr=subprocess.DEVNULL)
        subprocess.run(("ip", "netns", "del", self.name), check=False, stderr=subprocess.DEVNULL)


class SlowLink:
    """Passes bytes on to a port of loopback; those that come back wait for `delay` seconds.

    lose: of the next request that holds these bytes the answer is lost, and the connection with it.
    hold(sight): stands still, in both directions, once those bytes are on their way there: `held`
    is set then, until go_on()."""

    def __init__(self, port):
        self.target, self.port, self.delay, self.lose = port, free_port(), 0.0, None
        self.held, self._sight, self._go_on = threading.Event(), None, threading.Event()
        self._losing = set()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._pairs, self._late = {}, []
        self._wake, self._ended = socket.socketpair(), False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake[0], selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hold(self, sight):
        self._sight = sight

    def go_on(self):
        self._sight = None
        self._go_on.set()

    def stop(self):
        self._ended = True
        self.go_on()
        self._wake[1].send(b"x")
        self._thread.join()
        for one in [self._listener, *self._wake, *self._pairs]:
            one.close()

    def _run(self):
        while not self._ended:
            wait = max(0.0, self._late[0][0] - time.monotonic()) if self._late else None
            for key, _ in self._selector.select(wait):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is not self._wake[0]:
                    self._pass_on(key.fileobj)
            while self._late and self._late[0][0] <= time.monotonic():
                _, to, data = self._late.pop(0)
                self._send(to, data)

    def _accept(self):
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self.target), timeout=10)
        except OSError:
            client.close()
            return
        self._pairs[client], self._pairs[server] = (server, False), (client, True)
        for one in (client, server):
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, one):
        if one not in self._pairs:
            return
        try:
            data = one.recv(65536)
        except OSError:
            data = b""
        other, back = self._pairs[one]
        if not back and self._sight is not None and self._sight in data:
            self.held.set()
            self._go_on.wait()
        if not back and self.lose and self.lose in data:
            self.lose = None
            self._losing.add(other)
        if not data or one in self._losing:
            self._end(one, other)
        elif back and (self.delay or self._late):
            self._late.append((time.monotonic() + self.delay, other, data))
        else:
            self._send(other, data)

    def _send(self, to, data):
        if to in self._pairs:
            try:
                to.sendall(data)
            except OSError:
                self._end(to, self._pairs[to][0])

    def _end(self, *ends):
        for one in ends:
            self._losing.discard(one)
            if self._pairs.pop(one, None):
                self._selector.unregister(one)
                one.close()
