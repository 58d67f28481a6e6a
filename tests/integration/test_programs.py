"""The three programs as an operator meets them: commands, roles, ports, what each one links."""

import json
import re
import socket
import subprocess

import pytest

from harness import platform
from harness.process import Doorman, program, wait_until

PROGRAMS = ["doorman", "doorman-gateway", "doorman-admin"]
ROLES = {"doorman": "all", "doorman-gateway": "gateway", "doorman-admin": "admin"}
PORTS = {"doorman": 5001, "doorman-gateway": 5001, "doorman-admin": 3001}
# What belongs to the admin deployment alone (design: the sidecar links little).
NOT_IN_A_SIDECAR = re.compile(r"lib(microhttpd|mongoc|bson|curl|xml2|protobuf|sodium)\b")
UNREACHABLE = {"REDIS_URL": "redis://127.0.0.1:9", "MONGO_DB_URI": "mongodb://127.0.0.1:9",
               "MONGO_SERVER_SELECTION_TIMEOUT_MS": "100"}


def settings(name, **more):
    mode = "MEM" if name == "doorman" else "REDIS"
    return {"MEM_OR_EXTERNAL": mode, **({} if name == "doorman" else UNREACHABLE), **more}


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def run(folder, name, *arguments, deadline=60, **more):
    """A command that ends by itself: exit code, standard output and error as one text."""
    started = Doorman(folder, settings(name, **more), arguments, name=name).spawn()
    code = started.wait(deadline)
    started.check_log()
    return code, started.log()


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_says_what_it_is(tmp_path, name):
    assert run(tmp_path / "a", name, "version")[1].startswith(name + " ")
    code, text = run(tmp_path / "b", name, "--help")
    assert code == 0 and f"usage: {name} [COMMAND]" in text
    assert ("\n  migrate " in text) == (name == "doorman-admin")


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_unknown_command_is_a_usage_error(tmp_path, name):
    code, text = run(tmp_path, name, "conjure")
    assert code == 64 and f'{name}: unknown command "conjure"' in text


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_takes_its_own_role_and_mode_only(tmp_path, name):
    assert run(tmp_path / "own", name, "check-config", DOORMAN_ROLE=ROLES[name])[0] == 0
    for other in set(ROLES.values()) - {ROLES[name]}:
        code, text = run(tmp_path / other, name, "check-config", DOORMAN_ROLE=other)
        assert code == 78 and "DOORMAN_ROLE" in text
    wrong = "REDIS" if name == "doorman" else "MEM"
    code, text = run(tmp_path / "mode", name, "check-config", MEM_OR_EXTERNAL=wrong)
    assert code == 78 and "MEM_OR_EXTERNAL" in text


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_default_ports_are_the_programs_own(tmp_path, name):
    code, text = run(tmp_path, name, "--print-settings", "--json", PORT=None, METRICS_PORT=None)
    assert code == 0
    shown = json.loads(text[text.index("{"):])

    def value(key):
        return shown[key]["value"] if isinstance(shown[key], dict) else shown[key]

    assert int(value("PORT")) == PORTS[name] and int(value("METRICS_PORT")) == 9464


def test_the_sidecar_links_nothing_of_the_admin():
    def needed(name):
        text = subprocess.run(["readelf", "-d", str(program(name))], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        return "\n".join(line for line in text.splitlines() if "(NEEDED)" in line)

    assert not NOT_IN_A_SIDECAR.search(needed("doorman-gateway"))
    assert "libhiredis" in needed("doorman-gateway")
    assert "libmicrohttpd" in needed("doorman-admin") and "libmongoc" in needed("doorman-admin")
    assert not re.search(r"lib(mongoc|hiredis)", needed("doorman"))
    symbols = subprocess.run(["nm", str(program("doorman-gateway"))], text=True,
                             stdout=subprocess.PIPE, check=False).stdout
    assert " adm_" not in symbols
    symbols = subprocess.run(["nm", str(program("doorman-admin"))], text=True,
                             stdout=subprocess.PIPE, check=False).stdout
    assert " gw_" not in symbols


@pytest.mark.parametrize("name", ["doorman-gateway", "doorman-admin"])
def test_stores_that_stay_away_end_the_start_with_69(tmp_path, name):
    code, text = run(tmp_path, name, "run", STARTUP_TIMEOUT_SECONDS=1)
    assert code == 69
    faults = [line for line in text.splitlines() if line.startswith("Failed to start server: ")]
    assert len(faults) == 1 and ("Redis" in faults[0] or "MongoDB" in faults[0])


@pytest.mark.parametrize("name", ["doorman-gateway", "doorman-admin"])
def test_while_it_waits_for_stores_it_lives_is_not_ready_and_can_be_stopped(tmp_path, name):
    waiting = Doorman(tmp_path, settings(name, STARTUP_TIMEOUT_SECONDS=600), name=name).spawn()
    try:
        wait_until(lambda: listens(waiting.metrics_port), 30, "status port")
        probe = platform.Session(waiting.metrics_url)
        assert probe.get("/healthz").status_code == 200
        ready = probe.get("/platform/monitor/readiness")
        assert ready.status_code == 503 and ready.json()["redis"] == "disconnected"
        assert ready.json()["mongodb"] == \
            ("not_used" if name == "doorman-gateway" else "disconnected")
    finally:
        code = waiting.terminate()
    waiting.check_log()
    assert code == 0


def test_migrate_tells_an_unreachable_database(tmp_path):
    code, text = run(tmp_path, "doorman-admin", "migrate")
    assert code == 69 and "MongoDB" in text
