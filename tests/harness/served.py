"""Runs a program of tests/served: it asks for deeds (">> word"), we do them and say so.

Its own output goes on after each deed; its end and its sanitizers are judged here.
"""

import os
import subprocess

from harness.process import (JWT_SECRET, LIBRARY_OPTIONS, SANITIZER_REPORT, bin_dir, launch,
                             orphanless)

TEST_DEADLINE = 280.0  # pytest ends the test later


def run_served(layer, name, settings, test=None, deeds=None):
    """Its output. test: the one of its tests to run. deeds: word -> function without arguments."""
    path = bin_dir().parent / "tests" / f"served_{layer}_{name}"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not built")
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    environment = {**kept, **LIBRARY_OPTIONS, "ENV": "test", "JWT_SECRET_KEY": JWT_SECRET,
                   **settings, **({"TEST": test} if test else {})}
    process = launch(["timeout", TEST_DEADLINE, *orphanless([path])], env=environment,
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                     text=True, errors="replace")
    output = []
    with process:
        for line in process.stdout:
            output.append(line)
            if line.startswith(">> "):
                (deeds or {})[line[3:].strip()]()
                process.stdin.write("done\n")
                process.stdin.flush()
    text = "".join(output)
    assert process.returncode == 0, f"{path.name} ended with {process.returncode}\n{text}"
    assert not SANITIZER_REPORT.search(text), text
    # A name that no test has would pass as well.
    assert "[       OK ]" in text, text
    return text
