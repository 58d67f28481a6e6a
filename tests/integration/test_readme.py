"""README's samples are what its commands print: ids, ports, numbers and bodies' tails aside."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from harness.process import ROOT, STOP_DEADLINE, bin_dir, free_port, launch

pytestmark = pytest.mark.memory


def sample():
    text = (ROOT / "README.md").read_text()
    return re.search(r"<!-- sample: .*?-->\n```\n(.*?)```", text, re.S).group(1)


def normalised(text):
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def quickstart():
    return subprocess.run(
        [str(ROOT / "scripts" / "quickstart"), "--once"],
        cwd=ROOT,
        text=True,
        env={**os.environ, "PORT": str(free_port()), "METRICS_PORT": str(free_port())},
        capture_output=True,
        timeout=1500,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.timeout(1500)
def test_the_readmes_sample_is_a_real_run():
    done = quickstart()
    assert done.returncode == 0, done.stdout + done.stderr
    assert normalised(done.stdout) == normalised(sample())


def by_hand():
    """The commands of the two programs, and what they print."""
    text = (ROOT / "README.md").read_text()
    return re.findall(r"<!-- by hand: .*?-->\n```\w*\n(.*?)```", text, re.S)


def elsewhere(commands):
    """The same with the programs under test, on free ports, silent, with what this machine has."""
    prepares = ("./scripts/deps build test ", "cmake --preset release ")
    lines = commands.splitlines()
    assert [line.startswith(p) for line, p in zip(lines, prepares)] == [True, True]
    lines = lines[len(prepares):]
    if shutil.which("mongod") is None:
        lines = [line.split("# or: ")[1] if line.startswith("mongod ") else line for line in lines]
    text = "\n".join(re.sub(r" &( +#.*)?$", " > /dev/null 2>&1 &", line) for line in lines)
    text = text.replace("./build/release/bin", str(bin_dir()))
    text = text.replace("MONGO_DB_URI=", "PORT=3001 MONGO_DB_URI=")
    text = text.replace("ADMIN_UPSTREAM_URL=", "PORT=5001 METRICS_PORT=9464 ADMIN_UPSTREAM_URL=")
    for port in ("3001", "5001", "6379", "9464", "9465", "27017"):
        assert port in text
        text = re.sub(rf"\b{port}\b", str(free_port()), text)
    return text


def without_numbers(text):
    return re.sub(r"\d+(\.\d+)?", "N", text)


def test_the_two_programs_by_hand(tmp_path):
    commands, printed = by_hand()
    here = str(tmp_path)
    environment = {**os.environ, "TMPDIR": here, "LOGS_DIR": here, "DOORMAN_DATA_DIR": here,
                   "REDIS_ADMISSION_TIMEOUT_MS": "1000"}  # however busy the machine is
    shell = launch(["bash", "-c", elsewhere(commands)], cwd=ROOT, env=environment, text=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
    try:
        said, _ = shell.communicate(timeout=200)
        assert without_numbers(said) == without_numbers(printed)
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(STOP_DEADLINE)


def test_every_page_and_command_the_readme_names_exists():
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / target).exists(), target
    for script in re.findall(r"\./(scripts/\w+)", text):
        assert os.access(ROOT / script, os.X_OK), script
    assert pathlib.Path(ROOT, "LICENSE").read_text().lstrip().startswith("Apache License")
