from __future__ import annotations

import stat
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.python.failure import Failure

from metaproxy.clients.relay import Relay

LOST = Failure(ConnectionDone())


class Ends:
    """A relay in memory. asked: the factories of the connections that it wants, with what they wait for."""

    def __init__(self) -> None:
        self.reactor = MemoryReactor()
        self.asked: list[tuple[Any, Deferred[Any]]] = []
        self.relay = Relay(self.reactor, lambda: cast(IStreamClientEndpoint, self))

    def connect(self, factory: Any) -> Deferred[Any]:
        self.asked.append((factory, Deferred()))
        return self.asked[-1][1]

    def arrive(self) -> tuple[Any, StringTransport]:
        transport = StringTransport()
        here = self.reactor.unixServers[-1][1].buildProtocol(None)
        here.makeConnection(transport)
        return here, transport

    def there(self) -> tuple[Any, StringTransport]:
        transport = StringTransport()
        there = self.asked[-1][0].buildProtocol(None)
        there.makeConnection(transport)
        return there, transport


def test_only_this_user_can_reach_it_and_nothing_is_left_of_it() -> None:
    ends = Ends()
    path, _, _, mode = ends.reactor.unixServers[0][:4]
    folder = Path(path).parent
    assert ends.relay.target == f"unix:{path}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and 0o600 in ends.reactor.unixServers[0]
    ends.relay.close()
    assert not folder.exists()
    assert mode is not None


def test_bytes_go_both_ways_and_those_that_came_early_wait() -> None:
    ends = Ends()
    here, near = ends.arrive()
    here.dataReceived(b"early ")
    there, far = ends.there()
    here.dataReceived(b"late")
    there.dataReceived(b"answer")
    assert far.value() == b"early late" and near.value() == b"answer"


def test_either_end_ends_the_other() -> None:
    ends = Ends()
    here, _ = ends.arrive()
    _, far = ends.there()
    here.connectionLost(LOST)
    assert far.disconnecting
    _, near = ends.arrive()
    there, _ = ends.there()
    there.connectionLost(LOST)
    assert near.disconnecting


def test_who_left_before_the_other_side_was_there_gets_none() -> None:
    ends = Ends()
    here, _ = ends.arrive()
    here.connectionLost(LOST)
    _, far = ends.there()
    assert far.disconnecting


def test_a_connection_that_can_not_be_made_ends_the_one_that_asked_for_it() -> None:
    ends = Ends()
    _, near = ends.arrive()
    ends.asked[-1][1].errback(Failure(OSError("refused")))
    assert near.disconnecting or near.disconnected or near.aborting  # type: ignore[attr-defined]
