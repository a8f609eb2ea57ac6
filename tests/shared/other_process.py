"""
The other process of an upgrade, in memory.

Lives here: `OtherEnd`, a reactor that gives links a transport in memory, and what is said on it. Does not: assertions.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure


class OtherEnd(Clock):
    """stopped: how often the process was."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.transport = StringTransport()
        self.stopped = 0
        self.running: list[Any] = []

    def adoptStreamConnection(self, fd: int, family: int, factory: Any) -> None:
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def stop(self) -> None:
        self.stopped += 1

    def callWhenRunning(self, call: Any) -> None:
        self.running.append(call)

    def says(self, **content: object) -> None:
        self.protocol.dataReceived(json.dumps(content).encode() + b"\n")

    def ends(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def heard(self) -> list[Any]:
        """What it was told since."""
        lines = self.transport.value().splitlines()
        self.transport.clear()
        return [json.loads(line) for line in lines]


def other_end() -> Any:
    """Return one as the reactor that it stands for."""
    return OtherEnd()
