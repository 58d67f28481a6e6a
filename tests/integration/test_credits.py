"""Credits: /platform/credit (platform-apis.md §11) and what they do to calls (gateway.md §11)."""

import collections
import concurrent.futures
import json
import re
import threading

import pytest

from harness import platform
from harness.platform import expect
from harness.process import wait_until

KEY = "A-Key-For-Tests-Of-32-Characters!!"
TIER = {"tier_name": "default", "credits": 10, "input_limit": 0, "output_limit": 0,
        "reset_frequency": "monthly"}


def define(admin, group=None, **fields):
    group = group or platform.unique("g")
    body = {"api_credit_group": group, "api_key": "group-key", "api_key_header": "X-Partner-Key",
            "credit_tiers": [TIER], **fields}
    assert expect(admin.post("/platform/credit", json=body), 201) == {
        "message": "Credit definition created successfully"}
    return group


def give(admin, username, entries):
    """entries: {group: number, or the entry itself}"""
    full = {g: e if isinstance(e, dict) else {"tier_name": "default", "available_credits": e}
            for g, e in entries.items()}
    body = {"username": username, "users_credits": full}
    assert expect(admin.post(f"/platform/credit/{username}", json=body), 200) == {
        "message": "Credits saved successfully"}


def left(session, username, group):
    entries = expect(session.get(f"/platform/credit/{username}"), 200)["users_credits"]
    return entries[group]["available_credits"]


class Paid:
    """An API that takes credits of a group, one endpoint each way, and a user with some."""

    def __init__(self, admin, user, servers, credits=10, group=None, **fields):
        self.admin, self.user = admin, user
        self.group = group or define(admin)
        self.api = platform.make_api(admin, servers, api_credits_enabled=True,
                                     api_credit_group=self.group, **fields)
        for method in ("GET", "POST"):
            platform.make_endpoint(admin, self.api, "/hello", method=method)
        platform.subscribe(admin, user, self.api)
        if credits is not None:
            give(admin, user.username, {self.group: credits})
        self.path = platform.rest_path(self.api, "/hello")

    def call(self, **options):
        return self.user.get(self.path, **options)

    def left(self):
        return left(self.admin, self.user.username, self.group)


@pytest.fixture
def paid(admin, user, upstream):
    return Paid(admin, user, upstream.url)


def told(answer):
    return answer.status_code, answer.json().get("error_code"), answer.json().get("error_message")


NONE_LEFT = (401, "GTW008", "User does not have any credits")

# --- definitions ---


def test_a_definition_is_read_back_without_its_keys(admin):
    group = define(admin, api_key_new="next", api_key_rotation_expires="2100-01-01T00:00:00Z")
    shown = {"api_credit_group": group, "api_key_header": "X-Partner-Key",
             "api_key_present": True, "credit_tiers": [TIER]}
    assert expect(admin.get(f"/platform/credit/defs/{group}")) == shown
    page = expect(admin.get("/platform/credit/defs?page_size=100"))
    assert shown in page["items"] and page["page"] == 1 and page["total"] >= 1
    assert [d["api_credit_group"] for d in page["items"]] == sorted(
        d["api_credit_group"] for d in page["items"])
    assert expect(admin.get("/platform/credit/defs"))["page_size"] == 50
    assert told(admin.get("/platform/credit/defs?page=0")) == (
        400, "PAG001", "Invalid page or page size")


