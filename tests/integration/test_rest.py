"""REST calls, check by check, in the order of gateway.md §18.

Numbers in brackets are its vectors (§31).
"""

import json
import time

import jwt
import pytest

from harness import platform
from harness.platform import expect
from harness.process import JWT_SECRET, free_port, shape

DENIED = "You are not subscribed to this resource"
GROUP = "You do not have the correct group for this"


class Demo:
    """The API, the endpoints and the user that the vectors start from."""

    def __init__(self, admin, upstream, **fields):
        self.admin, self.upstream = admin, upstream
        self.api = platform.make_api(admin, upstream.url, **fields)
        platform.make_endpoint(admin, self.api, "/items")
        platform.make_endpoint(admin, self.api, "/items/{id}")
        platform.make_endpoint(admin, self.api, "/items", "POST")
        self.bob = self.new_user()

    def new_user(self, **fields):
        user = platform.make_user(self.admin, **fields)
        platform.subscribe(self.admin, user, self.api)
        return user

    def path(self, uri="/items"):
        return platform.rest_path(self.api, uri)

    def call(self, user=None, method="GET", uri="/items", **options):
        return (user or self.bob).request(method, self.path(uri), **options)

    def head(self, uri):
        """A request as bytes, for what a client library would clean up."""
        return (f"GET {self.path(uri)} HTTP/1.1\r\nHost: h\r\n"
                f"Authorization: Bearer {self.bob.token}\r\n\r\n")

    def set(self, **fields):
        path = f"/platform/api/{self.api['api_name']}/{self.api['api_version']}"
        expect(self.admin.put(path, json=fields))


@pytest.fixture
def demo(admin, upstream):
    return Demo(admin, upstream)


@pytest.fixture
def nobody(doorman):
    return platform.Session(doorman.url)


def refused(answer, status, code, message=None):
    body = answer.json()
    assert (answer.status_code, body["error_code"]) == (status, code), answer.text
    assert body["error_message"] == message if message else body["error_message"]
    assert answer.headers["X-Doorman-Reason"]
    assert answer.headers["X-Request-ID"] == answer.headers["request_id"]
    return answer


def unauthorized(answer):
    refused(answer, 401, "Unauthorized", "Unauthorized")
    assert answer.headers["X-Doorman-Reason"] == "token"


# ---- routes ----

@pytest.mark.parametrize("path", ["/api/health", "/api/rest/health"])
def test_health(nobody, path):  # [1]
    answer = nobody.get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": "online"})
    assert answer.headers["X-Request-ID"] == answer.headers["request_id"]
    assert nobody.head(path).status_code == 200


@pytest.mark.parametrize("method, path, status, code, allow", [
    ("GET", "/api/nope", 404, "GTW404", None),
    ("PUT", "/api/graphql/demo", 405, "GTW405", "POST, OPTIONS"),
    ("POST", "/api/status", 405, "GTW405", "GET"),
    ("OPTIONS", "/api/status", 405, "GTW405", "GET"),
    ("OPTIONS", "/api/health", 405, "GTW405", "GET, HEAD"),
    ("GET", "/api/caches", 405, "GTW405", "DELETE")])
def test_unknown_routes_and_methods(nobody, method, path, status, code, allow):  # [54]
    answer = refused(nobody.request(method, path), status, code)
    assert answer.json()["detail"] == answer.json()["error_message"]
    assert answer.headers.get("Allow") == allow


def test_a_slash_too_many_redirects(nobody, doorman):
    answer = nobody.get("/api/health/?q=1", allow_redirects=False)
    assert (answer.status_code, answer.content) == (307, b"")
    assert answer.headers["Location"] == f"{doorman.url}/api/health?q=1"


def test_an_upgrade_to_websocket_is_refused(demo):
    fields = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
              "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    refused(demo.call(headers=fields), 403, "GTW403")
    assert demo.upstream.requests == []


