from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys

from metaproxy.app.process import COLLECTIONS, raise_file_limit, settle_memory


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    raise_file_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard


def test_what_the_start_loaded_is_not_walked_by_the_collector() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    loaded: list[list[int]] = [[] for _ in range(100)]
    try:
        settle_memory()
        assert gc.get_freeze_count() >= frozen + len(loaded)
        assert gc.get_threshold() == COLLECTIONS
    finally:
        gc.set_threshold(*before)


TURNS = """
import resource, sys
from metaproxy.app.process import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def turn():
    frames = [bytes(16384) for _ in range(64)]
turn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    turn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **environment: str) -> int:
    """Page faults of 20 turns with 64 frames of 16 KiB each."""
    found = subprocess.run(
        [sys.executable, "-c", TURNS, how], env=os.environ | environment, capture_output=True, text=True
    )
    assert not found.stderr
    return int(found.stdout)


def test_the_frames_of_a_turn_lie_where_those_before_lay() -> None:
    assert faults("kept") < 64
    assert faults("by default") > 1000
    assert faults("kept", MALLOC_TRIM_THRESHOLD_="131072") > 1000, "the environment goes first"
    assert faults("kept", GLIBC_TUNABLES="glibc.malloc.trim_threshold=131072") > 1000
