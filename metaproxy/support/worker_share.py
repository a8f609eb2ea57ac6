"""
The part of a limit that this process has, where several workers share a configuration.

Lives here: `part`, `whole_part`; `set_workers`, called at the start of a worker. Does not: dividing sections of a
configuration (`workers.shares`): this is for what plugins are made with.
"""

from __future__ import annotations

_workers = 1


def set_workers(count: int) -> None:
    """So many processes share each limit."""
    global _workers
    _workers = count


def part(limit: float) -> float:
    """This process's part of a limit."""
    return limit / _workers


def whole_part(limit: int) -> int:
    """The same of whole things, rounded up."""
    return -(-limit // _workers)
