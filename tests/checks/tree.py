"""What both checks need: the files of the tree, C text without comments and strings, a report."""

import os
import re
import sys

# Made by tools or by running the product; nothing in them is ours to judge.
SKIPPED_DIRS = {".git", "build", "generated", "logs", "__pycache__", ".pytest_cache", ".ruff_cache"}
SKIPPED_FILES = {".git"}  # of a linked worktree
C_PARTS = ("common", "gateway", "admin", "programs", "tests")


def files(root):
    """All files below root as paths relative to it, sorted."""
    found = []
    for folder, dirs, names in os.walk(root):
        dirs[:] = [d for d in dirs if d not in SKIPPED_DIRS]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names
                  if name not in SKIPPED_FILES]
    return sorted(found)


def c_files(root):
    c_only = [f for f in files(root) if f.endswith((".c", ".h", ".def"))]
    return [f for f in c_only if f.split("/")[0] in C_PARTS]


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", newline="") as file:
        return file.read()


_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_only(text):
    """C text with comments and the contents of literals blanked, line numbers kept."""

    def blank(match):
        token = match.group(0)
        if token[0] in "\"'":
            return token[0] * 2
        return "\n" * token.count("\n") or " "

    return _TOKEN.sub(blank, text)


class Report:
    def __init__(self):
        self.faults = []

    def add(self, path, line, text):
        self.faults.append(f"{path}:{line}: {text}")

    def finish(self, name, n_files):
        for fault in self.faults:
            print(fault)
        if n_files == 0:
            print(f"{name}: no files found")
        print(f"{name}: {n_files} files, {len(self.faults)} faults", file=sys.stderr)
        return 1 if self.faults or n_files == 0 else 0


def run(name, check):
    """check(root, report) gives the number of files it looked at."""
    default = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    root = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else default)
    report = Report()
    return report.finish(name, check(root, report))
