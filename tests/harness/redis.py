"""A redis-server on a free port of loopback, keeping nothing on disk."""

import pathlib
import signal
import socket
import subprocess

from harness.process import free_port, wait_until

START_DEADLINE = 20.0
STOP_DEADLINE = 20.0


class RedisServer:
    """start() and stop() may be repeated: the port stays, what was stored does not."""

    def __init__(self, folder, *options):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.options = options
        self.process = None

    def start(self):
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "",
                 "--appendonly", "no", "--dir", str(self.folder), *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        wait_until(lambda: self.command("PING").startswith(b"+PONG"), START_DEADLINE,
                   "redis-server answers")
        return self

    def command(self, *words):
        """One command, its reply as it came; b"" while the server does not answer."""
        text = f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(text.encode())
                return connection.recv(65536)
        except OSError:
            return b""

    def halt(self):
        """Connections are taken by the kernel, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.go_on()
        self.process.terminate()
        try:
            self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_DEADLINE)
