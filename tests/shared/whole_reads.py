"""What a session of a codec makes of bytes that come in one read."""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.interfaces import ICodec
from metaproxy.message import Message, Side


class WholeReads:
    """make: the codec; most: bytes of a frame at most."""

    def __init__(self, make: Callable[[], ICodec], most: int) -> None:
        self._make = make
        self._most = most

    def messages(self, data: bytes, side: Side = Side.CLIENT) -> list[Message]:
        session = self._make().session(side, self._most)
        found: list[Message] = session.receive(data)
        assert (session.error, session.buffered) == (None, 0)
        return found

    def read(self, data: bytes, side: Side = Side.CLIENT) -> Message:
        (message,) = self.messages(data, side)
        return message

    def refusal(self, data: bytes, side: Side = Side.CLIENT, max_frame: int = 0) -> str:
        """The error of bytes that are none of the protocol's. max_frame: in the place of `most`."""
        session = self._make().session(side, max_frame or self._most)
        assert session.receive(data) == []
        return str(session.error)