def test_definition_refusals(admin):
    group = define(admin)
    body = {"api_credit_group": group, "api_key": "k", "api_key_header": "h",
            "credit_tiers": [TIER]}

    def post(**fields):
        return told(admin.post("/platform/credit", json={**body, **fields}))[:2]

    assert told(admin.post("/platform/credit", json=body)) == (
        400, "CRD001", "Credit group already exists")
    assert told(admin.post("/platform/credit", json={**body, "api_key": ""})) == (
        400, "CRD010", "API key and header are required")
    assert post(api_key_header="") == (400, "CRD010")
    for wrong in ({"api_credit_group": ""}, {"api_credit_group": "x" * 51},
                  {"api_credit_group": "a/b"}, {"api_credit_group": "a:b"}, {"api_key": None},
                  {"api_key_header": None}, {"credit_tiers": []}, {"credit_tiers": None},
                  {"credit_tiers": [{**TIER, "tier_name": ""}]}, {"credit_tiers": ["x"]},
                  {"credit_tiers": [{**TIER, "credits": "many"}]},
                  {"credit_tiers": [{"tier_name": "x"}]},
                  {"api_key_rotation_expires": "soon"}, {"api_key_rotation_expires": []},
                  {"api_key": "a\r\nX-Evil: 1"}, {"api_key_new": "a\nb"},
                  {"api_key_header": "Content-Length"}, {"api_key_header": "a b"},
                  {"api_key_header": "X-Forwarded-For"}, {"api_key_header": "X: y"}):
        assert post(**wrong) == (422, "VAL001"), wrong
    put = f"/platform/credit/{group}"
    assert told(admin.put("/platform/credit/none", json=body)) == (
        400, "CRD003", "Credit group name cannot be updated")
    missing = {**body, "api_credit_group": "none"}
    assert told(admin.put("/platform/credit/none", json=missing)) == (
        400, "CRD004", "Credit definition does not exist for the requested group")
    assert told(admin.put(put, json={**body, "api_key": ""}))[:2] == (400, "CRD010")
    assert told(admin.put(put, json={"api_credit_group": group}))[:2] == (422, "VAL001")
    assert told(admin.get("/platform/credit/defs/none")) == (
        404, "CRD021", "Credit definition not found")
    assert told(admin.delete("/platform/credit/none")) == (
        400, "CRD007", "Credit definition does not exist for the requested group")
    assert expect(admin.delete(put)) == {"message": "Credit definition deleted successfully"}
    assert told(admin.delete(put))[:2] == (400, "CRD007")


@pytest.mark.parametrize("moment", ["2030-01-01T00:00:00", "2030-01-01 00:00:00.5+02:00",
                                    "2030-01-01T00:00:00Z", 1893456000, 1893456000000])
def test_the_end_of_a_rotation_comes_in_many_forms(admin, paid, upstream, moment):
    body = {"api_credit_group": paid.group, "api_key_header": "X-Partner-Key",
            "credit_tiers": [TIER], "api_key_new": "next", "api_key_rotation_expires": moment}
    expect(admin.put(f"/platform/credit/{paid.group}", json=body))
    expect(paid.call(), 200)
    assert upstream.requests[-1].headers("x-partner-key") == ["next"]


# --- balances ---


def test_balances_are_saved_whole(admin, user):
    name, old, new = user.username, platform.unique("g"), platform.unique("g")
    assert told(admin.get(f"/platform/credit/{name}")) == (404, "CRD017", "User credits not found")
    give(admin, name, {old: 5})
    give(admin, name, {new: {"tier_name": "gold", "available_credits": "7", "reset_date": "x"}})
    assert expect(admin.get(f"/platform/credit/{name}")) == {
        "username": name,
        "users_credits": {new: {"tier_name": "gold", "available_credits": 7, "reset_date": "x",
                                "user_api_key": None}}}
    body = {"username": "someoneelse", "users_credits": {}}
    assert told(admin.post(f"/platform/credit/{name}", json=body)) == (
        400, "CRD014", "Username in body does not match path")
    for entry in ({"available_credits": 1}, {"tier_name": "x"}, "x", None,
                  {"tier_name": "x", "available_credits": -1},
                  {"tier_name": "x", "available_credits": "many"},
                  {"tier_name": "", "available_credits": 1},
                  {"tier_name": "x", "available_credits": 1, "user_api_key": "a\r\nb"}):
        answer = admin.post(f"/platform/credit/{name}",
                            json={"username": name, "users_credits": {"g": entry}})
        assert told(answer)[:2] == (422, "VAL001"), entry
    for group in ("", "x" * 51, "a:b", "a.b", "a/b"):
        body = {"username": name,
                "users_credits": {group: {"tier_name": "x", "available_credits": 1}}}
        assert told(admin.post(f"/platform/credit/{name}", json=body))[:2] == (422, "VAL001")
    assert told(admin.post(f"/platform/credit/{name}", json={"username": name}))[0] == 422
    assert left(admin, name, new) == 7


