"""
Which of several protocols a new client speaks, by what TLS agreed on or else by its first bytes.

Lives here: `Detection`, which stands in a client's place until that is known and then hands its connection to the
listener of that protocol. Does not: what the bytes of a protocol look like (`ICodec.detect`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from metaproxy.interfaces import ISession
from metaproxy.message import Side
from metaproxy.proxy.roles import Candidate, DetectingListener, OpenExchange
from metaproxy.wire import Wire

MOST = 512
"""Bytes by which it must be known: no protocol needs more."""


class Detection(Protocol):
    """candidates: asked in their order; wait: seconds that the client has to say enough."""

    transport: Wire  # type: ignore[assignment]

    def __init__(self, listener: DetectingListener, candidates: Sequence[Candidate], wait: float) -> None:
        self._listener = listener
        self._candidates = candidates
        self._wait = wait
        self._data = b""
        self._timer: IDelayedCall | None = None
        self._over = False
        self.session: ISession = listener.snapshot.codec.session(Side.CLIENT, MOST)

    def connectionMade(self) -> None:
        agreed = getattr(self.transport, "facts", {}).get("tls.alpn")
        for candidate in self._candidates:
            if agreed and agreed in getattr(candidate.snapshot.codec, "alpn", ()):
                self._hand_to(candidate)
                return
        self._timer = self._listener.network.clock.callLater(self._wait, self._too_late)

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self._data += data
        undecided = False
        for candidate in self._candidates:
            detect = getattr(candidate.snapshot.codec, "detect", None)
            mine = detect(self._data[:MOST]) if detect is not None else False
            if mine:
                self._hand_to(candidate)
                return
            if mine is None:
                undecided = True
                break  # one before others has the right to them
        if not undecided or len(self._data) >= MOST:
            names = ", ".join(candidate.name for candidate in self._candidates)
            self._refuse(f"the first bytes, {self._data[:16].hex(' ')}, are of no protocol of {names}")

    def _hand_to(self, candidate: Candidate) -> None:
        self._end()
        protocol = candidate.take_over(self.transport)
        if protocol is None:
            self.transport.abortConnection()
            return
        self.transport.hand_to(protocol)
        protocol.makeConnection(self.transport)
        if self._data:
            protocol.dataReceived(self._data)

    def _refuse(self, text: str) -> None:
        self._listener.counts.decode_errors += 1
        self._listener.bad_frame(str(self.transport.getPeer()), text)
        self.close()

    def _too_late(self) -> None:
        self._timer = None
        self._refuse(f"not known what the client speaks after {self._wait:g} s and {len(self._data)} bytes")

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
