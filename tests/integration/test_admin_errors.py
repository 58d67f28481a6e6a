"""Refusals of /platform of many routes, or of few and rare cases (platform-access.md §7).

Anonymous callers, missing permissions and bad JSON are in test_admin_routes.py, the usual refusals
of a resource in its own file; stores that are away in tests/unit/admin/outage_test.c.
"""

import pytest

from harness import platform
from harness.platform import expect

INVALID = (422, {"error_code": "VAL001", "error_message": "Validation Error"})
HIDDEN = (404, {"error_message": "User not found"})
RIGHTS = {"manage_auth": True, "manage_security": True}

# Every row with a typed body, and one such that no row takes for a reason of its own field.
TYPED = {
    ("POST", "/platform/user"): {"username": 7, "email": [], "role": "user", "password": "x"},
    ("PUT", "/platform/user/none"): {"rate_limit_duration": "many"},
    ("PUT", "/platform/user/none/update-password"): {"new_password": 5},
    ("POST", "/platform/role"): {"role_name": ""},
    ("PUT", "/platform/role/none"): {"manage_apis": "perhaps"},
    ("POST", "/platform/group"): {"group_name": {}},
    ("PUT", "/platform/group/none"): {"api_access": "a/v1"},
    ("POST", "/platform/subscription/subscribe"): {"username": "someone"},
    ("POST", "/platform/subscription/unsubscribe"): {"username": "someone"},
    ("POST", "/platform/api"): {"api_name": "a"},
    ("PUT", "/platform/api/none/v1"): {"api_servers": "http://127.0.0.1"},
    ("POST", "/platform/endpoint"): {"api_name": "a", "api_version": "v1"},
    ("PUT", "/platform/endpoint/GET/none/v1/x"): {"endpoint_servers": [""]},
    ("POST", "/platform/routing"): {"routing_name": "r"},
    ("PUT", "/platform/routing/none"): {"routing_servers": []},
    ("PUT", "/platform/security/settings"): {"ip_whitelist": 5},
    ("POST", "/platform/credit"): {"api_credit_group": "g"},
    ("PUT", "/platform/credit/none"): {"api_key": {}},
    ("POST", "/platform/credit/none"): {"users_credits": 5},
    ("POST", "/platform/tools/cors/check"): {"origin": "http://a.example"},
}


def refusal(answer):
    return answer.status_code, answer.json()


def code(answer):
    return answer.status_code, answer.json().get("error_code")


def test_every_row_with_a_typed_body_is_here(doorman):
    paths = expect(platform.Session(doorman.url).get("/platform/openapi.json"))["paths"]
    typed = {(method.upper(), path) for path, item in paths.items()
             for method, row in item.items()
             if "properties" in row.get("requestBody", {}).get("content", {})
             .get("application/json", {}).get("schema", {})}
    assert len(typed) == len(TYPED)
    assert {method for method, _ in typed} == {"POST", "PUT"}


@pytest.mark.parametrize("key", TYPED, ids=lambda key: f"{key[0]} {key[1]}")
def test_a_wrong_body_is_422_before_anything_else(admin, user, doorman, key):
    method, path = key
    for session in (platform.Session(doorman.url), user, admin):
        assert refusal(session.request(method, path, json=TYPED[key])) == INVALID
        assert refusal(session.request(method, path, data=b'{"a":1,"a":2}')) == INVALID
        assert refusal(session.request(method, path, data=b"[]")) == INVALID


# ---- authorization ----

REGISTER = "/platform/authorization/register"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null"])
def test_register_with_bad_json(doorman, data):
    answer = platform.Session(doorman.url).post(REGISTER, data=data)
    assert refusal(answer) == (
        400, {"error_code": "AUTH004", "error_message": "Invalid JSON payload"})


def test_registrations_of_an_address_are_limited_apart_from_its_logins(start_doorman):
    running = start_doorman(REGISTER_IP_RATE_LIMIT="2", REGISTER_IP_RATE_WINDOW="3600")
    session = platform.Session(running.url)
    for _ in range(2):
        assert code(session.post(REGISTER, json={})) == (400, "AUTH001")
    answer = session.post(REGISTER, json={})
    assert code(answer) == (429, "IP_RATE_LIMIT")
    assert "Limit: 2 requests per 3600 seconds." in answer.json()["error_message"]
    assert 0 < int(answer.headers["Retry-After"]) <= 3600
    platform.login(running.url)


def test_refresh_of_revoked_and_inactive_users(admin):
    answer = (401, {"error_code": "AUTH003", "error_message": "Unable to validate credentials"})
    for action in ("revoke", "disable"):
        session = platform.make_user(admin)
        expect(admin.post(f"/platform/authorization/admin/{action}/{session.username}"))
        assert refusal(session.post("/platform/authorization/refresh")) == answer


@pytest.fixture
def manager(admin):
    role = platform.unique("authmanager")
    expect(admin.post("/platform/role", json={"role_name": role, **RIGHTS}), 201)
    return platform.make_user(admin, role=role)


@pytest.mark.parametrize("action", ["revoke", "unrevoke", "disable", "enable", "status"])
def test_admin_users_are_hidden_from_other_managers(admin, manager, action):
    second = platform.make_user(admin, role="admin")
    method = "GET" if action == "status" else "POST"
    for name in ("admin", second.username):
        path = f"/platform/authorization/admin/{action}/{name}"
        assert refusal(manager.request(method, path)) == HIDDEN
    assert second.get("/platform/user/me").status_code == 200


