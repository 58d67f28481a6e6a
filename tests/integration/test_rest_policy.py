"""Matching (R14, gateway.md §18.1), address policy (§3), keys (§8.3), and what a call leaves:
metrics (operations.md §8.3) and log lines (§8.4)."""

import base64
import datetime
import hashlib
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from harness import platform
from harness.platform import expect
from harness.process import wait_until

# ---- matching ----


class App:
    """A public API whose endpoints a test names, and what the upstream sees of a call."""

    def __init__(self, admin, upstream, **fields):
        self.admin, self.upstream = admin, upstream
        self.api = platform.make_api(admin, upstream.url, api_public=True, **fields)
        self.session = platform.Session(admin.url)

    def endpoint(self, uri, method="GET", **fields):
        platform.make_endpoint(self.admin, self.api, uri, method, **fields)
        return self

    def call(self, uri="/x", method="GET", **options):
        return self.session.request(method, platform.rest_path(self.api, uri), **options)

    def target(self, uri, method="GET"):
        """The upstream's target; None when no endpoint matches."""
        answer = self.call(uri, method)
        if answer.status_code == 404:
            assert answer.json()["error_code"] == "GTW003"
            return None
        return self.upstream.next_request().target


@pytest.fixture
def app(admin, upstream):
    return App(admin, upstream)


MATCHES = {
    "/items": {"/items": "/items", "/items/": "/items", "//items": "/items", "/Items": None,
               "/items/1": None, "/item": None, "/": None, "/items?a=/b": "/items?a=/b",
               "/%69tems": "/items"},
    "/items/{id}": {"/items/1": "/items/1", "/items": None, "/items/1/2": None,
                    "/items/a%20b": "/items/a%20b", "/items/%C3%A4": "/items/%C3%A4"},
    "/f/{name}.json": {"/f/a.json": "/f/a.json", "/f/.json": None, "/f/ajson": None,
                       "/f/a.xml": None},
    "/a.b+(": {"/a.b+(": "/a.b+(", "/axb+(": None, "/a.bb(": None},
    "/app/*": {"/app": "/app", "/app/": "/app", "/app/a": "/app/a", "/app/a/b.c": "/app/a/b.c",
               "/application": None, "/": None},
    "/*": {"/": "/", "/a": "/a", "/a/b?c": "/a/b?c"},
    "/{a}/x/*": {"/1/x": "/1/x", "/1/x/2": "/1/x/2", "/1/y/2": None},
    "/": {"/": "/", "/a": None},
}


@pytest.mark.parametrize("uri, calls", MATCHES.items(), ids=MATCHES)
def test_which_paths_an_endpoint_takes(app, uri, calls):
    app.endpoint(uri)
    assert {path: app.target(path) for path in calls} == calls


def test_literal_beats_parameter_beats_wildcard(admin, upstream, start_upstream):
    """Each endpoint has a server of its own, which tells which one was taken."""
    app = App(admin, upstream)
    endpoints = {"any": "/*", "app": "/app/*", "id": "/app/{id}", "me": "/app/me",
                 "json": "/app/{n}.json", "deep": "/app/{id}/deep", "me any": "/app/me/*"}
    for name, uri in endpoints.items():
        server = start_upstream(lambda _, name=name: (200, [], name.encode()))
        app.endpoint(uri, endpoint_servers=[server.url])
    taken = {"/": "any", "/other/x": "any", "/app": "app", "/app/me": "me", "/app/7": "id",
             "/app/7.json": "json", "/app/7/deep": "deep", "/app/7/x": "app", "/app/me/x": "me any",
             "/app/me/deep": "me any"}
    assert {uri: app.call(uri).text for uri in taken} == taken


def test_methods(app):
    app.endpoint("/x").endpoint("/x", "POST").endpoint("/any", "*").endpoint("/any", "PUT")
    for method in ("GET", "POST", "HEAD"):
        assert app.call("/x", method).status_code == 200, method
    for method in ("PUT", "PATCH", "DELETE"):
        assert app.call("/x", method).json()["error_code"] == "GTW003", method
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"):
        assert app.call("/any", method).status_code == 200, method
    assert {r.method for r in app.upstream.requests} == {
        "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"}


