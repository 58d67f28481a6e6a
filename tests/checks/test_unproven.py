"""The list of what is unproven without mongod names every test that needs it, and no other."""

import ast

from harness import unproven
from harness.process import ROOT


def needs_mongod():
    found = set()
    for file in sorted((ROOT / "tests" / "integration" / "mongod").glob("test_*.py")):
        tree = ast.parse(file.read_text())
        marks = [node for node in tree.body if isinstance(node, ast.Assign)
                 and node.targets[0].id == "pytestmark"]
        assert len(marks) == 1 and "pytest.mark.mongod" in ast.unparse(marks[0]), file
        found |= {node.name for node in tree.body
                  if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    return found


def test_list_in_the_docs_is_complete():
    tests = needs_mongod()
    assert len(tests) >= 5
    assert set(unproven.listed()) == tests
