"""docs/data-model.md against servers: its table of collections is what a migration makes, its table
of keys what stands in a Redis that was used."""

import re
import subprocess

import pytest
from harness import platform
from harness.faults import DEADLINE, standing
from harness.mongo import MongoServer
from harness.platform import expect
from harness.process import ROOT, Doorman, program, wait_until

# No index of ours: the server's own.
OWN = {("_id",)}
# Servers without a TTL monitor refuse the index; docs/data-model.md, "Indexes".
TTL = ("_dm_expires",)


def keys(cell):
    groups = [tuple(re.findall(r"`([^`]+)`", part)) for part in cell.split(";")]
    return {group for group in groups if group} - OWN


def documented():
    text = (ROOT / "docs" / "data-model.md").read_text()
    section = text.split("## Collections")[1].split("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("| `")]
    return {name: {"unique": keys(unique), "other": keys(other)}
            for names, unique, other, _ in rows for name in re.findall(r"`([^`]+)`", names)}


def made(database):
    found = {}
    for collection in database.list_collection_names():
        indexes = database[collection].index_information().values()
        fields = [(tuple(name for name, _ in index["key"]), index.get("unique", False))
                  for index in indexes]
        found[collection] = {"unique": {key for key, unique in fields if unique} - OWN,
                             "other": {key for key, unique in fields if not unique} - OWN}
    return found


@pytest.fixture
def mongo(tmp_path):
    server = MongoServer(tmp_path / "mongo").start()
    yield server
    server.stop()


def test_collections_and_indexes_are_those_of_the_table(mongo, tmp_path):
    wanted = documented()
    assert len(wanted) > 20 and wanted["endpoints"]["other"] == {("api_id",)}
    admin = Doorman(tmp_path / "admin", {
        "MEM_OR_EXTERNAL": "REDIS", "REDIS_URL": "redis://127.0.0.1:1",
        "MONGO_DB_URI": mongo.uri, "MONGO_DB_NAME": "model"})
    done = subprocess.run([str(program("doorman-admin")), "migrate"], cwd=admin.folder,
                          env=admin.environment(), capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    if not mongo.mongod:
        for collection in wanted.values():
            collection["other"].discard(TTL)
    with mongo.database("model") as database:
        assert made(database) == wanted


# Passing: there only while somebody publishes, or after a reload that failed; or in a Cluster.
SELDOM = {"{doorman:policy:current}:lease", "doorman:events", "doorman:kept:{<n>}",
          "doorman:kept:{<n>}:draft"}


def documented_keys():
    """{name: (expression, kind, whether it ends)}"""
    text = (ROOT / "docs" / "data-model.md").read_text()
    section = text.split("## Keys in Redis")[1].split("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("| `")]
    return {name: (re.sub(r"<\w+>", ".+", name), kind.strip(), ends.strip() != "never")
            for names, kind, _, ends in rows for name in re.findall(r"`([^`]+)`", names)}


def of_the_table(key, keys):
    """The name that fits; where several do, the most exact: `…:jti` holds what `…:.+` does."""
    return max((name for name, (expression, _, _) in keys.items()
                if re.fullmatch(expression, key)), key=len, default=None)


def test_keys_are_those_of_the_table(tmp_path, upstream):
    keys = documented_keys()
    assert len(keys) > 15
    with standing(tmp_path, upstream) as stand:
        redis = stand.split.redis
        user = stand.make_user(throttle_enabled=True, throttle_duration=1000,
                               throttle_duration_type="hour", throttle_queue_limit=1000,
                               bandwidth_limit_enabled=True, bandwidth_limit_bytes=10**9,
                               bandwidth_limit_window="day")
        platform.subscribe(stand.admin, user, "/".join(stand.paths["deny"].split("/")[3:5]))
        with stand.load() as load:
            load.wait_for("credits", 200)
        expect(user.get(stand.gateway.url + stand.paths["deny"]))
        expect(stand.make_user().post("/platform/authorization/invalidate"), 200)
        wait_until(lambda: redis.command("KEYS", "bandwidth_usage:*"), DEADLINE, "bytes")
        met = set()
        for key in redis.command("KEYS", "*"):
            name = of_the_table(key, keys)
            kind, left = redis.command("TYPE", key), redis.command("PTTL", key)
            if left == -2:
                continue  # it ended meanwhile
            assert name, f"{key} is not in the table"
            assert (kind, left >= 0) == keys[name][1:], key
            met.add(name)
    assert set(keys) - SELDOM == met - SELDOM
