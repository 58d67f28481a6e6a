"""docs/data-model.md against a server: its table of collections is what a migration makes."""

import re
import subprocess

import pytest

from harness.mongo import MongoServer
from harness.process import ROOT, Doorman, program

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
