"""start, stop, restart, reload, drain: commands that find a running program by PID_FILE."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import requests

from harness import platform
from harness.config import ConfigFile, generation
from harness.process import Doorman, free_port, program, wait_until

pytestmark = pytest.mark.memory

PATIENCE = 20.0


class Service(Doorman):
    """A doorman that is run by its own commands; what its sanitizers say is in files."""

    def __init__(self, folder, name="doorman", **settings):
        super().__init__(folder, settings, name=name)
        self.pid_file = self.folder / "doorman.pid"

    def environment(self):
        kept = super().environment()
        kept["ASAN_OPTIONS"] += f":log_path={self.folder}/sanitizer"
        kept["UBSAN_OPTIONS"] += f":log_path={self.folder}/sanitizer"
        return kept

    def command(self, *arguments, **more):
        return subprocess.run([program(self.name), *arguments], cwd=self.folder,
                              env={**self.environment(), **more}, capture_output=True, text=True,
                              timeout=90, stdin=subprocess.DEVNULL, check=False)

    @property
    def pid(self):
        return int(self.pid_file.read_text())

    def reports(self):
        return [path.read_text() for path in self.folder.glob("sanitizer*")]

    def answers(self, path="/healthz"):
        try:
            return requests.get(self.metrics_url + path, timeout=5).status_code
        except requests.ConnectionError:
            return None


@pytest.fixture
def service(tmp_path):
    made = Service(tmp_path / "service")
    yield made
    if made.pid_file.exists():
        made.command("stop")
    assert made.reports() == []


def ended(pid):
    """Gone, or waiting for somebody to ask for its exit code."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


# --- start and stop ---


def test_start_returns_when_it_serves_and_stop_when_it_has_ended(service):
    done = service.command("start")
    assert done.returncode == 0 and done.stderr == "", done
    pid = service.pid
    assert done.stdout == f"doorman started, process {pid}\n"
    assert service.answers("/readyz") == 200
    assert os.getsid(pid) == pid  # no terminal can hang it up
    assert service.pid_file.read_text() == f"{pid}\n"  # kill -HUP $(cat doorman.pid)
    done = service.command("stop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "doorman stopped\n", "")
    assert ended(pid) and not service.pid_file.exists()


def test_a_second_start_is_refused(service):
    assert service.command("start").returncode == 0
    pid = service.pid
    done = service.command("start", PORT=str(free_port()), METRICS_PORT=str(free_port()))
    assert done.returncode == 69 and f"already running, process {pid}" in done.stderr
    assert service.pid == pid and service.answers() == 200


def test_a_start_that_fails_tells_why_and_leaves_nothing(service):
    done = service.command("start", JWT_SECRET_KEY="")
    assert done.returncode == 78 and "JWT_SECRET_KEY" in done.stderr
    assert not service.pid_file.exists()
    with socket.create_server(("127.0.0.1", service.metrics_port)):
        done = service.command("start")
    assert done.returncode == 69 and "status port" in done.stderr, done
    assert not service.pid_file.exists()


def test_run_writes_the_file_and_removes_it(start_doorman):
    running = start_doorman()
    file = running.folder / "doorman.pid"
    assert file.read_text() == f"{running.pid}\n"
    assert running.terminate() == 0
    assert not file.exists()


def test_stop_waits_for_the_drain(service, start_upstream):
    """A call that is under way gets its answer, and stop returns after it."""
    assert service.command("start").returncode == 0
    entered, leave = threading.Event(), threading.Event()

    def slow(request):
        entered.set()
        leave.wait(PATIENCE)
        return 200, {}, b"whole"

    published = publish(service, start_upstream(slow))
    answers = []
    caller = threading.Thread(target=lambda: answers.append(published()))
    caller.start()
    entered.wait(PATIENCE)
    with subprocess.Popen([program(), "stop"], cwd=service.folder, env=service.environment(),
                          stdout=subprocess.PIPE, text=True) as stopping:
        wait_until(lambda: service.answers("/readyz") in (503, None), PATIENCE, "the drain")
        assert stopping.poll() is None and service.pid_file.exists()
        leave.set()
        caller.join()
        assert stopping.communicate(timeout=60)[0] == "doorman stopped\n"
        assert stopping.returncode == 0
    assert answers[0].status_code == 200 and answers[0].text == "whole"


def publish(service, upstream):
    admin = platform.login(service.url)
    user = platform.make_user(admin)
    api = platform.make_api(admin, upstream.url)
    platform.make_endpoint(admin, api, "/slow")
    platform.subscribe(admin, user, api)
    return lambda: user.get(platform.rest_path(api, "/slow"))


def test_stop_of_nobody_is_fine_and_the_others_say_so(service):
    done = service.command("stop")
    assert (done.returncode, done.stdout) == (0, "doorman is not running\n")
    for name in ("reload", "drain"):
        done = service.command(name)
        assert done.returncode == 69 and "not running" in done.stderr


def test_a_stale_file_names_nobody(service):
    """kill -9 leaves it behind; a new start takes it over."""
    assert service.command("start").returncode == 0
    pid = service.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: ended(pid), PATIENCE, "its end")
    assert service.pid_file.exists()
    assert service.command("stop").stdout == "doorman is not running\n"
    done = service.command("start")
    assert done.returncode == 0 and service.answers("/readyz") == 200


