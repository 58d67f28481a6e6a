"""Every public code that /platform can answer is asked for by a test."""

import pathlib
import re

from checks import tree

ROOT = pathlib.Path(__file__).parents[2]

CODE = re.compile(r'"([A-Z][A-Z_]*[0-9]{3}|IP_RATE_LIMIT|API_AUTH)"')

# What nothing sent from outside brings about, and why.
FAULT = "the store fails, but is not away: that would be STORE002"
UNREACHABLE = {
    **{f"CRD0{n}": FAULT for n in (11, 12, 13, 15, 16, 18, 19, 22)},
    "TLS999": "an API that is stored, but that the data plane would not take",
}


def codes(prefix, suffixes):
    found = set()
    for path in tree.files(ROOT):
        if path.startswith(prefix) and path.endswith(suffixes):
            found |= set(CODE.findall(tree.read(ROOT, path)))
    return found


def test_every_code_of_the_admin_api_is_asked_for():
    answered = codes("admin/", (".c", ".h", ".def"))
    asked = codes("tests/integration/", (".py",)) | codes("tests/unit/admin/", (".c",))
    assert len(answered) > 50
    assert sorted(answered - asked - set(UNREACHABLE)) == []
    assert sorted(set(UNREACHABLE) - answered) == []
