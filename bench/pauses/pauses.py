"""
The longest pause of a proxy's reactor, for `bench.scale`: a timer of a millisecond, inside the process.

What is counted is CPU time of the process between two calls of the timer, so that other work on the machine adds
nothing. It stands in a file in the folder that BENCH_PAUSES names, one of each process, by its pid, as a double of
seconds; its reader sets it to 0.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTime

EVERY = 0.001
DOUBLE = struct.Struct("d")


class Watch:
    def __init__(self, folder: str) -> None:
        file = Path(folder) / str(os.getpid())
        file.write_bytes(DOUBLE.pack(0.0))
        with file.open("r+b") as opened:
            self._longest = mmap.mmap(opened.fileno(), DOUBLE.size)
        self._last = time.process_time()
        self._clock = IReactorTime(reactor)
        self._clock.callLater(EVERY, self._look)

    def _look(self) -> None:
        now = time.process_time()
        (longest,) = DOUBLE.unpack_from(self._longest)
        if now - self._last > longest:
            DOUBLE.pack_into(self._longest, 0, now - self._last)
        self._last = now
        self._clock.callLater(EVERY, self._look)


if "BENCH_PAUSES" in os.environ:
    watch = Watch(os.environ["BENCH_PAUSES"])
