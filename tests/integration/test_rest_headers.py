"""Which fields pass in either direction (R15, gateway.md §13.1, §13.2, §15), and CORS (§7)."""

import pytest

from harness import platform
from harness.plane import SECURITY
from harness.raw import RawConnection


class Line:
    """An API with one endpoint and a subscribed user; calls are bytes, so nothing is tidied up."""

    def __init__(self, admin, upstream, **fields):
        self.upstream = upstream
        self.address = ("127.0.0.1", int(admin.url.rsplit(":", 1)[1]))
        api = platform.make_api(admin, upstream.url, **fields)
        for method in ("GET", "POST"):
            platform.make_endpoint(admin, api, "/x", method)
        self.user = platform.make_user(admin)
        platform.subscribe(admin, self.user, api)
        self.path = platform.rest_path(api, "/x")

    def send(self, *lines, method="GET", token="Authorization: Bearer {}"):
        head = [f"{method} {self.path} HTTP/1.1", "Host: shop.example:8", *lines]
        if token:
            head.append(token.format(self.user.token))
        with RawConnection(self.address) as connection:
            connection.send("\r\n".join(head) + "\r\n\r\n")
            return connection.read_response()

    def seen(self, *lines, **options):
        """What the upstream got of a request with these fields."""
        assert self.send(*lines, **options).status == 200
        return self.upstream.next_request()


@pytest.fixture
def line(admin, upstream):
    def make(*allowed, **fields):
        return Line(admin, upstream, api_allowed_headers=list(allowed) or None, **fields)
    return make


# ---- to the upstream ----

STANDARD = ("Accept: a/b", "Accept-Language: de", "Accept-Encoding: br", "Content-Type: a/b",
            "Content-Encoding: x", "Content-Language: de", "User-Agent: \xff ua  x",
            "Range: bytes=0-1", "If-None-Match: \"a\"", "If-Modified-Since: then", "If-Match: *",
            "If-Range: \"a\"", "Cache-Control: no-store", "Pragma: no-cache", "Idempotency-Key: 1",
            "SOAPAction: x",
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "tracestate: a=b")
OTHERS = ("X-Custom: y", "Origin: http://o", "Referer: http://r", "X-API-Version: v9", "DNT: 1")
NEVER = ("Proxy-Authorization: Basic a", "WWW-Authenticate: x", "X-API-Key: k", "Api-Key: k",
         "X-CSRF-Token: t", "CSRF-Token: t")
EXPLICIT = ("Cookie: a=b", "Set-Cookie: a=b")
HOP = ("Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers", "Trailer: X",
       "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__", "Expect: 100-continue",
       "Connection: X-Listed", "X-Listed: y")
OURS = ("X-Doorman-User: admin", "X-User-Email: admin", "X_Doorman_User: admin",
        "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "X-Real-IP: 6.6.6.6",
        "Forwarded: for=6.6.6.6", "X-Doorman-Peer: 6.6.6.6", "Request-ID: r")
ALL = STANDARD + OTHERS + NEVER + EXPLICIT + HOP + OURS
NAMES = [line.split(":")[0] for line in ALL]


def fields_of(received):
    return {f"{name}: {value}" for name, value in received.fields}


@pytest.mark.parametrize("allowed, passing", [
    ([], STANDARD), (["x-CUSTOM"], STANDARD + OTHERS[:1]), (["*"], STANDARD + OTHERS),
    (["*", "cookie", "Set-Cookie"], STANDARD + OTHERS + EXPLICIT),
    (NAMES, STANDARD + OTHERS + EXPLICIT)], ids=["none", "one", "any", "any and cookies", "each"])
def test_which_fields_the_upstream_sees(line, allowed, passing):  # vectors 24 and 25
    plain = line(*allowed)
    received = plain.seen(*ALL, "Content-Length: 0", method="POST")
    assert fields_of(received) & set(ALL) == set(passing)
    assert received.headers("host") == [plain.upstream.url[len("http://"):]]
    assert received.headers("x-doorman-user") == [plain.user.username]
    assert received.headers("x-user-email") == [plain.user.username]
    assert received.headers("x-forwarded-for") == ["127.0.0.1"]
    assert received.headers("x-forwarded-proto") == ["http"]
    assert received.headers("x-forwarded-host") == ["shop.example:8"]
    assert received.headers("authorization") == [] and received.headers("x-listed") == []
    ours = {"Host", "X-Request-ID", "X-Doorman-User", "X-User-Email", "X-Forwarded-For",
            "X-Forwarded-Proto", "X-Forwarded-Host", "Content-Length"}
    assert {name for name, _ in received.fields} - ours <= {f.split(":")[0] for f in passing}


