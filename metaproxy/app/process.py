"""
The process that a configuration runs in: its memory, its files.

Lives here: what is set once at the start. Does not: services (`application`).
"""

from __future__ import annotations

import gc
import resource

COLLECTIONS = (15_000, 1, 2000)
"""
Objects that come until those are looked at, which takes some 4 ms; how often that is done until those that stayed are
looked at again, 15 ms; and how often that is done until all are.
"""


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


def raise_file_limit() -> None:
    """Each connection is a file: the soft limit, often 1024, would end them long before `max_connections` does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
