#!/usr/bin/env python3
"""Prints "PASSED FAILED" of a JUnit report, and the names of what failed on standard error.

A test that did not run is not a test that passed: skipped and disabled ones count as failed.
"""

import sys
import xml.etree.ElementTree as ElementTree

BAD = ("failure", "error", "skipped")


def main(path):
    passed, failed = 0, 0
    for case in ElementTree.parse(path).iter("testcase"):
        marks = [child.tag for child in case if child.tag in BAD]
        if not marks and case.get("status", "run") in ("run", "passed"):
            passed += 1
            continue
        failed += 1
        name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
        print(f"FAILED  {name} ({', '.join(marks) or case.get('status')})", file=sys.stderr)
    print(passed, failed)


if __name__ == "__main__":
    main(sys.argv[1])
