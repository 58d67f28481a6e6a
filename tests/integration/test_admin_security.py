"""/platform/security, /platform/tools/cors/check, DELETE /api/caches and the audit trail."""

import json
import pathlib

import pytest

from harness import platform
from harness.config import ConfigFile
from harness.platform import expect
from harness.process import shape, wait_until


@pytest.fixture
def gate(start_doorman):
    """A program of its own: address lists hit every other test of a shared one."""
    running = start_doorman(LOCAL_HOST_IP_BYPASS="false")
    return running, platform.login(running.url)


def settings(admin, **fields):
    return admin.put("/platform/security/settings", json=fields)


def test_defaults(admin):
    stored = expect(admin.get("/platform/security/settings"))
    assert stored["type"] == "security_settings" and stored["memory_only"] is (shape() == "memory")
    assert stored["ip_whitelist"] == [] and stored["trust_x_forwarded_for"] is False
    assert stored["client_ip"] == "127.0.0.1"
    assert stored["client_ip_xff"] == {"memory": None, "split": "127.0.0.1"}[shape()]
    assert stored["security_warnings"] == [] and "_id" not in stored
    assert stored["auto_save_memory_interval_minutes"] * 60 == stored["auto_save_frequency_seconds"]


def test_update_and_aliases(admin):
    answer = expect(settings(admin, auto_save_memory_interval_minutes=30))
    assert answer["auto_save_frequency_seconds"] == 1800
    assert expect(admin.put("/platform/security/settings"))["auto_save_frequency_seconds"] == 1800


def trust(admin):
    stored = expect(admin.get("/platform/security/settings"))
    assert "from_settings" not in stored
    return stored["trust_x_forwarded_for"], stored["xff_trusted_proxies"]


def test_what_nobody_saved_follows_the_settings_and_what_was_saved_stays(start_doorman, tmp_path):
    """configuration.md §2.6.1: the setting is the default, at every reload."""
    file = ConfigFile(tmp_path / "config", "trusted_proxies: [10.0.0.0/8]\n")
    running = start_doorman(DOORMAN_CONFIG_FILE=file.path, CONFIG_WATCH="false")
    admin = platform.login(running.url)
    assert trust(admin) == (True, ["10.0.0.0/8"])
    file.write("trusted_proxies: [192.0.2.1]\nmem: {auto_save_freq: 120}\n")
    expect(admin.post("/platform/config/reload"))
    wait_until(lambda: trust(admin) == (True, ["192.0.2.1"]), 10, "the new proxies are trusted")
    expect(settings(admin, xff_trusted_proxies=["192.0.2.7"]))
    file.write("trusted_proxies: []\nmem: {auto_save_freq: 240}\n")
    expect(admin.post("/platform/config/reload"))
    wait_until(lambda: expect(admin.get("/platform/security/settings"))
               ["auto_save_frequency_seconds"] == 240, 10, "what was not saved follows")
    assert trust(admin) == (True, ["192.0.2.7"]), "whether and whom go together"


@pytest.mark.parametrize(
    "fields, status, code",
    [
        ({"ip_blacklist": ["1.2.3.4", "300.1.1.1"]}, 400, "SEC012"),
        ({"ip_whitelist": ["x"]}, 400, "SEC012"),
        ({"xff_trusted_proxies": ["10.0.0.0/33"]}, 400, "SEC012"),
        ({"ip_blacklist": "1.2.3.4"}, 422, "VAL001"),
        ({"auto_save_frequency_seconds": 59}, 422, "VAL001"),
        ({"dump_path": "/etc/passwd"}, 422, "VAL001"),
        ({"dump_path": "../x"}, 422, "VAL001"),
    ],
)
def test_bad_settings_change_nothing(admin, fields, status, code):
    before = expect(admin.get("/platform/security/settings"))
    answer = settings(admin, **fields)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert expect(admin.get("/platform/security/settings")) == before


def test_a_blacklist_hits_at_once_and_can_be_undone(gate):
    running, admin = gate
    expect(settings(admin, ip_blacklist=["127.0.0.0/8"]))
    for path in ("/platform/user/me", "/api/rest/a/v1/x", "/platform/nothing"):
        answer = admin.get(path)
        assert (answer.status_code, answer.json()) == (
            403,
            {"status_code": 403, "error_code": "SEC011", "error_message": "IP blocked"},
        ), path
        assert answer.headers["X-Request-ID"]
    assert admin.get("/platform/monitor/liveness").status_code == 200
    expect(settings(admin, ip_blacklist=[]))
    assert admin.get("/platform/user/me").status_code == 200


def test_a_whitelist_without_the_caller(gate):
    running, admin = gate
    expect(settings(admin, ip_whitelist=["10.0.0.0/8"]))
    answer = admin.get("/api/rest/a/v1/x")
    assert (answer.status_code, answer.json()["error_code"]) == (403, "SEC010")
    expect(settings(admin, ip_whitelist=[]))


