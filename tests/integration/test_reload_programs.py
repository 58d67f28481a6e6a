"""Reload in two programs: an order at one admin reaches all, keys roll without an interruption."""

import json
import signal

import pytest

from harness import platform
from harness.config import ConfigFile, generation, reloads
from harness.platform import expect
from harness.process import wait_until
from harness.split import Split, policy_pair

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


# --- secrets that roll (configuration.md §6) ---


def roll(programs, secret, value):
    """As a Secret that the kubelet swaps: every process notices by itself."""
    before = [generation(program) for program in programs]
    secret.write_text(value)
    for program, number in zip(programs, before):
        wait_until(lambda p=program, n=number: generation(p) > n, PATIENCE, "the new secret")


def test_the_password_of_redis_rolls(tmp_path):
    secret = tmp_path / "redis-password"
    secret.write_text("first-password\n")
    running = Split(tmp_path / "split", {"REDIS_PASSWORD_FILE": secret, "THREADS": "2",
                                         "CONFIG_DEBOUNCE_MS": "20", "CONFIG_POLL_SECONDS": "0"})
    running.redis.options.append(("requirepass", "first-password"))
    running.redis.password = "first-password"
    running.start()
    try:
        roll(running.programs, secret, "second-password\n")
        running.redis.command("CONFIG", "SET", "requirepass", "second-password")
        running.redis.password = "second-password"
        for kind in ("normal", "pubsub"):  # who comes again must know the new one
            running.redis.command("CLIENT", "KILL", "TYPE", kind)
        admin = platform.login(running.url)
        user = platform.make_user(admin)
        wait_until(lambda: user.get("/platform/user/me").status_code == 200, PATIENCE, "Redis")
        for program in running.programs:
            wait_until(lambda p=program: p.metrics()["doorman_redis_up"] == 1, PATIENCE, "Redis")
        assert "-password" not in running.log()
    finally:
        running.stop()


def test_the_key_of_api_keys_rolls(tmp_path, upstream):
    """The new one first, the old one behind it: what was sealed before opens after."""
    secret = tmp_path / "token-encryption-key"
    secret.write_text("first-encryption-key-0123456789abcdef")
    running = Split(tmp_path / "split", {"TOKEN_ENCRYPTION_KEY_FILE": secret, "THREADS": "2",
                                         "CONFIG_DEBOUNCE_MS": "20", "CONFIG_POLL_SECONDS": "0"})
    running.start()
    try:
        admin = platform.login(running.url)
        user = platform.make_user(admin)

        def paid(group):
            tier = {"tier_name": "default", "credits": 10, "input_limit": 0, "output_limit": 0,
                    "reset_frequency": "monthly"}
            expect(admin.post("/platform/credit", json={
                "api_credit_group": group, "api_key": f"key-of-{group}",
                "api_key_header": "X-Partner-Key", "credit_tiers": [tier]}), 201)
            api = platform.make_api(admin, upstream.url, api_credits_enabled=True,
                                    api_credit_group=group)
            platform.make_endpoint(admin, api, "/hello")
            platform.subscribe(admin, user, api)
            groups.append(group)
            expect(admin.post(f"/platform/credit/{user.username}", json={
                "username": user.username,
                "users_credits": {g: {"tier_name": "default", "available_credits": 9}
                                  for g in groups}}), 200)
            return platform.rest_path(api, "/hello")

        groups = []
        before = paid("before")
        assert user.get(before).status_code == 200
        roll(running.programs, secret,
             "other-encryption-key-0123456789abcdef,first-encryption-key-0123456789abcdef")
        after = paid("after")
        assert [user.get(path).status_code for path in (before, after)] == [200, 200]
        roll(running.programs, secret, "other-encryption-key-0123456789abcdef")
        assert user.get(after).status_code == 200
        assert user.get(before).status_code == 502  # sealed with a key that nobody has any more
        assert "encryption-key" not in running.log()
    finally:
        running.stop()


def test_the_keys_of_tokens_roll(tmp_path, upstream):
    """Added everywhere, then signed with, then the old one dropped: nobody is thrown out early."""
    def keys(*names, active):
        return json.dumps([{"kid": name, "algorithm": "HS256", "active": name == active,
                            "secret": f"secret-of-{name}-0123456789abcdef0123456789"}
                           for name in names])

    secret = tmp_path / "jwt-keys"
    secret.write_text(keys("old", active="old"))
    running = Split(tmp_path / "split", {"JWT_SECRET_KEY": None, "JWT_KEYS_FILE": secret,
                                         "THREADS": "2", "CONFIG_DEBOUNCE_MS": "20",
                                         "CONFIG_POLL_SECONDS": "0"})
    signing, verifying = policy_pair()
    running.admin_program.settings["POLICY_SIGNING_KEY"] = signing
    running.gateways[0].settings["POLICY_VERIFY_KEY"] = verifying
    running.start()
    try:
        admin = platform.login(running.url)
        api, user = platform.make_callable(admin, upstream)
        path = platform.rest_path(api, "/hello")
        roll(running.programs, secret, keys("old", "new", active="old"))
        assert user.get(path).status_code == 200
        roll(running.programs, secret, keys("old", "new", active="new"))
        fresh = platform.login(running.url)
        assert user.get(path).status_code == 200 and fresh.get(path).status_code == 200
        roll(running.programs, secret, keys("new", active="new"))
        assert user.get(path).status_code == 401
        assert admin.get("/platform/user/me").status_code == 401
        assert fresh.get("/platform/user/me").status_code == 200
        assert fresh.get(path).status_code == 200  # an administrator needs no subscription
        assert "secret-of-" not in running.log()
    finally:
        running.stop()
