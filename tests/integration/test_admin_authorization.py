"""/platform/authorization (platform-access.md §8.1)."""

import jwt
import pytest

from harness import platform
from harness.platform import expect
from harness.process import ADMIN_EMAIL, ADMIN_PASSWORD


def post_login(url, **body):
    return platform.Session(url).post("/platform/authorization", json=body)


def claims(token):
    return jwt.decode(token, options={"verify_signature": False})


@pytest.mark.tsan
def test_login_gives_a_token_cookies_and_rate_headers(doorman):
    answer = post_login(doorman.url, email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
    assert answer.status_code == 200 and set(answer.json()) == {"access_token"}
    c = claims(answer.json()["access_token"])
    assert c["sub"] == "admin" and c["role"] == "admin" and c["token_use"] == "access"
    assert (
        c["exp"] - c["iat"] == 1800
        and c["nbf"] == c["iat"]
        and c["accesses"]["manage_tiers"] is True
    )
    assert jwt.get_unverified_header(answer.json()["access_token"]) == {
        "alg": "HS256",
        "kid": "legacy-key",
        "typ": "JWT",
    }
    cookies = answer.raw.headers.getlist("Set-Cookie")
    assert any(
        c.startswith("access_token_cookie=ey")
        and "HttpOnly" in c
        and "Max-Age=1800" in c
        and "SameSite=strict" in c
        for c in cookies
    )
    assert any(
        c.startswith("refresh_token_cookie=ey")
        and "Path=/platform/authorization" in c
        and "Max-Age=604800" in c
        for c in cookies
    )
    assert any(c.startswith("csrf_token=") and "HttpOnly" not in c for c in cookies)
    assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= set(
        answer.headers
    )


def test_login_by_user_name_works_too(doorman):
    assert post_login(doorman.url, email="admin", password=ADMIN_PASSWORD).status_code == 200


@pytest.mark.parametrize(
    "body, code",
    [
        ({"email": ADMIN_EMAIL, "password": "wrong"}, "AUTH002"),
        ({"email": "nobody@example.com", "password": "wrong"}, "AUTH002"),
        ({"email": {"$ne": None}, "password": "x"}, "AUTH001"),
        ({"email": ADMIN_EMAIL, "password": {"$ne": ""}}, "AUTH001"),
        ({"email": ADMIN_EMAIL}, "AUTH001"),
        ({"email": "", "password": "x"}, "AUTH001"),
        ({}, "AUTH001"),
    ],
)
def test_login_refusals(doorman, body, code):
    answer = post_login(doorman.url, **body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, code)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'"x"', b'{"email":"a","email":"b","password":"c"}']
)
def test_login_with_bad_json(doorman, data):
    answer = platform.Session(doorman.url).post("/platform/authorization", data=data)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "AUTH004")


def test_an_inactive_user_is_told_so_only_with_the_right_password(admin, doorman):
    session = platform.make_user(admin)
    expect(admin.put(f"/platform/user/{session.username}", json={"active": False}))
    right = post_login(doorman.url, email=session.email, password=platform.USER_PASSWORD)
    assert (right.status_code, right.json()["error_code"]) == (400, "AUTH007")
    wrong = post_login(doorman.url, email=session.email, password="wrong")
    assert wrong.json()["error_code"] == "AUTH002"


