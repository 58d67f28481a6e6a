"""docs/testing.md names the test of each promise about Kubernetes; each exists, and the smoke's run
in .ci/run."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "testing.md").read_text().split("| promise |")[1].split("\n\n")[0]
NAMED = re.compile(r"`(\w+\.py)::(\w+)`")


def rows():
    """(promise, its tests, whether the table says that the smoke has them)"""
    for line in TABLE.splitlines()[2:]:
        promise, tests, smoke = (cell.strip() for cell in line.strip("|").split("|"))
        yield promise, tests, smoke == "yes"


def found_in(file):
    """Name of each test -> whether it is marked smoke."""
    body = ast.parse((ROOT / "tests" / "cluster" / file).read_text()).body
    return {f.name: any(ast.unparse(d) == "pytest.mark.smoke" for d in f.decorator_list)
            for f in body if isinstance(f, ast.FunctionDef) and f.name.startswith("test_")}


def test_each_promise_names_tests_that_exist_and_tells_whether_the_smoke_has_them():
    assert len(list(rows())) >= 17
    for promise, tests, smoke in rows():
        named = NAMED.findall(tests)
        assert named or "`scripts/test swaps`" in tests, f"no test is named for: {promise}"
        for file, name in named:
            found = found_in(file)
            assert name in found, f"{file} has no {name}"
            assert found[name] == smoke, f"{name}: in the smoke or not? ({promise})"


def test_every_test_of_the_smoke_is_in_the_table():
    named = set(NAMED.findall(TABLE))
    for file in sorted((ROOT / "tests" / "cluster").glob("test_*.py")):
        for name, smoke in found_in(file.name).items():
            assert not smoke or (file.name, name) in named, f"{file.name}::{name}"


def test_what_every_change_must_pass_has_the_smoke():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "./scripts/test cluster-smoke || status=1" in lines