@pytest.mark.parametrize("client_uri, endpoint_uri, called, sent", [
    ("/shop", "/internal/v2/shop", "/shop?a=1", "/internal/v2/shop?a=1"),
    ("/o/{id}/l/{n}", "/lines/{n}/of/{id}", "/o/7/l/a%20b", "/lines/a%20b/of/7"),
    ("/o/{a}/{b}", "/x/{c}/{d}", "/o/1/2", "/x/1/2"),
    ("/new/*", "/old/*", "/new/a/b", "/old/a/b")])
def test_rewrites(app, client_uri, endpoint_uri, called, sent):
    app.endpoint(endpoint_uri, client_uri=client_uri)
    assert app.target(called) == sent
    assert app.target(endpoint_uri.replace("*", "x")) is None


@pytest.mark.parametrize("base, sent", [("/base", "/base/x"), ("/base/", "/base/x"), ("/", "/x"),
                                        ("/b?k=v", "/b/x?k=v&q")])
def test_servers_with_a_base_path(admin, upstream, base, sent):
    app = App(admin, upstream)
    path = f"/platform/api/{app.api['api_name']}/v1"
    expect(admin.put(path, json={"api_servers": [upstream.url + base]}))
    assert app.endpoint("/x").target("/x?q" if "?" in base else "/x") == sent


def test_changes_are_in_force_with_the_next_call(admin, app):
    path, name = f"/platform/api/{app.api['api_name']}/v1", app.api["api_name"]
    for _ in range(20):
        app.endpoint("/x")
        assert app.call().status_code == 200
        expect(admin.put(path, json={"active": False}))
        assert app.call().status_code == 403
        expect(admin.put(path, json={"active": True}))
        assert app.call().status_code == 200
        expect(admin.delete(f"/platform/endpoint/GET/{name}/v1/x"))
        assert app.call().json()["error_code"] == "GTW003"
    expect(admin.delete(path))
    assert app.call().json()["error_code"] == "GTW001"


# ---- addresses ----

WHITE = {"api_ip_mode": "whitelist"}
ADDRESSES = [  # fields of the API, X-Forwarded-For, what is refused
    (WHITE, "1.2.3.4", "API010"), ({**WHITE, "api_ip_whitelist": ["1.2.3.4"]}, "1.2.3.4", None),
    ({**WHITE, "api_ip_whitelist": ["1.2.3.0/24"]}, "1.2.3.99", None),
    ({**WHITE, "api_ip_whitelist": ["1.2.3.0/24"]}, "1.2.4.1", "API010"),
    ({**WHITE, "api_ip_whitelist": ["2001:db8::/32"]}, "2001:db8::1", None),
    ({"api_ip_whitelist": ["1.2.3.4"]}, "9.9.9.9", None),
    ({"api_ip_blacklist": ["1.2.3.4"]}, "1.2.3.4", "API011"),
    ({"api_ip_blacklist": ["1.2.3.4"]}, "1.2.3.5", None),
    ({**WHITE, "api_ip_whitelist": ["1.2.3.4"], "api_ip_blacklist": ["1.2.3.4"]}, "1.2.3.4",
     "API011"),
    ({"api_ip_blacklist": ["1.2.3.4"]}, "1.2.3.4, 9.9.9.9", None),
    ({"api_ip_blacklist": ["1.2.3.4"]}, "9.9.9.9, 1.2.3.4", "API011"),
    ({"api_ip_blacklist": ["127.0.0.1"]}, "nonsense", "API011"),
]


@pytest.mark.parametrize("fields, address, code", ADDRESSES)
def test_the_address_policy_of_an_api(admin, upstream, fields, address, code):  # vector 41
    app = App(admin, upstream, api_trust_x_forwarded_for=True, **fields).endpoint("/x")
    answer = app.call(headers={"X-Forwarded-For": address})
    if code is None:
        assert answer.status_code == 200
        return
    body = answer.json()
    assert (answer.status_code, body["error_code"]) == (403, code)
    assert body["error_message"] == "IP restricted"
    assert answer.headers["X-Doorman-Reason"].startswith("api ip; ")
    assert app.call(method="OPTIONS").status_code == 204
    assert upstream.requests == []


