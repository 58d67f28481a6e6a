"""What a pod sees of Kubernetes: an API server over TLS that takes Events, a service account."""

import http.server
import json
import socket
import ssl
import threading

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# A mount namespace of its own (root): the account's folder where the kubelet puts it, and nothing
# of it in the machine's own /run.
MOUNT = (f'mount -t tmpfs none /run && mkdir -p {ACCOUNT} && mount --bind "$0" {ACCOUNT} '
         '&& exec "$@"')
POD = "orders-7c9f6d-abcde"
UID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
NAMESPACE = "shop"


class ApiServer:
    """Records what is posted, as (path, headers, body). status and answer: what it says to the
    next; None: it takes the connection and never says a word."""

    def __init__(self, papers, certificate="server", host="127.0.0.1", tls=True):
        self.posts, self.status, self.answer = [], 201, {"kind": "Event"}
        self.ended = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posts.append((self.path, dict(self.headers), json.loads(body)))
                if outer.status is None:
                    outer.ended.wait()
                    return
                text = json.dumps(outer.answer).encode()
                self.send_response(outer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            daemon_threads = True

            def handle_error(self, *_):
                """A client that does not trust us leaves in the middle of the handshake."""

        self.host = host
        self._server = Server((host, 0), Handler)
        self.port = self._server.server_address[1]
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(papers / f"{certificate}.pem", papers / f"{certificate}.key")
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self):
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def messages(self):
        return [body["message"] for _, _, body in self.posts]


class Account:
    """The folder of a service account."""

    def __init__(self, folder, ca, token="first.token.0"):
        self.folder = folder
        folder.mkdir()
        self.rotate(token)
        (folder / "namespace").write_text(NAMESPACE)
        (folder / "ca.crt").write_bytes(ca.read_bytes())

    def rotate(self, token):
        (self.folder / "token").write_text(token)

    def prefix(self):
        """The command line that a program of the pod begins with."""
        return ["unshare", "--mount", "--", "sh", "-c", MOUNT, self.folder]


def environment(server):
    """What a pod's container finds."""
    return {"KUBE_EVENTS_ENABLED": "true", "KUBERNETES_SERVICE_HOST": server.host,
            "KUBERNETES_SERVICE_PORT": server.port, "POD_NAME": POD, "POD_UID": UID}
