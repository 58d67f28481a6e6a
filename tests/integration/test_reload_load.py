"""Swaps of a ConfigMap under load: no failed request, no torn settings, no descriptor kept.

tests/soak/swaps.py does the same with 1,000 swaps of a release build, and looks at memory too.
"""

import pytest

from harness.config import ConfigMap
from harness.process import Doorman
from harness.split import Split
from harness.swaps import files, publish, swap, text

pytestmark = pytest.mark.memory

QUICK = {"CONFIG_DEBOUNCE_MS": "10", "CONFIG_POLL_SECONDS": "0"}
SWAPS = 40


@pytest.mark.tsan
def test_swaps_under_load_in_one_process(tmp_path, upstream):
    volume = ConfigMap(tmp_path / "volume", text(0))
    doorman = Doorman(tmp_path / "doorman", {"DOORMAN_CONFIG_FILE": volume.path, **QUICK}).start()
    try:
        seen = []
        faults, answers = swap(doorman, volume, SWAPS, publish(doorman.url, upstream),
                               lambda number: seen.append(files(doorman.pid)))
    finally:
        doorman.stop()
    assert faults == [] and answers > SWAPS
    # counted under the same load, which has a connection to the upstream more or less at times
    assert min(seen[-10:]) <= max(seen[:10]), seen


@pytest.mark.tsan
def test_swaps_under_load_with_several_workers(tmp_path, upstream):
    """The sidecar and the admin read the same file, the sidecar with four workers."""
    volume = ConfigMap(tmp_path / "volume", text(0))
    split = Split(tmp_path / "split", {"DOORMAN_CONFIG_FILE": volume.path, **QUICK,
                                       "THREADS": "4"}).start()
    gateway = split.gateways[0]
    try:
        faults, answers = swap(gateway, volume, SWAPS, publish(split.url, upstream))
    finally:
        split.stop()
    assert faults == [] and answers > SWAPS
