"""A well-behaved HTTP/1.1 upstream that keeps what it received and answers as told."""

import http.server
import json
import queue
import threading

TIMEOUT = 20.0


class Received:
    """One request as it arrived: target as sent, fields in order, body whole."""

    def __init__(self, handler, body):
        self.method = handler.command
        self.target = handler.path
        self.fields = [(name, value) for name, value in handler.headers.items()]
        self.body = body
        self.connection = handler.client_address[1]

    def headers(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def header(self, name, default=None):
        values = self.headers(name)
        return values[0] if values else default

    def json(self):
        return json.loads(self.body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024  # a thousand clients at once are no fault of a test


class Upstream:
    """answer(received) gives (status, fields, body), or None for the default: 200 and a small JSON.

    Fields are a list of pairs, sent as they are; Content-Length is added when no framing is named.
    A body that is no bytes is sent chunk by chunk as it is produced.
    """

    def __init__(self, answer=None):
        self.answer = answer
        self.requests = []
        self._arrivals = queue.Queue()
        self._server = Server(("127.0.0.1", 0), self._handler())
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,),
                                        daemon=True)
        self._thread.start()

    def next_request(self, timeout=TIMEOUT):
        """The next request not yet taken; queue.Empty when none comes."""
        return self._arrivals.get(timeout=timeout)

    def forget(self):
        self.requests.clear()
        while not self._arrivals.empty():
            self._arrivals.get_nowait()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(TIMEOUT)

    def _handler(self):
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (ConnectionError, ValueError):  # gone, or no chunk of ours
                    self.close_connection = True

            def _serve(self):
                received = Received(self, self._read_body())
                upstream.requests.append(received)
                upstream._arrivals.put(received)
                reply = upstream.answer(received) if upstream.answer else None
                default = {"upstream": "ok", "method": received.method, "target": received.target}
                self._reply(*(reply or (200, [("Content-Type", "application/json")],
                                        json.dumps(default).encode())))

            def _read_exactly(self, size):
                data = self.rfile.read(size)
                if len(data) < size:
                    raise ConnectionError("the request broke off: it does not count as received")
                return data

            def _read_body(self):
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self._read_exactly(int(self.headers.get("Content-Length", 0)))
                body = b""
                while True:
                    size = int(self.rfile.readline().split(b";")[0], 16)
                    body += self._read_exactly(size)
                    if size == 0:
                        while self.rfile.readline() not in (b"\r\n", b""):
                            pass
                        return body
                    self.rfile.readline()

            def _reply(self, status, fields, body):
                self.send_response_only(status)
                names = {name.lower() for name, _ in fields}
                for name, value in fields:
                    self.send_header(name, value)
                whole = isinstance(body, (bytes, bytearray))
                bodiless = status in (204, 304) or self.command == "HEAD"
                if not whole:
                    self.send_header("Transfer-Encoding", "chunked")
                elif "content-length" not in names and status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if bodiless:
                    return
                if whole:
                    self.wfile.write(body)
                    return
                for chunk in body:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_):
                pass

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _serve
            do_TRACE = do_LIST = _serve

        return Handler
