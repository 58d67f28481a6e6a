"""auth.suspicious in the audit trail: what operations.md §8.5 lists, once each, from both sides."""

import json

import pytest

from harness import platform
from harness.platform import expect
from harness.process import ADMIN_EMAIL

pytestmark = pytest.mark.memory  # one trail of both sides, in order


@pytest.fixture
def watched(start_doorman, tmp_path, upstream):
    """A doorman with a trail of its own; .events() are those of its end."""
    running = start_doorman(LOGS_DIR=str(tmp_path / "logs"))

    def events():
        running.stop()
        lines = (tmp_path / "logs" / "doorman-trail.log").read_text().splitlines()
        found = [json.loads(line) for line in lines if "suspicious-activity" in line]
        assert {e["action"] for e in found} <= {"auth.suspicious"}
        assert {e["event_type"] for e in found} <= {"auth.suspicious"}
        assert {e["client_ip"] for e in found} <= {"127.0.0.1"}
        return [(e["reason"], e["target"]) for e in found]

    running.events = events
    running.admin = platform.login(running.url)
    api = platform.make_api(running.admin, upstream.url)
    platform.make_endpoint(running.admin, api, "/x")
    running.call = platform.rest_path(api, "/x")
    return running


def get(running, path, token=None, **fields):
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return platform.Session(running.url).get(path, headers=headers).status_code


def test_nothing_is_suspicious_about_the_usual(watched):
    user = platform.make_user(watched.admin)
    assert get(watched, "/platform/user/me", user.token, X_Forwarded_For="192.0.2.1") == 200
    assert get(watched, watched.call, "no token at all") == 401
    assert get(watched, watched.call) == 401
    assert watched.events() == []


def test_a_revoked_token_on_both_sides(watched):
    user = platform.make_user(watched.admin)
    platform.revoke(watched.admin, user)
    for _ in range(3):  # told once in a minute: its use must not flood the trail
        assert get(watched, "/platform/user/me", user.token) == 401
        assert get(watched, watched.call, user.token) == 401
    assert watched.events() == [("revoked token", user.username)] * 2


@pytest.mark.parametrize("where", ["/platform/user/me", None], ids=["platform", "gateway"])
def test_bad_signatures_of_one_address(watched, where):
    forged = watched.admin.token[:-6] + ("AAAAAA" if watched.admin.token[-6:-1] != "AAAAA"
                                         else "BBBBBB")
    for _ in range(25):
        assert get(watched, where or watched.call, forged) == 401
    assert watched.events() == [("bad signatures", "127.0.0.1")]


def test_failed_logins_of_one_account(watched):
    def fail(email):
        answer = platform.Session(watched.url).post(
            "/platform/authorization", json={"email": email, "password": "wrong"})
        assert answer.status_code == 400

    user = platform.make_user(watched.admin)
    for _ in range(6):
        fail("nobody@example.com")
    for _ in range(4):
        fail(user.email)
        fail(ADMIN_EMAIL)
    fail(user.username)  # the same account by its other name
    fail(user.email)
    assert watched.events() == [("failed logins", user.username)]


def test_the_login_limit(start_doorman, tmp_path):
    running = start_doorman(LOGS_DIR=str(tmp_path / "logs"), LOGIN_IP_RATE_LIMIT="1")
    for status in (400, 429):
        answer = platform.Session(running.url).post(
            "/platform/authorization", json={"email": "a", "password": "b"})
        assert answer.status_code == status
    running.stop()
    trail = (tmp_path / "logs" / "doorman-trail.log").read_text()
    assert trail.count("suspicious-activity") == 1 and '"login limit"' in trail


def test_forwarding_fields_of_a_peer_that_is_no_proxy(watched):
    expect(watched.admin.put("/platform/security/settings", json={
        "trust_x_forwarded_for": True, "xff_trusted_proxies": ["192.0.2.1"]}))
    for _ in range(3):
        assert get(watched, "/platform/user/me", watched.admin.token,
                   X_Forwarded_For="198.51.100.1") == 200
        assert get(watched, watched.call, X_Real_IP="198.51.100.1") == 401
    expected = ("forwarding field of an untrusted peer", "127.0.0.1")
    assert watched.events() == [expected] * 2  # each side told it once
