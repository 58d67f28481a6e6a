"""The life of the process: command line, start and its faults, signals, drain, dump and restore."""

import pathlib
import signal
import socket
import subprocess
import threading

import pytest

from harness import platform
from harness.process import ADMIN_PASSWORD, Doorman, START_DEADLINE, program, wait_until

pytestmark = pytest.mark.memory

KEY = "a-memory-encryption-key-of-forty-characters"


def command(tmp_path, *arguments, **settings):
    """One command of the program to its end."""
    running = Doorman(tmp_path, settings, arguments)
    return subprocess.run(
        [str(program()), *arguments],
        cwd=tmp_path,
        env=running.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


# --- command line ---


def test_help_and_version(tmp_path):
    done = command(tmp_path, "--help")
    assert done.returncode == 0 and "check-config" in done.stdout and done.stderr == ""
    done = command(tmp_path, "version")
    assert done.returncode == 0 and done.stdout.startswith("doorman ")


@pytest.mark.parametrize("arguments", [["nonsense"], ["run", "twice"], ["--nothing"], ["--config"]])
def test_a_wrong_command_line_is_told(tmp_path, arguments):
    done = command(tmp_path, *arguments)
    assert done.returncode == 64 and "doorman --help" in done.stderr


def test_check_config_tells_every_fault_at_once(tmp_path):
    file = tmp_path / "doorman.yaml"
    file.write_text("log:\n  level: LOUD\nmax:\n  page_size: 0\nnosuch: 1\nport: 80\n")
    done = command(tmp_path, "check-config", "--config", str(file), HTTP_READ_TIMEOUT="soon")
    assert done.returncode == 78
    for part in (
        f"{file}:2:10",
        "LOG_LEVEL",
        f"{file}:4:14",
        "MAX_PAGE_SIZE",
        f"{file}:5:1: unknown key nosuch",
        f"{file}:6:",
        "PORT",
        "HTTP_READ_TIMEOUT",
    ):
        assert part in done.stderr, (part, done.stderr)


def test_check_config_of_good_settings(tmp_path):
    done = command(tmp_path, "check-config")
    assert (done.returncode, done.stdout) == (0, "configuration is valid\n")


def test_check_config_for_production(tmp_path):
    done = command(tmp_path, "check-config", "--env", "production")
    assert done.returncode == 78 and "HTTPS_ONLY" in done.stderr


def test_print_settings_shows_no_secret(tmp_path):
    for arguments in (["--print-settings"], ["--print-settings", "--json"]):
        done = command(tmp_path, *arguments, MEM_ENCRYPTION_KEY=KEY)
        assert (
            done.returncode == 0 and "MAX_PAGE_SIZE" in done.stdout and "[REDACTED]" in done.stdout
        )
        assert KEY not in done.stdout and ADMIN_PASSWORD not in done.stdout


def test_healthcheck_asks_the_running_program(tmp_path, start_doorman):
    running = start_doorman()
    where = {"PORT": str(running.port), "METRICS_PORT": str(running.metrics_port)}
    assert command(tmp_path, "healthcheck", **where).returncode == 0
    assert command(tmp_path, "healthcheck").returncode == 1


# --- starting ---


@pytest.mark.parametrize(
    "settings, code, words",
    [
        ({"DOORMAN_ADMIN_PASSWORD": None}, 78, "DOORMAN_ADMIN_PASSWORD"),
        ({"JWT_SECRET_KEY": None}, 78, "JWT_SECRET_KEY"),
        ({"JWT_KEYS": '[{"kid":"a"}]'}, 78, "JWT_KEYS"),
        ({"THREADS": "2"}, 78, "THREADS"),
        ({"MEM_OR_EXTERNAL": "REDIS"}, 78, "doorman-gateway"),
        ({"DOORMAN_CONFIG_FILE": "/nonexistent/doorman.yaml"}, 78, "/nonexistent/doorman.yaml"),
        (
            {"JWT_SECRET_KEY": None, "JWT_SECRET_KEY_FILE": "/nonexistent/key"},
            78,
            "/nonexistent/key",
        ),
    ],
)
def test_a_bad_start_says_why_and_gives_its_code(tmp_path, settings, code, words):
    done = command(tmp_path, "run", **settings)
    assert done.returncode == code, done.stderr
    assert words in done.stderr


def test_a_taken_port_is_one_clear_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command(tmp_path, "run", PORT=str(port))
    assert done.returncode == 69
    lines = [line for line in done.stderr.splitlines() if "Failed to start server" in line]
    assert len(lines) == 1 and str(port) in lines[0]


def test_a_taken_status_port_too(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = command(tmp_path, "run", METRICS_PORT=str(taken.getsockname()[1]))
    assert done.returncode == 69 and "status port" in done.stderr


def test_logs_that_cannot_be_written_do_not_stop_the_start(start_doorman, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    running = start_doorman(LOGS_DIR=str(blocked / "logs"))
    assert running.is_ready()


@pytest.mark.tsan
def test_the_status_port_serves_probes_and_metrics_only(doorman):
    session = platform.Session(doorman.metrics_url)
    assert session.get("/healthz").json() == {"ok": True}
    assert session.get("/readyz").json()["ok"] is True
    assert "doorman_http_requests_total" in session.get("/metrics").text
    assert session.get("/platform/user/me").status_code == 404
    assert session.get("/api/rest/a/v1/x").status_code == 404


# --- stopping ---


@pytest.mark.tsan
def test_sigterm_finishes_what_runs(start_doorman, start_upstream):
    arrived, release = threading.Event(), threading.Event()

    def slow(request):
        arrived.set()
        release.wait(60)
        return 200, [("Content-Type", "text/plain")], b"done"

    running = start_doorman(SHUTDOWN_TIMEOUT_SECONDS="60")
    admin = platform.login(running.url)
    upstream = start_upstream(slow)
    api = platform.make_api(admin, upstream.url)
    platform.make_endpoint(admin, api, "/slow")
    user = platform.make_user(admin)
    platform.subscribe(admin, user, api)
    answers = []
    caller = threading.Thread(
        target=lambda: answers.append(user.get(platform.rest_path(api, "/slow")))
    )
    caller.start()
    assert arrived.wait(60)
    running.signal(signal.SIGTERM)
    wait_until(lambda: "Shutting down gracefully..." in running.log(), START_DEADLINE, "the drain")
    assert running.running()
    release.set()
    caller.join(60)
    assert running.wait() == 0
    assert answers[0].status_code == 200 and answers[0].headers["Connection"] == "close"


@pytest.mark.tsan
def test_a_budget_that_is_spent_cuts_and_says_so(start_doorman, start_upstream):
    arrived, release = threading.Event(), threading.Event()

    def slow(request):
        arrived.set()
        release.wait(60)
        return 200, [], b""

    running = start_doorman(SHUTDOWN_TIMEOUT_SECONDS="1")
    admin = platform.login(running.url)
    api = platform.make_api(admin, start_upstream(slow).url, api_public=True)
    platform.make_endpoint(admin, api, "/slow")
    caller = threading.Thread(
        target=lambda: pytest.raises(
            Exception, platform.Session(running.url).get, platform.rest_path(api, "/slow")
        )
    )
    caller.start()
    assert arrived.wait(60)
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    release.set()
    caller.join(60)
    assert "shutdown incomplete" in running.log()


def test_not_ready_while_draining(start_doorman):
    running = start_doorman(SHUTDOWN_DELAY_SECONDS="60")
    running.signal(signal.SIGTERM)
    session = platform.Session(running.url)
    wait_until(lambda: session.get("/readyz").status_code == 503, START_DEADLINE, "503")
    assert session.get("/platform/monitor/readiness").json()["status"] == "draining"
    assert session.get("/healthz").status_code == 200
    answer = session.get("/platform/none")
    assert answer.status_code == 404 and answer.headers["Connection"] == "close"
    running.signal(signal.SIGTERM)
    assert running.wait() == 128 + signal.SIGTERM


# --- dump and restore ---


def dumps(folder):
    return sorted(pathlib.Path(folder, "generated").glob("memory_dump-*.bin"))


def populated(start_doorman, folder, upstream):
    running = start_doorman(folder=folder, MEM_ENCRYPTION_KEY=KEY)
    admin = platform.login(running.url)
    api, user = platform.make_callable(admin, upstream)
    gone = platform.make_user(admin)
    platform.subscribe(admin, gone, api)
    platform.revoke(admin, gone)
    return running, platform.rest_path(api, "/hello"), user, gone


def calls(running, path, *sessions):
    return [
        platform.Session(running.url)
        .get(path, headers={"Authorization": "Bearer " + s.token})
        .status_code
        for s in sessions
    ]


@pytest.mark.tsan
def test_everything_comes_back_after_a_restart(start_doorman, tmp_path, upstream):
    running, path, user, gone = populated(start_doorman, tmp_path / "a", upstream)
    running.stop()
    (dump,) = dumps(tmp_path / "a")
    assert dump.stat().st_mode & 0o777 == 0o600
    data = dump.read_bytes()
    assert data.startswith(b"gAAAA") and user.username.encode() not in data
    again = start_doorman(folder=tmp_path / "a", MEM_ENCRYPTION_KEY=KEY)
    assert calls(again, path, user, gone) == [200, 401]
    assert "restored from dump" in again.log()


@pytest.mark.tsan
def test_kill_9_loses_nothing_that_was_dumped(start_doorman, tmp_path, upstream):
    running, path, user, gone = populated(start_doorman, tmp_path / "a", upstream)
    running.signal(signal.SIGUSR1)
    wait_until(lambda: "memory dump written" in running.log(), START_DEADLINE, "the dump")
    running.kill()
    again = start_doorman(folder=tmp_path / "a", MEM_ENCRYPTION_KEY=KEY)
    assert calls(again, path, user, gone) == [200, 401]


@pytest.mark.parametrize("damage", ["truncated", "tampered", "wrong key"])
def test_a_bad_dump_stops_the_start_and_stays_untouched(start_doorman, tmp_path, upstream, damage):
    running, *_ = populated(start_doorman, tmp_path / "a", upstream)
    running.stop()
    (dump,) = dumps(tmp_path / "a")
    data = dump.read_bytes()
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "tampered":
        data = data[:200] + (b"A" if data[200:201] != b"A" else b"B") + data[201:]
    dump.write_bytes(data)
    done = command(
        tmp_path / "a",
        "run",
        MEM_ENCRYPTION_KEY=KEY if damage != "wrong key" else "another-key-" + "x" * 30,
    )
    assert done.returncode == 78, done.stdout + done.stderr
    assert dump.name in done.stdout + done.stderr
    assert dump.read_bytes() == data and dumps(tmp_path / "a") == [dump]


def test_without_a_key_there_is_a_warning_and_no_dump(start_doorman, tmp_path):
    running = start_doorman(folder=tmp_path / "a")
    running.stop()
    assert "MEM_ENCRYPTION_KEY is not configured" in running.log()
    assert not (tmp_path / "a" / "generated").exists()


def test_a_full_disk_leaves_the_old_dump(start_doorman, tmp_path, upstream, monkeypatch):
    running, *_ = populated(start_doorman, tmp_path / "a", upstream)
    running.stop()
    before = [(d.name, d.read_bytes()) for d in dumps(tmp_path / "a")]
    monkeypatch.setenv("DOORMAN_FAULT", "file_write:1")
    again = start_doorman(folder=tmp_path / "a", MEM_ENCRYPTION_KEY=KEY)
    again.signal(signal.SIGUSR1)
    wait_until(lambda: "memory.dump.failed" in again.log(), START_DEADLINE, "the failure")
    again.kill()
    assert [(d.name, d.read_bytes()) for d in dumps(tmp_path / "a")] == before


# --- secrets ---


def test_no_canary_reaches_a_log(start_doorman, upstream):
    """Values that must not leak, put into every place a client or an upstream can choose."""
    canary = "canary-7f3a9c"
    running = start_doorman(LOG_LEVEL="DEBUG", ACCESS_LOG="json")
    admin = platform.login(running.url)
    api = platform.make_api(admin, upstream.url, api_allowed_headers=["*"])
    platform.make_endpoint(admin, api, "/*", method="*")
    user = platform.make_user(admin)
    platform.subscribe(admin, user, api)
    path = platform.rest_path(api, "/x")
    user.get(f"{path}?token={canary}&access_token={canary}&password={canary}")
    user.post(path, json={"password": canary, "api_key": canary})
    user.get(
        path,
        headers={"X-API-Key": canary, "Cookie": f"session={canary}", "Proxy-Authorization": canary},
    )
    platform.Session(running.url).get(
        path, headers={"Authorization": f"Bearer {canary}.{canary}.{canary}"}
    )
    platform.Session(running.url).post(
        "/platform/authorization", json={"email": "a@b.c", "password": canary}
    )
    admin.post(
        "/platform/user",
        json={"username": "abc", "email": "a@b.c", "role": "user", "password": canary},
    )
    running.stop()
    written = running.log() + "".join(
        p.read_text(errors="replace") for p in pathlib.Path(running.folder, "logs").glob("*")
    )
    assert canary not in written
    assert user.token not in written and ADMIN_PASSWORD not in written
