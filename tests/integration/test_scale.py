"""What must hold when there is much of something: changes, users, the last moments of a sidecar.

The figures themselves are bench/run --scale's; here is what must be right at any speed.
"""

import contextlib
import signal
import threading

import pytest

from harness import platform
from harness.changes import Changes
from harness.platform import expect
from harness.process import wait_until
from harness.split import Split, readyz

DEADLINE = 30.0


@pytest.fixture
def start_split(tmp_path):
    started = []

    def start(gateways=1, **settings):
        started.append(Split(tmp_path / "split", {"THREADS": "1", **settings}, gateways=gateways))
        return started[-1].start()

    yield start
    for split in started:
        split.stop()


def publish(admin, server, uri="/data", **fields):
    api = platform.make_api(admin, server, **fields)
    platform.make_endpoint(admin, api, uri)
    return api, platform.rest_path(api, uri)


def status(program, session, path):
    return session.get(program.url + path).status_code


def readiness(program):
    answer = platform.Session(program.metrics_url).get("/platform/monitor/readiness")
    return answer.status_code, answer.json()["status"]


@contextlib.contextmanager
def calling(split, session, path):
    """Calls to every sidecar, one after the other, until the block ends; gives their statuses."""
    statuses, ended = [], threading.Event()

    def run():
        while not ended.is_set():
            statuses.extend(status(gateway, session, path) for gateway in split.gateways)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield statuses
    finally:
        ended.set()
        thread.join(DEADLINE)


def test_no_call_fails_while_the_policy_changes(start_split, upstream):
    split = start_split(gateways=2)
    admin = platform.login(split.url)
    api, path = publish(admin, upstream.url)
    user = platform.make_user(admin)
    platform.subscribe(admin, user, api)
    changes = Changes(admin, api, user.username, upstream.url)
    before = readyz(split.gateways[0])["generation"]
    with calling(split, user, path) as statuses:
        while changes.done < 2 * Changes.ROUND:
            changes.one()
        seen = len(statuses)
        wait_until(lambda: len(statuses) > seen + 4, DEADLINE, "calls after the last change")
    assert set(statuses) == {200}, {s: statuses.count(s) for s in set(statuses)}
    for gateway in split.gateways:
        assert readyz(gateway)["generation"] >= before + changes.done


def test_a_user_that_left_the_cache_is_read_anew(start_split, upstream):
    most = 3
    split = start_split(CACHE_MAX_SIZE=str(most), CACHE_TTL="3600")
    gateway = split.gateways[0]
    admin = platform.login(split.url)
    api, path = publish(admin, upstream.url)
    users = [platform.make_user(admin) for _ in range(2 * most)]
    for user in users:
        platform.subscribe(admin, user, api)

    def cached():
        return gateway.metrics()["doorman_users_cached"]

    for user in users:
        assert status(gateway, user, path) == 200
        assert cached() <= most
    assert cached() == most
    # The first three left the cache; what changes of them meanwhile is seen when they come back.
    platform.unsubscribe(admin, users[0], api)
    expect(admin.put(f"/platform/user/{users[1].username}", json={"active": False}), 200)
    assert status(gateway, users[0], path) == 403
    assert status(gateway, users[1], path) in (401, 403)
    assert status(gateway, users[2], path) == 200
    # One that is kept is not used on after a change either.
    platform.unsubscribe(admin, users[2], api)
    assert status(gateway, users[2], path) == 403
    assert cached() <= most


def test_verdicts_of_a_sidecar_restarted_while_redis_is_away(start_split, upstream):
    split = start_split(REVOCATION_FAIL_MODE="open")
    gateway = split.gateways[0]
    copy = gateway.folder / "policy.snapshot"
    admin = platform.login(split.url)
    private, private_path = publish(admin, upstream.url)
    _, public_path = publish(admin, upstream.url, api_public=True)
    gone, gone_path = publish(admin, upstream.url, api_public=True)
    closed, closed_path = publish(admin, upstream.url, api_public=True)
    user = platform.make_user(admin)
    platform.subscribe(admin, user, private)
    for path in (private_path, public_path, gone_path, closed_path):
        assert status(gateway, user, path) == 200
    wait_until(copy.exists, DEADLINE, "the copy of the policy")
    before = copy.stat().st_mtime_ns
    expect(admin.delete(f"/platform/endpoint/GET/{gone['api_name']}/v1/data"), 200)
    expect(admin.put(f"/platform/api/{closed['api_name']}/v1", json={"active": False}), 200)
    generation = readyz(gateway)["generation"]
    wait_until(lambda: copy.stat().st_mtime_ns > before, DEADLINE, "the copy of the changes")
    gateway.stop()
    split.redis.stop()
    try:
        gateway.start()
        assert readiness(gateway) == (200, "degraded")
        started_on = readyz(gateway)["generation"]
        assert generation - 1 <= started_on <= generation
        nobody = platform.Session(gateway.url)
        assert nobody.get(public_path).status_code == 200
        assert nobody.get(private_path).status_code == 401  # no token: known without a store
        if started_on == generation:  # a copy is written a second after a change
            assert nobody.get(gone_path).status_code == 404
            assert nobody.get(closed_path).status_code == 403
        # Who the user is nobody can tell now: that is our fault, not the user's.
        answer = user.get(gateway.url + private_path)
        assert (answer.status_code, answer.json()["error_code"]) == (503, "STORE001")
    finally:
        split.redis.start()
    wait_until(lambda: status(gateway, user, private_path) == 200, DEADLINE, "Redis again")
    assert readiness(gateway) == (200, "ready")


def test_a_sidecar_that_ends_leaves_no_byte_and_no_credit_unsettled(start_split, start_upstream):
    split = start_split()
    gateway, frozen = split.gateways[0], threading.Event()

    def answer(_):
        if frozen.is_set():  # reserved, and from now on nothing can be settled
            split.redis.pause()
        return 200, [("Content-Type", "text/plain")], b"x" * 1000

    admin = platform.login(split.url)
    group = platform.unique("g")
    tier = {"tier_name": "default", "credits": 10, "input_limit": 0, "output_limit": 0,
            "reset_frequency": "monthly"}
    expect(admin.post("/platform/credit", json={
        "api_credit_group": group, "api_key": "key", "api_key_header": "X-Partner-Key",
        "credit_tiers": [tier]}), 201)
    api, path = publish(admin, start_upstream(answer).url, api_credits_enabled=True,
                        api_credit_group=group)
    user = platform.make_user(admin, bandwidth_limit_enabled=True, bandwidth_limit_bytes=1 << 40,
                              bandwidth_limit_window="month")
    platform.subscribe(admin, user, api)
    expect(admin.post(f"/platform/credit/{user.username}", json={
        "username": user.username, "users_credits": {
            group: {"tier_name": "default", "available_credits": 10}}}), 200)

    def account():
        flat = split.redis.command("HGETALL", f"credits:{group}:{user.username}")
        return dict(zip(flat[::2], flat[1::2]))

    def used():
        keys = split.redis.command("KEYS", f"bandwidth_usage:{user.username}:*")
        return sum(int(split.redis.command("GET", key)) for key in keys)

    assert status(gateway, user, path) == 200
    wait_until(lambda: account()["balance"] == "9" and used() > 1000, DEADLINE, "one call settled")
    once = used()
    frozen.set()
    try:
        assert status(gateway, user, path) == 200
        gateway.signal(signal.SIGTERM)
    finally:
        split.redis.resume()
    assert gateway.wait() == 0
    assert account()["balance"] == "8"
    assert not [name for name in account() if name.startswith("r:")], "nothing is held any more"
    assert used() - once > 1000
