"""
One endpoint after the other.

Lives here: `Turns`; it is compiled. Does not: whose turn is when (`round_robin`).
"""

from __future__ import annotations

from collections.abc import Iterator

from metaproxy.interfaces import IEndpoint


class Turns:
    """What a balancer that gives turns is derived from. _turns: the endpoints, without an end."""

    __slots__ = ("_turns",)
    _turns: Iterator[IEndpoint]

    def pick(self, hash_value: int) -> IEndpoint:
        return next(self._turns)
