"""One API that lets everything through to an upstream, for tests of the wire around it."""

import json

from harness import platform
from harness.raw import RawConnection

SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "geolocation=(), microphone=(), camera=()",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
                               "form-action 'self'; img-src 'self' data:; connect-src 'self';",
}


class Plane:
    """Public, so no message needs a token; every header passes, so the upstream shows them all."""

    def __init__(self, doorman, upstream, **fields):
        self.doorman, self.upstream = doorman, upstream
        self.path = self.publish(upstream.url if upstream else [], **fields)

    def publish(self, servers, **fields):
        """Another such API; gives the path that comes before an upstream's own."""
        with platform.login(self.doorman.url) as admin:
            fields = {"api_public": True, "api_allowed_headers": ["*"], **fields}
            api = platform.make_api(admin, servers, **fields)
            platform.make_endpoint(admin, api, "/*", "*")
        return platform.rest_path(api, "")

    def connect(self):
        return RawConnection(("127.0.0.1", self.doorman.port))

    def send(self, connection, text):
        """{p} stands for the path of the API."""
        return connection.send(text.replace("{p}", self.path))

    def get(self, name, *fields, version="1.1"):
        lines = [f"GET {self.path}/{name} HTTP/{version}", "Host: h", *fields]
        return "\r\n".join(lines) + "\r\n\r\n"

    def saw(self):
        """The targets that the upstream has seen, after a call that must be the last of them."""
        with self.connect() as connection:
            connection.send(self.get("marker", "Connection: close"))
            assert connection.read_response().status == 200
        targets = [request.target for request in self.upstream.requests]
        self.upstream.forget()
        assert targets.pop() == "/marker"
        return targets

    def refused(self, message, status, code="GTW011"):
        """Sends a message; it must be refused, the connection closed, nothing seen upstream."""
        with self.connect() as connection:
            try:
                self.send(connection, message)
            except ConnectionError:
                pass  # refused while the rest was still on its way
            answer = check_refusal(connection.read_response(), status, code)
            assert connection.closed_by_peer()
        assert self.saw() == []
        return answer


def check_refusal(answer, status, code="GTW011"):
    """Demands what every refusal carries (gateway.md §1.3, operations.md §8.7, §8.8)."""
    body = json.loads(answer.body)
    assert (answer.status, body["error_code"]) == (status, code)
    assert body["error_message"]
    assert answer.header("content-type").startswith("application/json")
    assert answer.header("x-request-id")
    assert answer.header("x-request-id") == answer.header("request_id")
    assert {name: answer.header(name) for name in SECURITY} == SECURITY
    assert answer.header("x-doorman-reason") and answer.header("date")
    assert answer.header("server") is None
    return answer
