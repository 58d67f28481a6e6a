"""What a Python Doorman left behind is read: documents, Redis keys, memory dumps of both forms.

Every test of the first part runs on all three; docs/migrate.md says the same in words.
"""

import json

import pytest

from harness import platform, python_doorman
from harness.platform import expect
from harness.process import Doorman, START_DEADLINE, wait_until
from harness.python_doorman import made
from harness.upstream import Upstream

DEADLINE = 20.0
DAY = 86400


def test_fixtures_are_what_the_generator_makes(tmp_path):
    made.main(tmp_path)
    for name in ("mongodb.json", "redis.json", "dump-dmp1.bin", "dump-fernet.bin"):
        assert (tmp_path / name).read_bytes() == (python_doorman.FOLDER / name).read_bytes(), name


class Started:
    """A product on old data: program, its administrator's session, and an upstream."""

    def __init__(self, program, upstream):
        self.program = program.start()
        self.url = program.url
        self.upstream = upstream
        self.admin = platform.login(program.url, program.admin_email, program.admin_password)
        python_doorman.point_at(self.admin, upstream.url)

    def login(self, name):
        return platform.login(self.url, f"{name}@python.example", made.PASSWORDS[name])

    def call(self, path, session=None, token=None, **headers):
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return (session or platform.Session(self.url)).get(f"{self.url}/api/rest{path}",
                                                           headers=headers)


def start(kind, folder, upstream):
    if kind == "mongodb":
        return Started(python_doorman.on_stores(folder), upstream)
    return Started(python_doorman.on_dump(folder, f"dump-{kind}.bin"), upstream)


@pytest.fixture(scope="module", params=["mongodb", "dmp1", "fernet"])
def old(request, tmp_path_factory):
    upstream = Upstream()
    running = start(request.param, tmp_path_factory.mktemp("old"), upstream)
    yield running
    running.program.stop()
    upstream.stop()


# --- the same answers, wherever the data came from ---


@pytest.mark.parametrize("name", ["alice", "bob", "carol", "erin"])
def test_passwords_of_the_python_doorman_open(old, name):
    for _ in range(2):  # the second time by the hash that the first one made
        session = old.login(name)
        me = session.get("/platform/user/me")
        assert me.status_code == (401 if name == "bob" else 200)  # all of bob's are revoked
    wrong = platform.Session(old.url).post(
        "/platform/authorization", json={"email": f"{name}@python.example", "password": "x" * 20})
    assert wrong.status_code == 400


def test_who_was_not_active_stays_out(old):
    answer = platform.Session(old.url).post(
        "/platform/authorization",
        json={"email": "dave@python.example", "password": made.PASSWORDS["dave"]})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "AUTH007")


def stored(collection, **key):
    rows = json.loads((python_doorman.FOLDER / "mongodb.json").read_text())[collection]
    return next(plain(row) for row in rows if all(row.get(k) == v for k, v in key.items()))


def plain(row):
    row = made.plain(row)
    row.pop("_id", None)
    row.pop("password", None)
    return row


@pytest.mark.parametrize("path, collection, key", [
    ("/platform/user/bob", "users", {"username": "bob"}),
    ("/platform/user/carol", "users", {"username": "carol"}),
    ("/platform/role/developer", "roles", {"role_name": "developer"}),
    ("/platform/role/nobody", "roles", {"role_name": "nobody"}),
    ("/platform/group/staff", "groups", {"group_name": "staff"}),
    ("/platform/api/weather/v1", "apis", {"api_name": "weather"}),
    ("/platform/endpoint/GET/orders/v1/items/{id}", "endpoints", {"endpoint_uri": "/items/{id}"}),
    ("/platform/routing/blue-key", "routings", {"client_key": "blue-key"}),
])
def test_records_are_told_as_they_were_stored(old, path, collection, key):
    told = expect(old.admin.get(path))
    wanted = stored(collection, **key)
    wanted.pop("api_servers", None)  # given a live one by the fixture
    assert {name: told.get(name) for name in wanted} == wanted


