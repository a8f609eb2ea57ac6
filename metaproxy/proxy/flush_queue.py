"""
One turn of the reactor: everything that is written to one connection in it leaves in one `send`.

Lives here: `FlushQueue`, which knows the time and who has something to flush. Does not: sockets.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from metaproxy.counts import counter
from metaproxy.proxy.socket_protocol import SocketProtocol


class FlushQueue:
    """
    now: seconds of the reactor's clock when the turn began. What reads sockets brackets its work by `begin` and
    `end`; what is written outside of such a turn (from a timer, or when a Deferred fires) is flushed right after. The
    exchanges of a turn are counted at its end, behind what is written.
    """

    __slots__ = ("_clock", "_dirty", "_scheduled", "_turning", "now")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._dirty: list[SocketProtocol] = []
        self._turning = False
        self._scheduled = False
        self.now = clock.seconds()

    def begin(self) -> None:
        self.now = self._clock.seconds()
        self._turning = True
        counter.hold()

    def end(self) -> None:
        self._turning = False
        counter.fetch()
        try:
            self.flush()
        finally:
            counter.settle()

    def refresh(self) -> float:
        """The time for what a timer or an outside event starts; within a turn, the turn's."""
        if not self._turning:
            self.now = self._clock.seconds()
        return self.now

    def add(self, connection: SocketProtocol) -> None:
        """Flush `connection` at the end of this turn. Called once a connection and turn, by its first write."""
        self._dirty.append(connection)
        if not self._turning and not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self._outside)

    def _outside(self) -> None:
        self._scheduled = False
        self.flush()

    def flush(self) -> None:
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            for connection in dirty:
                try:
                    connection.flush()
                except BaseException:
                    # A codec gave something else than bytes: that costs this connection, and no other its turn.
                    connection.unflushable(Failure())