@pytest.mark.parametrize("text", ["{pid}\n", "", "-1\n", "0\n", "1\n", "no number", "9" * 40])
def test_a_foreign_process_is_never_touched(service, text):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as foreign:
        service.pid_file.write_text(text.format(pid=foreign.pid))
        for name, code in (("stop", 0), ("reload", 69), ("drain", 69)):
            assert service.command(name).returncode == code
        assert foreign.poll() is None
        assert service.command("start").returncode == 0
        assert foreign.poll() is None and service.pid != foreign.pid
        foreign.stdin.close()


def test_a_link_in_its_place_is_not_followed(service):
    victim = service.folder / "victim"
    victim.write_text("precious")
    service.pid_file.symlink_to(victim)
    done = service.command("start")
    assert done.returncode == 0 and victim.read_text() == "precious"
    log = service.folder / "logs/doorman.log"
    wait_until(lambda: "PID_FILE could not be written" in log.read_text(), PATIENCE, "the line")
    service.pid_file.unlink()
    pid, = [int(word) for word in done.stdout.split() if word.isdigit()]
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: ended(pid), PATIENCE, "its end")


def test_stop_tells_an_end_that_was_not_orderly(service):
    assert service.command("start").returncode == 0
    pid = service.pid
    os.kill(pid, signal.SIGSTOP)
    with subprocess.Popen([program(), "stop"], cwd=service.folder, env=service.environment(),
                          stderr=subprocess.PIPE, text=True) as stopping:
        wait_until(lambda: pending(pid, signal.SIGTERM), PATIENCE, "the signal")
        os.kill(pid, signal.SIGKILL)
        assert "orderly" in stopping.communicate(timeout=60)[1]
        assert stopping.returncode == 70


def pending(pid, number):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        masks = [int(line.split()[1], 16) for line in status if line.startswith("ShdPnd")]
    return masks[0] >> (number - 1) & 1


def test_stop_works_with_settings_that_would_not_start(service):
    """A shell without the secrets, or a file with a fault, must not keep anybody from stopping."""
    assert service.command("start").returncode == 0
    done = service.command("stop", JWT_SECRET_KEY="", LOG_LEVEL="LOUD")
    assert (done.returncode, done.stdout) == (0, "doorman stopped\n")


# --- restart ---


def test_restart_is_another_process(service):
    assert service.command("start").returncode == 0
    before = service.pid
    done = service.command("restart")
    assert done.returncode == 0 and "doorman stopped" in done.stdout
    assert service.pid != before and ended(before) and service.answers("/readyz") == 200
    service.command("stop")
    assert service.command("restart").returncode == 0 and service.answers("/readyz") == 200


def test_restart_with_faults_stops_nothing(service):
    assert service.command("start").returncode == 0
    before = service.pid
    done = service.command("restart", LOG_LEVEL="LOUD")
    assert done.returncode == 78 and "LOG_LEVEL" in done.stderr
    assert service.pid == before and service.answers("/readyz") == 200


# --- reload ---


