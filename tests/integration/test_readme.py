"""README's sample is what scripts/quickstart prints: ids, ports and bodies' tails aside."""

import os
import pathlib
import re
import subprocess

import pytest

from harness.process import ROOT, free_port

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


def test_every_page_and_command_the_readme_names_exists():
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / target).exists(), target
    for script in re.findall(r"\./(scripts/\w+)", text):
        assert os.access(ROOT / script, os.X_OK), script
    assert pathlib.Path(ROOT, "LICENSE").read_text().lstrip().startswith("Apache License")
