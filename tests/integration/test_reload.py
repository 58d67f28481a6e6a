"""Configuration reload (configuration.md §5): triggers, outcomes, and what is told about them."""

import signal

import pytest
import requests

from harness.config import ConfigFile, changes, generation, reloads
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


def hang_up(program):
    """SIGHUP, and the end of the run that it caused."""
    before = reloads(program, "success") + reloads(program, "failure")
    program.signal(signal.SIGHUP)
    wait_until(lambda: reloads(program, "success") + reloads(program, "failure") > before,
               PATIENCE, "a reload")


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
