"""
A client of which it is not known yet which listener it is for.

Lives here: `Undecided`, what stands in its place in the list of the listener that accepted it, and hands its connection
over. Does not: the decision (`detection`, `chains`).
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from metaproxy.interfaces import ISession
from metaproxy.message import Side
from metaproxy.proxy.roles import DetectingListener, OpenExchange
from metaproxy.wire import Wire, WireProtocol

_BYTES = 512
"""Of the session that it has for those who count what clients have unread; it never reads any."""


class Undecided(Protocol):
    """wait: seconds that the client has to say enough."""

    transport: Wire  # type: ignore[assignment]

    def __init__(self, listener: DetectingListener, wait: float) -> None:
        self._listener = listener
        self._wait = wait
        self._data = b""
        self._timer: IDelayedCall | None = None
        self._over = False
        self.session: ISession = listener.snapshot.codec.session(Side.CLIENT, _BYTES)

    def wait_for_bytes(self) -> None:
        """Give the client its time to say enough."""
        self._timer = self._listener.network.clock.callLater(self._wait, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        self.out_of_time()

    def out_of_time(self) -> None:
        """It did not say enough."""
        raise NotImplementedError

    def hand_to(self, protocol: WireProtocol | None) -> None:
        """The connection is another's from now on; None: no listener takes it."""
        self._end()
        if protocol is None:
            self.transport.abortConnection()
            return
        self.transport.hand_to(protocol)
        protocol.makeConnection(self.transport)
        if self._data:
            protocol.dataReceived(self._data)

    def refuse(self, text: str) -> None:
        self._listener.counts.decode_errors += 1
        self._listener.bad_frame(str(self.transport.getPeer()), text)
        self.close()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._listener.left(self)

    # -- the rest of a connection's protocol, and of a client in its listener's list

    def readConnectionLost(self) -> None:
        self.close()

    def pauseProducing(self) -> None:
        """Nothing is written to a client that did not say enough."""

    def resumeProducing(self) -> None:
        """See pauseProducing."""

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self._end()

    def under_way(self) -> Iterator[OpenExchange]:
        return iter(())

    def open_streams(self) -> Iterator[OpenExchange]:
        return iter(())

    def drain(self, linger: bool = True) -> None:
        if not self._listener.patient:
            self.close()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()

    def cut_short(self) -> None:
        """It waits for nothing."""

    def expire(self) -> None:
        """See idle_for."""
        self.close()

    def idle_for(self, now: float) -> float:
        """It has a time-out of its own."""
        return 0.0

    def beat(self, now: float) -> None:
        """It has nothing to say."""

    def forget_closed(self) -> None:
        """It keeps nothing."""