def test_members_of_records_that_nobody_knows_are_kept_by_updates(old):
    expect(old.admin.put("/platform/user/alice", json={"ui_access": False}))
    user = expect(old.admin.get("/platform/user/alice"))
    assert (user["legacy_note"], user["ui_access"]) == ("kept", False)
    assert user["last_seen"].startswith("2024-12-31T23:59:58")
    assert expect(old.admin.get("/platform/api/orders/v1"))["legacy_field"] == {
        "nested": [1, "two"]}


def test_the_admin_role_gets_permissions_that_came_later(old):
    role = expect(old.admin.get("/platform/role/admin"))
    assert role["manage_tiers"] and role["manage_rate_limits"]


def test_subscriptions_and_what_they_open(old):
    told = expect(old.admin.get("/platform/subscription/subscriptions/alice"))
    assert told["apis"] == ["orders/v1", "paid/v1", "clear/v1"]
    alice = old.login("alice")
    assert old.call("/orders/v1/hello", alice).status_code == 200
    assert old.upstream.next_request().target == "/hello"
    assert old.call("/orders/v1/items/7", alice).status_code == 200
    assert old.upstream.next_request().target == "/items/7"
    # Its endpoint had no api_id: bound by the name of its API.
    assert old.call("/orders/v1/unbound", alice).status_code == 200
    old.upstream.forget()


def test_refusals(old):
    assert old.call("/orders/v1/hello").status_code == 401
    assert old.call("/orders/v1/hello", old.login("carol")).status_code == 403
    missing = old.call("/orders/v1/nothing", old.login("alice"))
    assert (missing.status_code, missing.json()["error_code"]) == (404, "GTW003")
    assert old.call("/unknown/v1/x").json()["error_code"] == "GTW001"


def test_a_public_api_asks_nobody(old):
    assert old.call("/weather/v1/today").status_code == 200


def test_address_lists_without_the_entries_that_were_no_addresses(old):
    """A client behind a proxy: the loopback bypass holds for nobody who names another."""
    refused = old.call("/walled/v1/in", **{"X-Forwarded-For": "198.51.100.1"})
    assert (refused.status_code, refused.json()["error_code"]) == (403, "API010")
    api = expect(old.admin.get("/platform/api/walled/v1"))
    assert [entry.strip() for entry in api["api_ip_whitelist"]] == ["10.0.0.0/8"]
    assert api["api_ip_blacklist"] == []
    settings = expect(old.admin.get("/platform/security/settings"))
    assert settings["ip_blacklist"] == ["203.0.113.7"]
    log = old.program.log()
    assert "documents.carried_over" in log and "everybody else" in log and "office" in log


def test_credits_go_on_where_they_stood(old):
    alice = old.login("alice")
    assert expect(alice.get("/platform/credit/alice"))["users_credits"]["plain"][
        "user_api_key"] == "key-of-alice"
    old.upstream.forget()
    assert [old.call("/paid/v1/ask", alice).status_code for _ in range(3)] == [200, 200, 401]
    assert old.upstream.next_request().header("x-models-key") == "python-api-key"
    # The user's own key, not the group's.
    assert old.call("/clear/v1/ask", alice).status_code == 200
    old.upstream.next_request()
    assert old.upstream.next_request().header("x-plain-key") == "key-of-alice"
    left = expect(alice.get("/platform/credit/alice"))["users_credits"]
    assert (left["models"]["available_credits"], left["plain"]["available_credits"]) == (0, 4)


def test_tokens_of_the_python_doorman_go_on(old):
    good = python_doorman.token("alice", "22222222-2222-4333-8444-555555555555")
    assert old.call("/orders/v1/hello", token=good).status_code == 200
    for bad in (python_doorman.token("alice", made.REVOKED_JTI),
                python_doorman.token("alice", "33333333-2222-4333-8444-555555555555", exp=1),
                python_doorman.token("bob", "44444444-2222-4333-8444-555555555555"),
                python_doorman.token("dave", "55555555-2222-4333-8444-555555555555")):
        assert old.call("/orders/v1/hello", token=bad).status_code == 401


def test_revoke_all_holds_until_it_is_taken_back_and_then_the_limit_does(old):
    assert old.call("/orders/v1/hello", old.login("bob")).status_code == 401
    expect(old.admin.post("/platform/authorization/admin/unrevoke/bob"))
    bob = old.login("bob")
    assert [old.call("/orders/v1/hello", bob).status_code for _ in range(3)] == [200, 200, 429]
