#!/usr/bin/env python3
"""Runs every fuzz target and judges it three times.

    tests/fuzz/run.py BUILD SECONDS REPORT

  clean     SECONDS of fuzzing, from the seeds and from what earlier runs found, without a fault
  coverage  seeds and finds together run at least 80 % of the lines of the target's parser, the
            files that parsers.txt names for it
  planted   its twin with a planted bug passes the seeds, and the fuzzer finds an input that ends
            the twin and does nothing to the target itself

Tokens that a format knows and chance does not are in dictionaries/<name>.dict, where a target has
one. Finds are kept in BUILD/corpus/<name>, inputs that fail in BUILD/artifacts. A crash is worth
keeping: put its input into tests/fuzz/corpus/<name>/ with the fix.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
FUZZ = ROOT / "tests" / "fuzz"
MIN_COVERAGE = 80.0
# A planted bug is meant to be found in seconds. Chance decides, so there are several tries from the
# start: three short ones find more than a long one that took a wrong turn.
PLANTED_SECONDS = 60
PLANTED_TRIES = 3
# One input may not take longer, nor the process grow beyond this: both are faults of the parser.
LIMITS = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=65536"]
ENVIRONMENT = {
    **os.environ,
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


class Fault(Exception):
    pass


class Target:
    def __init__(self, source, build):
        self.name = source.stem.removeprefix("fuzz_")
        self.source = source
        self.build = build
        self.program = build / "fuzz" / source.stem
        self.twin = build / "fuzz" / f"{source.stem}_planted"
        self.seeds = FUZZ / "corpus" / self.name
        self.finds = build / "corpus" / self.name
        self.artifacts = build / "artifacts" / self.name
        dictionary = FUZZ / "dictionaries" / f"{self.name}.dict"
        self.words = [f"-dict={dictionary}"] if dictionary.is_file() else []
        for folder in (self.finds, self.artifacts):
            folder.mkdir(parents=True, exist_ok=True)

    def parser_files(self):
        table = dict(line.split(":", 1) for line in (FUZZ / "parsers.txt").read_text().splitlines()
                     if line and not line.startswith("#"))
        if self.name not in table:
            raise Fault("tests/fuzz/parsers.txt does not name the files it is meant to cover")
        files = [ROOT / name for name in table[self.name].split()]
        missing = [str(f.relative_to(ROOT)) for f in files if not f.is_file()]
        if missing:
            raise Fault(f"its parser's files are not there: {' '.join(missing)}")
        return files

    def need_seeds(self):
        if not self.seeds.is_dir() or not any(self.seeds.iterdir()):
            raise Fault(f"no seeds in {self.seeds.relative_to(ROOT)}")

    def run(self, program, *arguments, seconds, profile=None):
        environment = {**ENVIRONMENT, "LLVM_PROFILE_FILE": str(profile or "/dev/null")}
        command = [str(program), *LIMITS, *self.words, *map(str, arguments)]
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=seconds + 120, check=False,
                              cwd=self.artifacts)
        return done.returncode, done.stdout

    def clean(self, seconds):
        self.need_seeds()
        code, out = self.run(self.program, f"-max_total_time={seconds}",
                             f"-artifact_prefix={self.artifacts}/", self.finds, self.seeds,
                             seconds=seconds)
        if code != 0:
            raise Fault(f"fuzzing ended with exit code {code}\n{out[-6000:]}")
        runs = re.search(r"Done (\d+) runs", out)
        return f"{runs.group(1) if runs else '?'} runs"

    def coverage(self, _):
        self.need_seeds()
        files = self.parser_files()
        raw, merged = self.build / f"{self.name}.profraw", self.build / f"{self.name}.profdata"
        raw.unlink(missing_ok=True)
        code, out = self.run(self.program, "-runs=0", self.finds, self.seeds, seconds=600,
                             profile=raw)
        if code != 0:
            raise Fault(f"the corpus fails\n{out[-6000:]}")
        subprocess.run(["llvm-profdata", "merge", "-o", merged, raw], check=True)
        report = json.loads(subprocess.run(
            ["llvm-cov", "export", "-summary-only", f"-instr-profile={merged}", self.program,
             *map(str, files)], check=True, capture_output=True, text=True).stdout)
        lines = {f["filename"]: f["summary"]["lines"] for f in report["data"][0]["files"]}
        absent = [f.name for f in files if str(f) not in lines]
        if absent:
            raise Fault(f"not one line measured of {' '.join(absent)}")
        total = sum(entry["count"] for entry in lines.values())
        covered = sum(entry["covered"] for entry in lines.values())
        percent = 100.0 * covered / total
        text = f"{percent:.1f} % of {total} lines"
        if percent < MIN_COVERAGE:
            each = ", ".join(f"{pathlib.Path(name).name} {entry['percent']:.0f} %"
                             for name, entry in lines.items())
            raise Fault(f"{text}, {MIN_COVERAGE:g} % needed ({each})")
        return text

    def planted(self, _):
        self.need_seeds()
        code, out = self.run(self.twin, "-runs=0", self.seeds, seconds=600)
        if code != 0:
            raise Fault(f"the seeds already hold the planted bug (or another)\n{out[-3000:]}")
        trigger = self.artifacts / "planted"
        trigger.unlink(missing_ok=True)
        for attempt in range(1, PLANTED_TRIES + 1):
            with tempfile.TemporaryDirectory() as finds:
                code, out = self.run(self.twin, f"-max_total_time={PLANTED_SECONDS}",
                                     f"-seed={attempt}", f"-exact_artifact_path={trigger}", finds,
                                     self.seeds, seconds=PLANTED_SECONDS)
            if code != 0:
                break
        if not trigger.is_file():
            raise Fault(f"the planted bug was not found in {PLANTED_TRIES} tries of "
                        f"{PLANTED_SECONDS} s (exit code {code})\n{out[-1500:]}")
        code, out = self.run(self.program, trigger, seconds=60)
        if code != 0:
            raise Fault(f"what ended the twin is a bug of the target as well\n{out[-3000:]}")
        return f"found in try {attempt}, {trigger.stat().st_size} bytes"

    def judge(self, seconds):
        """(test name, what it says, whether it passed), in an order that lets each use the last."""
        verdicts = []
        for test in (self.clean, self.coverage, self.planted):
            name = f"{self.name}.{test.__name__}"
            try:
                verdicts.append((name, test(seconds), True))
            except (Fault, subprocess.SubprocessError, OSError) as fault:
                verdicts.append((name, str(fault), False))
        return verdicts


def write_report(path, verdicts):
    suite = ElementTree.Element("testsuite", name="fuzz")
    for name, text, good in verdicts:
        case = ElementTree.SubElement(suite, "testcase", name=name)
        if not good:
            ElementTree.SubElement(case, "failure").text = text.encode("ascii", "replace").decode()
    ElementTree.ElementTree(suite).write(path)


def main(build, seconds, report):
    targets = [Target(source, build) for source in sorted(FUZZ.glob("fuzz_*.c"))]
    verdicts = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(lambda target: target.judge(seconds), targets):
            verdicts += done
            for name, text, good in done:
                print(f"{'passed ' if good else 'FAILED '} {name}: {text}", flush=True)
    if not targets:
        verdicts.append(("targets", "there are no fuzz targets", False))
    write_report(report, verdicts)
    return 0 if all(good for _, _, good in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3]))
