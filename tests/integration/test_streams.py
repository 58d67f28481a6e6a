"""Figures and events on their way from sidecars to the admin (store/live_stream.h), with programs
that are killed, ended and away: each call is counted once, each event is one record of one chain.
"""

import hashlib
import json
import os
import time

import pytest

from harness import platform
from harness.platform import expect
from harness.process import Doorman, wait_until
from harness.split import Split

DEADLINE = 30.0
STREAMS = ("doorman:metrics:records", "doorman:audit")
FAST = {"METRICS_FLUSH_MS": "100"}


class Stand:
    """Two programs or more, an API with a user who may call it, and what is stored of both."""

    def __init__(self, split, upstream):
        self.split = split
        self.admin = platform.login(split.admin_program.url)
        api, self.user = platform.make_callable(self.admin, upstream)
        self.path = platform.rest_path(api, "/hello")
        self.n = 0

    def call(self, times, gateways=None):
        for i in range(times):
            for gateway in gateways or self.split.gateways:
                expect(self.user.get(gateway.url + self.path), 200)
                self.n += 1

    def too_large(self, gateway, times, path):
        """Calls that leave an event in the trail each."""
        for _ in range(times):
            answer = self.user.post(gateway.url + path, headers={"Content-Length": "99999999"})
            assert answer.status_code == 413

    def total(self):
        answer = self.admin.get(self.split.admin_program.url + "/platform/monitor/metrics")
        return expect(answer, 200)["total_requests"]

    def documents(self, name):
        settings = self.split.admin_program.settings
        with self.split.mongo.database(settings["MONGO_DB_NAME"]) as database:
            return list(database[name].find())

    def trail(self):
        return sorted(self.documents("audit_log"), key=lambda record: record["seq"])

    def events(self, action="request.body_size_exceeded"):
        return [record for record in self.trail() if record["action"] == action]

    def waiting(self):
        """Entries of the streams that no admin has applied yet."""
        return sum(self.split.redis.command("XLEN", key) for key in STREAMS)

    def applied(self):
        wait_until(lambda: self.waiting() == 0, DEADLINE, "all records applied")

    def counted(self):
        """Every call once, whatever happened to those who carried it."""
        wait_until(lambda: self.total() >= self.n, DEADLINE, f"{self.n} calls counted")
        self.applied()
        assert self.total() == self.n

    def gateway_metric(self, name):
        return sum(gateway.metrics().get(name, 0) for gateway in self.split.gateways)


@pytest.fixture
def stand(tmp_path, upstream):
    started = []

    def start(gateways=1, **settings):
        started.append(Split(tmp_path / f"split{len(started)}", {**FAST, **settings},
                             gateways=gateways).start())
        return Stand(started[-1], upstream)

    yield start
    for split in started:
        split.stop()


def canonical(record):
    """As the chain is hashed, from what MongoDB holds; an implementation of its own."""
    plain = {name: value for name, value in record.items()
             if name not in ("_id", "_dm_version", "hash")}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def assert_chain(trail):
    previous = "0" * 64
    for place, record in enumerate(trail, 1):
        assert record["seq"] == place
        assert record["prev_hash"] == previous
        text = previous + canonical(record)
        assert record["hash"] == hashlib.sha256(text.encode()).hexdigest(), record
        previous = record["hash"]


# --- figures ---


def test_each_call_is_counted_once_though_the_admin_is_killed(stand):
    s = stand(gateways=2)
    for _ in range(3):
        s.call(10)
        s.split.admin_program.kill()
        s.call(10)
        s.split.admin_program.start()
        s.call(5)
    s.counted()
    assert s.gateway_metric('doorman_stream_lost_total{stream="metrics"}') == 0


def test_an_admin_killed_after_any_write_counts_each_record_once(stand):
    """The admin ends right after a write to a store: applied, and Redis was not told, or told."""
    s = stand(gateways=2)
    admin = s.split.admin_program
    admin.stop()
    s.call(10)
    s.too_large(s.split.gateways[0], 3, s.path)
    s.n += 3
    wait_until(lambda: s.split.redis.command("XLEN", STREAMS[1]) == 3
               and s.split.redis.command("XLEN", STREAMS[0]) >= 2, DEADLINE, "records in Redis")
    killed = 0
    for n in range(1, 40):
        os.environ["DOORMAN_FAULT"] = f"store_write_exit:{n}"
        try:
            admin.spawn()
        finally:
            del os.environ["DOORMAN_FAULT"]
        wait_until(lambda: not admin.running() or s.waiting() == 0, DEADLINE,
                   "an end after a write, or of the records")
        if admin.running():
            break
        assert admin.wait() == 137
        killed += 1
    admin.kill()
    assert killed >= 3
    admin.start()
    s.counted()
    assert len(s.events()) == 3
    assert_chain(s.trail())


