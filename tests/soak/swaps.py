#!/usr/bin/env python3
"""A ConfigMap swapped again and again while clients call: no failed request, and nothing grows.

    DOORMAN_BIN_DIR=build/release/bin tests/soak/swaps.py SWAPS

First doorman alone, then a sidecar with four workers beside its admin (Redis and a server of
MongoDB's protocol are needed), half of the swaps each. Every tenth swap is behind a broken one. The
first fifth fills caches and pools; what a process grows by after that is judged.
"""

import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.config import ConfigMap  # noqa: E402
from harness.process import Doorman  # noqa: E402
from harness.split import Split  # noqa: E402
from harness.swaps import files, publish, settled, swap, text  # noqa: E402
from harness.upstream import Upstream  # noqa: E402

QUICK = {"CONFIG_DEBOUNCE_MS": "10", "CONFIG_POLL_SECONDS": "0", "MEMORY_LOG_ENABLED": "false",
         "LOG_LEVEL": "ERROR"}
# What fragmentation may cost; settings of 2 KB kept by each of 400 swaps would pass it.
MAX_GROWTH_KB = 1024
MAX_MORE_FILES = 4


def run(program, url, volume, swaps):
    """Gives what went wrong."""
    sizes, opened, upstream = [], [], Upstream()

    def look(_):
        sizes.append(program.resident_kb())
        opened.append(files(program.pid))

    started = time.monotonic()
    faults, answers = swap(program, volume, swaps, publish(url, upstream), look)
    took = time.monotonic() - started
    upstream.stop()
    warm = max(1, swaps // 5)
    before, after = max(sizes[:warm]), settled(program.resident_kb)
    print(f"swaps: {program.name}: {swaps} swaps, {answers} calls, {len(faults)} failed, in "
          f"{took:.0f} s; resident {before} kB after {warm}, {after} kB at the end; "
          f"descriptors {max(opened[:warm])}, {min(opened[-warm:])}")
    if answers < swaps:
        faults.append("clients hardly came through")
    if after - before > MAX_GROWTH_KB:
        faults.append(f"resident memory grew by {after - before} kB")
    if min(opened[-warm:]) > max(opened[:warm]) + MAX_MORE_FILES:
        faults.append("descriptors are kept")
    return [f"{program.name}: {fault}" for fault in faults[:20]]


def main(swaps):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        volume = ConfigMap(folder / "one", text(0))
        alone = Doorman(folder / "doorman", {"DOORMAN_CONFIG_FILE": volume.path, **QUICK}).start()
        try:
            faults = run(alone, alone.url, volume, swaps // 2)
        finally:
            alone.stop()
        volume = ConfigMap(folder / "two", text(0))
        split = Split(folder / "split", {"DOORMAN_CONFIG_FILE": volume.path, "THREADS": "4",
                                         **QUICK}).start()
        try:
            faults += run(split.gateways[0], split.url, volume, swaps - swaps // 2)
        finally:
            split.stop()
    for fault in faults:
        print(f"swaps: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
