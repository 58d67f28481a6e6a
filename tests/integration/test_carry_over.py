"""What a Python Doorman left behind is read: documents, Redis keys, memory dumps of both forms.

Every test of the first part runs on all three; docs/migrate.md says the same in words.
"""

import datetime
import json
import subprocess
import time

import pytest

from harness import platform, python_doorman
from harness.platform import expect
from harness.process import program, wait_until
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


# --- Redis ---


@pytest.fixture
def on_stores(tmp_path, upstream):
    """on_stores(keys) starts two programs; `keys` are set in Redis before."""
    started = []

    def start(*keys, **settings):
        split = python_doorman.on_stores(tmp_path / "old", **settings)
        started.append(split)
        for name, value in keys:
            split.redis.command("SET", name, value, "EX", 2 * DAY)
        return Started(split, upstream)

    yield start
    for split in started:
        split.stop()


def windows(split_seconds, name):
    """Of this window and the next: a test may begin at the end of one."""
    now = int(time.time())
    return [name(now // split_seconds + n) for n in (0, 1)]


def test_counters_of_the_python_doorman_go_on(on_stores):
    calls = windows(3600, lambda n: (f"rate_limit:bob:{n}", 1))
    sent = windows(DAY, lambda n: (f"bandwidth_usage:erin:{DAY}:{n * DAY}", 1000))
    old = on_stores(*calls, *sent)
    expect(old.admin.post("/platform/authorization/admin/unrevoke/bob"))
    bob = old.login("bob")
    assert [old.call("/orders/v1/hello", bob).status_code for _ in range(2)] == [200, 429]
    used_up = old.call("/orders/v1/hello", old.login("erin"))
    assert (used_up.status_code, used_up.headers["X-Doorman-Reason"].split(";")[0]) == (
        429, "bandwidth")
    assert expect(old.admin.get("/platform/user/erin"))["bandwidth_usage_bytes"] == 1000


def revocations(split):
    with split.mongo.database(split.database) as database:
        return {row["id"]: row["expires"] for row in database.revocations.find()}


def test_revocations_found_in_redis_become_durable(on_stores):
    old = on_stores()
    split = old.program
    one = f"alice:{made.REVOKED_JTI}"
    durable = revocations(split)
    assert set(durable) == {"bob:", one}
    assert durable["bob:"] == 0
    assert time.time() < durable[one] <= time.time() + 3600 + 5
    # Redis forgets: the admin tells it again.
    split.redis.command("FLUSHALL")
    wait_until(lambda: split.redis.command("EXISTS", "jwt:revoke_all:bob",
                                           f"jwt:revoked:{one}") == 2, DEADLINE, "the revocations")
    bob, alice = (python_doorman.token("bob", "66666666-2222-4333-8444-555555555555"),
                  python_doorman.token("alice", made.REVOKED_JTI))
    wait_until(lambda: old.call("/orders/v1/hello", old.login("alice")).status_code == 200,
               DEADLINE, "policy")
    assert old.call("/orders/v1/hello", token=bob).status_code == 401
    # Redis is gone: the sidecar's own mirror decides.
    split.redis.kill()
    assert old.call("/orders/v1/hello", token=bob).status_code == 401
    assert old.call("/orders/v1/hello", token=alice).status_code == 401
    split.redis.start()


def test_a_revocation_taken_back_stays_so_after_a_restart(on_stores):
    old = on_stores()
    expect(old.admin.post("/platform/authorization/admin/unrevoke/bob"))
    assert "bob:" not in revocations(old.program)
    old.program.admin_program.stop()
    old.program.admin_program.start()
    assert "bob:" not in revocations(old.program)
    assert old.call("/orders/v1/hello", old.login("bob")).status_code == 200


def test_rules_that_are_not_enforced_are_told(old):
    told = [line for line in old.program.log().splitlines() if "documents.not_enforced" in line]
    assert len(told) == 1 and "endpoint_validations" in told[0] and "count=1" in told[0]


# --- what is left alone ---

UNSERVED = ("vault_entries", "tiers", "endpoint_validations", "crud_data_orders", "groups")


def test_documents_that_need_nothing_are_not_written(on_stores):
    old = on_stores()
    was = python_doorman.documents()
    with old.program.mongo.database(old.program.database) as database:
        for collection in UNSERVED:
            now = {row["_id"]: row for row in database[collection].find()}
            for row in was[collection]:
                assert now[row["_id"]] == row, collection
        alice = database.users.find_one({"username": "alice"})
        before = next(row for row in was["users"] if row["username"] == "alice")
        assert alice == before  # the hash too, until its first login
        old.login("alice")
        alice = database.users.find_one({"username": "alice"})
        assert alice["_id"] == before["_id"] and alice["password"].startswith("$argon2id$")
        assert database.endpoint_validations.find_one({"endpoint_id": made.HELLO})[
            "validation_schema"] == {
            "name": {"required": True, "type": "string"}}


ODD = {
    "users": [{"email": "nobody@python.example"}, {"username": None, "email": None},
              {"username": "odd", "email": "odd@python.example", "groups": "ALL", "active": "yes",
               "rate_limit_duration": "many", "password": 7}],
    "roles": [{"role_description": "no name"}, {"role_name": ["a", "list"]}],
    "groups": [{"group_description": "no name"}],
    "subscriptions": [{"apis": ["orders/v1"]}, {"username": "odd", "apis": "orders/v1"},
                      {"username": "odder", "apis": [None, 7, "orders", "/", "a/b/c"]}],
    "apis": [{"api_name": "bare", "api_version": "v1"}, {"api_version": "v1"},
             {"api_name": "odd", "api_version": "v1", "api_id": "odd", "api_servers": "http://x",
              "api_ip_whitelist": {"not": "a list"}, "active": 1}],
    "endpoints": [{"api_name": "gone", "api_version": "v1", "endpoint_method": "GET",
                   "endpoint_uri": "/x"}, {"endpoint_uri": None},
                  {"api_name": "orders", "api_version": "v1", "endpoint_method": "GET",
                   "endpoint_uri": "/" + 300 * "x/", "endpoint_id": "deep",
                   "api_id": made.API_IDS["orders"]}],
    "routings": [{"routing_name": "no key"}, {"client_key": "odd", "routing_servers": None}],
    "credit_defs": [{"api_key": "no group"}, {"api_credit_group": "odd", "credit_tiers": 7}],
    "user_credits": [{"users_credits": {}}, {"username": "odd", "users_credits": [1]},
                     {"username": "odder", "users_credits": {"models": 7, "": {}}}],
    "revocations": [{"jti": "of nobody"}, {"username": "odd", "jti": 7, "expires": "soon"}],
    "settings": [{"type": "another"}, {"no": "type"}],
}


def with_odd_documents(kind, folder):
    if kind == "mongodb":
        program = python_doorman.on_stores(folder)
        with program.mongo.database(program.database) as database:
            for collection, rows in ODD.items():
                database[collection].insert_many([dict(row) for row in rows])
        return program
    program = python_doorman.on_dump(folder, "dump-dmp1.bin")
    content = json.loads(made.dump())
    for collection, rows in ODD.items():
        content["data"][collection] += rows
    file = folder / "generated" / "memory_dump.bin"
    file.write_bytes(made.dmp1(json.dumps(content).encode()))
    return program


@pytest.mark.parametrize("kind", ["mongodb", "memory"])
def test_odd_documents_end_nothing(tmp_path, upstream, kind):
    """Whatever others stored: it is served, told or passed over, and all the rest goes on."""
    old = Started(with_odd_documents(kind, tmp_path), upstream)
    try:
        assert old.call("/orders/v1/hello", old.login("alice")).status_code == 200
        for path in ("/platform/user/all", "/platform/role/all", "/platform/group/all",
                     "/platform/api/all", "/platform/endpoint/orders/v1", "/platform/routing/all",
                     "/platform/credit/defs", "/platform/credit/all",
                     "/platform/subscription/subscriptions/odd"):
            answer = old.admin.get(path)
            assert answer.status_code == 200, (path, answer.text)
        assert old.call("/odd/v1/x").status_code in (401, 403, 404)
        if kind == "mongodb":  # another document of `settings` does not take their place
            published = old.program.redis.command(
                "GET", "doorman:policy:obj:security_settings:security_settings")
            assert "203.0.113.7" in published
        subscription = {"username": "odd", "api_name": "orders", "api_version": "v1"}
        for method, path, body in (
                ("PUT", "/platform/user/odd", {"role": "developer"}),
                ("POST", "/platform/subscription/subscribe", subscription),
                ("POST", "/platform/subscription/unsubscribe", subscription),
                ("GET", "/platform/credit/odd", None), ("GET", "/platform/credit/odder", None),
                ("PUT", "/platform/credit/odd", {"api_credit_group": "odd", "api_key": "k",
                                                 "api_key_header": "x-k"}),
                ("POST", "/platform/credit/odd", {"username": "odd", "users_credits": {}}),
                ("PUT", "/platform/api/odd/v1", {"active": False}),
                ("PUT", "/platform/routing/odd", {"routing_name": "x"}),
                ("GET", "/platform/user/odd", None), ("DELETE", "/platform/user/odd", None),
                ("DELETE", "/platform/api/odd/v1", None), ("DELETE", "/api/caches", None)):
            answer = old.admin.request(method, path, json=body)
            assert answer.status_code < 500, (method, path, answer.text)
        assert old.call("/orders/v1/hello", old.login("alice")).status_code == 200
    finally:
        old.program.stop()


# --- doorman-admin migrate ---


def migrate(split, *arguments):
    admin = split.admin_program
    return subprocess.run([str(program("doorman-admin")), "migrate", *arguments],
                          cwd=admin.folder, env=admin.environment(), capture_output=True,
                          text=True, timeout=60, stdin=subprocess.DEVNULL)


@pytest.fixture
def filled(tmp_path):
    """Old data, nothing started on it."""
    split = python_doorman.on_stores(tmp_path / "old")
    yield split
    split.redis.kill()


def everything(split):
    with split.mongo.database(split.database) as database:
        return {name: [sorted(database[name].index_information()),
                       sorted(database[name].find(), key=lambda row: str(row["_id"]))]
                for name in sorted(database.list_collection_names())}


def test_migrate_twice_changes_nothing_the_second_time(filled):
    done = migrate(filled)
    assert done.returncode == 0, done.stderr
    # Two entries in settings, two lists of one API, one endpoint without api_id.
    assert done.stdout.startswith("schema is at version 1: 1 steps, ")
    assert done.stdout.endswith(" 4 documents changed\n"), done.stdout
    after = everything(filled)
    again = migrate(filled)
    assert (again.returncode, again.stdout) == (0, "nothing to do: schema is at version 1\n")
    assert everything(filled) == after
    told = migrate(filled, "--status").stdout.splitlines()
    assert told[0] == "schema is at version 1, this program's is 1"
    assert {line.split()[1] for line in told[1:]} == {"indexes", "expiry", "documents"}
    assert everything(filled) == after


def test_status_changes_nothing(filled):
    before = everything(filled)
    told = migrate(filled, "--status")
    assert (told.returncode, told.stdout) == (
        0, "schema is at version 0, this program's is 1\n")
    assert everything(filled) == before


def test_migrate_waits_for_nobody_who_holds_the_lease(filled):
    with filled.mongo.database(filled.database) as database:
        database.doorman_meta.insert_one({
            "_id": "migration_lease", "owner": "another",
            "until": datetime.datetime.now() + datetime.timedelta(days=1)})
        held = migrate(filled)
        assert held.returncode == 75 and "another admin is migrating" in held.stderr
        assert database.users.index_information().keys() == {"_id_", "username_1", "email_1"}
        database.doorman_meta.update_one({"_id": "migration_lease"}, {
            "$set": {"until": datetime.datetime(2020, 1, 1)}})
    assert migrate(filled).returncode == 0


def carried(split):
    """What a migration is about, without what differs from run to run."""
    with split.mongo.database(split.database) as database:
        return {name: sorted(
            ({k: v for k, v in row.items() if k != "_dm_version"} for row in database[name].find()),
            key=lambda row: str(row["_id"])) for name in ("settings", "apis", "endpoints")}


def test_migrate_killed_after_any_write_is_finished_by_the_next(filled, tmp_path):
    assert migrate(filled).returncode == 0
    wanted = carried(filled)
    broken = python_doorman.on_stores(tmp_path / "broken")
    try:
        with broken.mongo.database(broken.database) as database:
            ends = []
            while not ends or ends[-1] == 137:
                assert len(ends) < 10
                broken.admin_program.settings["DOORMAN_FAULT"] = "store_write_exit:1"
                ends.append(migrate(broken).returncode)
                # The dead one's lease would end by itself, after 20 s.
                database.doorman_meta.delete_one({"_id": "migration_lease"})
            # Settings, two lists of an API, an endpoint: each write is the last of one run.
            assert ends == [137] * 4 + [0]
        assert carried(broken) == wanted
    finally:
        broken.redis.kill()


def test_migrate_refuses_a_newer_schema_and_leaves_it(filled):
    assert migrate(filled).returncode == 0
    with filled.mongo.database(filled.database) as database:
        database.doorman_meta.update_one({"_id": "schema"}, {"$set": {"version": 1000}})
    before = everything(filled)
    for arguments in ((), ("--status",)):
        refused = migrate(filled, *arguments)
        assert refused.returncode == 78 and "schema version 1000" in refused.stderr
    assert everything(filled) == before


def test_migrate_names_documents_that_violate_a_key(filled):
    with filled.mongo.database(filled.database) as database:
        row = database.apis.find_one({"api_name": "orders"})
        database.apis.insert_one({**row, "_id": "again", "api_id": "another"})
    refused = migrate(filled)
    assert refused.returncode == 78
    assert "api_name_1_api_version_1" in refused.stderr and '"apis"' in refused.stderr


# --- dumps ---

DAMAGES = {
    "truncated": lambda b: b[:-20],
    "cut to its head": lambda b: b[:30],
    "one byte changed": lambda b: b[:200] + bytes([b[200] ^ 1]) + b[201:],
    "its last byte changed": lambda b: b[:-1] + bytes([b[-1] ^ 1]),
    "another form": lambda b: b"XXXX" + b[4:],
    "empty": lambda b: b"",
    "another key": None,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["dmp1", "fernet"])
def test_a_spoilt_dump_stops_the_start_with_a_sentence(tmp_path, kind, damage):
    key = {} if DAMAGES[damage] else {"MEM_ENCRYPTION_KEY": "another-key-" + "x" * 30}
    one = python_doorman.on_dump(tmp_path, f"dump-{kind}.bin", **key)
    file = tmp_path / "generated" / "memory_dump.bin"
    if DAMAGES[damage]:
        file.write_bytes(DAMAGES[damage](file.read_bytes()))
    spoilt = file.read_bytes()
    one.spawn()
    assert one.wait() == 78
    assert "could not restore dump" in one.log() and "memory_dump.bin" in one.log()
    assert file.read_bytes() == spoilt
    assert [f.name for f in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("kind", ["dmp1", "fernet"])
def test_a_dump_is_carried_over_once_and_its_successor_is_ours(tmp_path, kind):
    one = python_doorman.on_dump(tmp_path, f"dump-{kind}.bin").start()
    assert "Memory mode: restored from dump" in one.log()
    platform.login(one.url, "alice@python.example", made.PASSWORDS["alice"])
    folder = tmp_path / "generated"
    assert [f.name for f in folder.iterdir()] == ["memory_dump-20250101T000000Z.bin"]
    one.stop()
    names = sorted(f.name for f in folder.iterdir())
    assert len(names) == 2 and names[0] == "memory_dump-20250101T000000Z.bin"
    assert (folder / names[1]).read_bytes().startswith(b"gAAAA")
    assert (folder / names[0]).read_bytes() == (
        python_doorman.FOLDER / f"dump-{kind}.bin").read_bytes()
    one.start()
    try:
        assert names[1] in one.log().split("Graceful shutdown complete")[1]
        session = platform.login(one.url)
        assert expect(session.get("/platform/api/orders/v1"))["legacy_field"]
        # Bob's revocation came along, in our form.
        token = python_doorman.token("bob", "77777777-2222-4333-8444-555555555555")
        answer = platform.Session(one.url).get("/api/rest/orders/v1/hello",
                                               headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401
    finally:
        one.stop()
