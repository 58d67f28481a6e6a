"""doorman-admin on MongoDB where it breaks: killed between two writes, the store gone."""

import shutil
import time

import pytest
import requests

from harness import platform
from harness.mongo import MongoServer
from harness.platform import expect
from harness.process import Doorman, wait_until
from harness.redis import RedisServer

DEADLINE = 20.0
# No answer of the admin may take as long as the driver's own 30 s.
PATIENCE = 15.0


LEASE = "{doorman:policy:current}:lease"  # of the admin that was killed


class Stand:
    """One admin and its two stores; every start of the admin finds what the last one left."""

    def __init__(self, folder):
        self.folder = folder
        self.redis = RedisServer(folder / "redis")
        self.mongo = MongoServer(folder / "mongo")
        self.redis.start()
        self.mongo.start()
        self.admin = None

    def start(self, ready=True, **settings):
        self.admin = Doorman(self.folder / "admin", {
            "MEM_OR_EXTERNAL": "REDIS", "REDIS_URL": self.redis.url, "THREADS": "1",
            "MONGO_DB_URI": self.mongo.uri, "MONGO_DB_NAME": "doorman_stand",
            "MONGO_SERVER_SELECTION_TIMEOUT_MS": "1000", **settings}, name="doorman-admin")
        return self.admin.start() if ready else self.admin.spawn()

    def stop(self):
        if self.admin and self.admin.running():
            self.admin.kill()
        self.mongo.stop()
        self.redis.stop()


@pytest.fixture
def stand(tmp_path):
    one = Stand(tmp_path)
    yield one
    one.stop()


def remains(session, name):
    """What there still is of an API: the record, its endpoints, subscriptions to it."""
    api = session.get(f"/platform/api/{name}/v1").status_code == 200
    answer = session.get(f"/platform/endpoint/{name}/v1")
    endpoints = len(answer.json().get("endpoints", [])) if answer.status_code == 200 else 0
    subscribed = expect(session.get("/platform/subscription/subscriptions"))["apis"]
    return api, endpoints, f"{name}/v1" in subscribed


def remove_api_with_crash(stand, n):
    """Removes an API in an admin that ends after its n-th write to a store; what is left afterwards
    must be all of it or nothing. Where it ended: "start", "removal", or "" (it did not)."""
    stand.start()
    session = platform.login(stand.admin.url)
    api = platform.make_api(session, "http://127.0.0.1:9")
    platform.make_endpoint(session, api, "/a")
    platform.make_endpoint(session, api, "/b")
    platform.subscribe(session, "admin", api)
    stand.admin.stop()
    stand.start(ready=False, DOORMAN_FAULT=f"store_write_exit:{n}")
    ended = "start"
    try:
        wait_until(stand.admin.is_ready, DEADLINE, "readiness")
        session = platform.login(stand.admin.url)
        ended = "removal"
        expect(session.delete(f"/platform/api/{api['api_name']}/v1"), 200)
        ended = ""
        stand.admin.stop()
    except (RuntimeError, requests.ConnectionError):
        assert stand.admin.wait() == 137
        stand.redis.command("DEL", LEASE)  # it would lapse after 5 s
    stand.start()
    session = platform.login(stand.admin.url)
    left = remains(session, api["api_name"])
    assert left in [(True, 2, True), (False, 0, False)], f"after write {n}: {left}"
    if left[0]:
        expect(session.delete(f"/platform/api/{api['api_name']}/v1"), 200)
    stand.admin.stop()
    return ended


@pytest.mark.timeout(600)
def test_api_removal_killed_after_any_write_is_repaired(stand):
    low, high = 0, 128  # ends in the start or the removal; is done before the fault
    assert remove_api_with_crash(stand, high) == ""
    while high - low > 1:
        middle = (low + high) // 2
        if remove_api_with_crash(stand, middle):
            low = middle
        else:
            high = middle
    places = []
    for n in range(low, 0, -1):
        places.append(remove_api_with_crash(stand, n))
        if places[-1] == "start":
            break
    # The API, its endpoints and the subscription are three documents' writes.
    assert places.count("removal") >= 3
    assert "admin.repaired" in stand.admin.log()


