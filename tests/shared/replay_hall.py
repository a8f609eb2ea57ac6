"""A server in memory that a recording is sent to again."""

from __future__ import annotations

from typing import Any

from harness import Quill, Wire, answer
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from metaproxy.recording.connection import Pace
from metaproxy.recording.entries import Entry
from metaproxy.recording.player import Player


class Hall:
    """A server in memory: `said` are the requests in the order of their coming, `wires` the connections."""

    def __init__(self, codec: Any = None, **pace: Any) -> None:
        self.clock = Clock()
        self.wires: list[Wire] = []
        self.refuse = False
        self.codec = codec or Quill()
        self.player = Player(self.clock, self._connect, self.codec, Pace(**pace))
        self.done: list[Any] = []

    def _connect(self, protocol: Any) -> Any:
        if self.refuse:
            return fail(ConnectionRefusedError("refused"))
        wire = Wire()
        wire.protocol = protocol
        self.wires.append(wire)
        protocol.makeConnection(wire)
        return succeed(protocol)

    def play(self, *entries: Entry) -> None:
        playing = Deferred.fromCoroutine(self.player.play(entries))
        playing.addCallbacks(self.done.append, self.done.append)

    def answer(self, wire: Wire, body: bytes = b"hi") -> int:
        """Answers all that came on it; how many that were."""
        data, count = wire.take(), 0
        while data:
            size = 4 + int.from_bytes(data[:4], "big")
            wire.protocol.dataReceived(answer(int.from_bytes(data[4:12], "big"), body))
            data, count = data[size:], count + 1
        return count
