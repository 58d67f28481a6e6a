"""MongoDB breaks under load, with the real programs (docs/failure-matrix.md): sidecars do not
notice, the admin says so and is as before when it is back."""

import concurrent.futures
import contextlib
import struct

import pytest
import requests
from harness import platform
from harness.faults import DEADLINE, standing
from harness.network import SlowLink
from harness.platform import expect
from harness.process import wait_until
from harness.split import mongo


def nobody_noticed(load):
    assert {a.status for a in load.answers if a.name != "revoked"} == {200}
    assert {a.status for a in load.seen("revoked")} == {401}


def readiness(program):
    answer = platform.Session(program.metrics_url).get("/platform/monitor/readiness")
    return answer.status_code, answer.json()["mongodb"]


@pytest.mark.parametrize("fault", ["stopped", "halted"])
def test_away(tmp_path, upstream, fault):
    server = mongo()
    with standing(tmp_path, upstream) as stand:
        admin = stand.split.admin_program
        with stand.load() as load:
            load.wait_for("credits", 200)
            server.stop() if fault == "stopped" else server.halt()
            try:
                wait_until(lambda: readiness(admin) == (503, "disconnected"), DEADLINE,
                           "readiness of the admin")
                answer = stand.write()
                assert (answer.status_code, answer.json()["error_code"]) == (503, "STORE002")
                assert "store does not answer" in admin.log()
                assert readiness(stand.gateway) == (200, "not_used")
                load.wait_for("credits", 200)
            finally:
                server.start() if fault == "stopped" else server.go_on()
            wait_until(lambda: readiness(admin) == (200, "connected"), DEADLINE, "the admin again")
            wait_until(lambda: stand.write().status_code == 200, DEADLINE, "writes")
            load.wait_for("credits", 200)
        nobody_noticed(load)


@contextlib.contextmanager
def standing_over_a_link(tmp_path, upstream):
    link = SlowLink(mongo().port)

    def through(split):
        split.admin_program.settings["MONGO_DB_URI"] = f"mongodb://127.0.0.1:{link.port}/"

    try:
        with standing(tmp_path, upstream, prepare=through) as stand:
            yield stand, link
    finally:
        link.stop()


def command_on(command, collection):
    """How a command begins in the wire protocol: its name, and the collection, as BSON has them."""
    name = collection.encode() + b"\0"
    return b"\x02" + command.encode() + b"\0" + struct.pack("<i", len(name)) + name


def call(stand, name, user):
    return requests.get(stand.gateway.url + stand.paths[name], headers=stand.fields(user),
                        timeout=30).status_code


def lost(answer):
    assert (answer.status_code, answer.json()["error_code"]) == (503, "STORE002")


def test_a_change_whose_answer_is_lost(tmp_path, upstream):
    """Stored, and nobody was told: what sidecars enforce becomes what the documents say."""
    with standing_over_a_link(tmp_path, upstream) as (stand, link):
        user = stand.make_user()
        platform.subscribe(stand.admin, user, "/".join(stand.paths["deny"].split("/")[3:5]))
        assert call(stand, "deny", user) == 200
        platform.after_write.pop(stand.split.url)
        link.lose = command_on("update", "users")
        lost(stand.admin.put(f"/platform/user/{user.username}", json={"active": False}))
        wait_until(lambda: stand.admin.get(f"/platform/user/{user.username}").status_code == 200,
                   DEADLINE, "the admin again")
        assert not stand.admin.get(f"/platform/user/{user.username}").json()["active"]
        wait_until(lambda: call(stand, "deny", user) == 401, DEADLINE, "the same in the sidecar")
        admin = stand.split.admin_program
        assert "documents.away" in admin.log()
        wait_until(lambda: "policy.restored" in admin.log(), DEADLINE, "the line that tells of it")


def test_a_removal_that_ends_half_way(tmp_path, upstream):
    """The admin goes on: no later API of that name may have the subscriptions of the old one."""
    with standing_over_a_link(tmp_path, upstream) as (stand, link):
        name, version = stand.paths["deny"].split("/")[3:5]
        platform.after_write.pop(stand.split.url)
        link.lose = command_on("delete", "endpoints")
        lost(stand.admin.delete(f"/platform/api/{name}/{version}"))

        def subscribed():
            answer = stand.admin.get(
                f"/platform/subscription/subscriptions/{stand.user.username}")
            return answer.status_code != 200 or f"{name}/{version}" in answer.json()["apis"]

        wait_until(lambda: not subscribed(), DEADLINE, "the end of the subscription")
        wait_until(lambda: "admin.repaired" in stand.split.admin_program.log(), DEADLINE,
                   "the line that tells of it")


def test_slow(tmp_path, upstream):
    with standing_over_a_link(tmp_path, upstream) as (stand, link):
        with stand.load() as load:
            link.delay = 0.2
            name = stand.paths["deny"].split("/")[3]
            expect(stand.admin.put(f"/platform/api/{name}/v1", json={"active": False}), 200)
            load.wait_for("deny", 403)  # what the admin was told, and nothing else
            expect(stand.admin.put(f"/platform/api/{name}/v1", json={"active": True}), 200)
            load.wait_for("deny", 200)
            link.delay = 0.0
    assert {a.status for a in load.answers if a.name in ("allow", "local", "credits")} == {200}


def test_one_of_many_equal_documents_is_stored(tmp_path, upstream):
    with standing(tmp_path, upstream) as stand:
        body = {"role_name": platform.unique("r"), "role_description": "x"}
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: stand.admin.post("/platform/role", json=body),
                                    range(16)))
        assert sorted(a.status_code for a in answers) == [201] + [400] * 15
        assert {a.json()["error_code"] for a in answers if a.status_code == 400} == {"ROLE001"}