def test_a_client_cannot_choose_its_address(admin, upstream):
    """Untrusted, the field decides nothing but ends the local bypass; a Host does not even that."""
    app = App(admin, upstream, api_ip_blacklist=["127.0.0.1"]).endpoint("/x")
    assert app.call().status_code == 200  # LOCAL_HOST_IP_BYPASS
    answer = app.call(headers={"X-Forwarded-For": "9.9.9.9"})
    assert answer.json()["error_code"] == "API011"
    app = App(admin, upstream, api_ip_blacklist=["9.9.9.9"]).endpoint("/x")
    assert app.call(headers={"X-Forwarded-For": "9.9.9.9"}).status_code == 200


def test_global_lists(start_doorman, start_upstream):  # vector 40
    admin = platform.login(start_doorman(LOCAL_HOST_IP_BYPASS="false").url)
    app = App(admin, start_upstream()).endpoint("/x")
    settings = "/platform/security/settings"
    lists = {"ip_blacklist": ["127.0.0.0/8"], "ip_whitelist": ["127.0.0.1"]}
    expect(admin.put(settings, json=lists))
    assert app.call().json() == {
        "status_code": 403, "error_code": "SEC011", "error_message": "IP blocked"}
    assert app.session.get("/api/nope").json()["error_code"] == "SEC011"
    assert app.session.get("/api/health").status_code == 200
    expect(admin.put(settings, json={"ip_blacklist": [], "ip_whitelist": ["10.0.0.1"]}))
    answer = app.call()
    assert (answer.status_code, answer.json()["error_code"]) == (403, "SEC010")
    expect(admin.put(settings, json={"ip_whitelist": []}))
    assert app.call().status_code == 200


# ---- keys ----

def pem(key):
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM,
                                           serialization.PublicFormat.SubjectPublicKeyInfo)
    return {"private_key": private.decode(), "public_key": public.decode()}


@pytest.fixture(scope="module")
def keys():
    small = {"public_exponent": 65537, "key_size": 2048}
    return {"rsa": pem(rsa.generate_private_key(**small)),
            "other": pem(rsa.generate_private_key(**small)),
            "ec": pem(ec.generate_private_key(ec.SECP256R1()))}


@pytest.mark.memory  # for sidecars see test_two_programs.py: public halves only
def test_asymmetric_keys(start_doorman, start_upstream, keys, tmp_path):
    (tmp_path / "ec.pem").write_text(keys["ec"]["public_key"])
    admin = platform.login(start_doorman(JWT_SECRET_KEY=None, JWT_KEYS=json.dumps([
        {"kid": "rsa", "algorithm": "RS256", **keys["rsa"]},
        {"kid": "ec", "algorithm": "ES256", "public_key_path": str(tmp_path / "ec.pem")}])).url)
    assert jwt.get_unverified_header(admin.token) == {"alg": "RS256", "kid": "rsa", "typ": "JWT"}
    jwt.decode(admin.token, keys["rsa"]["public_key"], ["RS256"])
    user = platform.make_user(admin)
    api = platform.make_api(admin, start_upstream().url)
    platform.make_endpoint(admin, api, "/x")
    platform.subscribe(admin, user, api)
    now = int(time.time())
    claims = {"sub": user.username, "jti": "j", "iat": now, "exp": now + 600}

    def call(key, algorithm, kid):
        if key in keys:
            key = keys[key]["private_key"]
        token = jwt.encode(claims, key, algorithm, {"kid": kid} if kid else None)
        return platform.Session(admin.url).get(
            platform.rest_path(api, "/x"), headers={"Authorization": f"Bearer {token}"}).status_code

    for _ in range(2):  # the second time from the cache
        assert call("rsa", "RS256", "rsa") == call("ec", "ES256", "ec") == 200
    for attack in [("other", "RS256", "rsa"), ("rsa", "RS256", "ec"), ("ec", "ES256", "rsa"),
                   ("rsa", "RS384", "rsa"), ("rsa", "RS256", None), ("rsa", "RS256", "../rsa"),
                   ("x" * 32, "HS256", "rsa"), ("", "none", "rsa")]:
        assert call(*attack) == 401, attack
    forged = hmac_with_public_key(claims, keys["rsa"]["public_key"])
    assert platform.Session(admin.url).get(
        platform.rest_path(api, "/x"), headers={"Authorization": forged}).status_code == 401
    assert user.get(platform.rest_path(api, "/x")).status_code == 200