def test_what_waits_for_an_admin_that_is_away_is_taken_when_it_comes(stand):
    s = stand(gateways=2)
    s.call(5)
    s.counted()
    s.split.admin_program.kill()
    s.call(20)
    s.too_large(s.split.gateways[0], 5, s.path)
    wait_until(lambda: s.split.redis.command("XLEN", STREAMS[1]) == 5, DEADLINE, "events in Redis")
    s.n += 5
    s.split.admin_program.start()
    s.counted()
    assert len(s.events()) == 5
    assert_chain(s.trail())


def test_a_sidecar_that_ends_sends_what_it_has(stand):
    s = stand(gateways=2, METRICS_FLUSH_MS="60000")
    s.call(7)
    s.too_large(s.split.gateways[1], 2, s.path)
    s.n += 2
    for gateway in s.split.gateways:
        assert gateway.terminate() == 0
    s.counted()
    assert len(s.events()) == 2


def test_a_sidecar_without_redis_ends_all_the_same(stand):
    s = stand()
    s.call(3)
    s.split.redis.kill()
    s.split.gateways[0].stop()
    s.split.redis.start()


def test_figures_wait_for_redis_in_bounded_memory(stand):
    """Redis away: figures of a minute stay together, events beyond the line are counted as lost."""
    s = stand()
    gateway = s.split.gateways[0]
    s.call(3)
    s.counted()
    s.split.redis.pause()
    try:
        long = s.path + "/" + "x" * 6000
        sent = 0
        while s.gateway_metric('doorman_stream_lost_total{stream="audit"}') == 0:
            s.too_large(gateway, 20, long)
            sent += 20
            assert sent < 1000
        s.n += sent
    finally:
        s.split.redis.resume()
    s.counted()
    lost = s.gateway_metric('doorman_stream_lost_total{stream="audit"}')
    assert 0 < lost < sent
    wait_until(lambda: len(s.events()) == sent - lost, DEADLINE, "every event that was kept")
    assert s.gateway_metric('doorman_stream_lost_total{stream="metrics"}') == 0
    assert "records for the admin lost" in gateway.log()
    assert {len(event["target"]) for event in s.events()} == {1024}  # cut, not left out
    assert_chain(s.trail())


def test_figures_behind_many_that_wait_leave_in_few_records(stand):
    """No admin takes: a record a minute instead of ten a second."""
    s = stand()
    redis, key = s.split.redis, STREAMS[0]
    s.split.admin_program.kill()
    redis.command("EVAL", "for i = 1, 1000 do redis.call('XADD', KEYS[1], '*', 'x', 'y') end", 1,
                  key)
    s.call(1)
    wait_until(lambda: redis.command("XLEN", key) > 1000, DEADLINE, "the first record behind them")
    first = redis.command("XLEN", key)
    until = time.monotonic() + 3  # load, for many times METRICS_FLUSH_MS
    while time.monotonic() < until:
        s.call(10)
    assert redis.command("XLEN", key) - first <= 3
    s.split.admin_program.start()
    s.split.gateways[0].stop()  # sends what it held back
    s.counted()


# --- the trail ---


def test_the_trail_is_one_chain_of_two_admins_and_their_gateways(stand, tmp_path):
    s = stand(gateways=2)
    other = Doorman(tmp_path / "other", {**s.split.admin_program.settings},
                    name="doorman-admin")
    other.settings.update(PORT=str(other.port), METRICS_PORT=str(other.metrics_port),
                          DOORMAN_DATA_DIR=str(other.folder),
                          LOGS_DIR=str(other.folder / "logs"))
    other.start()
    try:
        second = platform.login(other.url)
        for i in range(5):
            platform.make_user(s.admin)
            expect(second.post("/platform/group", json={"group_name": platform.unique("g")}), 201)
            s.too_large(s.split.gateways[i % 2], 1, s.path)
            s.n += 1
        s.call(10)
        s.counted()
        trail = s.trail()
        assert_chain(trail)
        assert len([r for r in trail if r["action"] == "group.create"]) == 5
        assert len([r for r in trail if r["action"] == "user.create"]) == 6
        assert len(s.events()) == 5
        assert {r["client_ip"] for r in trail} == {"127.0.0.1"}
    finally:
        other.stop()