def test_status_is_for_those_who_manage_the_gateway(admin, user, nobody):
    refused(nobody.get("/api/status"), 401, "GTW401", "Unauthorized")
    refused(user.get("/api/status"), 403, "GTW013", "Forbidden")
    body = expect(admin.get("/api/status"), 200)
    assert list(body) == ["status", "uptime_seconds", "memory_usage_mb", "mode", "mongodb", "redis",
                          "memory_usage", "active_connections", "uptime"]
    told = {"memory": ("memory", "memory", "memory"), "split": ("redis", "not_used", "connected")}
    assert body["status"] == "ok"
    assert (body["mode"], body["mongodb"], body["redis"]) == told[shape()]


def test_clearing_caches(admin, user, nobody, demo):
    answer = nobody.delete("/api/caches")
    assert (answer.status_code, answer.json()["error_code"]) == (401, "Unauthorized")
    assert nobody.options("/api/caches").status_code == 204
    answer = user.delete("/api/caches")
    assert (answer.status_code, answer.json()["error_code"]) == (403, "GTW008")
    platform.revoke(admin, demo.bob)
    assert expect(admin.delete("/api/caches"), 200) == {"message": "All caches cleared"}
    unauthorized(demo.call())  # revocations survive


# ---- resolution ----

def test_unknown_apis_and_endpoints_come_before_the_token(nobody, demo):  # [4] [5]
    message = "Endpoint does not exist for the requested API"
    refused(nobody.get(demo.path("/nope")), 404, "GTW003", message)
    refused(demo.call(method="DELETE"), 404, "GTW003", message)
    message = "API does not exist for the requested name and version"
    for path in ("/api/rest/none/v1/x", "/api/rest/none", f"/api/rest/{demo.api['api_name']}"):
        refused(nobody.get(path), 404, "GTW001", message)


@pytest.mark.parametrize("uri", [
    "/items/..%2fadmin", "/items/%2e%2e", "/items/a%3fb", "/items/a%23b", "/items/a%5cb",
    "/items/a%0ab"])
def test_ambiguous_paths_are_refused(demo, raw, uri):  # [43]
    answer = raw().send(demo.head(uri)).read_response()
    assert (answer.status, json.loads(answer.body)["error_code"]) == (400, "GTW011")
    assert demo.upstream.requests == []


def test_versions_by_path_and_by_field(admin, upstream):  # [55]
    name = platform.unique("api")
    beta = platform.make_api(admin, upstream.url, name, "beta", api_public=True)
    v1 = platform.make_api(admin, upstream.url, name, "v1", api_public=True)
    for api in (beta, v1):
        platform.make_endpoint(admin, api, "/items")
    platform.make_endpoint(admin, v1, "/beta/items")
    session = platform.Session(admin.url)
    by_field = {"X-API-Version": "v1"}
    for path, fields, target in [
            (f"/{name}/beta/items", {}, "/items"), (f"/{name}/items", by_field, "/items"),
            (f"/{name}/beta/items", by_field, "/items"), (f"/{name}//beta///items/", {}, "/items")]:
        assert session.get("/api/rest" + path, headers=fields).json()["target"] == target
    refused(session.get(f"/api/rest/{name}/items"), 404, "GTW001")


def test_a_disabled_api(demo):  # [21]
    demo.set(active=False)
    refused(demo.call(), 403, "GTW012", "API is disabled")
    demo.set(active=True)
    assert demo.call().status_code == 200


def test_an_api_without_servers(admin, demo):
    demo.set(api_servers=[])
    refused(demo.call(), 404, "GTW001", "No upstream servers configured")


# ---- the token ----

def test_no_token(nobody, demo):  # [2]
    unauthorized(nobody.get(demo.path()))
    assert demo.upstream.requests == []


def token(user, key=JWT_SECRET, algorithm="HS256", headers=None, drop=(), **claims):
    now = int(time.time())
    payload = {"sub": user.username, "jti": platform.unique("jti"), "iat": now, "nbf": now,
               "exp": now + 600, "token_use": "access", **claims}
    payload = {name: value for name, value in payload.items() if name not in drop}
    return jwt.encode(payload, key, algorithm, headers)


