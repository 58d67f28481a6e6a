"""A check that cannot fail proves nothing: each fault is planted in a tree and must be seen."""

import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = "/* A header. */\n#pragma once\n"
GOOD = {
    "common/base/view.h": TOP + "#include <stddef.h>\n",
    "common/base/errors.def": "ROW(" + "x" * 150 + ")\n",
    "common/codec/json.h": TOP + '#include "base/view.h"\n',
    "common/codec/json.c": '#include "codec/json.h"\n\n#include <cjson/cJSON.h>\n',
    "gateway/pipeline.h": TOP + '#include "codec/json.h"\n',
    "gateway/steps/admit.c": '#include "gateway/pipeline.h"\n',
    "admin/router.h": TOP,
    "programs/doorman/main.c": '#include "admin/router.h"\n#include "gateway/pipeline.h"\n'
                         "int main(void)\n{\n    exit(0);\n}\n",
    "tests/unit/codec/json_test.c": '#include "codec/json.h"\n#include <cmocka.h>\n',
    "tests/fuzz/fuzz_json.c": '/* layer: codec */\n#include "codec/json.h"\n',
}


def plant(root, extra):
    for path, text in {**GOOD, **extra}.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)


def run(check, root):
    done = subprocess.run([sys.executable, os.path.join(HERE, check + ".py"), str(root)],
                          capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, done.stdout


@pytest.mark.parametrize("check", ["layers", "style"])
def test_a_good_tree_passes(check, tmp_path):
    plant(tmp_path, {})
    assert run(check, tmp_path) == (0, "")


@pytest.mark.parametrize("check", ["layers", "style"])
def test_an_empty_tree_is_a_fault(check, tmp_path):
    assert run(check, tmp_path)[0] == 1


LAYER_FAULTS = {
    "right of base": ("common/base/buf.c", '#include "codec/json.h"\n', "not on its left"),
    "by its short name": ("common/codec/uri.c", '#include "pipeline.h"\n', "not in the tree"),
    "gateway sees admin": ("gateway/worker.c", '#include "admin/router.h"\n', "not on its left"),
    "admin sees gateway": ("admin/app.c", '#include "gateway/pipeline.h"\n', "not on its left"),
    "a .def counts": ("admin/routes.def", '#include "gateway/pipeline.h"\n', "not on its left"),
    "a unit test reaches right":
        ("tests/unit/base/x_test.c", '#include "codec/json.h"\n', "not on its left"),
    "a fuzz target reaches right":
        ("tests/fuzz/fuzz_x.c", '/* layer: base */\n#include "codec/json.h"\n', "not on its left"),
    "climbing": ("common/codec/uri.c", '#include "../base/view.h"\n', "climbs"),
    "third party outside its wrapper":
        ("common/codec/uri.c", "#include <cjson/cJSON.h>\n", "belongs to"),
    "third party in quotes":
        ("common/codec/uri.c", '#include "cjson/cJSON.h"\n', "not in the tree"),
    "unknown library": ("common/io/redis.c", "#include <libpq-fe.h>\n", "is unknown"),
    "spaces in the directive": ("common/base/buf.c", '  #  include "codec/json.h"\n', "left"),
    "product includes a test":
        ("common/codec/uri.c", '#include "tests/unit/codec/json_test.c"\n', "a test's file"),
    "assert.h": ("common/codec/uri.c", "#include <assert.h>\n", "base/assert.h"),
    "no layer": ("common/extra/x.c", "\n", "is in no layer"),
}


@pytest.mark.parametrize("name", LAYER_FAULTS)
def test_layers_sees(name, tmp_path):
    path, text, sentence = LAYER_FAULTS[name]
    plant(tmp_path, {path: text})
    code, out = run("layers", tmp_path)
    assert code == 1
    assert len(out.splitlines()) == 1 and out.startswith(path + ":") and sentence in out


LONG_BODY = "    x();\n"
STYLE_FAULTS = {
    "long file": ("common/base/a.c", "\n" * 801, "800 at most"),
    "long header": ("common/base/a.h", TOP + "int x;\n" * 199, "200 at most"),
    "long function":
        ("common/base/a.c", "void f(void)\n{\n" + LONG_BODY * 121 + "}\n", "120 at most"),
    "long line": ("common/base/a.c", "x" * 101 + "\n", "100 at most"),
    "long line of a script": ("scripts/run", "x" * 101 + "\n", "100 at most"),
    "open end": ("common/base/a.c", "/* TO" "DO: later */\n", "issue"),
    "unbounded copy": ("common/base/a.c", "void f(void)\n{\n    strcpy(a, b);\n}\n", "strcpy()"),
    "in a test too": ("tests/unit/base/a_test.c", "int x = atoi (y);\n", "atoi()"),
    "heap outside base": ("gateway/a.c", "void *p = malloc(3);\n", "malloc()"),
    "sleep": ("tests/unit/base/a_test.c", "int x = usleep(3);\n", "usleep()"),
    "exit outside main": ("gateway/a.c", "int x = exit(3);\n", "exit()"),
    "no top comment": ("common/base/a.h", "#pragma once\nint x;\n\n#pragma once\n", "begins with"),
    "no pragma": ("common/base/a.h", "/* A. */\nint x;\n", "pragma once"),
    "white space": ("docs/a.md", "text \n", "white space"),
    "tab": ("common/base/a.c", "\tint x;\n", "tab"),
    "no last newline": ("common/base/a.c", "int x;", "no newline"),
    "foreign place": ("docs/a.md", "see ../share" "d/design.md\n", "outside the project"),
}


@pytest.mark.parametrize("name", STYLE_FAULTS)
def test_style_sees(name, tmp_path):
    path, text, sentence = STYLE_FAULTS[name]
    plant(tmp_path, {path: text})
    code, out = run("style", tmp_path)
    assert code == 1
    assert len(out.splitlines()) == 1 and out.startswith(path + ":") and sentence in out


STYLE_FINE = {
    "a name in a comment": ("common/base/a.c", "/* unlike strcpy(a, b) */\n"),
    "a name in a string": ("common/base/a.c", 'const char *x = "strcpy(a)";\n'),
    "a longer name": ("common/base/a.c", "int x = dm_strtol(3) + p->exit(1);\n"),
    "heap in base": ("common/base/a.c", "void *p = malloc(3);\n"),
    "heap in a test": ("tests/unit/base/a_test.c", "void *p = malloc(3);\n"),
    "an issue's open end": ("common/base/a.c", "/* TO" "DO(#12): later */\n"),
    "120 lines": ("common/base/a.c", "void f(void)\n{\n" + LONG_BODY * 120 + "}\n"),
}


@pytest.mark.parametrize("name", STYLE_FINE)
def test_style_lets_pass(name, tmp_path):
    path, text = STYLE_FINE[name]
    plant(tmp_path, {path: text})
    assert run("style", tmp_path) == (0, "")