def test_order_repetition_and_bytes_are_kept(line):
    sent = ["X-B: 2", "x-a: 1", "X-B:  3\t ", "X-B: <script>", "X-B: \xe4\xff", "X-E:"]
    received = line("*").seen(*sent)
    assert [f for f in received.fields if f[0].lower() in ("x-a", "x-b", "x-e")] == [
        ("X-B", "2"), ("x-a", "1"), ("X-B", "3"), ("X-B", "<script>"), ("X-B", "\xe4\xff"),
        ("X-E", "")]


@pytest.mark.parametrize("sent, seen", [
    ("a=b; csrf_token=c; access_token_cookie={}; d=e", ["a=b; d=e"]),
    ("access_token_cookie={}; refresh_token_cookie=r", []),
    ("a=b; access_token_cookie={}", ["a=b"])])
def test_cookies_pass_without_the_gateways_own(line, sent, seen):
    assert line("cookie").seen(token="Cookie: " + sent).headers("cookie") == seen


def test_authorization_passes_only_when_it_did_not_open_the_gateway(line):
    other, cookie = "Authorization: Basic x", "Cookie: access_token_cookie={}"
    assert line("Authorization").seen(other, token=cookie).headers("authorization") == ["Basic x"]
    assert line("*").seen(other, token=cookie).headers("authorization") == []
    assert line("Authorization").seen().headers("authorization") == []


def test_the_authorization_swap(line):
    swap = {"api_authorization_field_swap": "X-Upstream-Auth"}
    allowed = line("X-Upstream-Auth", **swap)
    received = allowed.seen("x-upstream-auth: Basic up")
    assert received.headers("authorization") == ["Basic up"]
    assert received.headers("x-upstream-auth") == ["Basic up"]
    assert allowed.seen().headers("authorization") == []
    cookie = "Cookie: access_token_cookie={}"
    assert allowed.seen("Authorization: own", token=cookie).headers("authorization") == ["own"]
    assert line(**swap).seen("X-Upstream-Auth: Basic up").headers("authorization") == []


def test_the_client_address_may_stay_here(start_doorman, start_upstream):
    admin = platform.login(start_doorman(FORWARD_CLIENT_IP="false").url)
    received = Line(admin, start_upstream()).seen("X-Forwarded-For: 6.6.6.6")
    assert not [name for name, _ in received.fields if name.lower().startswith("x-forwarded")]


def test_a_trusted_proxy_tells_the_client(line):
    received = line(api_trust_x_forwarded_for=True).seen(
        "X-Forwarded-For: 6.6.6.6, 9.9.9.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop")
    assert received.headers("x-forwarded-for") == ["9.9.9.9"]
    assert received.headers("x-forwarded-proto") == ["https"]


# ---- to the client ----

DOWN = ("Content-Type: a/b", "Content-Language: de", "Content-Disposition: x",
        "Cache-Control: no-store", "ETag: \"a\"", "Last-Modified: then", "Expires: 0", "Age: 1",
        "Vary: Accept", "Location: /x", "Link: </a>", "Allow: GET", "Accept-Ranges: bytes",
        "Retry-After: 1")
DOWN_OTHERS = ("X-Custom: y", "X-Custom: z")
DOWN_NEVER = ("Connection: X-Listed", "X-Listed: y", "Keep-Alive: 1", "Upgrade: h2c", "Trailer: X",
              "Proxy-Authenticate: x", "WWW-Authenticate: x", "X-API-Key: k",
              "X-Request-ID: theirs", "request_id: theirs", "X-Doorman-Reason: theirs")
COOKIES = ("Set-Cookie: a=b", "Set-Cookie: c=d")
OWN_COOKIE = ("Set-Cookie: access_token_cookie=stolen",)


@pytest.mark.parametrize("allowed, passing", [
    ([], DOWN), (["*"], DOWN + DOWN_OTHERS), (["x-custom"], DOWN + DOWN_OTHERS),
    (["Set-Cookie"], DOWN + COOKIES), (["*", "set-cookie"], DOWN + DOWN_OTHERS + COOKIES)],
    ids=["none", "any", "one", "cookies", "any and cookies"])
def test_which_fields_the_client_sees(admin, start_upstream, allowed, passing):
    sent = DOWN + DOWN_OTHERS + DOWN_NEVER + COOKIES + OWN_COOKIE
    upstream = start_upstream(lambda _: (200, [tuple(f.split(": ", 1)) for f in sent], b"ok"))
    answer = Line(admin, upstream, api_allowed_headers=allowed).send()
    got = [f"{name}: {value}" for name, value in answer.fields]
    assert [field for field in got if field in sent] == list(passing)
    assert len(answer.headers("x-request-id")) == len(answer.headers("date")) == 1
    assert {name: answer.headers(name) for name in SECURITY} == {
        name: [value] for name, value in SECURITY.items()}


