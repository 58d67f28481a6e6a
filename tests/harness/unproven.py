"""What needs a real mongod: listed in docs/data-model.md, and told where there is none.

Such tests run where mongod is on PATH. Elsewhere they are left out, counted neither as passed nor
as skipped, and named as unproven at the end of the run.
"""

import re
import shutil

from harness.process import ROOT

PAGE = ROOT / "docs" / "data-model.md"
TITLE = "## Unproven without mongod"
ROW = re.compile(r"^\| (?P<what>[^|]+) \| `(?P<test>test_\w+)` \|$", re.MULTILINE)


def listed():
    """{test: what it proves}"""
    section = PAGE.read_text().split(TITLE)[1].split("\n## ")[0]
    return {row["test"]: row["what"] for row in ROW.finditer(section)}


def have_mongod():
    return shutil.which("mongod") is not None
