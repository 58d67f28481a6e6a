"""Configuration reload (configuration.md §5): triggers, outcomes, and what is told about them."""

import re
import signal

import pytest
import requests

from harness import platform
from harness.config import ConfigFile, ConfigMap, changes, generation, reloads
from harness.process import wait_until

pytestmark = pytest.mark.memory

PATIENCE = 20.0


def frame_options(program):
    """A hot setting that every answer shows."""
    return requests.get(f"{program.url}/nowhere", timeout=10).headers.get("X-Frame-Options")


def options(value, more=""):
    return f"security_header: {{x_frame_options: {value}}}\n{more}"


@pytest.fixture
def file(tmp_path):
    return ConfigFile(tmp_path / "config", options("DENY"))


@pytest.fixture
def quiet(start_doorman, file):
    """A doorman that only reloads when it is asked to."""
    return start_doorman(DOORMAN_CONFIG_FILE=file.path, CONFIG_WATCH="false")


def ended(program):
    """How many runs ended: the audit event is the last thing a run tells."""
    return program.log().count('"action":"config.reload"')


def hang_up(program):
    """SIGHUP, and the end of the run that it caused."""
    before = ended(program)
    program.signal(signal.SIGHUP)
    wait_until(lambda: ended(program) > before, PATIENCE, "a reload")


def test_sighup_takes_over_a_hot_setting(quiet, file):
    assert frame_options(quiet) == "DENY" and generation(quiet) == 1
    file.write(options("SAMEORIGIN"))
    hang_up(quiet)
    assert frame_options(quiet) == "SAMEORIGIN" and generation(quiet) == 2
    log = quiet.log()
    assert log.index("SIGHUP received: reloading configuration...") \
        < log.index("Config changed: SECURITY_HEADER_X_FRAME_OPTIONS = DENY -> SAMEORIGIN") \
        < log.index("Configuration reload complete")
    assert changes(log) == [("SECURITY_HEADER_X_FRAME_OPTIONS", "DENY -> SAMEORIGIN")]
    samples = quiet.metrics()
    assert samples['doorman_config_reload_total{result="success"}'] == 1
    assert samples["doorman_config_last_reload_successful"] == 1
    assert samples["doorman_config_last_reload_success_timestamp_seconds"] > 1.7e9
    assert samples["doorman_config_restart_required"] == 0


# --- outcomes ---


def faults(program):
    """The lines that tell why a reload failed, without what stands before the sentence."""
    return re.findall(r"Configuration reload failed: [^\n]*?keeping generation \d+", program.log())


def test_unchanged_settings_are_a_success_that_changes_nothing(quiet):
    hang_up(quiet)
    assert generation(quiet) == 2 and changes(quiet.log()) == []
    assert "Configuration reload complete" in quiet.log()


def test_an_invalid_file_keeps_everything_and_tells_every_fault(quiet, file):
    file.write("security_header: {x_frame_options: SAMEORIGIN}\n"
               "log:\n  level: LOUD\nmax:\n  page_size: 0\nnosuch: 1\n")
    hang_up(quiet)
    assert frame_options(quiet) == "DENY" and changes(quiet.log()) == []
    told = sorted(faults(quiet))
    assert len(told) == 3, told
    for line, place, key in zip(told, ("3:10", "5:14", "6:1"),
                                ("LOG_LEVEL", "MAX_PAGE_SIZE", "nosuch")):
        assert line.startswith(f"Configuration reload failed: {file.path}:{place}: {key}: "), line
        assert line.endswith("; keeping generation 1"), line
        assert "; expected " in line, line
    samples = quiet.metrics()
    assert samples['doorman_config_reload_total{result="failure"}'] == 1
    assert samples["doorman_config_last_reload_successful"] == 0
    assert samples["doorman_config_generation"] == 1
    assert requests.get(f"{quiet.url}/readyz", timeout=10).status_code == 200
    audit = [line for line in quiet.log().splitlines() if '"config.reload"' in line]
    assert audit and '"failure"' in audit[-1] and '"sighup"' in audit[-1]
    # and the next good one is taken over
    file.write(options("SAMEORIGIN"))
    hang_up(quiet)
    assert frame_options(quiet) == "SAMEORIGIN" and generation(quiet) == 2
    assert quiet.metrics()["doorman_config_last_reload_successful"] == 1


@pytest.mark.parametrize("text, place", [
    ("log: {level: INFO\n", "2:1"),
    ("log:\n  level: INFO\n  level: DEBUG\n", "3:3"),
    ("- a\n- list\n", "1:1"),
    ("max_page_size: 5\n\tlog_level: INFO\n", "2:1"),
], ids=["half-written", "twice", "no mapping", "tab"])
def test_what_is_no_document_is_told_with_its_place(quiet, file, text, place):
    file.write(text)
    hang_up(quiet)
    told, = faults(quiet)
    assert told.startswith(f"Configuration reload failed: {file.path}:{place}: "), told
    assert generation(quiet) == 1 and frame_options(quiet) == "DENY"