def test_a_key_is_shown_to_its_user_alone(admin, user):
    name, group = user.username, define(admin)
    entry = {"tier_name": "default", "available_credits": 1, "user_api_key": "my-own"}
    give(admin, name, {group: entry})

    def key(session, path=f"/platform/credit/{name}"):
        return expect(session.get(path))["users_credits"][group]["user_api_key"]

    assert key(user) == "my-own" and key(admin) == "********"
    found = expect(admin.get(f"/platform/credit/all?search={group}"))["user_credits"]
    assert [d["users_credits"][group]["user_api_key"] for d in found] == ["********"]
    give(admin, name, {group: {**entry, "user_api_key": "********", "available_credits": 3}})
    assert key(user) == "my-own" and left(user, name, group) == 3
    give(admin, name, {group: {**entry, "user_api_key": None}})
    assert key(user) is None
    give(admin, name, {group: {**entry, "user_api_key": "********"}})  # there is none to keep
    assert key(user) is None


def test_only_the_owner_and_managers_read_balances(admin, user):
    other = platform.make_user(admin)
    give(admin, user.username, {"g": 1})
    assert told(other.get(f"/platform/credit/{user.username}")) == (
        403, "CRD003", "Unable to retrieve credits for user")
    expect(user.get(f"/platform/credit/{user.username}"), 200)
    assert told(user.get("/platform/credit/all")) == (
        403, "CRD002", "Unable to retrieve credits for all users")
    assert told(user.get("/platform/credit/defs")) == (403, "CRD002", "Unable to retrieve credits")
    body = {"username": user.username, "users_credits": {}}
    assert told(user.post(f"/platform/credit/{user.username}", json=body)) == (
        403, "CRD001", "You do not have permission to manage credits")


def test_balances_are_searched_and_paged(admin):
    mark = platform.unique("Srch")
    names = sorted(f"{mark.lower()}{c}user" for c in "abc")
    for i, name in enumerate(names):
        give(admin, name, {f"{mark}-{i}": i})

    def search(**parameters):
        return expect(admin.get("/platform/credit/all", params=parameters))

    page = search(search=f"  {mark.upper()} ")
    assert [d["username"] for d in page["user_credits"]] == names
    assert (page["total"], page["has_next"], page["page_size"]) == (3, False, 10)
    assert [d["username"] for d in search(search=f"{mark}-1")["user_credits"]] == [names[1]]
    page = search(search=mark, page_size=2)
    assert [d["username"] for d in page["user_credits"]] == names[:2] and page["has_next"]
    page = search(search=mark, page_size=2, page=2)
    assert [d["username"] for d in page["user_credits"]] == names[2:] and not page["has_next"]
    assert search(search=mark + ".*")["user_credits"] == []  # not an expression
    assert told(admin.get("/platform/credit/all", params={"search": "x" * 300}))[0] == 422
    assert told(admin.get("/platform/credit/all?page_size=0"))[:2] == (400, "PAG001")


