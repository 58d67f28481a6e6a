#!/usr/bin/env python3
"""A small real HTTP upstream for the quick start: answers JSON that shows what arrived.

Prints its port on the first line, then serves until it is told to end.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SHOWN = ("x-forwarded-for", "x-doorman-user", "x-request-id")


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        seen = {name: self.headers[name] for name in SHOWN if name in self.headers}
        body = json.dumps(
            {"message": "hello from the upstream", "path": self.path, "seen": seen}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass  # the quick start prints the story itself


def main():
    server = ThreadingHTTPServer(
        ("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Upstream
    )
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