GOOD_TOKENS = {"as the gateway makes it": {}, "with its kid": {"headers": {"kid": "legacy-key"}},
               "of the Python Doorman": {"drop": ("token_use", "iat", "nbf")}}
FAR = 4_000_000_000
BAD_TOKENS = {
    "another key": {"key": "x" * 64}, "no signature": {"key": "", "algorithm": "none"},
    "another algorithm": {"algorithm": "HS384"}, "another kid": {"headers": {"kid": "other"}},
    "expired": {"exp": 1}, "not yet": {"nbf": FAR}, "of the future": {"iat": FAR},
    "for somebody else": {"aud": "other"}, "a refresh token": {"token_use": "refresh"},
    "of another use": {"token_use": "id"}, "nobody": {"sub": ""}, "unknown": {"sub": "nouser"},
    "no jti": {"drop": ("jti",)}, "no sub": {"drop": ("sub",)}, "no exp": {"drop": ("exp",)},
}


@pytest.mark.parametrize("change", GOOD_TOKENS.values(), ids=GOOD_TOKENS)
def test_good_tokens(demo, nobody, change):
    head = {"Authorization": f"Bearer {token(demo.bob, **change)}"}
    assert nobody.get(demo.path(), headers=head).status_code == 200


@pytest.mark.filterwarnings("ignore:The HMAC key")
@pytest.mark.parametrize("change", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_bad_tokens(demo, nobody, change):  # [53]
    change = {"sub": demo.bob.username, **change}
    head = {"Authorization": f"Bearer {token(demo.bob, **change)}"}
    unauthorized(nobody.get(demo.path(), headers=head))


def test_where_a_token_may_stand(demo, nobody):
    good, bad = demo.bob.token, "x.y.z"
    for fields, status in [
            ({"Authorization": f"bearer {good}"}, 200), ({"Authorization": good}, 200),
            ({"Authorization": f"Basic {good}"}, 401), ({"Authorization": f"Bearer {good} x"}, 401),
            ({"Cookie": f"a=b; access_token_cookie={good}"}, 200),
            ({"Cookie": f"access_token_cookie={bad}", "Authorization": f"Bearer {good}"}, 401),
            ({"Cookie": f"access_token_cookie={good}", "Authorization": f"Bearer {bad}"}, 200)]:
        assert nobody.get(demo.path(), headers=fields).status_code == status, fields


def test_revocation(admin, demo):  # [39] [49]
    other = demo.new_user()
    platform.revoke(admin, demo.bob)
    unauthorized(demo.call())
    platform.unsubscribe(admin, demo.bob, demo.api)
    unauthorized(demo.call())
    assert demo.call(other).status_code == 200
    expect(other.post("/platform/authorization/invalidate"), 200)
    unauthorized(demo.call(other))


def test_users_that_are_gone_or_inactive(admin, demo):
    other = demo.new_user()
    assert demo.call(other).status_code == demo.call().status_code == 200
    expect(admin.put(f"/platform/user/{demo.bob.username}", json={"active": False}))
    unauthorized(demo.call())
    expect(admin.delete(f"/platform/user/{other.username}"))
    unauthorized(demo.call(other))


def test_public_and_optional_apis_ask_nobody(admin, upstream, nobody):
    for fields in ({"api_public": True}, {"api_auth_required": False}):
        demo = Demo(admin, upstream, **fields)
        for head in ({}, {"Authorization": "Bearer x.y.z"}):
            assert nobody.get(demo.path(), headers=head).status_code == 200
    received = upstream.requests[-1]
    assert received.header("x-doorman-user") is None and received.header("authorization") is None


# ---- the local verdict ----

def test_subscription(admin, demo):  # [6] [8]
    stranger = platform.make_user(admin)
    refused(demo.call(stranger), 403, DENIED, DENIED)
    platform.subscribe(admin, stranger, demo.api)
    assert demo.call(stranger).status_code == 200
    platform.unsubscribe(admin, stranger, demo.api)
    refused(demo.call(stranger), 403, DENIED, DENIED)
    assert demo.call(admin).status_code == 200


def test_group(admin, demo):  # [7]
    demo.set(api_allowed_groups=["nobody"])
    refused(demo.call(), 401, GROUP, GROUP)
    demo.set(api_allowed_groups=[])
    refused(demo.call(), 401, GROUP, GROUP)
    demo.set(api_allowed_groups=["nobody", "ALL"])
    assert demo.call().status_code == 200


def test_role(demo):  # [9]
    demo.set(api_allowed_roles=["ops"])
    refused(demo.call(), 403, "GTW014", "Forbidden: role not allowed for this API")
    demo.set(api_allowed_roles=["ops", "user"])
    assert demo.call().status_code == 200


def test_an_admin_may_need_a_subscription_too(start_doorman, start_upstream):  # [8]
    admin = platform.login(start_doorman(ENFORCE_ADMIN_SUBSCRIPTION="true").url)
    refused(Demo(admin, start_upstream()).call(admin), 403, DENIED)


# ---- limits ----

def test_rate_limit(demo):  # [10] [50]
    bob = demo.new_user(rate_limit_duration=2, rate_limit_duration_type="day")
    assert demo.call(bob).status_code == 200
    demo.set(api_allowed_roles=["ops"])
    assert [demo.call(bob).status_code for _ in range(5)] == [403] * 5
    demo.set(api_allowed_roles=[])
    assert demo.call(bob).status_code == 200
    answer = refused(demo.call(bob), 429, "Rate limit exceeded", "Rate limit exceeded")
    fields = answer.headers
    assert 1 <= int(fields["Retry-After"]) <= 86400
    assert (fields["RateLimit-Limit"], fields["RateLimit-Remaining"]) == ("2", "0")
    assert (fields["X-RateLimit-Limit"], fields["X-RateLimit-Remaining"]) == ("2", "0")
    assert demo.call().status_code == 200  # another user's calls are another's


def test_throttle_refuses_beyond_its_queue(demo):  # [11]
    bob = demo.new_user(throttle_duration=1, throttle_duration_type="day", throttle_queue_limit=2,
                        throttle_wait_duration=1, throttle_wait_duration_type="second")
    assert demo.call(bob).status_code == 200
    before = time.monotonic()
    assert demo.call(bob).status_code == 200
    assert time.monotonic() - before >= 0.9
    refused(demo.call(bob), 429, "Throttle queue limit exceeded")
    assert len(demo.upstream.requests) == 2


def test_bandwidth(demo):  # [12]
    bob = demo.new_user(bandwidth_limit_bytes=1, bandwidth_limit_window="day")
    assert demo.call(bob).status_code == 200
    refused(demo.call(bob), 429, "Bandwidth limit exceeded", "Bandwidth limit exceeded")


# ---- what goes through ----

def test_the_request_id_goes_along(demo):  # [3]
    for sent, kept in (("X-Request-ID", True), ("Request-ID", True), ("X-Other", False)):
        answer = demo.call(headers={sent: "abc"})
        ours = answer.headers["X-Request-ID"]
        assert (ours == "abc") is kept and answer.headers["request_id"] == ours
        assert demo.upstream.next_request().headers("x-request-id") == [ours]
    for bad in ("a b", "x" * 129, "<a>"):
        assert demo.call(headers={"X-Request-ID": bad}).headers["X-Request-ID"] != bad


def test_query_and_encoding_go_through_as_they_are(demo, raw):  # [45]
    for sent, seen in (("?a=1&a=2", "?a=1&a=2"), ("?a", "?a"), ("?", "?"),
                       ("?q=a+b%20%2f&x[]=%E4", "?q=a+b%20%2f&x[]=%E4")):
        assert raw().send(demo.head("/items" + sent)).read_response().status == 200
        assert demo.upstream.next_request().target == "/items" + seen


@pytest.mark.parametrize("body", [
    b"not json", b'{"a":1,"a":2}', b'{"x": 1e999 }', "ä".encode(), b"\0\xff"])
def test_bodies_go_through_byte_for_byte(demo, body):  # [56]
    fields = {"Content-Type": "application/json"}
    assert demo.call(method="POST", data=body, headers=fields).status_code == 200
    received = demo.upstream.next_request()
    assert received.body == body and received.headers("content-type") == ["application/json"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_body_goes_with_whatever_method_carries_one(demo, method):  # R16
    assert demo.call(method=method, data=b"hello").status_code == 200
    assert demo.upstream.next_request().body == b"hello"


def test_a_body_over_the_limit(demo):  # [15]
    message = "Request entity too large (max: 1048576 bytes)"
    refused(demo.call(method="POST", data=b"y" * 1048577), 413, "REQ001", message)
    assert demo.upstream.requests == []


JSON, TEXT = "application/json", "text/plain"
ANSWERS = {  # [16] [26] [46] [47]
    "404 text": (404, TEXT, b"gone"), "500 text": (500, TEXT, b"boom"), "401": (401, TEXT, b"you"),
    "array": (200, JSON, b'[{"id":1,"name":"x"}]'), "scalar": (200, JSON, b"null"),
    "broken JSON": (200, JSON, b"{"), "empty": (200, JSON, b""), "204": (204, None, b""),
    "binary": (200, "image/png", bytes(range(256))), "redirect": (302, "text/html", b"there"),
    "418": (418, "a/b", b"t"),
}


@pytest.mark.parametrize("status, kind, body", ANSWERS.values(), ids=ANSWERS)
def test_answers_come_back_as_they_are(admin, start_upstream, status, kind, body):
    fields = [("Content-Type", kind)] if kind else []
    demo = Demo(admin, start_upstream(lambda _: (status, fields, body)))
    answer = demo.call(allow_redirects=False)
    assert (answer.status_code, answer.content) == (status, body)
    assert answer.headers.get("Content-Type") == kind
    assert answer.headers["X-Gateway-Time"].isdigit() and answer.headers["X-Backend-Time"].isdigit()


def test_head(demo):  # [27]
    answer = demo.call(method="HEAD")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0
    assert demo.upstream.next_request().method == "HEAD"


def test_an_upstream_that_is_down(demo):  # [17]
    demo.set(api_servers=[f"http://127.0.0.1:{free_port()}"])
    refused(demo.call(), 502, "GTW006", "Upstream unreachable")


@pytest.mark.parametrize("strict", [True, False])
def test_the_envelope_of_an_api(admin, start_upstream, nobody, strict):  # [42]
    replies = {"/items": (201, JSON, b'{"a":1,"access_token":"t"}'),
               "/items/array": (404, JSON, b"[1]"), "/items/text": (200, TEXT, b"t"),
               "/items/empty": (204, None, b"")}

    def answer(received):
        status, kind, body = replies[received.target]
        return status, [("Content-Type", kind)] if kind else [], body

    demo = Demo(admin, start_upstream(answer), api_strict_envelope=strict)
    got = {uri: demo.call(uri=uri) for uri in replies}
    assert {uri: a.status_code for uri, a in got.items()} == {u: r[0] for u, r in replies.items()}
    assert got["/items/text"].content == b"t" and got["/items/empty"].content == b""
    if strict:
        assert got["/items"].json() == {"status_code": 201, "access_token": "t",
                                        "response": {"a": 1, "access_token": "t"}}
        assert got["/items/array"].json() == {"status_code": 404, "response": [1]}
    else:
        assert got["/items"].content == replies["/items"][2]
    body = refused(nobody.get(demo.path()), 401, "Unauthorized").json()
    assert body.get("status_code") == (401 if strict else None)


def test_the_global_envelope_is_not_for_apis(start_doorman, start_upstream):  # [42]
    doorman = start_doorman(STRICT_RESPONSE_ENVELOPE="true")
    admin = platform.Session(doorman.url)
    credentials = {"email": platform.ADMIN_EMAIL, "password": platform.ADMIN_PASSWORD}
    assert admin.post("/platform/authorization", json=credentials).json()["status_code"] == 200
    answer = platform.Session(doorman.url).get("/api/rest/none/v1/x")
    assert set(refused(answer, 404, "GTW001").json()) == {"error_code", "error_message"}