def test_a_user_rotates_a_key_of_its_own(admin, user, upstream):
    group, name = define(admin), user.username

    def rotate(body, **options):
        return user.post("/platform/credit/rotate-key", **(options or {"json": body}))

    key = expect(rotate({"api_credit_group": group}), 200)["api_key"]
    assert re.fullmatch("[A-Za-z0-9_-]{43}", key)
    entry = expect(user.get(f"/platform/credit/{name}"))["users_credits"][group]
    assert entry == {"tier_name": "default", "available_credits": 0, "reset_date": None,
                     "user_api_key": key}
    paid = Paid(admin, user, upstream.url, credits=None, group=group)
    assert told(paid.call()) == NONE_LEFT
    give(admin, name, {group: {"tier_name": "gold", "available_credits": 4,
                               "user_api_key": "********"}})
    expect(paid.call(), 200)
    assert upstream.requests[-1].headers("x-partner-key") == [key]
    again = expect(rotate({"api_credit_group": group}), 200)["api_key"]
    assert again != key and left(user, name, group) == 3
    expect(paid.call(), 200)
    assert upstream.requests[-1].headers("x-partner-key") == [again]
    wanted = (400, "CRD020", "api_credit_group is required")
    assert told(rotate({})) == told(rotate({"api_credit_group": ""})) == wanted
    assert told(rotate(None, data=b"{")) == told(rotate(None, data=b"")) == wanted
    assert told(rotate({"api_credit_group": 7})) == told(rotate([])) == wanted
    assert told(rotate({"api_credit_group": "none"})) == (
        404, "CRD021", "Credit definition not found")


def test_deleting_a_user_deletes_its_credits(admin, upstream):
    user = platform.make_user(admin)
    paid = Paid(admin, user, upstream.url)
    expect(paid.call(), 200)
    expect(admin.delete(f"/platform/user/{user.username}"))
    assert admin.get(f"/platform/credit/{user.username}").status_code == 404
    again = platform.make_user(admin, name=user.username)
    platform.subscribe(admin, again, paid.api)
    assert told(again.get(paid.path)) == NONE_LEFT


@pytest.mark.memory
def test_what_changes_credits_is_audited(start_doorman):
    running = start_doorman()
    admin = platform.login(running.url)
    group = define(admin)
    user = platform.make_user(admin)
    body = {"api_credit_group": group, "api_key_header": "X-K", "credit_tiers": [TIER]}
    expect(admin.put(f"/platform/credit/{group}", json=body))
    give(admin, user.username, {group: 1})
    expect(user.post("/platform/credit/rotate-key", json={"api_credit_group": group}))
    user.delete(f"/platform/credit/{group}")
    expect(admin.delete(f"/platform/credit/{group}"))

    def events():
        lines = [line for line in running.log().splitlines() if '"log":"audit"' in line]
        return [e for e in map(json.loads, lines) if "credit" in e["action"]]

    wait_until(lambda: len(events()) == 6, 30, "the audit events")
    events = events()
    assert [(e["action"], e["target"], e["status"]) for e in events] == [
        ("credit_def.create", group, "success"), ("credit_def.update", group, "success"),
        ("user_credits.save", user.username, "success"),
        ("user_credits.rotate_key", user.username, "success"),
        ("credit_def.delete", events[4]["target"], events[4]["status"]),
        ("credit_def.delete", group, "success")]
    assert events[4]["status"] != "success"
    assert events[2]["details"] == {"groups": [group]}
    assert "group-key" not in running.log()


# --- calls ---


def test_a_call_costs_a_credit_and_brings_the_key(paid, upstream, admin, user):
    give(admin, user.username, {paid.group: 2})
    expect(paid.call(headers={"x-partner-key": "mine"}), 200)
    assert upstream.requests[-1].headers("x-partner-key") == ["group-key"]
    assert paid.left() == 1
    expect(paid.call(), 200)
    assert told(paid.call()) == NONE_LEFT
    assert len(upstream.requests) == 2 and paid.left() == 0
    give(admin, user.username, {paid.group: 1})
    expect(paid.call(), 200)


def test_the_golden_exchange(admin, upstream):
    """platform-apis.md §18: an administrator is not exempt."""
    group = define(admin, api_key="k", api_key_header="x-api-key")
    api = platform.make_api(admin, upstream.url, api_credits_enabled=True, api_credit_group=group)
    platform.make_endpoint(admin, api, "/hello")
    give(admin, "admin", {group: 1})
    path = platform.rest_path(api, "/hello")
    expect(admin.get(path), 200)
    assert upstream.requests[-1].headers("x-api-key") == ["k"]
    assert told(admin.get(path)) == NONE_LEFT