@pytest.mark.parametrize("allowed, value", [([], "DENY"), (["x-frame-options"], "SAMEORIGIN")])
def test_security_fields_of_an_upstream_win_only_where_named(admin, start_upstream, allowed, value):
    upstream = start_upstream(lambda _: (200, [("X-Frame-Options", "SAMEORIGIN")], b""))
    answer = Line(admin, upstream, api_allowed_headers=allowed).send()
    assert answer.headers("x-frame-options") == [value]


# ---- CORS ----

OPEN = {}
LISTED = {"api_cors_allow_origins": ["https://a.example", "https://*.b.example"],
          "api_cors_allow_methods": ["get"], "api_cors_allow_headers": ["X-One"],
          "api_cors_allow_credentials": True, "api_cors_expose_headers": ["X-Two", "X-Three"]}
NOBODY = {"api_cors_allow_origins": []}
A = "https://a.example"
PREFLIGHTS = [  # fields of the API, origin, method, headers -> is the origin allowed
    (OPEN, "http://any", "DELETE", "x-any", True), (OPEN, "null", None, None, True),
    (LISTED, A, "GET", "x-one", True), (LISTED, A, "OPTIONS", None, True),
    (LISTED, A, "POST", None, False), (LISTED, A, "GET", "X-One, X-Two", False),
    (LISTED, "https://x.b.example", "GET", None, True),
    (LISTED, "https://x.y.b.example", None, None, True),
    (LISTED, "https://b.example", "GET", None, False),
    (LISTED, "http://x.b.example", "GET", None, False),
    (LISTED, "https://evilb.example", "GET", None, False),
    (LISTED, A + ".evil", "GET", None, False),
    (NOBODY, A, "GET", None, False),
]


@pytest.mark.parametrize("fields, origin, method, headers, allowed", PREFLIGHTS)
def test_preflights(line, fields, origin, method, headers, allowed):  # vectors 28, 29, 57
    plain = line(**fields)
    asked = [f"Origin: {origin}"]
    asked += [f"Access-Control-Request-Method: {method}"] if method else []
    asked += [f"Access-Control-Request-Headers: {headers}"] if headers else []
    answer = plain.send(*asked, method="OPTIONS", token=None)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("access-control-allow-origin") == (origin if allowed else None)
    assert (answer.header("access-control-allow-methods") is not None) is (method is not None)
    assert (answer.header("access-control-allow-headers") is not None) is (headers is not None)
    assert (answer.header("access-control-allow-credentials") == "true") is (fields is LISTED)
    if allowed:
        assert "Origin" in answer.headers("vary")
    assert plain.upstream.requests == []


def test_preflight_texts(line):
    asked = (f"Origin: {A}", "Access-Control-Request-Method: GET",
             "Access-Control-Request-Headers: x")
    answer = line().send(*asked, method="OPTIONS", token=None)
    every = "GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS"
    assert answer.header("access-control-allow-methods") == every
    assert answer.header("access-control-allow-headers") == "*"
    answer = line(**LISTED).send(*asked, method="OPTIONS", token=None)
    assert answer.header("access-control-allow-methods") == "GET, OPTIONS"
    assert answer.header("access-control-allow-headers") == "X-One"


def test_a_preflight_of_an_unknown_api_says_nothing(doorman):
    answer = platform.Session(doorman.url).options("/api/rest/none/v1/x", headers={"Origin": A})
    assert answer.status_code == 204
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("origin, allowed", [(A, True), ("https://evil", False), (None, False)])
def test_answers_and_refusals_carry_cors(line, origin, allowed):
    plain = line(**LISTED)
    for token, status in (("Authorization: Bearer {}", 200), (None, 401)):
        answer = plain.send(*([f"Origin: {origin}"] if origin else []), token=token)
        assert answer.status == status
        assert answer.headers("access-control-allow-origin") == ([origin] if allowed else [])
        assert "Origin" in answer.headers("vary")
        assert answer.header("access-control-expose-headers") == "X-Two, X-Three"


def test_the_upstreams_cors_is_replaced(admin, start_upstream):
    upstream = start_upstream(lambda _: (200, [("access-control-allow-origin", "*")], b""))
    answer = Line(admin, upstream, api_allowed_headers=["*"]).send(f"Origin: {A}")
    assert answer.headers("access-control-allow-origin") == [A]


def test_strict_options(start_doorman, start_upstream):
    admin = platform.login(start_doorman(STRICT_OPTIONS_405="true").url)
    plain = Line(admin, start_upstream())
    assert plain.send(f"Origin: {A}", method="OPTIONS").status == 204
    plain.path += "/none"
    assert plain.send(f"Origin: {A}", method="OPTIONS").status == 405