@pytest.mark.tsan
def test_the_login_limit_counts_every_attempt_of_an_address(start_doorman):
    running = start_doorman(LOGIN_IP_RATE_LIMIT="3", LOGIN_IP_RATE_WINDOW="3600")
    for left in (2, 1, 0):
        answer = post_login(running.url, email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        assert answer.status_code == 200 and answer.headers["X-RateLimit-Remaining"] == str(left)
    answer = post_login(running.url, email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
    assert (answer.status_code, answer.json()["error_code"]) == (429, "IP_RATE_LIMIT")
    assert 0 < int(answer.headers["Retry-After"]) <= 3600
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert "Limit: 3 requests per 3600 seconds." in answer.json()["error_message"]


def test_the_login_limit_does_not_listen_to_forwarding_headers(start_doorman):
    running = start_doorman(LOGIN_IP_RATE_LIMIT="1", LOGIN_IP_RATE_WINDOW="3600")
    assert post_login(running.url, email="a", password="b").status_code == 400
    answer = platform.Session(running.url).post(
        "/platform/authorization",
        json={"email": "a", "password": "b"},
        headers={"X-Forwarded-For": "203.0.113.9"},
    )
    assert answer.status_code == 429


def test_register_creates_a_user_without_rights(doorman, admin):
    name = platform.unique("reg")
    answer = platform.Session(doorman.url).post(
        "/platform/authorization/register",
        json={"email": f"{name}@example.com", "password": platform.USER_PASSWORD, "role": "admin"},
    )
    assert (answer.status_code, answer.json()) == (201, {"message": "User created successfully"})
    stored = expect(admin.get(f"/platform/user/{name}"))
    assert stored["role"] == "user" and stored["active"] is True and "password" not in stored


@pytest.mark.parametrize(
    "body, status, code",
    [
        ({"email": "weak@example.com", "password": "short"}, 400, "USR005"),
        ({"email": "admin@example.com", "password": platform.USER_PASSWORD}, 400, "USR001"),
        ({"email": "x@example.com", "password": platform.USER_PASSWORD}, 422, "VAL001"),
        ({"email": "x@example.com"}, 400, "AUTH001"),
    ],
)
def test_register_refusals(doorman, body, status, code):
    answer = platform.Session(doorman.url).post("/platform/authorization/register", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


def test_registration_can_be_switched_off(start_doorman):
    running = start_doorman(ALLOW_SELF_REGISTRATION="false")
    answer = platform.Session(running.url).post("/platform/authorization/register", json={})
    assert (answer.status_code, answer.json()["error_code"]) == (403, "AUTH900")


def test_refresh_renews_and_a_refresh_token_opens_nothing_else(doorman, user):
    answer = user.post("/platform/authorization/refresh")
    token = expect(answer)["refresh_token"]
    assert claims(token)["token_use"] == "refresh"
    other = platform.Session(doorman.url)
    other.headers["Authorization"] = "Bearer " + token
    assert other.post("/platform/authorization/refresh").status_code == 200
    other.cookies.clear()
    assert other.get("/platform/authorization/status").status_code == 401
    assert other.get("/platform/user/me").status_code == 401


def test_the_refresh_cookie_alone_refreshes(doorman, user):
    cookies = user.post("/platform/authorization/refresh").cookies
    alone = platform.Session(doorman.url)
    answer = alone.post(
        "/platform/authorization/refresh",
        headers={
            "Cookie": "refresh_token_cookie="
            + cookies.get("refresh_token_cookie", path="/platform/authorization")
        },
    )
    assert answer.status_code == 200


def test_status_tells_a_valid_token(user):
    assert expect(user.get("/platform/authorization/status")) == {"message": "Token is valid"}


def test_mode(doorman):
    assert expect(platform.Session(doorman.url).get("/platform/authorization/mode")) == {
        "auth_mode": "doorman"
    }


def test_invalidate_ends_this_token_only(doorman, admin):
    session = platform.make_user(admin)
    second = platform.login(doorman.url, session.email, platform.USER_PASSWORD)
    answer = session.post("/platform/authorization/invalidate")
    assert expect(answer) == {"message": "Your token has been invalidated"}
    assert 'access_token_cookie=""' in answer.headers["Set-Cookie"]
    again = session.post("/platform/authorization/invalidate")
    assert (again.status_code, again.json()["error_code"]) == (401, "AUTH005")
    assert second.get("/platform/authorization/status").status_code == 200


def test_invalidate_of_somebody_else_needs_the_permission(admin):
    victim, other = platform.make_user(admin), platform.make_user(admin)
    refused = other.post("/platform/authorization/invalidate", json={"username": victim.username})
    assert (refused.status_code, refused.json()["error_code"]) == (403, "AUTH900")
    done = admin.post("/platform/authorization/invalidate", json={"username": victim.username})
    assert expect(done) == {"message": f"All tokens revoked for {victim.username}"}
    assert victim.get("/platform/user/me").status_code == 401


@pytest.mark.tsan
def test_revoke_holds_for_later_tokens_until_unrevoked(doorman, admin):
    victim = platform.make_user(admin)
    name = victim.username
    assert platform.revoke(admin, victim) == {"message": f"All tokens revoked for {name}"}
    later = post_login(doorman.url, email=victim.email, password=platform.USER_PASSWORD)
    assert later.status_code == 200
    session = platform.Session(doorman.url)
    session.headers["Authorization"] = "Bearer " + later.json()["access_token"]
    assert session.get("/platform/user/me").status_code == 401
    assert expect(admin.get(f"/platform/authorization/admin/status/{name}")) == {
        "active": True,
        "revoked": True,
    }
    assert expect(admin.post(f"/platform/authorization/admin/unrevoke/{name}")) == {
        "message": f"Token revocation cleared for {name}"
    }
    assert session.get("/platform/user/me").status_code == 200


def test_disable_and_enable(admin):
    victim = platform.make_user(admin)
    name = victim.username
    assert expect(admin.post(f"/platform/authorization/admin/disable/{name}")) == {
        "message": f"User {name} disabled and tokens revoked"
    }
    assert victim.get("/platform/user/me").status_code == 401
    assert expect(admin.get(f"/platform/authorization/admin/status/{name}")) == {
        "active": False,
        "revoked": True,
    }
    assert expect(admin.post(f"/platform/authorization/admin/enable/{name}")) == {
        "message": f"User {name} enabled"
    }
    assert victim.get("/platform/user/me").status_code == 200


def test_the_super_admin_cannot_be_locked_out(admin):
    for action in ("revoke", "disable"):
        answer = admin.post(f"/platform/authorization/admin/{action}/admin")
        assert (answer.status_code, answer.json()["error_code"]) == (403, "USR020")
    assert admin.get("/platform/user/me").status_code == 200


def test_an_admin_user_is_hidden_from_other_managers(doorman, admin):
    expect(
        admin.post("/platform/role", json={"role_name": "authmanager", "manage_auth": True}), 201
    )
    manager = platform.make_user(admin, role="authmanager")
    answer = manager.post("/platform/authorization/admin/revoke/admin")
    assert (answer.status_code, answer.json()) == (404, {"error_message": "User not found"})


def test_status_of_an_unknown_user(admin):
    answer = admin.get("/platform/authorization/admin/status/nosuchuser")
    assert (answer.status_code, answer.json()["error_code"]) == (404, "USR002")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Basic eDp5",
        "Bearer ey.ey.ey",
        "Bearer null",
        "x" * 100,
    ],
)
def test_malformed_credentials_are_one_uniform_401(doorman, header):
    answer = platform.Session(doorman.url).get(
        "/platform/user/me", headers={"Authorization": header}
    )
    assert (answer.status_code, answer.json()["error_message"]) == (401, "Unauthorized")


def test_tokens_of_other_keys_and_algorithms_are_refused(doorman, user):
    c = claims(user.token)
    secret = "0" * 32
    forged = [
        jwt.encode(c, secret, "HS256", headers={"kid": "legacy-key"}),
        jwt.encode(c, None, "none", headers={"kid": "legacy-key"}),
        jwt.encode(c, secret, "HS512", headers={"kid": "legacy-key"}),
        user.token[:-3] + ("AAA" if not user.token.endswith("AAA") else "BBB"),
        user.token + "x",
        user.token.rsplit(".", 1)[0] + ".",
    ]
    for token in forged:
        answer = platform.Session(doorman.url).get(
            "/platform/user/me", headers={"Authorization": "Bearer " + token}
        )
        assert answer.status_code == 401, token


def test_a_cookie_is_final(doorman, user):
    session = platform.Session(doorman.url)
    answer = session.get(
        "/platform/user/me",
        headers={"Cookie": "access_token_cookie=bad", "Authorization": "Bearer " + user.token},
    )
    assert answer.status_code == 401
    answer = session.get(
        "/platform/user/me", headers={"Cookie": "access_token_cookie=" + user.token}
    )
    assert answer.status_code == 200


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    from harness.process import Doorman

    running = Doorman(tmp_path_factory.mktemp("secure"), {"HTTPS_ENABLED": "true"}).start()
    yield running
    running.stop()


def cookie_login(url):
    session = platform.Session(url)
    expect(
        session.post(
            "/platform/authorization", json={"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
        )
    )
    values = {c.name: c.value for c in session.cookies}
    session.cookies.clear()
    return session, values


def cookie_header(session, csrf):
    access = session["access_token_cookie"]
    return {"Cookie": f"access_token_cookie={access}; csrf_token={csrf['csrf_token']}"}


def test_csrf_is_asked_for_with_cookies_in_secure_mode(secure):
    session, values = cookie_login(secure.url)
    headers = cookie_header(values, values)
    body = {"group_name": platform.unique("g")}
    refused = session.post("/platform/group", json=body, headers=headers)
    assert (refused.status_code, refused.json()) == (
        403,
        {"error_code": "CSRF001", "error_message": "Invalid CSRF token"},
    )
    planted = {
        "Cookie": f"access_token_cookie={values['access_token_cookie']}; csrf_token=planted",
        "X-CSRF-Token": "planted",
    }
    assert session.post("/platform/group", json=body, headers=planted).status_code == 403
    good = {**headers, "X-CSRF-Token": values["csrf_token"]}
    assert session.post("/platform/group", json=body, headers=good).status_code == 201
    assert session.get("/platform/user/me", headers=headers).status_code == 200


def test_csrf_of_another_session_is_refused(secure):
    session, first = cookie_login(secure.url)
    _, second = cookie_login(secure.url)
    mixed = {
        **cookie_header(first, second),
        "X-CSRF-Token": second["csrf_token"],
    }
    assert (
        session.post("/platform/group", json={"group_name": "never"}, headers=mixed).status_code
        == 403
    )


def test_bearer_needs_no_csrf_and_secure_mode_sends_hsts(secure):
    admin = platform.login(secure.url)
    answer = admin.post("/platform/group", json={"group_name": platform.unique("g")})
    assert answer.status_code == 201
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=15552000")


def test_a_forced_password_change_opens_nothing_else(admin, doorman):
    session = platform.make_user(admin)
    expect(admin.put(f"/platform/user/{session.username}", json={"force_password_reset": True}))
    answer = session.get("/platform/user/me")
    assert (answer.status_code, answer.json()["error_code"]) == (403, "AUTH011")
    expect(
        session.put(
            f"/platform/user/{session.username}/update-password",
            json={"new_password": "Another-Passw0rd-16!"},
        )
    )
    assert session.get("/platform/user/me").status_code == 200
