"""
A listener with `protocol: auto`, whose clients begin with any bytes, cut in any way.

Lives here: `check_detection`. Does not: what the protocols make of the bytes that follow.
"""

from __future__ import annotations

import random
from typing import Any

from fuzz_sessions import cut

from metaproxy.codecs.auto import Auto
from metaproxy.codecs.brpc import Brpc
from metaproxy.codecs.dubbo import Dubbo
from metaproxy.codecs.framing import Codec
from metaproxy.codecs.http import Http
from metaproxy.codecs.postgres import Postgres
from metaproxy.codecs.redis import Redis
from metaproxy.codecs.thrift import Thrift
from metaproxy.codecs.trpc import Trpc
from metaproxy.proxy.listener import Listener
from metaproxy.proxy.snapshot import NO_ROUTE, ListenerSnapshot
from metaproxy.routing.table import Route, RouteTable
from metaproxy.testing.stage import MemoryNetwork, Wire

CODECS: dict[str, Codec] = {
    "dubbo": Dubbo(), "brpc": Brpc(), "trpc": Trpc(), "thrift": Thrift(), "postgres": Postgres(), "redis": Redis(),
    "http": Http(),
}  # fmt: skip
NAMES = sorted(CODECS)


class Doors:
    """A listener that detects, and one behind it for each protocol, which has no route."""

    def __init__(self, order: int) -> None:
        self.network = MemoryNetwork()
        names = list(NAMES)
        random.Random(order).shuffle(names)
        self._behind = {name: self._listener(name, codec) for name, codec in CODECS.items()}
        auto = Auto(names, wait=5.0)
        self._front = self._listener("front", auto, candidates=auto.candidates, detection_wait=auto.wait)

    def _listener(self, name: str, codec: Codec, **more: Any) -> Listener:
        none: Route[Any] = Route("-", reply=NO_ROUTE)
        snapshot = ListenerSnapshot(name, (), codec, RouteTable([], random.Random(1)), none, max_frame=1 << 16, **more)
        return Listener(snapshot, self.network, lambda name: self._behind.get(name))

    def say(self, pieces: list[bytes]) -> tuple[str, ...]:
        """The listeners that count the client after these bytes, by a connection or by a refusal."""
        wire = Wire(peer="127.0.0.9:4321")
        protocol = self._front.accepted(wire)
        assert protocol is not None
        wire.protocol = protocol
        protocol.makeConnection(wire)
        for piece in pieces:
            if not (wire.closed or wire.paused):
                self.network.turn.begin()
                wire.protocol.dataReceived(piece)
                self.network.turn.end()
                self.network.clock.advance(0)
        found = tuple(name for name, one in self._behind.items() if one.counts.connections)
        if not found:
            self.network.clock.advance(5)
            assert wire.closed, "nothing was detected in time, and the client is still there"
            assert self._front.counts.decode_errors == 1
        wire.end()
        self.network.clock.advance(400)
        for one in (self._front, *self._behind.values()):
            assert not one.clients and not one.counts.plugin_errors and not one.counts.active_exchanges
        return found


def check_detection(order: int, seed: int, stream: bytes) -> None:
    """Raise unless the same protocol is found however the first bytes are cut, and nothing is left."""
    whole = Doors(order).say([stream])
    pieces = Doors(order).say(list(cut(stream, seed)))
    assert len(whole) <= 1 and whole == pieces, f"at once {whole}, in pieces {pieces}"
