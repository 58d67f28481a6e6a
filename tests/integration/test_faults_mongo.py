"""MongoDB breaks under load, with the real programs (docs/failure-matrix.md): sidecars do not
notice, the admin says so and is as before when it is back."""

import concurrent.futures

import pytest
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


def test_slow(tmp_path, upstream):
    link = SlowLink(mongo().port)

    def through(split):
        split.admin_program.settings["MONGO_DB_URI"] = f"mongodb://127.0.0.1:{link.port}/"

    try:
        with standing(tmp_path, upstream, prepare=through) as stand, stand.load() as load:
            link.delay = 0.2
            name = stand.paths["deny"].split("/")[3]
            expect(stand.admin.put(f"/platform/api/{name}/v1", json={"active": False}), 200)
            load.wait_for("deny", 403)  # what the admin was told, and nothing else
            expect(stand.admin.put(f"/platform/api/{name}/v1", json={"active": True}), 200)
            load.wait_for("deny", 200)
            link.delay = 0.0
    finally:
        link.stop()
    assert {a.status for a in load.answers if a.name in ("allow", "local", "credits")} == {200}


def test_one_of_many_equal_documents_is_stored(tmp_path, upstream):
    with standing(tmp_path, upstream) as stand:
        body = {"role_name": platform.unique("r"), "role_description": "x"}
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: stand.admin.post("/platform/role", json=body),
                                    range(16)))
        assert sorted(a.status_code for a in answers) == [201] + [400] * 15
        assert {a.json()["error_code"] for a in answers if a.status_code == 400} == {"ROLE001"}
