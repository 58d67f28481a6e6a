"""Redis lost a part of what it was told, and says nothing of it: a node of a Cluster is empty, a
replica took over without the last writes, a server was started again on an older dump. Nobody who
was revoked gets in, nobody is taken for unknown or without credit (docs/failure-matrix.md)."""

import pytest
import requests
from harness import platform
from harness.faults import BACK, DEADLINE, REASONS, standing
from harness.process import wait_until
from harness.redis import Cluster, RedisServer, Sentinels, slot_of

CURRENT = "doorman:policy:current"
BALLAST = 32 * 1024 * 1024
LOST = "live store lost a part"
OTHER = "which may lack revocations"


def call(stand, user, name="allow"):
    return requests.get(stand.gateway.url + stand.paths[name], timeout=30,
                        headers=stand.fields(user))


def known(stand):
    """One more user of the API without limits, whom the sidecar knows."""
    user = stand.make_user()
    platform.subscribe(stand.admin, user, "/".join(stand.paths["allow"].split("/")[3:5]))
    assert call(stand, user).status_code == 200
    return user


def known_on(stand, nodes, keys):
    """One whose keys, named by a function of the name, all lie on a node without CURRENT."""
    spared = nodes.owner(slot_of(CURRENT))
    for _ in range(200):
        user = known(stand)
        owners = {nodes.owner(slot_of(key)) for key in keys(user.username)}
        if len(owners) == 1 and spared not in owners:
            return user, owners.pop()
    raise AssertionError("no such name")


def refuse_nobody_else(load, since=0):
    """What others may be told meanwhile."""
    for a in load.answers[since:]:
        if a.name == "revoked":
            assert a.status in (401, 503), a
        elif a.status != 200:
            assert (a.status, a.code) == (503, "STORE001"), a
            assert a.reason in (REASONS.get(a.name), "user"), a


@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", ["restarted", "flushed"])
def test_node_of_a_cluster_emptied(tmp_path, upstream, fault):
    """Not the node that every sidecar looks at: only what lies on it can tell."""
    nodes = Cluster(tmp_path / "redis")
    with standing(tmp_path, upstream, nodes) as stand:
        revoked, emptied = known_on(stand, nodes, lambda n: [f"jwt:revoke_all:{n}"])
        platform.revoke(stand.admin, revoked)
        assert call(stand, revoked).status_code == 401
        stranger = stand.make_user()
        while nodes.owner(slot_of(f"doorman:policy:obj:user:{stranger.username}")) is not emptied:
            stranger = stand.make_user()
        stand.revoked = revoked
        with stand.load() as load, stand.admin_asleep() as wake:
            for name in stand.paths:
                load.wait_for(name, 200)
            since = len(load.answers)
            if fault == "flushed":
                emptied.command("FLUSHALL")
                assert call(stand, revoked).status_code == 401  # the very next one
            else:
                emptied.restart()
            for _ in range(20):
                assert call(stand, revoked).status_code in (401, 503)
                answer = call(stand, stranger)
                assert (answer.status_code, answer.headers["X-Doorman-Reason"]) == (503, "user")
            load.wait_for("allow", 200, 20)
            load.wait_for("revoked", 401)
            wait_until(lambda: LOST in stand.gateway.log() or OTHER in stand.gateway.log(),
                       DEADLINE, "the line that tells of it")
            wake()
            for name in stand.paths:
                load.wait_for(name, 200)
            wait_until(lambda: call(stand, stranger).status_code == 403, DEADLINE, "the verdict")
            wait_until(lambda: stand.readiness() == (200, "ready", "connected"), DEADLINE, "ready")
            wait_until(lambda: emptied.command("EXISTS", f"jwt:revoke_all:{revoked.username}") == 1,
                       DEADLINE, "the revocation again")
            load.wait_for("revoked", 401)
            refuse_nobody_else(load, since)


@pytest.mark.timeout(240)
def test_account_on_a_flushed_node(tmp_path, upstream):
    """An account that is not there would be a refusal."""
    nodes = Cluster(tmp_path / "redis")
    with standing(tmp_path, upstream, nodes) as stand:
        emptied = nodes.owner(slot_of(f"credits:{stand.group}:{stand.user.username}"))
        with stand.load() as load, stand.admin_asleep() as wake:
            load.wait_for("credits", 200)
            since = len(load.answers)
            emptied.command("FLUSHALL")
            load.wait_for("credits", 503, 10)
            wake()
            load.wait_for("credits", 200)
            refuse_nobody_else(load, since)


@pytest.mark.timeout(240)
def test_slot_moves_to_another_node(tmp_path, upstream):
    """Revocation and mark are on two nodes for a while: each is asked for where it is."""
    nodes = Cluster(tmp_path / "redis")
    with standing(tmp_path, upstream, nodes) as stand:
        key = f"jwt:revoke_all:{stand.user.username}"
        slot = slot_of(key)
        source = nodes.owner(slot)
        target = next(n for n in nodes.nodes if n is not source)

        def served():
            for _ in range(50):
                assert call(stand, stand.user, "deny").status_code == 200

        served()
        nodes.begin_migration(slot, source, target)
        served()
        nodes.move_keys(slot, source, target)
        served()
        nodes.end_migration(slot, target)
        served()
        platform.revoke(stand.admin, stand.user)
        assert target.command("EXISTS", key) == 1
        assert call(stand, stand.user, "deny").status_code == 401
        assert LOST not in stand.gateway.log() and OTHER not in stand.gateway.log()