@pytest.mark.parametrize("action, text", [
    ("revoke", "All tokens revoked for {}"), ("unrevoke", "Token revocation cleared for {}"),
    ("disable", "User {} disabled and tokens revoked"), ("enable", "User {} enabled")])
def test_the_user_need_not_exist(admin, action, text):
    name = platform.unique("ghost")
    answer = admin.post(f"/platform/authorization/admin/{action}/{name}")
    assert refusal(answer) == (200, {"message": text.format(name)})
    expect(admin.post(f"/platform/authorization/admin/unrevoke/{name}"))


def test_invalidating_somebody_else(admin, manager):
    def invalidate(**body):
        return manager.post("/platform/authorization/invalidate", **body)

    assert refusal(invalidate(data=b"{")) == INVALID
    assert refusal(invalidate(json={"username": "admin"})) == HIDDEN
    answer = admin.post("/platform/authorization/invalidate",
                        json={"username": manager.username})
    assert refusal(answer) == (200, {"message": f"All tokens revoked for {manager.username}"})
    expect(admin.post(f"/platform/authorization/admin/unrevoke/{manager.username}"))
    second = platform.make_user(admin, role="admin")
    answer = second.post("/platform/authorization/invalidate", json={"username": "admin"})
    assert refusal(answer) == (
        403, {"error_code": "USR020", "error_message": "Super admin user cannot be modified"})


def test_invalidating_somebody_else_by_cookie_needs_the_csrf_token(start_doorman):
    running = start_doorman(HTTPS_ENABLED="true")
    admin = platform.login(running.url)
    cookie = {"Cookie": f"access_token_cookie={admin.token}"}
    session = platform.Session(running.url)
    answer = session.post("/platform/authorization/invalidate", headers=cookie,
                          json={"username": "somebody"})
    assert code(answer) == (403, "CSRF001")
    answer = session.post("/platform/authorization/invalidate", headers=cookie)
    assert answer.status_code == 200  # oneself, as browsers without scripts do


# ---- a forced change of the password closes every route but its own ----

@pytest.mark.parametrize("method, path", [
    ("GET", "/platform/authorization/status"), ("POST", "/platform/authorization/refresh"),
    ("GET", "/platform/user/all"), ("GET", "/platform/role/all"), ("GET", "/platform/api"),
    ("GET", "/platform/subscription/subscriptions"), ("DELETE", "/api/caches")])
def test_a_forced_password_change(admin, method, path):
    session = platform.make_user(admin, force_password_reset=True)
    assert refusal(session.request(method, path)) == (
        403, {"error_code": "AUTH011", "error_message": "Password must be changed first"})


# ---- lists ----

def test_pages_past_their_bounds_have_a_code(admin):
    for query in ("page=0", "page_size=0", "page_size=101"):
        for path in ("user/all", "role/all", "group/all", "api", "routing/all"):
            assert code(admin.get(f"/platform/{path}?{query}")) == (400, "PAG001")


# ---- the CORS checker ----

def check(admin, **fields):
    return admin.post("/platform/tools/cors/check", json={"method": "PUT", **fields})


def test_the_checker_does_not_know_every_api(admin):
    answer = check(admin, origin="http://a.example", api={"name": "none", "version": "v1"})
    assert refusal(answer) == (404, {
        "error_code": "GTW001",
        "error_message": "API does not exist for the requested name and version"})


def test_the_checker_asks_the_lists_of_the_api(admin, upstream):
    api = platform.make_api(admin, upstream.url, api_public=True,
                            api_cors_allow_origins=["https://good.example"],
                            api_cors_allow_headers=["X-Mine"], api_cors_allow_methods=["GET"])
    platform.make_endpoint(admin, api, "/x", "PUT")
    named = {"name": api["api_name"], "version": "v1"}
    origin = "https://good.example"
    for method, headers, refused in (("GET", ["x-mine"], []), ("PUT", ["x-mine"], []),
                                     ("GET", ["X-Mine", "Accept"], ["Accept"])):
        told = expect(check(admin, origin=origin, method=method, request_headers=headers,
                            api=named))["preflight"]
        live = platform.Session(admin.url).options(platform.rest_path(api, "/x"), headers={
            "Origin": origin, "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": ", ".join(headers)})
        assert told["not_allowed_headers"] == refused
        assert (told["response_headers"]["Access-Control-Allow-Origin"]
                == live.headers.get("Access-Control-Allow-Origin"))
        assert told["allowed"] is (method == "GET" and not refused)


def test_the_checker_tells_what_the_settings_come_down_to(start_doorman):
    running = start_doorman(ALLOW_HEADERS="*", CORS_STRICT="true")
    admin = platform.login(running.url)
    told = expect(check(admin, origin="https://a.example"))
    assert told["config"]["allowed_origins"] == ["*"]
    assert told["config"]["effective_allowed_origins"] == [
        "http://localhost", "https://localhost", "http://127.0.0.1", "https://127.0.0.1"]
    assert told["notes"] == [
        "ALLOW_HEADERS='*' replaced with a conservative default set to satisfy credentialed "
        "requests.",
        "Origin is not allowed based on current configuration."]
    assert expect(check(admin, origin="http://localhost:3000"))["preflight"]["allowed"] is True