@pytest.mark.parametrize("fault", ["stop", "halt"])
def test_absent_mongodb_is_503_with_its_code_and_passes(stand, fault):
    stand.start()
    session = platform.login(stand.admin.url)
    getattr(stand.mongo, fault)()
    began = time.monotonic()
    answers = [session.get("/platform/user/all"), session.get("/platform/user/me"),
               session.post("/platform/role", json={"role_name": "r", "role_description": "x"})]
    assert time.monotonic() - began < PATIENCE
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert answer.json()["error_code"] == "STORE002"
        assert answer.json()["error_message"] == "Database unavailable"
        assert "Retry-After" in answer.headers
    stand.mongo.start() if fault == "stop" else stand.mongo.go_on()
    wait_until(lambda: session.get("/platform/user/all").status_code == 200, DEADLINE,
               "the document store's return")
    wait_until(lambda: "documents.back" in stand.admin.log(), DEADLINE, "the line that tells of it")
    assert "documents.away" in stand.admin.log()
    stand.admin.stop()


def test_expired_documents_are_swept_by_a_job_of_the_admin(stand):
    """One that only the sweeper removes: what restores revocations finds none by such an id."""
    stand.start()
    stand.admin.stop()
    with stand.mongo.database("doorman_stand") as database:
        rows = [{"id": 1, "expires": 1}, {"id": 2, "expires": int(time.time()) + 3600},
                {"id": 3, "expires": 0}]
        database.revocations.insert_many(rows)
        database.doorman_meta.delete_one({"_id": "sweep_lease"})  # of the first start's sweep
        stand.start()
        wait_until(lambda: database.revocations.count_documents({"id": 1}) == 0, DEADLINE, "sweep")
        assert sorted(row["id"] for row in database.revocations.find()) == [2, 3]
        assert database.doorman_meta.find_one({"_id": "sweep_lease"}) is not None
        stand.admin.stop()
        # Within the same minute nobody sweeps again, whichever admin starts.
        database.revocations.insert_one({"id": 4, "expires": 1})
        stand.start()
        platform.login(stand.admin.url)
        stand.admin.stop()
        assert database.revocations.count_documents({"id": 4}) == 1
        assert "documents.swept" in stand.admin.log()


def test_newer_schema_ends_the_start_with_one_sentence(stand):
    stand.start()
    stand.admin.stop()
    with stand.mongo.database("doorman_stand") as database:
        database.doorman_meta.update_one({"_id": "schema"}, {"$set": {"version": 1000}})
    stand.start(ready=False)
    assert stand.admin.wait(DEADLINE) == 78
    assert "schema version 1000" in stand.admin.log()


def test_an_admin_is_not_ready_while_the_schema_is_anothers(stand):
    """A newer admin migrated under it: traffic goes to those that know the schema (R12)."""
    stand.start()

    def readiness():
        answer = platform.Session(stand.admin.metrics_url).get("/platform/monitor/readiness")
        return answer.status_code, answer.json()["mongodb"]

    with stand.mongo.database("doorman_stand") as database:
        def schema(version):
            database.doorman_meta.update_one({"_id": "schema"}, {"$set": {"version": version}})

        assert readiness() == (200, "connected")
        schema(1000)
        wait_until(lambda: readiness() == (503, "disconnected"), DEADLINE, "not ready")
        assert platform.Session(stand.admin.metrics_url).get("/healthz").status_code == 200
        assert "schema version 1000" in stand.admin.log()
        schema(1)
        wait_until(lambda: readiness() == (200, "connected"), DEADLINE, "ready again")
    stand.admin.stop()


def test_a_mongodb_that_comes_back_empty_is_told(stand):
    """Not only that it went away: what is wrong now is something else."""
    stand.start()
    stand.mongo.kill()
    wait_until(lambda: "store does not answer" in stand.admin.log(), DEADLINE, "the outage")
    shutil.rmtree(stand.mongo.folder / "data")
    stand.mongo.start()
    wait_until(lambda: "has schema version 0" in stand.admin.log(), DEADLINE, "the other reason")
    stand.admin.stop()
