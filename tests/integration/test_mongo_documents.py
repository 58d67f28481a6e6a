"""The MongoDB backend of store/documents against a real server (harness/mongo.py).

The checks are the programs of tests/served/store_mongo; here they get their server.
"""

import os
import subprocess

import pytest

from harness.mongo import MongoServer
from harness.process import LIBRARY_OPTIONS, bin_dir

DEADLINE = 280.0  # pytest ends the test later


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = MongoServer(tmp_path_factory.mktemp("mongo")).start()
    yield running
    running.stop()


def run(name, server, **more):
    program = bin_dir().parent / "tests" / f"served_store_mongo_{name}_test"
    environment = {**os.environ, **LIBRARY_OPTIONS, **more,
                   "DOORMAN_TEST_MONGO_URI": server.uri,
                   "DOORMAN_TEST_MONGO_PID": str(server.process.pid)}
    ended = subprocess.run([program], env=environment, stdin=subprocess.DEVNULL, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE)
    assert ended.returncode == 0, ended.stdout[:8000]
    return ended.stdout


@pytest.mark.parametrize("name", ["contract", "foreign", "migrate", "writers"])
def test_documents(server, name):
    run(f"documents_{name}", server)


def test_documents_outage(tmp_path):
    """On a server of its own, which is halted meanwhile."""
    own = MongoServer(tmp_path).start()
    try:
        run("documents_outage", own)
    finally:
        own.stop()