@pytest.mark.parametrize("status,costs", [(200, 1), (204, 1), (302, 1), (404, 1), (499, 1),
                                          (500, 0), (503, 0)])
def test_what_is_answered_below_500_is_spent(admin, user, start_upstream, status, costs):
    server = start_upstream(lambda _: (status, [("Location", "/x")], b""))
    paid = Paid(admin, user, server.url)
    assert paid.call(allow_redirects=False).status_code == status
    wait_until(lambda: paid.left() == 10 - costs, 30, "the settled balance")


def test_failed_calls_cost_nothing(admin, user, lying_upstream):
    server = lying_upstream(lambda connection, number: None)  # closes without an answer
    paid = Paid(admin, user, server.url)
    assert told(paid.call())[:2] == (502, "GTW006")
    wait_until(lambda: paid.left() == 10, 30, "the credit")
    paid = Paid(admin, user, "http://127.0.0.1:1")
    assert told(paid.call())[:2] == (502, "GTW006")
    wait_until(lambda: paid.left() == 10, 30, "the credit")


def test_a_timed_out_call_and_an_open_circuit_cost_nothing(admin, user, lying_upstream):
    quiet = threading.Event()
    server = lying_upstream(lambda connection, number: quiet.wait(30))
    paid = Paid(admin, user, server.url, api_read_timeout=0.2)
    for _ in range(5):  # CIRCUIT_BREAKER_THRESHOLD
        assert told(paid.call())[:2] == (504, "GTW010")
    assert told(paid.call())[:2] == (503, "GTW999")
    wait_until(lambda: paid.left() == 10, 30, "the credits")
    quiet.set()


def test_retries_share_one_credit(admin, user, start_upstream):
    answers = iter([503, 503, 200])
    server = start_upstream(lambda _: (next(answers), [], b"{}"))
    paid = Paid(admin, user, server.url, api_allowed_retry_count=3)
    expect(paid.call(), 200)
    assert len(server.requests) == 3 and paid.left() == 9


