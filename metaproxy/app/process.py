"""
The process that a configuration runs in: its memory, its files.

Lives here: what is set once at the start. Does not: services (`application`).
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource

COLLECTIONS = (5_000, 1, 6000)
"""
Objects that come until those are looked at, which takes some 2 ms; how often that is done until those that stayed are
looked at again, 3 ms; and how often that is done until all are.
"""

KEPT = 16 << 20
"""Bytes that the C library keeps of what was freed at the end of its heap."""
LARGE = 8 << 20
"""Bytes from which on a piece of memory is had of the system, and given back as soon as it is freed."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def settle_memory() -> None:
    """
    What the start loaded stays until the end: the collector need not walk it. And exchanges form no cycles, so that
    collecting after each 700 of them, as is the default, finds nothing; measured on the data path: 7 percent.

    The middle generation is small: with 20 times 50,000 objects in it, a collection stopped all else for 300 ms, some
    time after 10,000 routes were loaded again. Each object is walked as often as before, and all as seldom.
    """
    gc.collect()
    gc.freeze()
    collect_seldom()


def collect_seldom() -> None:
    """Of what is loaded nothing is garbage: with the default, collections are a fifth of the time of a large start."""
    gc.set_threshold(*COLLECTIONS)


def keep_freed_memory() -> None:
    """
    Frames of more than 512 bytes come from the C library's heap. By default it gives back what is free at the end of it
    as soon as that is 128 KiB, which is so behind nearly each turn with large bodies, and those of the next turn cost a
    page fault for each 4 KiB again: measured with 16 KiB, up to half of a request. What the environment says to the
    same holds; other C libraries have no such call.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    for option, name, size in (
        (_M_TRIM_THRESHOLD, "trim_threshold", KEPT),
        (_M_MMAP_THRESHOLD, "mmap_threshold", LARGE),
    ):
        if f"MALLOC_{name.upper()}_" not in os.environ and f"glibc.malloc.{name}=" not in tunables:
            mallopt(option, size)


def raise_file_limit() -> None:
    """Each connection is a file: the soft limit, often 1024, would end them long before `max_connections` does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