@pytest.fixture
def configured(tmp_path):
    file = ConfigFile(tmp_path / "config", "max_page_size: 50\n")
    made = Service(tmp_path / "service", DOORMAN_CONFIG_FILE=file.path, CONFIG_WATCH="false")
    made.file = file
    assert made.command("start").returncode == 0
    yield made
    made.command("stop")
    assert made.reports() == []


def test_reload_answers_what_changed(configured):
    configured.file.write("max_page_size: 60\nredis: {db: 1}\n")
    done = configured.command("reload")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == ("doorman reloaded, generation 2\nchanged: MAX_PAGE_SIZE\n"
                           "restart_required: REDIS_DB\n")
    assert configured.command("reload").stdout.startswith("doorman reloaded, generation 3\n")
    assert generation(configured) == 3


def test_reload_answers_every_fault_with_its_place(configured):
    configured.file.write("max_page_size: none\nnosuch: 1\nlocal_auth_token: canary\n")
    done = configured.command("reload")
    assert done.returncode == 78 and done.stdout == ""
    assert "configuration is invalid, keeping generation 1" in done.stderr
    assert f"{configured.file.path}:1:16: MAX_PAGE_SIZE: " in done.stderr
    assert f"{configured.file.path}:2:1: nosuch: unknown key" in done.stderr
    assert "LOCAL_AUTH_TOKEN" in done.stderr and "canary" not in done.stderr
    outcome = configured.folder / "doorman.pid.reload"
    assert "canary" not in outcome.read_text()
    # the same edit must not make a living process look dead
    assert configured.command("healthcheck").returncode == 0
    configured.file.write("max_page_size: 61\n")
    assert configured.command("reload").returncode == 0
    assert configured.command("stop").returncode == 0
    assert not outcome.exists()


def test_reloads_at_once_are_all_answered(configured):
    configured.file.write("max_page_size: 62\n")
    commands = [subprocess.Popen([program(), "reload"], cwd=configured.folder,
                                 env=configured.environment(), stdout=subprocess.PIPE, text=True)
                for _ in range(4)]
    for command in commands:
        assert "reloaded, generation" in command.communicate(timeout=60)[0]
        assert command.returncode == 0


# --- drain ---


def test_drain_is_not_ready_but_serves_until_stop(service):
    assert service.command("start").returncode == 0
    done = service.command("drain")
    assert (done.returncode, done.stderr) == (0, "") and "drains" in done.stdout
    assert service.answers("/readyz") == 503 and service.answers("/healthz") == 200
    assert requests.get(service.url + "/platform/authorization/mode", timeout=5).status_code == 200
    assert service.metrics()["doorman_draining"] == 1
    assert service.command("drain").returncode == 0  # twice is fine
    pid = service.pid
    assert not ended(pid)
    assert service.command("stop").returncode == 0 and ended(pid)


def test_drain_stays_as_long_as_it_is_told_but_no_longer_than_the_process(service):
    """As a preStop hook on clusters that cannot sleep (helm, doorman.preStop)."""
    assert service.command("start").returncode == 0
    hook = subprocess.Popen([program(), "drain", "--wait", "3600"], cwd=service.folder,
                            env=service.environment(), stdout=subprocess.PIPE, text=True)
    assert "drains" in hook.stdout.readline()
    begin = time.monotonic()
    assert service.command("drain", "--wait", "1").returncode == 0
    assert time.monotonic() - begin >= 1 and hook.poll() is None
    assert service.command("stop").returncode == 0
    hook.communicate(timeout=60)
    assert hook.returncode == 0
    for wrong in ("-1", "1h", "3601", ""):
        assert service.command("drain", "--wait", wrong).returncode == 64, wrong


# --- all three programs ---


@pytest.mark.parametrize("name", ["doorman", "doorman-gateway", "doorman-admin"])
def test_every_program_has_the_commands(tmp_path, name):
    made = Service(tmp_path, name=name)
    text = made.command("--help").stdout
    for word in ("run", "start", "stop", "restart", "reload", "drain", "check-config",
                 "healthcheck", "version"):
        assert f"\n  {word} " in text, word
    assert made.command("stop").stdout == f"{name} is not running\n"
    assert made.command("drain").returncode == 69
