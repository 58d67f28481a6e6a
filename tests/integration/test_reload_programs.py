"""Reload in two programs: an order at one admin reaches all, keys roll without an interruption."""

import json
import signal

import pytest

from harness import platform
from harness.config import ConfigFile, generation, reloads
from harness.process import wait_until
from harness.split import Split

pytestmark = pytest.mark.memory

PATIENCE = 20.0


def options(value):
    return f"security_header: {{x_frame_options: {value}}}\n"


@pytest.fixture
def file(tmp_path):
    return ConfigFile(tmp_path / "config", options("DENY"))


@pytest.fixture
def split(tmp_path, file):
    running = Split(tmp_path / "split", {"DOORMAN_CONFIG_FILE": file.path, "CONFIG_WATCH": "false"},
                    gateways=2).start()
    yield running
    running.stop()


def shown(program):
    return platform.Session(program.url).get("/nowhere").headers["X-Frame-Options"]


def test_an_order_at_the_admin_reaches_every_sidecar(split, file):
    admin = platform.login(split.admin_program.url)
    file.write(options("SAMEORIGIN"))
    assert admin.post("/platform/config/reload").status_code == 200
    for gateway in split.gateways:
        wait_until(lambda g=gateway: generation(g) == 2, PATIENCE, "the event")
        assert shown(gateway) == "SAMEORIGIN"
        wait_until(lambda g=gateway: "requested: source=event" in g.log(), PATIENCE, "its line")
    # the one that told hears it too, and has nothing to do
    assert shown(split.admin_program) == "SAMEORIGIN"
    assert admin.post("/platform/config/reload").json()["data"]["generation"] == 3


def test_a_failed_order_reaches_nobody_and_is_recorded(split, file):
    admin = platform.login(split.admin_program.url)
    file.write("max_page_size: none\n")
    assert admin.post("/platform/config/reload").status_code == 400
    entries = split.redis.command("XRANGE", "doorman:events", "-", "+")
    event = json.loads(entries[0][1][1])
    assert event["type"] == "config.reload" and event["status"] == "failure"
    assert event["process"] == "doorman-admin" and event["generation"] == 1
    fault, = event["errors"]
    assert (fault["key"], fault["line"], fault["column"]) == ("MAX_PAGE_SIZE", 1, 16)
    for gateway in split.gateways:
        assert generation(gateway) == 1 and reloads(gateway, "failure") == 0


def test_a_sidecar_that_refuses_records_it_too(split, file):
    file.write("gateway_timeout: soon\n")
    gateway = split.gateways[1]
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: split.redis.command("XLEN", "doorman:events") == 1, PATIENCE, "its entry")
    event = json.loads(split.redis.command("XRANGE", "doorman:events", "-", "+")[0][1][1])
    assert (event["process"], event["source"]) == ("doorman-gateway", "sighup")
    assert platform.Session(gateway.url).get("/readyz").status_code == 200


def test_other_words_on_the_channel_are_nothing(split):
    for word in ("", "config.reloads x", "policy", "x" * 100000):
        split.redis.command("PUBLISH", "doorman:events", word)
    split.redis.command("PUBLISH", "doorman:events", "config.reload somebody")
    for program in split.programs:
        wait_until(lambda p=program: generation(p) == 2, PATIENCE, "the one that counts")


def test_a_failure_while_redis_is_away_is_told_in_time(split, file):
    """The entry is lost, nothing else."""
    split.redis.kill()
    file.write("gateway_timeout: soon\n")
    for program in split.programs:
        program.signal(signal.SIGHUP)
        wait_until(lambda p=program: reloads(p, "failure") == 1, PATIENCE, "the refusal")
