"""
Which of several protocols a new client speaks, by what TLS agreed on or else by its first bytes.

Lives here: `Detection`, which stands in a client's place until that is known and then hands its connection to the
listener of that protocol. Does not: what the bytes of a protocol look like (`ICodec.detect`).
"""

from __future__ import annotations

from collections.abc import Sequence

from metaproxy.proxy.roles import Candidate, DetectingListener
from metaproxy.proxy.undecided import Undecided

MOST = 512
"""Bytes by which it must be known: no protocol needs more."""


class Detection(Undecided):
    """candidates: asked in their order; wait: seconds that the client has to say enough."""

    def __init__(self, listener: DetectingListener, candidates: Sequence[Candidate], wait: float) -> None:
        super().__init__(listener, wait)
        self._candidates = candidates

    def connectionMade(self) -> None:
        agreed = getattr(self.transport, "facts", {}).get("tls.alpn")
        for candidate in self._candidates:
            if agreed and agreed in getattr(candidate.snapshot.codec, "alpn", ()):
                self.hand_to(candidate.take_over(self.transport))
                return
        self.wait_for_bytes()

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self._data += data
        undecided = False
        for candidate in self._candidates:
            detect = getattr(candidate.snapshot.codec, "detect", None)
            mine = detect(self._data[:MOST]) if detect is not None else False
            if mine:
                self.hand_to(candidate.take_over(self.transport))
                return
            if mine is None:
                undecided = True
                break  # one before others has the right to them
        if not undecided or len(self._data) >= MOST:
            names = ", ".join(candidate.name for candidate in self._candidates)
            self.refuse(f"the first bytes, {self._data[:16].hex(' ')}, are of no protocol of {names}")

    def out_of_time(self) -> None:
        self.refuse(f"not known what the client speaks after {self._wait:g} s and {len(self._data)} bytes")
