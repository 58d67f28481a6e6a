"""An application that knows nothing of gateways: orders in memory, on loopback only.

GET /orders, POST /orders, GET /orders/NUMBER. Ends in order on SIGTERM.
"""

import http.server
import itertools
import json
import os
import signal
import threading

orders = {}
numbers = itertools.count(1)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        path = self.path.split("?")[0].rstrip("/")
        if path == "/orders":
            return self.answer(200, {"orders": list(orders.values()), "pod": os.uname().nodename})
        order = orders.get(path.removeprefix("/orders/"))
        return self.answer(200, order) if order else self.answer(404, {"error": "no such order"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.rstrip("/") != "/orders":
            return self.answer(404, {"error": "no such path"})
        number = str(next(numbers))
        orders[number] = {"number": number, **json.loads(body or b"{}")}
        return self.answer(201, orders[number])

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


# Loopback: whoever wants an order goes through the sidecar.
server = Server((os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print("orders: serving", flush=True)
server.serve_forever()
print("orders: stopped", flush=True)
