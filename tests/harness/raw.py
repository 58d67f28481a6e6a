"""Bytes on the wire: a client and a server that do what a test says, also what is forbidden."""

import socket
import threading

TIMEOUT = 20.0


class RawConnection:
    """A TCP connection that sends and receives bytes as they are."""

    def __init__(self, address, timeout=TIMEOUT):
        self.socket = socket.create_connection(address, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))
        return self

    def _fill(self):
        chunk = self.socket.recv(65536)
        self.buffer += chunk
        return bool(chunk)

    def read_until(self, mark):
        """All bytes up to and with mark; what came before the stream's end if it never comes."""
        while mark not in self.buffer and self._fill():
            pass
        end = self.buffer.find(mark)
        end = len(self.buffer) if end < 0 else end + len(mark)
        data, self.buffer = self.buffer[:end], self.buffer[end:]
        return data

    def read_exactly(self, size):
        while len(self.buffer) < size and self._fill():
            pass
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def read_all(self):
        """Everything until the other side closes; TimeoutError when it does not."""
        while self._fill():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def read_response(self, to_head=False):
        """One HTTP/1.1 response, framed by its length, its chunks or the end of the stream."""
        head = self.read_until(b"\r\n\r\n")
        if not head:
            raise ConnectionResetError("closed before a response began")
        response = RawResponse(head)
        if to_head or response.status // 100 == 1 or response.status in (204, 304):
            return response
        if "chunked" in response.header("transfer-encoding", ""):
            response.body = self._read_chunks()
        elif response.header("content-length") is not None:
            response.body = self.read_exactly(int(response.header("content-length")))
        else:
            response.body = self.read_all()
        return response

    def _read_chunks(self):
        body = b""
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                while self.read_until(b"\r\n") not in (b"\r\n", b""):
                    pass
                return body
            body += self.read_exactly(size)
            self.read_exactly(2)

    def closed_by_peer(self):
        """True when the other side closes (or resets) without sending anything more."""
        try:
            return self.buffer == b"" and self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes with RST, as a crashed peer does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class RawResponse:
    def __init__(self, head):
        self.head = head
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.fields = [tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(":"), "")
                       for line in lines[1:] if line]
        self.body = b""

    def headers(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def header(self, name, default=None):
        values = self.headers(name)
        return values[0] if values else default


class LyingUpstream:
    """A server whose every connection is one call of a script the test supplies.

    script(connection, number) gets a RawConnection of the accepted socket and the count of
    connections before it. Whatever the script raises is kept in .faults. With a path it listens
    on a Unix socket.
    """

    def __init__(self, script, path=None):
        self.script = script
        self.faults = []
        self.n_connections = 0
        if path:
            self._listener = socket.create_server(str(path), family=socket.AF_UNIX)
            self.address, self.url = path, f"unix:{path}"
        else:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.address = self._listener.getsockname()
            self.url = f"http://127.0.0.1:{self.address[1]}"
        self._open = []
        self._threads = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self):
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            connection = RawConnection.__new__(RawConnection)
            connection.socket, connection.buffer = accepted, b""
            accepted.settimeout(TIMEOUT)
            number, self.n_connections = self.n_connections, self.n_connections + 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection, number), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection, number):
        try:
            self.script(connection, number)
        except Exception as fault:  # the test decides whether the script's end was wanted
            self.faults.append(fault)
        finally:
            connection.close()

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._accepting.join(TIMEOUT)
        for thread in self._threads:
            thread.join(TIMEOUT)