@pytest.mark.tsan
def test_blacklist_comes_first_and_trusted_proxies_are_skipped(gate):
    running, admin = gate
    expect(
        settings(
            admin,
            ip_blacklist=["1.2.3.4"],
            ip_whitelist=["1.2.3.4", "127.0.0.1", "5.6.7.8"],
            trust_x_forwarded_for=True,
            xff_trusted_proxies=["127.0.0.1"],
        )
    )

    def code(xff):
        answer = admin.get("/platform/user/me", headers={"X-Forwarded-For": xff})
        return answer.json().get("error_code")

    assert code("1.2.3.4") == "SEC011"
    assert code("5.6.7.8, 127.0.0.1") is None
    assert code("5.6.7.8, 9.9.9.9") == "SEC010"  # the right-most that is no trusted proxy
    assert code("1.2.3.4, 5.6.7.8") is None  # what stands left of it is only a claim
    expect(settings(admin, ip_blacklist=[], ip_whitelist=[], trust_x_forwarded_for=False))


def test_the_local_bypass_is_locked_by_the_environment(gate):
    running, admin = gate
    stored = expect(admin.get("/platform/security/settings"))
    assert (
        stored["allow_localhost_bypass"] is False
        and stored["allow_localhost_bypass_locked"] is True
    )


def test_restart_is_not_for_this_process(admin):
    answer = admin.post("/platform/security/restart")
    assert (answer.status_code, answer.json()["error_code"]) == (409, "SEC004")


def check(admin, **fields):
    return expect(admin.post("/platform/tools/cors/check", json={"method": "get", **fields}))


def test_cors_check_tells_what_the_live_path_does(admin):
    result = check(admin, origin="http://a.example", request_headers=["X-CSRF-Token", "x-other"])
    assert result["preflight"]["allowed"] is False and result["preflight"][
        "not_allowed_headers"
    ] == ["x-other"]
    assert result["input"]["method"] == "GET"
    assert "Some requested headers are not allowed: x-other" in result["notes"]
    live = admin.options("/platform/x", headers={"Origin": "http://a.example"})
    assert live.headers["Access-Control-Allow-Headers"] == (
        result["preflight"]["response_headers"]["Access-Control-Allow-Headers"]
    )
    assert result["actual"]["response_headers"]["Access-Control-Allow-Origin"] == "http://a.example"


def test_cors_check_of_an_api(admin, upstream):
    api = platform.make_api(admin, upstream.url, api_cors_allow_origins=["https://*.good.example"])
    named = {"name": api["api_name"], "version": "v1"}
    assert check(admin, origin="https://a.good.example", api=named)["actual"]["allowed"] is True
    assert check(admin, origin="https://good.example", api=named)["actual"]["allowed"] is False
    answer = admin.post(
        "/platform/tools/cors/check",
        json={"origin": "x", "method": "GET", "api": {"name": "none", "version": "v1"}},
    )
    assert answer.status_code == 404


@pytest.mark.tsan
def test_clearing_caches_gives_counters_back_but_no_revoked_token(admin, published, start_doorman):
    limited = platform.make_user(
        admin, rate_limit_enabled=True, rate_limit_duration=1, rate_limit_duration_type="year"
    )
    platform.subscribe(admin, limited, published.api)
    assert limited.get(published.path).status_code == 200
    assert limited.get(published.path).status_code == 429
    revoked = platform.make_user(admin)
    platform.subscribe(admin, revoked, published.api)
    platform.revoke(admin, revoked)
    assert expect(admin.delete("/api/caches")) == {"message": "All caches cleared"}
    assert limited.get(published.path).status_code == 200
    assert revoked.get(published.path).status_code == 401
    assert published.call().status_code == 200


def test_every_change_and_every_refusal_is_in_the_trail(start_doorman, tmp_path):
    running = start_doorman(LOGS_DIR=str(tmp_path / "logs"))
    admin = platform.login(running.url)
    user = platform.make_user(admin)
    expect(admin.post("/platform/group", json={"group_name": "g"}), 201)
    user.post("/platform/group", json={"group_name": "h"})
    running.stop()
    trail = [
        json.loads(line)
        for line in (tmp_path / "logs" / "doorman-trail.log").read_text().splitlines()
    ]
    seen = {(e["action"], e["status"], e["username"], e["target"]) for e in trail}
    assert ("auth.login", "success", "admin", "admin@doorman.dev") in seen
    assert ("user.create", "success", "admin", user.username) in seen
    assert ("group.create", "success", "admin", "g") in seen
    assert ("group.create", "blocked", user.username, "/platform/group") in seen
    assert (
        platform.USER_PASSWORD
        not in pathlib.Path(tmp_path / "logs" / "doorman-trail.log").read_text()
    )
