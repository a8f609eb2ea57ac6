"""The network that a cluster is started with."""

from __future__ import annotations

from twisted.internet.task import Clock


class Network:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
