"""
Connections to an endpoint that other processes have.

Lives here: `PoolElsewhere`. Does not: connections of this process (`proxy.pool`).
"""

from __future__ import annotations

from collections.abc import Mapping


class PoolElsewhere:
    """
    The place of a pool in a process that has no connections itself, for those who look at it. states: how many there
    are in each state.
    """

    def __init__(self, states: Mapping[str, int]) -> None:
        self.states = states
        self.connections = range(sum(states.values()))

    def retire(self) -> None:
        """The processes that have the connections do that."""

    def resume(self) -> None:
        """The processes that have the connections do that."""

    def cancelled(self, attempt: object) -> None:
        """No attempt is made here."""
