"""The count at the end of scripts/test never hides a test that failed or did not run."""

import pathlib
import subprocess
import sys

import pytest

JUNIT = pathlib.Path(__file__).with_name("junit.py")


def count(tmp_path, text):
    report = tmp_path / "report.xml"
    report.write_text(text)
    return subprocess.run([sys.executable, JUNIT, report], capture_output=True, text=True,
                          check=False)


@pytest.mark.parametrize("case, numbers", [
    ('<testcase name="a"/>', "1 0"),
    ('<testcase name="a" status="run"/>', "1 0"),
    ('<testcase name="a" status="fail"><failure/></testcase>', "0 1"),
    ('<testcase name="a"><error/></testcase>', "0 1"),
    ('<testcase name="a"><skipped/></testcase>', "0 1"),
    ('<testcase name="a" status="notrun"/>', "0 1"),
    ('<testcase name="a" status="disabled"/>', "0 1"),
    ('<testcase name="a"><system-out>x</system-out></testcase><testcase name="b"/>', "2 0"),
])
def test_counts(tmp_path, case, numbers):
    done = count(tmp_path, f"<testsuites><testsuite>{case}</testsuite></testsuites>")
    assert (done.returncode, done.stdout) == (0, numbers + "\n")
    assert ("FAILED" in done.stderr) == (not numbers.endswith(" 0"))


def test_a_broken_report_is_an_error(tmp_path):
    assert count(tmp_path, "<testsuite><testcase").returncode != 0