def hmac_with_public_key(claims, public_key):
    """RS256 taken for HS256, whose secret would be public: no library signs this, so by hand."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = part(b'{"alg":"HS256","kid":"rsa"}') + b"." + part(json.dumps(claims).encode())
    tag = hmac.new(public_key.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + part(tag)).decode()


# ---- what a call leaves behind ----

def test_metrics(published, doorman, admin):
    def growth(call, *names):
        before = doorman.metrics()
        call()
        after = doorman.metrics()
        return [after.get(name, 0) - before.get(name, 0) for name in names]

    ok = 'doorman_http_requests_total{code="200"}'
    unauthorized = 'doorman_http_requests_total{code="401"}'
    count = "doorman_http_request_duration_seconds_count"
    bucket = 'doorman_http_request_duration_seconds_bucket{le="+Inf"}'
    assert growth(published.call, ok, count, bucket) == [1, 1, 1]
    anonymous = platform.Session(doorman.url)
    assert growth(lambda: anonymous.get(published.path), ok, unauthorized, count) == [0, 1, 1]
    assert growth(lambda: anonymous.get("/api/health"), ok, count) == [0, 0]
    assert growth(lambda: admin.get("/platform/user/me"), ok, count) == [0, 0]
    assert growth(published.call, "doorman_upstream_connections_reused_total",
                  "doorman_upstream_connections_opened_total") == [1, 0]
    names = doorman.metrics()
    assert {"doorman_http_retries_total", "doorman_upstream_timeouts_total",
            'doorman_http_requests_total{code="500"}'} <= set(names)


@pytest.fixture
def logging(start_doorman, start_upstream):
    doorman = start_doorman(ACCESS_LOG="json", LOG_FORMAT="json")
    admin = platform.login(doorman.url)
    return doorman, *platform.make_callable(admin, start_upstream())


def line_of(doorman, request_id):
    def find():
        lines = [json.loads(line) for line in doorman.log().splitlines() if request_id in line]
        return [line for line in lines if "log" not in line]

    lines = wait_until(find, 20, "the access line")
    assert len(lines) == 1
    return lines[0]


def test_the_access_line(logging):
    doorman, api, user = logging
    path = platform.rest_path(api, "/hello")
    assert user.get(path + "?secret=1", headers={"X-Request-ID": "good-1"}).status_code == 200
    line = line_of(doorman, "good-1")
    assert list(line)[:4] == ["timestamp", "level", "request_id", "message"]
    datetime.datetime.strptime(line["timestamp"], "%Y-%m-%dT%H:%M:%SZ")
    assert line["message"] == f"GET {path} - 200 - {line['response_time_ms']}ms"
    expected = {"level": "INFO", "username": user.username, "client_ip": "127.0.0.1",
                "effective_ip": "127.0.0.1", "method": "GET", "path": path, "status_code": 200,
                "api": f"{api['api_name']}/v1", "upstream": api["api_servers"][0][len("http://"):]}
    assert {name: line[name] for name in expected} == expected
    assert abs(line["ts_ms"] / 1000 - time.time()) < 60


def test_the_access_line_of_a_refusal_and_of_health(logging):
    doorman, api, user = logging
    anonymous = platform.Session(doorman.url)
    assert anonymous.get("/api/health", headers={"X-Request-ID": "quiet-1"}).status_code == 200
    path = platform.rest_path(api, "/hello")
    assert anonymous.get(path, headers={"X-Request-ID": "bad-1"}).status_code == 401
    line = line_of(doorman, "bad-1")
    assert (line["level"], line["status_code"]) == ("WARNING", 401)
    assert line["error_code"] == "Unauthorized" and "username" not in line
    assert user.token not in doorman.log() and "quiet-1" not in doorman.log()


def test_lines_cannot_be_forged(logging, raw):
    doorman, _, _ = logging
    head = ("GET /api/rest/a%0a%22b HTTP/1.1\r\nHost: h\r\nX-Request-ID: forge-1\r\n"
            "User-Agent: \"\\\xff\r\n\r\n")
    assert raw(doorman).send(head).read_response().status == 400
    assert line_of(doorman, "forge-1")["status_code"] == 400
