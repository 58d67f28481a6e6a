"""/platform/config/current, /reload and /reloadable-keys (configuration.md §5.3)."""

import threading

import pytest
import requests

from harness import platform
from harness.config import ConfigFile, changes
from harness.platform import unique
from harness.process import JWT_SECRET, wait_until

pytestmark = pytest.mark.memory

REFERENCE = {"status_code": 200, "response_headers": None, "message": None, "error_code": None,
             "error_message": None}
ROUTES = [("GET", "/platform/config/current"), ("POST", "/platform/config/reload"),
          ("GET", "/platform/config/reloadable-keys")]
ORIGINAL_KEYS = """LOG_LEVEL LOG_FORMAT LOG_FILE GATEWAY_TIMEOUT UPSTREAM_TIMEOUT
CONNECTION_TIMEOUT RATE_LIMIT_ENABLED RATE_LIMIT_REQUESTS RATE_LIMIT_WINDOW CACHE_TTL CACHE_MAX_SIZE
CIRCUIT_BREAKER_ENABLED CIRCUIT_BREAKER_THRESHOLD CIRCUIT_BREAKER_TIMEOUT RETRY_ENABLED
RETRY_MAX_ATTEMPTS RETRY_BACKOFF METRICS_ENABLED METRICS_INTERVAL FEATURE_REQUEST_REPLAY
FEATURE_AB_TESTING FEATURE_COST_ANALYTICS""".split()


@pytest.fixture
def file(tmp_path):
    return ConfigFile(tmp_path / "config", "max_page_size: 50\n")


@pytest.fixture
def running(start_doorman, file):
    return start_doorman(DOORMAN_CONFIG_FILE=file.path, CONFIG_WATCH="false",
                         COMPRESSION_LEVEL="4")


@pytest.fixture
def boss(running):
    return platform.login(running.url)


def data(answer, status=200):
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


# --- current ---


def test_current_tells_values_origins_and_how_to_reload(boss, running):
    answer = boss.get("/platform/config/current")
    body = data(answer)
    assert {key: answer.json()[key] for key in REFERENCE} == REFERENCE
    assert answer.json()["response"] == body
    assert body["source"] == "Environment variables override config file values"
    assert body["reload_command"] == "kill -HUP $(cat doorman.pid)"
    assert body["generation"] == 1 and body["restart_required"] == []
    assert body["last_reload"] is None
    config, origin = body["config"], body["origin"]
    assert (config["MAX_PAGE_SIZE"], origin["MAX_PAGE_SIZE"]) == (50, "file")
    assert (config["COMPRESSION_LEVEL"], origin["COMPRESSION_LEVEL"]) == (4, "env")
    assert (config["LOG_LEVEL"], origin["LOG_LEVEL"]) == ("INFO", "default")
    assert config["JWT_SECRET_KEY"] == "[REDACTED]" and config["VAULT_KEY"] is None
    assert config.keys() == origin.keys() and len(config) > 250
    assert JWT_SECRET not in answer.text


def test_current_tells_the_bypass_that_the_store_holds(boss):
    body = data(boss.get("/platform/config/current"))
    assert body["origin"]["LOCAL_HOST_IP_BYPASS"] == "store"
    assert body["config"]["LOCAL_HOST_IP_BYPASS"] is True
    answer = boss.put("/platform/security/settings", json={"allow_localhost_bypass": False})
    assert answer.status_code == 200
    body = data(boss.get("/platform/config/current"))
    assert body["config"]["LOCAL_HOST_IP_BYPASS"] is False


# --- reload ---


def test_reload_takes_over_and_tells(boss, file):
    file.write("max_page_size: 60\ncompression_level: 9\nredis: {db: 2}\n")
    answer = boss.post("/platform/config/reload")
    body = data(answer)
    assert {key: answer.json()[key] for key in REFERENCE} == REFERENCE
    assert body["message"] == "Configuration reloaded successfully"
    assert body["config"]["MAX_PAGE_SIZE"] == 60 and body["config"]["REDIS_DB"] == 0
    assert body["changed"] == ["MAX_PAGE_SIZE"] and body["restart_required"] == ["REDIS_DB"]
    assert body["overridden_by_env"] == ["COMPRESSION_LEVEL"] and body["generation"] == 2
    assert boss.get("/platform/user/all?page_size=60").status_code == 200
    body = data(boss.get("/platform/config/current"))
    assert body["generation"] == 2 and body["restart_required"] == ["REDIS_DB"]
    last = body["last_reload"]
    assert (last["source"], last["result"], last["errors"]) == ("http", "success", [])
    assert last["time"].endswith("Z")


