"""docs/figures.md names the command and the row of a result for every figure, each of them is there
and met, and no result holds a figure that the page does not name."""

import pathlib
import re

from checks.test_failure_matrix import NAMED, functions

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "figures.md").read_text()
RESULTS = {option: ROOT / "bench" / f"results-{option}.md"
           for option in ("outage", "scale", "redis")}


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def promises():
    """(command's option, rows' beginnings, tests' cell) of each line of the table."""
    table = PAGE.split("\n\n")[2]
    for line in table.splitlines()[2:]:
        _, command, rows, tests = cells(line)
        option = re.fullmatch(r"`bench/run --(\w+)`", command).group(1)
        yield option, re.findall(r"`([^`]+)`", rows), tests


def figures(option):
    """{what is measured: "met" or why not} of a result's table of promises."""
    table = re.search(r"(?m)^\| figure .*\n\|[-| ]+\n((?:\|.*\n)+)", RESULTS[option].read_text())
    return {cells(line)[0]: cells(line)[3] for line in table.group(1).splitlines()}


def shown_by(beginning, option):
    """The row that begins so, up to a comma, a blank or the end; where several do, the shortest."""
    found = [row for row in figures(option) if row.startswith(beginning)
             and row[len(beginning):len(beginning) + 1] in ("", ",", " ")]
    assert found, f"results-{option}.md has no row: {beginning}"
    return min(found, key=len)


def test_each_figure_is_measured_and_met():
    seen = 0
    for option, beginnings, _ in promises():
        assert beginnings
        for beginning in beginnings:
            row = shown_by(beginning, option)
            assert figures(option)[row] == "met", row
            seen += 1
    assert seen > 20


def test_each_figure_of_a_result_is_on_the_page():
    named = {(option, shown_by(beginning, option))
             for option, beginnings, _ in promises() for beginning in beginnings}
    assert named == {(option, row) for option in RESULTS for row in figures(option)}


def test_each_named_test_and_command_exists():
    runner = (ROOT / "bench" / "run").read_text() + (ROOT / "bench" / "bench.py").read_text()
    for option, _, tests in promises():
        assert f"--{option}" in runner
        for path, name, word in NAMED.findall(tests):
            assert not word and name in functions(path), name
