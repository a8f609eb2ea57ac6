"""
The protocol of a listener whose clients speak one of several: their first bytes decide which.

A listener's `chains` may decide in the place of bytes. Lives here: `Auto`, which speaks nothing by itself. Does not:
looking at the bytes (`detect` of each codec); handing a connection over (`proxy.detection`, `proxy.chain_choice`).
"""

from __future__ import annotations

from typing import Annotated

from metaproxy.codecs.framing import Codec, Session
from metaproxy.message import ErrorKind, FrameError, Message, Side
from metaproxy.units import Option


class _NoSession(Session):
    """What is left of a connection that was never handed over: it takes nothing."""

    def receive(self, data: bytes) -> list[Message]:
        if self.error is None and data:
            self.error = FrameError("no protocol was detected on this connection")
        return []


class Auto(Codec):
    """candidates: names of listeners, asked in this order; () where chains decide."""

    name = "auto"
    mutable = "the listener only finds out what its clients speak; write it at the listener that they are handed to"

    def __init__(
        self,
        candidates: Annotated[
            list[str] | None,
            Option(
                "Names of listeners, tried in this order. They need no `listen` of their own, and have the routes. "
                "Required, unless the listener has `chains`."
            ),
        ] = None,
        wait: Annotated[float, Option("Seconds that a client has to say enough.", least=0.1, most=300)] = 10.0,
    ) -> None:
        if candidates is not None and not candidates:
            raise ValueError("candidates is empty; write the names of listeners")
        if candidates is not None and len(set(candidates)) < len(candidates):
            raise ValueError(f"candidates has a name twice: {', '.join(candidates)}")
        self.candidates = tuple(candidates or ())
        self.wait = wait

    def session(self, side: Side, max_frame: int) -> Session:
        return _NoSession()

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        return b""
