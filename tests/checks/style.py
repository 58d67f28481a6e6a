#!/usr/bin/env python3
"""The house style, as far as a machine can hold it.

    tests/checks/style.py [ROOT]

Sizes, forbidden functions, the top comment of a header, open ends without an issue, white space,
and words that belong to the place where the project is worked on rather than to the project.
"""

import fnmatch
import re
import sys

import tree

MAX_FILE = 800
MAX_HEADER = 200
MAX_FUNCTION = 120
MAX_COLUMNS = 100

CODE = (".c", ".h", ".py", ".sh", ".cmake", "CMakeLists.txt")
SCRIPTS = ("scripts/", ".ci/", "bench/")
# Data, other people's formats, and copies that must stay as they are.
EXEMPT = ["*.def", "tests/data/*", "tests/fixtures/*.bin", "tests/fuzz/corpus/*", "bench/peers/*",
          "bench/results*", "LICENSE"]

UNBOUNDED = ("strcpy strcat stpcpy sprintf vsprintf strtok gets alloca atoi atol atoll "
             "strtol strtoll strtoul strtoull").split()
HEAP = "malloc calloc realloc reallocarray strdup strndup asprintf vasprintf posix_memalign".split()
SLEEP = "sleep usleep nanosleep clock_nanosleep".split()
# function -> product files that may call it
ALLOWED = {
    **{name: [] for name in UNBOUNDED},
    **{name: ["common/base/*"] for name in HEAP},
    **{name: [] for name in SLEEP},
    "exit": ["*/main.c", "bench/*.c"],
    "abort": ["common/base/*"],
    "system": [],
    "popen": [],
}
CALL = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(ALLOWED))

# Written so that the patterns do not find themselves.
OPEN_END = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b(?!\(#\d+\))")
FOREIGN = re.compile(r"/wor[k]/|\.\./share[d]\b|\bworkplac[e]\b|/tm[p]/w/", re.I)


def is_code(path):
    return path.endswith(CODE) or (path.startswith(SCRIPTS) and "." not in path.split("/")[-1])


def check_functions(path, lines, report):
    """With Linux braces a function is what stands between a { and a } alone in column one."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            if number - start - 1 > MAX_FUNCTION:
                report.add(path, start,
                           f"function of {number - start - 1} lines, {MAX_FUNCTION} at most")
            start = None


def check_calls(path, text, report):
    if path.startswith("tests/fuzz/"):
        return
    in_test = path.startswith("tests/")
    for match in CALL.finditer(tree.code_only(text)):
        name = match.group(1)
        if in_test and name not in UNBOUNDED and name not in SLEEP:
            continue
        if not any(fnmatch.fnmatch(path, pattern) for pattern in ALLOWED[name]):
            line = tree.code_only(text).count("\n", 0, match.start()) + 1
            report.add(path, line, f"{name}() is not used here (style: forbidden functions)")


def check_c(path, text, lines, report):
    if path.endswith(".h"):
        if len(lines) > MAX_HEADER:
            report.add(path, len(lines), f"header of {len(lines)} lines, {MAX_HEADER} at most")
        if not text.startswith("/*"):
            report.add(path, 1, "a header begins with a comment: what, who, thread, ownership")
        if "\n#pragma once\n" not in text:
            report.add(path, 1, "a header has #pragma once")
    check_functions(path, lines, report)
    check_calls(path, text, report)


def check_lines(path, lines, report):
    code = is_code(path)
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            report.add(path, number, "white space at the end of the line")
        if code and len(line) > MAX_COLUMNS:
            report.add(path, number, f"{len(line)} columns, {MAX_COLUMNS} at most")
        if "\t" in line and path.endswith((".c", ".h", ".py")):
            report.add(path, number, "a tab: four spaces")
        if OPEN_END.search(line) and code:
            report.add(path, number, "an open end names its issue, as (#12) after the word")
        if FOREIGN.search(line):
            report.add(path, number, "names a place outside the project")


def check(root, report):
    n_files = 0
    for path in tree.files(root):
        if any(fnmatch.fnmatch(path, pattern) for pattern in EXEMPT):
            continue
        try:
            text = tree.read(root, path)
        except UnicodeDecodeError:
            continue
        n_files += 1
        lines = text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")
        if text and not text.endswith("\n"):
            report.add(path, len(lines), "no newline at the end of the file")
        if is_code(path) and len(lines) > MAX_FILE:
            report.add(path, len(lines), f"file of {len(lines)} lines, {MAX_FILE} at most")
        check_lines(path, lines, report)
        if path.endswith((".c", ".h")):
            check_c(path, text, lines, report)
    return n_files


if __name__ == "__main__":
    sys.exit(tree.run("style", check))