def test_a_refused_body_costs_nothing(admin, user, upstream, raw):
    paid = Paid(admin, user, upstream.url)
    connection = raw()
    connection.send(f"POST {paid.path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                    f"Authorization: Bearer {user.token}\r\n\r\n")
    big = b"x" * 65536
    try:
        for _ in range(40):
            connection.send(b"10000\r\n" + big + b"\r\n")
    except ConnectionError:
        pass
    wait_until(lambda: paid.left() == 10, 20, "the credit")


def left_calls(doorman):
    return doorman.metrics().get('doorman_http_requests_total{code="499"}', 0)


def test_leaving_an_upstream_at_work_costs_a_credit(doorman, admin, user, lying_upstream, raw):
    arrived, end = threading.Event(), threading.Event()

    def script(connection, number):
        connection.read_until(b"\r\n\r\n")
        arrived.set()
        end.wait(30)

    paid = Paid(admin, user, lying_upstream(script).url)
    connection = raw()
    connection.send(f"GET {paid.path} HTTP/1.1\r\nHost: x\r\n"
                    f"Authorization: Bearer {user.token}\r\n\r\n")
    assert arrived.wait(20)
    assert paid.left() == 9  # reserved
    before = left_calls(doorman)
    connection.close()
    wait_until(lambda: left_calls(doorman) > before, 20, "the end of the call")
    end.set()
    assert paid.left() == 9


def test_leaving_while_an_upstream_fails_costs_nothing(doorman, admin, user, lying_upstream, raw):
    end = threading.Event()

    def script(connection, number):
        connection.read_until(b"\r\n\r\n")
        connection.send("HTTP/1.1 500 No\r\nContent-Length: 10\r\n\r\nfive!")
        end.wait(30)

    paid = Paid(admin, user, lying_upstream(script).url)
    connection = raw()
    connection.send(f"GET {paid.path} HTTP/1.1\r\nHost: x\r\n"
                    f"Authorization: Bearer {user.token}\r\n\r\n")
    assert connection.read_until(b"five!").endswith(b"five!")
    connection.close()
    wait_until(lambda: paid.left() == 10, 20, "the credit")
    end.set()


def test_leaving_before_anything_was_sent_costs_nothing(start_doorman, lying_upstream, raw):
    """One connection to upstreams, taken: the second call waits for it and its client leaves."""
    running = start_doorman(HTTP_MAX_CONNECTIONS="1", HTTP_MAX_KEEPALIVE="1")
    admin = platform.login(running.url)
    user = platform.make_user(admin)
    arrived, end = threading.Event(), threading.Event()

    def script(connection, number):
        connection.read_until(b"\r\n\r\n")
        arrived.set()
        end.wait(30)

    paid = Paid(admin, user, lying_upstream(script).url)
    request = (f"GET {paid.path} HTTP/1.1\r\nHost: x\r\n"
               f"Authorization: Bearer {user.token}\r\n\r\n")
    first, second = raw(running), raw(running)
    first.send(request)
    assert arrived.wait(20)
    second.send(request)
    wait_until(lambda: paid.left() == 8, 20, "both reservations")
    second.close()
    wait_until(lambda: paid.left() == 9, 20, "the second credit")
    first.close()
    end.set()


def test_who_pays(admin, user, upstream):
    paid = Paid(admin, user, upstream.url, api_auth_required=False)
    anonymous = platform.Session(admin.url)
    assert told(anonymous.get(paid.path)) == NONE_LEFT
    expect(paid.call(), 200)
    assert paid.left() == 9 and len(upstream.requests) == 1
    free = platform.make_api(admin, upstream.url, api_public=True, api_credit_group=paid.group)
    platform.make_endpoint(admin, free, "/hello")
    expect(anonymous.get(platform.rest_path(free, "/hello")), 200)
    assert upstream.requests[-1].headers("x-partner-key") == []


def test_no_group_no_record_no_call(admin, user, upstream):
    paid = Paid(admin, user, upstream.url, credits=None)
    assert told(paid.call()) == NONE_LEFT
    give(admin, user.username, {"another": 5})
    assert told(paid.call()) == NONE_LEFT
    api = platform.make_api(admin, upstream.url, api_credits_enabled=True)
    platform.make_endpoint(admin, api, "/hello")
    platform.subscribe(admin, user, api)
    assert told(user.get(platform.rest_path(api, "/hello"))) == NONE_LEFT
    assert upstream.requests == []


def test_without_a_definition_the_call_counts_and_is_told(doorman, admin, user, upstream):
    paid = Paid(admin, user, upstream.url)
    expect(admin.delete(f"/platform/credit/{paid.group}"))
    before = doorman.metrics()["doorman_credit_definition_missing_total"]
    expect(paid.call(), 200)
    assert upstream.requests[-1].headers("x-partner-key") == []
    assert doorman.metrics()["doorman_credit_definition_missing_total"] == before + 1
    assert paid.left() == 9
    wait_until(lambda: "credits.no_definition" in doorman.log(), 30, "the warning")


def test_spent_credits_are_a_metric(doorman, paid):
    expect(paid.call(), 200)
    expect(paid.call(), 200)
    assert doorman.metrics()[
        f'doorman_credits_used_total{{api_credit_group="{paid.group}"}}'] == 2


def test_the_users_key_the_new_key_and_none(admin, user, paid, upstream):
    seen = lambda: (expect(paid.call(), 200), upstream.requests[-1].headers("x-partner-key"))[1]
    put = lambda **fields: expect(admin.put(f"/platform/credit/{paid.group}", json={
        "api_credit_group": paid.group, "api_key_header": "X-Partner-Key",
        "credit_tiers": [TIER], **fields}))
    assert seen() == ["group-key"]
    put(api_key_new="next")  # no rotation without its end
    assert seen() == ["group-key"]
    put(api_key_rotation_expires="2100-01-01T00:00:00Z")
    assert seen() == ["next"]
    put(api_key_rotation_expires="2001-01-01T00:00:00Z")
    assert seen() == ["next"]
    put(api_key_new=None, api_key_rotation_expires=None)
    assert seen() == ["group-key"]
    put(api_key="changed")
    assert seen() == ["changed"]
    give(admin, user.username, {paid.group: {"tier_name": "x", "available_credits": 3,
                                             "user_api_key": "own"}})
    assert seen() == ["own"]
    put(api_key_header="Authorization")
    expect(paid.call(), 200)
    assert upstream.requests[-1].headers("authorization") == ["own"]


@pytest.mark.memory
def test_a_key_that_cannot_be_opened_stops_the_call(start_doorman, tmp_path, upstream):
    """Sealed under a key that is gone: 502, nothing leaves, nothing is taken."""
    settings = {"folder": tmp_path / "a", "MEM_ENCRYPTION_KEY": "The-Dumps-Own-Key-Of-Tests-123456"}
    running = start_doorman(TOKEN_ENCRYPTION_KEY=KEY, **settings)
    admin = platform.login(running.url)
    user = platform.make_user(admin)
    paid = Paid(admin, user, upstream.url)
    give(admin, user.username, {paid.group: {"tier_name": "x", "available_credits": 3,
                                             "user_api_key": "my-very-own"}})
    running.stop()
    again = start_doorman(TOKEN_ENCRYPTION_KEY="Another-Key-For-Tests-Of-32-Chars", **settings)
    admin = platform.login(again.url)
    answer = platform.Session(again.url).get(
        paid.path, headers={"Authorization": "Bearer " + user.token})
    assert told(answer) == (502, "GTW006", "Upstream credential unavailable")
    assert upstream.requests == [] and left(admin, user.username, paid.group) == 3
    wait_until(lambda: "credits.no_key" in again.log(), 30, "the error")
    assert "whose=user" in again.log() and "my-very-own" not in again.log()
    again.stop()
    both = start_doorman(TOKEN_ENCRYPTION_KEY=f"Another-Key-For-Tests-Of-32-Chars,{KEY}",
                         **settings)
    answer = platform.Session(both.url).get(
        paid.path, headers={"Authorization": "Bearer " + user.token})
    expect(answer, 200)
    assert upstream.requests[-1].headers("x-partner-key") == ["my-very-own"]


@pytest.mark.memory
def test_spent_credits_stay_spent_over_a_restart(start_doorman, tmp_path, upstream):
    settings = {"folder": tmp_path / "a", "MEM_ENCRYPTION_KEY": KEY}
    running = start_doorman(**settings)
    admin = platform.login(running.url)
    user = platform.make_user(admin)
    paid = Paid(admin, user, upstream.url, credits=5)
    for _ in range(3):
        expect(paid.call(), 200)
    running.stop()  # nobody looked at the balance meanwhile
    again = start_doorman(**settings)
    admin = platform.login(again.url)
    assert left(admin, user.username, paid.group) == 2


def test_a_thousand_calls_on_a_hundred_credits(admin, user, start_upstream):
    server = start_upstream(lambda _: (200, [], b"{}"))
    paid = Paid(admin, user, server.url, credits=100)
    local = threading.local()

    def call(_):
        if not hasattr(local, "session"):
            local.session = platform.Session(admin.url)
        answer = local.session.get(paid.path, headers={"Authorization": "Bearer " + user.token})
        return answer.status_code, answer.headers.get("X-Doorman-Reason")

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(call, range(1000)))
    assert collections.Counter(answers) == {(200, None): 100, (401, "credits"): 900}
    assert len(server.requests) == 100 and paid.left() == 0


def test_clearing_caches_keeps_balances(admin, paid):
    expect(paid.call(), 200)
    expect(admin.delete("/api/caches"), 200)
    assert paid.left() == 9
    expect(paid.call(), 200)
    assert paid.left() == 8


def test_keys_lie_sealed_in_what_is_stored(admin, doorman, paid):
    """Nothing that the program writes about itself holds a key."""
    expect(paid.call(), 200)
    assert "group-key" not in doorman.log()