def sentinel(folder):
    trio = Sentinels(folder)

    def prepare(stand):
        return known(stand), trio.master, trio.replica

    return trio, prepare


def cluster(folder):
    nodes = Cluster(folder)

    def prepare(stand):
        user, master = known_on(stand, nodes, lambda n: [f"jwt:revoke_all:{n}"])
        nodes.add_replica(master)
        return user, master, nodes.extra[0]

    return nodes, prepare


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", [sentinel, cluster])
def test_failover_that_loses_a_revocation(tmp_path, upstream, kind):
    """Replication is asynchronous: the replica that takes over was never told. Policy stands there
    as it should, so nothing but its history says so."""
    servers, prepare = kind(tmp_path / "redis")
    with standing(tmp_path, upstream, servers) as stand:
        victim, master, replica = prepare(stand)
        key = f"jwt:revoke_all:{victim.username}"
        asked = platform.Session(stand.split.admin_program.url)
        asked.headers.update(stand.fields(victim))
        assert asked.get("/platform/user/me").status_code == 200
        replica.pause()
        # More than sockets hold, so that what follows stays in the master's memory.
        master.command("SET", f"{{{key}}}:ballast", "x" * BALLAST)
        platform.revoke(stand.admin, victim)  # answered with 200
        assert call(stand, victim).status_code == 401
        with stand.load() as load, stand.admin_asleep() as wake:
            master.kill()
            replica.resume()
            statuses = set()

            def took_over():
                statuses.add(call(stand, victim).status_code)
                try:
                    return "role:master" in replica.command("INFO", "replication")
                except ConnectionError:  # ended by the Sentinel that turns it round
                    return False

            wait_until(took_over, DEADLINE, "the replica takes over")
            wait_until(lambda: OTHER in stand.gateway.log(), DEADLINE, "the line that tells of it")
            assert replica.command("EXISTS", key) == 0  # it was lost indeed
            for _ in range(100):
                statuses.add(call(stand, victim).status_code)
            assert statuses <= {401, 503}, statuses
            if kind is sentinel:  # policy of one history is whole: users are read there meanwhile
                load.wait_for("allow", 200)
            wake()
            wait_until(lambda: asked.get("/platform/user/me").status_code == 401, DEADLINE,
                       "the admin knows")
            wait_until(lambda: replica.command("EXISTS", key) == 1, DEADLINE, "the revocation")
            for name in stand.paths:
                load.wait_for(name, 200)
            wait_until(lambda: stand.readiness() == (200, "ready", "connected"), DEADLINE, "ready")
            assert call(stand, victim).status_code == 401
        refuse_nobody_else(load)
        assert BACK in stand.gateway.log()


def test_started_again_on_an_older_dump(tmp_path, upstream):
    """As with persistence once a second: the last writes before it was killed are gone."""
    redis = RedisServer(tmp_path / "redis")
    with standing(tmp_path, upstream, redis) as stand:
        victim = known(stand)
        key = f"jwt:revoke_all:{victim.username}"
        redis.command("SAVE")
        platform.revoke(stand.admin, victim)
        assert call(stand, victim).status_code == 401
        with stand.load() as load, stand.admin_asleep() as wake:
            redis.restart()
            assert redis.command("EXISTS", key, CURRENT) == 1  # policy only
            wait_until(lambda: OTHER in stand.gateway.log(), DEADLINE, "the line that tells of it")
            assert {call(stand, victim).status_code for _ in range(100)} <= {401, 503}
            load.wait_for("allow", 200)
            wake()
            wait_until(lambda: redis.command("EXISTS", key) == 1, DEADLINE, "the revocation")
            for name in stand.paths:
                load.wait_for(name, 200)
            assert call(stand, victim).status_code == 401
        refuse_nobody_else(load)


def test_sidecar_that_starts_on_a_store_that_lost_revocations(tmp_path, upstream):
    """It knows nothing by itself, so it waits for the admin rather than believe the store."""
    redis = RedisServer(tmp_path / "redis")
    with standing(tmp_path, upstream, redis) as stand:
        victim = known(stand)
        redis.command("SAVE")
        platform.revoke(stand.admin, victim)
        with stand.admin_asleep() as wake:
            stand.gateway.stop()
            redis.restart()
            stand.gateway.spawn()
            wait_until(lambda: OTHER in stand.gateway.log(), DEADLINE, "the line that tells of it")
            assert call(stand, victim).status_code == 503
            assert stand.readiness()[0] == 503
            wake()
            wait_until(lambda: stand.readiness() == (200, "ready", "connected"), DEADLINE, "ready")
            assert call(stand, victim).status_code == 401
            assert call(stand, stand.user).status_code == 200