def test_a_file_over_one_mebibyte_is_refused(quiet, file):
    file.write(options("SAMEORIGIN") + "# " + "x" * (1 << 20) + "\n")
    hang_up(quiet)
    told, = faults(quiet)
    assert str(file.path) in told and generation(quiet) == 1
    assert frame_options(quiet) == "DENY"


def test_a_file_that_vanished_keeps_everything(quiet, file):
    file.path.unlink()
    hang_up(quiet)
    assert any(str(file.path) in line for line in faults(quiet))
    assert generation(quiet) == 1 and frame_options(quiet) == "DENY"
    file.write(options("SAMEORIGIN"))
    hang_up(quiet)
    assert frame_options(quiet) == "SAMEORIGIN"


def test_restart_only_keys_are_named_and_kept(quiet, file):
    file.write(options("SAMEORIGIN", "redis: {db: 3}\nmax: {connections: 500, page_size: 7}\n"))
    hang_up(quiet)
    log = quiet.log()
    assert changes(log) == [("SECURITY_HEADER_X_FRAME_OPTIONS", "DENY -> SAMEORIGIN"),
                            ("MAX_PAGE_SIZE", "100 -> 7")] \
        or sorted(changes(log)) == [("MAX_PAGE_SIZE", "100 -> 7"),
                                    ("SECURITY_HEADER_X_FRAME_OPTIONS", "DENY -> SAMEORIGIN")]
    assert quiet.metrics()["doorman_config_restart_required"] == 2
    for key in ("REDIS_DB", "MAX_CONNECTIONS"):
        assert re.search(rf"a restart is needed.*{key}", log), key
    # put back, nothing waits for a restart any more
    file.write(options("SAMEORIGIN"))
    hang_up(quiet)
    assert quiet.metrics()["doorman_config_restart_required"] == 0


def test_the_environment_wins_over_the_file(start_doorman, file):
    running = start_doorman(DOORMAN_CONFIG_FILE=file.path, CONFIG_WATCH="false",
                            SECURITY_HEADER_X_FRAME_OPTIONS="FROM-ENV")
    file.write(options("SAMEORIGIN"))
    hang_up(running)
    assert frame_options(running) == "FROM-ENV" and changes(running.log()) == []


def test_the_log_level_is_hot_both_ways_and_the_reload_is_heard(quiet, file):
    file.write(options("DENY", "log: {level: ERROR}\n"))
    hang_up(quiet)
    assert "Config changed: LOG_LEVEL = INFO -> ERROR" in quiet.log()
    assert quiet.log().count("Configuration reload complete") == 1
    file.write(options("DENY", "log: {level: DEBUG}\n"))
    hang_up(quiet)
    assert "Config changed: LOG_LEVEL = ERROR -> DEBUG" in quiet.log()
    assert quiet.log().count("Configuration reload complete") == 2


# --- secrets ---


def test_a_secret_in_a_file_of_its_own_is_swapped_and_never_shown(start_doorman, tmp_path):
    secret = tmp_path / "jwt"
    secret.write_text("first-secret-0123456789abcdef0123456789\n")
    running = start_doorman(JWT_SECRET_KEY=None, JWT_SECRET_KEY_FILE=secret,
                            CONFIG_DEBOUNCE_MS="20", CONFIG_POLL_SECONDS="0")
    admin = platform.login(running.url)
    assert admin.get("/platform/user/me").status_code == 200
    loaded = 'doorman_key_loaded_timestamp_seconds{key="JWT_SECRET_KEY"}'
    assert running.metrics()[loaded] > 1.7e9
    secret.write_text("second-secret-0123456789abcdef012345678\n")
    wait_until(lambda: generation(running) == 2, PATIENCE, "the new secret")
    assert admin.get("/platform/user/me").status_code == 401
    assert platform.login(running.url).get("/platform/user/me").status_code == 200
    assert "Config changed: JWT_SECRET_KEY = [REDACTED]" in running.log()
    assert "first-secret" not in running.log() and "second-secret" not in running.log()


def test_a_secret_that_is_no_good_keeps_the_old_one(start_doorman, tmp_path):
    secret = tmp_path / "jwt"
    secret.write_text("first-secret-0123456789abcdef0123456789\n")
    running = start_doorman(JWT_SECRET_KEY=None, JWT_SECRET_KEY_FILE=secret, CONFIG_WATCH="false")
    admin = platform.login(running.url)
    for text in ("canary" * 1000, None):
        secret.write_text(text) if text else secret.unlink()
        hang_up(running)
        assert admin.get("/platform/user/me").status_code == 200
    assert len(faults(running)) == 2 and "canary" not in running.log()
    assert generation(running) == 1


def test_a_secret_in_the_file_is_never_shown(quiet, file):
    for value in ("canary-one-0123456789", "canary-two-0123456789"):
        file.write(options("DENY", f"local_auth_token: {value * 3}\n"))
        hang_up(quiet)
    log = quiet.log()
    assert "Config changed: LOCAL_AUTH_TOKEN = [REDACTED]" in log
    assert "canary-" not in log
    assert quiet.metrics()['doorman_config_warning{key="LOCAL_AUTH_TOKEN"}'] == 1
    file.write(options("DENY"))
    hang_up(quiet)
    assert quiet.metrics()['doorman_config_warning{key="LOCAL_AUTH_TOKEN"}'] == 0


