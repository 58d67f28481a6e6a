"""docs/failure-matrix.md names a test in every row of its tables, and each of them exists."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
MATRIX = (ROOT / "docs" / "failure-matrix.md").read_text()
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)(?:\[(\w+)\])?`")


def rows():
    """Of all tables but the last section's, which says what no test shows."""
    tables = MATRIX.split("## Not proven")[0]
    return [line for line in tables.splitlines()
            if line.startswith("| ") and not line.startswith("| fault ")]


def functions(path):
    return {f.name: f for f in ast.parse((ROOT / "tests/integration" / path).read_text()).body
            if isinstance(f, ast.FunctionDef)}


def parameters(function):
    """The words of its @pytest.mark.parametrize: strings, and names of functions."""
    words = set()
    for mark in function.decorator_list:
        if isinstance(mark, ast.Call) and mark.func.attr == "parametrize":
            words |= {n.value if isinstance(n, ast.Constant) else n.id
                      for n in mark.args[1].elts}
    return words


def test_each_row_names_a_test_that_exists():
    assert len(rows()) > 25
    for row in rows():
        named = NAMED.findall(row.split("|")[-2])
        assert named, f"no test is named in: {row}"
        for path, name, word in named:
            found = functions(path)
            assert name in found, f"{path} has no {name}"
            assert not word or word in parameters(found[name]), f"{name} knows no {word}"


def test_each_test_of_a_fault_is_in_the_matrix():
    named = {(path, name) for path, name, _ in NAMED.findall(MATRIX)}
    for file in (ROOT / "tests/integration").glob("test_faults_*.py"):
        for name in functions(file.name):
            assert not name.startswith("test_") or (file.name, name) in named, name