def test_a_change_of_the_trail_is_found(stand):
    s = stand()
    admin = s.split.admin_program
    wait_until(lambda: "audit.chain.intact" in admin.log(), DEADLINE, "the first walk")
    assert admin.metrics()["agentidp_audit_chain_integrity"] == 1
    admin.stop()
    with s.split.mongo.database(admin.settings["MONGO_DB_NAME"]) as database:
        database["audit_log"].update_one({"seq": 2}, {"$set": {"username": "somebody else"}})
    admin.start()
    wait_until(lambda: "audit.chain.broken" in admin.log(), DEADLINE, "the walk that finds it")
    assert admin.metrics()["agentidp_audit_chain_integrity"] == 0
    found = next(line for line in admin.log().splitlines() if "audit.chain.broken" in line)
    assert "seq=2" in found or '"seq":2' in found


# --- whoever else writes to Redis ---


def test_what_others_wrote_into_the_streams_holds_nothing_up(stand):
    s = stand()
    redis = s.split.redis
    s.call(3)
    bad = [("id", "a-1", "record", "{}"), ("id", "a-2", "record", "no JSON"), ("x", "y"),
           ("id", "", "record", ""), ("record", "{}", "id", "a-3"),
           ("id", "a-4", "record", "x" * (20 * 1024 * 1024)),
           ("id", "x" * 5000 + "-1", "record", "{}"), ("id", "a-5")]
    for key in STREAMS:
        for fields in bad:
            redis.command("XADD", key, "*", *fields)
    s.call(3)
    s.counted()
    metrics = s.split.admin_program.metrics()
    for stream in ("metrics", "audit"):
        assert metrics[f'doorman_stream_dropped_total{{stream="{stream}"}}'] == len(bad)
    assert "records of gateways dropped" in s.split.admin_program.log()


def test_a_stream_that_is_none_holds_up_no_other(stand):
    s = stand()
    redis = s.split.redis
    s.call(2)
    s.counted()
    redis.command("DEL", STREAMS[0])
    redis.command("SET", STREAMS[0], "mine")
    s.too_large(s.split.gateways[0], 2, s.path)
    s.n += 2
    s.call(3)
    wait_until(lambda: len(s.events()) == 2, DEADLINE, "the other stream's events")
    redis.command("DEL", STREAMS[0])  # what waited in the sidecar comes now
    s.counted()


def test_records_of_an_admin_that_never_came_back_go_to_another(stand):
    """Taken by a member of the group that is gone, never ended."""
    s = stand()
    redis = s.split.redis
    s.call(1)
    s.counted()
    s.split.admin_program.stop()
    s.call(6)
    wait_until(lambda: s.waiting() > 0, DEADLINE, "records in Redis")
    taken = redis.command("XREADGROUP", "GROUP", "doorman-admin", "dead", "COUNT", "1000",
                          "STREAMS", STREAMS[0], ">")
    assert taken
    s.split.admin_program.start()
    s.counted()


def test_an_emptied_redis_is_no_end(stand):
    s = stand()
    s.call(4)
    s.counted()
    s.split.redis.command("FLUSHALL")
    report = s.split.admin_program.url + "/platform/monitor/metrics"
    wait_until(lambda: s.admin.get(report).status_code == 200, DEADLINE, "everything restored")
    before = s.total()
    wait_until(lambda: s.user.get(s.split.gateways[0].url + s.path).status_code == 200, DEADLINE,
               "a call after Redis was emptied")
    wait_until(lambda: s.total() > before, DEADLINE, "the call counted")


def test_bytes_of_the_last_moment_are_counted_when_a_sidecar_ends(stand):
    s = stand()
    user = platform.make_user(s.admin, bandwidth_limit_bytes=10**9, bandwidth_limit_window="day")
    platform.subscribe(s.admin, user, s.path.split("/")[3])
    gateway = s.split.gateways[0]
    for _ in range(5):
        expect(user.get(gateway.url + s.path), 200)
    assert gateway.terminate() == 0
    keys = s.split.redis.command("KEYS", f"bandwidth_usage:{user.username}:*")
    assert sum(int(s.split.redis.command("GET", key)) for key in keys) > 5 * 100
