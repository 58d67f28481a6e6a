"""docs/migrate.md: its commands do on the fixtures what the page says, its settings are taken."""

import os
import re
import subprocess

import pytest

from harness import platform, python_doorman
from harness.process import ROOT, Doorman, LIBRARY_OPTIONS, bin_dir



def steady(text):
    """Without times, sums, and how many indexes there are in all."""
    text = re.sub(r"^\S+Z  (\w+) +\S+$", r"TIME \1 SUM", text, flags=re.MULTILINE)
    return re.sub(r"\d+ indexes", "N indexes", text)



def block(mark):
    text = (ROOT / "docs" / "migrate.md").read_text()
    return re.search(rf"<!-- {mark}.*?-->\n```\n(.*?)```", text, re.DOTALL).group(1)


def shell(script, folder, environment):
    path = f"{bin_dir()}:{os.environ['PATH']}"
    return subprocess.run(["sh", "-ec", script], cwd=folder, env={**environment, "PATH": path},
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


@pytest.fixture
def filled(tmp_path):
    split = python_doorman.on_stores(tmp_path / "old")
    yield split
    split.redis.kill()


def test_migration_says_what_the_page_says(filled):
    admin = filled.admin_program
    done = shell(block("commands"), admin.folder, admin.environment())
    assert done.returncode == 0, done.stderr
    assert steady(done.stdout) == steady(block("output"))


def test_dump_is_put_where_the_page_says(tmp_path):
    (tmp_path / "memory_dump-20250101T000000Z.bin").write_bytes(
        (python_doorman.FOLDER / "dump-dmp1.bin").read_bytes())
    copy, start = block("dump").splitlines()
    # The program itself is started by the harness, which waits for it and ends it.
    assert start == "DOORMAN_DATA_DIR=data doorman"
    assert shell(copy, tmp_path, {}).returncode == 0
    one = Doorman(tmp_path, {**python_doorman.SETTINGS, "DOORMAN_DATA_DIR": "data",
                             "MEM_ENCRYPTION_KEY": python_doorman.made.MEM_ENCRYPTION_KEY})
    one.start()
    try:
        platform.login(one.url, "alice@python.example", python_doorman.made.PASSWORDS["alice"])
    finally:
        one.stop()


@pytest.mark.parametrize("name", ["doorman-admin", "doorman-gateway"])
def test_environment_of_the_python_doorman_is_taken(tmp_path, name):
    lines = (python_doorman.FOLDER / "doorman.env").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and line[0] != "#")
    done = shell(f"{name} check-config", tmp_path, {**LIBRARY_OPTIONS, **settings})
    assert (done.returncode, done.stdout) == (0, "configuration is valid\n"), done.stderr
    assert "ACCESS_TOKEN_EXPIRES_MINUTES: accepted without effect" in done.stderr


def test_every_page_it_names_exists():
    text = (ROOT / "docs" / "migrate.md").read_text()
    for page in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / "docs" / page).exists(), page