# --- the watch ---


QUICK = {"CONFIG_DEBOUNCE_MS": "20", "CONFIG_POLL_SECONDS": "0"}  # inotify alone


def taken(program, number):
    wait_until(lambda: generation(program) >= number, PATIENCE, f"generation {number}")


def test_a_file_that_is_written_is_noticed(start_doorman, file):
    running = start_doorman(DOORMAN_CONFIG_FILE=file.path, **QUICK)
    file.write(options("SAMEORIGIN"))
    taken(running, 2)
    assert frame_options(running) == "SAMEORIGIN"
    wait_until(lambda: "Configuration reload complete" in running.log(), PATIENCE, "its line")
    assert "Configuration reload requested: source=file" in running.log()


def test_a_file_that_is_replaced_is_noticed(start_doorman, file):
    running = start_doorman(DOORMAN_CONFIG_FILE=file.path, **QUICK)
    for number, value in enumerate(("ONE", "TWO", "THREE"), 2):
        file.replace(options(value))
        taken(running, number)
        assert frame_options(running) == value


def test_a_configmap_that_is_swapped_is_noticed(start_doorman, tmp_path):
    volume = ConfigMap(tmp_path / "volume", options("DENY"))
    running = start_doorman(DOORMAN_CONFIG_FILE=volume.path, **QUICK)
    for number, value in enumerate(("ONE", "TWO", "THREE"), 2):
        volume.swap(options(value))
        taken(running, number)
        assert frame_options(running) == value


def test_a_swap_without_a_change_is_no_reload(start_doorman, tmp_path):
    volume = ConfigMap(tmp_path / "volume", options("DENY"))
    running = start_doorman(DOORMAN_CONFIG_FILE=volume.path, **QUICK)
    volume.swap(options("DENY"))
    volume.swap(options("SAMEORIGIN"))
    taken(running, 2)
    assert reloads(running, "success") == 1


def test_a_broken_edit_is_told_once_and_its_repair_taken_over(start_doorman, file):
    running = start_doorman(DOORMAN_CONFIG_FILE=file.path, CONFIG_DEBOUNCE_MS="20",
                            CONFIG_POLL_SECONDS="5")
    file.write("log: {level: LOUD}\n")
    wait_until(lambda: reloads(running, "failure") == 1, PATIENCE, "the failed reload")
    file.replace("log: {level: LOUD}\n")  # the same again: nothing new to tell
    file.replace(options("SAMEORIGIN"))
    taken(running, 2)
    assert frame_options(running) == "SAMEORIGIN" and reloads(running, "failure") == 1


def test_a_directory_that_goes_and_comes_back_is_watched_again(start_doorman, tmp_path):
    file = ConfigFile(tmp_path / "config", options("DENY"))
    running = start_doorman(DOORMAN_CONFIG_FILE=file.path, **QUICK)
    (tmp_path / "config").rename(tmp_path / "away")
    wait_until(lambda: reloads(running, "failure") == 1, PATIENCE, "the missing file")
    assert frame_options(running) == "DENY" and generation(running) == 1
    ConfigFile(tmp_path / "config", options("BACK"))
    taken(running, 2)
    assert frame_options(running) == "BACK"
    file.replace(options("AGAIN"))
    taken(running, 3)
    assert frame_options(running) == "AGAIN"


def test_the_poll_finds_what_no_event_told(start_doorman, tmp_path):
    """The name is a link into a directory that nobody watches."""
    target = ConfigFile(tmp_path / "elsewhere", options("DENY"))
    link = tmp_path / "config" / "doorman.yaml"
    link.parent.mkdir()
    link.symlink_to(target.path)
    running = start_doorman(DOORMAN_CONFIG_FILE=link, CONFIG_DEBOUNCE_MS="20",
                            CONFIG_POLL_SECONDS="5")
    target.write(options("SAMEORIGIN"))
    taken(running, 2)
    assert frame_options(running) == "SAMEORIGIN"


def test_without_the_watch_only_orders_count(quiet, file):
    file.write(options("SAMEORIGIN"))
    assert frame_options(quiet) == "DENY"
    hang_up(quiet)
    assert frame_options(quiet) == "SAMEORIGIN" and reloads(quiet, "success") == 1


def test_what_changed_while_it_started_is_noticed(start_doorman, tmp_path, file):
    """A hundred changes without a pause end in the last one, whatever was read in between."""
    running = start_doorman(ready=False, DOORMAN_CONFIG_FILE=file.path, **QUICK)
    for n in range(100):
        file.replace(options(f"N{n}"))
    wait_until(running.is_ready, PATIENCE, "readiness")
    wait_until(lambda: frame_options(running) == "N99", PATIENCE, "the last change")
