"""What only MongoDB itself has: TTL, partial indexes, accounts, replica sets with fail-over.

Listed in docs/data-model.md, "Unproven without mongod"; left out where mongod is not on PATH.
"""

import datetime
import threading
import time

import pymongo
import pytest

from harness import platform
from harness.mongo import MongoServer, ReplicaSet
from harness.platform import expect
from harness.process import Doorman, wait_until
from harness.redis import RedisServer
from harness.served import run_served

pytestmark = [pytest.mark.mongod, pytest.mark.timeout(300)]

DATABASE = "doorman_mongod"
# An election, and the driver's own wait for its result.
DEADLINE = 60.0
# mongod looks every minute; told to look every second it needs a moment all the same.
TTL_DEADLINE = 90.0


@pytest.fixture
def start_server(tmp_path):
    started = []

    def start(kind, *options):
        server = kind(tmp_path / f"mongo{len(started)}", *options)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def start_admin(tmp_path):
    redis = RedisServer(tmp_path / "redis").start()
    started = []

    def start(ready=True, **settings):
        admin = Doorman(tmp_path / f"admin{len(started)}", {
            "MEM_OR_EXTERNAL": "REDIS", "REDIS_URL": redis.url, "THREADS": "1",
            "MONGO_DB_NAME": DATABASE, **settings}, name="doorman-admin")
        started.append(admin)
        return admin.start() if ready else admin.spawn()

    yield start
    for admin in started:
        if admin.running():
            admin.stop()
    redis.stop()


# --- one server ---


def test_ttl_index_removes_what_expired(start_server, start_admin):
    server = start_server(MongoServer, "--setParameter", "ttlMonitorSleepSecs=1")
    start_admin(MONGO_DB_URI=server.uri)
    past = datetime.datetime(2020, 1, 1)
    # By its field it has not expired, so the sweeper leaves it alone.
    row = {"id": "ann:t", "username": "ann", "jti": "t", "expires": int(time.time()) + 3600,
           "_dm_expires": past}
    with server.database(DATABASE) as database:
        indexes = database.revocations.index_information()
        assert indexes["_dm_expires_1"]["expireAfterSeconds"] == 0
        database.revocations.insert_one(row)
        wait_until(lambda: database.revocations.count_documents({"id": "ann:t"}) == 0,
                   TTL_DEADLINE, "the TTL monitor")


def test_unique_indexes_are_partial(start_server, start_admin):
    server = start_server(MongoServer)
    start_admin(MONGO_DB_URI=server.uri)
    with server.database(DATABASE) as database:
        index = database.users.index_information()["email_1"]
        assert index["unique"] and index["partialFilterExpression"] == {"email": {"$gte": ""}}
        database.users.insert_many([{"username": "one"}, {"username": "two", "email": None}])
        with pytest.raises(pymongo.errors.DuplicateKeyError):
            database.users.insert_many([{"username": "three", "email": "a@b.example"},
                                        {"username": "four", "email": "a@b.example"}])


def test_account_of_the_database_is_asked_for(start_server, start_admin):
    server = start_server(MongoServer, "--auth")
    secret = "Mongo-Passw0rd-Of-Tests"
    with server.direct() as client:  # the first account may be made without one
        client.admin.command("createUser", "keeper", pwd=secret, roles=["root"])
    account = {"MONGO_DB_HOSTS": f"127.0.0.1:{server.port}", "MONGO_DB_USER": "keeper"}
    admin = start_admin(MONGO_DB_PASSWORD=secret, **account)
    expect(platform.login(admin.url).get("/platform/user/all"))
    refused = start_admin(ready=False, MONGO_DB_PASSWORD="another" + secret,
                          STARTUP_TIMEOUT_SECONDS="5", **account)
    assert refused.wait(DEADLINE) == 69
    assert secret not in admin.log() + refused.log()


# --- a replica set ---


@pytest.mark.parametrize("name", ["contract", "foreign", "migrate", "writers"])
def test_documents_on_a_replica_set(start_server, name):
    members = start_server(ReplicaSet)
    run_served("store_mongo", f"documents_{name}_test", {"DOORMAN_TEST_MONGO_URI": members.uri})


class Writer(threading.Thread):
    """Creates one role after the other; what each was answered, in order."""

    def __init__(self, session):
        super().__init__()
        self.session = session
        self.answers = []
        self.done = threading.Event()
        self.start()

    def run(self):
        while not self.done.is_set():
            name = platform.unique("role")
            body = {"role_name": name, "role_description": "x"}
            answer = self.session.post("/platform/role", json=body)
            self.answers.append((name, answer.status_code, answer.text))

    def stop(self):
        self.done.set()
        self.join()

    def created_after(self, n):
        return any(status == 201 for _, status, _ in self.answers[n:])


def fail_over(members, admin, disturb):
    """Nothing that was answered 201 is lost, nothing is answered with another code than 503."""
    writer = Writer(platform.login(admin.url))
    try:
        wait_until(lambda: writer.created_after(0), DEADLINE, "a first write")
        first = members.primary()
        disturb(first)
        wait_until(lambda: members.primary() not in (None, first), DEADLINE, "another primary")
        seen = len(writer.answers)
        wait_until(lambda: writer.created_after(seen), DEADLINE, "a write to the new primary")
    finally:
        writer.stop()
    for name, status, text in writer.answers:
        assert status == 201 or (status == 503 and "STORE002" in text), (name, status, text)
    with members.database(DATABASE) as database:
        stored = {row["role_name"] for row in database.roles.find()}
    assert {name for name, status, _ in writer.answers if status == 201} <= stored


def test_step_down_is_503_at_most_and_loses_nothing(start_server, start_admin):
    members = start_server(ReplicaSet)
    admin = start_admin(MONGO_DB_URI=members.uri)
    fail_over(members, admin, lambda primary: members.step_down())


def test_killed_primary_is_503_at_most_and_loses_nothing(start_server, start_admin):
    members = start_server(ReplicaSet)
    admin = start_admin(MONGO_DB_HOSTS=members.hosts, MONGO_REPLICA_SET_NAME=members.NAME)
    fail_over(members, admin, lambda primary: primary.kill())


def test_one_member_of_a_set_finds_the_others(start_server, start_admin):
    """The name of the set and one host: the primary is found, and found again."""
    members = start_server(ReplicaSet)
    other = next(m for m in members.members if m is not members.primary())
    admin = start_admin(MONGO_DB_HOSTS=f"127.0.0.1:{other.port}",
                        MONGO_REPLICA_SET_NAME=members.NAME)
    fail_over(members, admin, lambda primary: members.step_down())


def test_set_without_a_majority_is_503(start_server, start_admin):
    members = start_server(ReplicaSet)
    admin = start_admin(MONGO_DB_URI=members.uri)
    session = platform.login(admin.url)
    for member in [m for m in members.members if m is not members.primary()]:
        member.kill()
    wait_until(lambda: members.primary() is None, DEADLINE, "the last member gives up")
    answer = session.post("/platform/role", json={"role_name": "r", "role_description": "x"})
    assert (answer.status_code, answer.json()["error_code"]) == (503, "STORE002")
    for member in members.members:
        if not member.running():
            member.start()
    wait_until(lambda: session.get("/platform/user/all").status_code == 200, DEADLINE,
               "the set's return")