def test_an_invalid_file_is_400_with_every_fault(boss, running, file):
    file.write("max_page_size: none\nnosuch: 1\n")
    answer = boss.post("/platform/config/reload")
    body = data(answer, 400)
    whole = answer.json()
    assert whole["error_code"] == "CFG010" and whole["error_message"]
    assert whole["status_code"] == 400
    assert body["generation"] == 1
    faults = {fault["key"]: fault for fault in body["errors"]}
    assert faults.keys() == {"MAX_PAGE_SIZE", "nosuch"}
    assert faults["MAX_PAGE_SIZE"] == {
        "key": "MAX_PAGE_SIZE", "file": str(file.path), "line": 1, "column": 16,
        "reason": faults["MAX_PAGE_SIZE"]["reason"], "expected": "an integer from 1 to 10000"}
    assert faults["MAX_PAGE_SIZE"]["reason"]
    assert (faults["nosuch"]["line"], faults["nosuch"]["column"]) == (2, 1)
    body = data(boss.get("/platform/config/current"))
    assert body["generation"] == 1 and body["config"]["MAX_PAGE_SIZE"] == 50
    assert body["last_reload"]["result"] == "failure" and len(body["last_reload"]["errors"]) == 2
    assert running.metrics()['doorman_config_reload_total{result="failure"}'] == 1


def test_an_invalid_file_as_a_problem(boss, file):
    file.write("nosuch: 1\n")
    answer = boss.post("/platform/config/reload", headers={"Accept": "application/problem+json"})
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["error_code"] == "CFG010"
    assert answer.json()["data"]["errors"][0]["key"] == "nosuch"


def test_a_fault_never_shows_a_secret(boss, running, file):
    file.write("local_auth_token: canary-secret\n")  # too short
    answer = boss.post("/platform/config/reload")
    assert answer.status_code == 400 and "canary" not in answer.text
    assert answer.json()["data"]["errors"][0]["key"] == "LOCAL_AUTH_TOKEN"
    assert "canary" not in boss.get("/platform/config/current").text
    assert "canary" not in running.log()


def test_reload_without_a_file(start_doorman):
    running = start_doorman()
    body = data(platform.login(running.url).post("/platform/config/reload"))
    assert body["changed"] == [] and body["generation"] == 2


def test_the_caller_is_in_the_audit_trail(boss, running, file):
    assert boss.post("/platform/config/reload").status_code == 200
    file.write("nosuch: 1\n")
    assert boss.post("/platform/config/reload").status_code == 400
    wait_until(lambda: running.log().count('"action":"config.reload"') == 2, 10, "two events")
    events = [line for line in running.log().splitlines() if '"action":"config.reload"' in line]
    assert [('"status":"success"' in line, '"status":"failure"' in line) for line in events] \
        == [(True, False), (False, True)]
    assert all('"username":"admin"' in line and '"source":"http"' in line for line in events)


def test_orders_at_once_are_all_answered_by_runs_that_began_later(boss, running, file):
    """Each answer tells of a run that saw what stood in the file when it was asked for."""
    answers, lock = [], threading.Lock()

    def order():
        answer = boss.post("/platform/config/reload")
        with lock:
            answers.append(answer)

    file.write("max_page_size: 70\n")
    threads = [threading.Thread(target=order) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 16
    assert {answer.json()["data"]["config"]["MAX_PAGE_SIZE"] for answer in answers} == {70}
    runs = running.metrics()['doorman_config_reload_total{result="success"}']
    assert 1 <= runs <= 16
    assert changes(running.log()) == [("MAX_PAGE_SIZE", "50 -> 70")]


# --- reloadable keys ---


def test_reloadable_keys_are_those_of_the_table(boss):
    body = data(boss.get("/platform/config/reloadable-keys"))
    keys = [entry["key"] for entry in body["reloadable_keys"]]
    assert body["total"] == len(keys) == len(set(keys)) and len(body["notes"]) == 4
    assert set(ORIGINAL_KEYS) <= set(keys)
    assert not {"PORT", "THREADS", "MEM_OR_EXTERNAL", "REDIS_URL", "ENV"} & set(keys)
    for entry in body["reloadable_keys"]:
        assert entry.keys() == {"key", "description", "example"} and all(entry.values()), entry
    examples = {entry["key"]: entry["example"] for entry in body["reloadable_keys"]}
    assert examples["LOG_LEVEL"] == "INFO" and examples["JWT_SECRET_KEY"] == "[REDACTED]"


# --- who may ---


@pytest.mark.parametrize("method, path", ROUTES)
def test_nobody_is_401(running, method, path):
    answer = requests.request(method, running.url + path, timeout=10)
    assert answer.status_code == 401 and answer.json() == {"detail": "Unauthorized"}


@pytest.mark.parametrize("method, path", ROUTES)
def test_without_the_permission_is_403(boss, running, method, path):
    answer = platform.make_user(boss).request(method, path)
    assert answer.status_code == 403
    assert answer.json() == {"detail": "Insufficient permissions: manage_gateway required"}
    assert running.metrics()["doorman_config_generation"] == 1


@pytest.mark.parametrize("method, path", ROUTES)
def test_the_permission_alone_is_enough(boss, method, path):
    role = unique("role")
    answer = boss.post("/platform/role", json={"role_name": role, "role_description": "reloads",
                                               "manage_gateway": True})
    assert answer.status_code == 201, answer.text
    assert platform.make_user(boss, role=role).request(method, path).status_code == 200


@pytest.mark.parametrize("method, path", [("DELETE", "/platform/config/current"),
                                          ("GET", "/platform/config/reload"),
                                          ("PUT", "/platform/config/reloadable-keys")])
def test_other_methods_are_405(boss, method, path):
    assert boss.request(method, path).status_code == 405
