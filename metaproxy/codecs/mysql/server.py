"""
A server's connection that one client has for itself: the greeting, the client's own login, then commands.

Lives here: `ServerSession`. Does not: where answers end (`answers`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from metaproxy.codecs.framing import Session
from metaproxy.codecs.mysql.answers import Answers
from metaproxy.codecs.mysql.commands import SHAPES, Shape
from metaproxy.codecs.mysql.handshake import Greeting, Login
from metaproxy.codecs.mysql.messages import Answer, LastChunk, effect_of
from metaproxy.codecs.mysql.packets import ERR, LONGEST_LOGIN, head_of, payload_of, read_error
from metaproxy.message import Chunk, FrameError, Kind, Message

_HEAD = 4


class ServerSession(Session):
    """max_frame: bytes of a packet that must be whole; stream_over: of an answer beyond which it comes in pieces."""

    reusable = False

    def __init__(self, max_frame: int, stream_over: int) -> None:
        super().__init__()
        self.ready = False
        self._answers = Answers(max_frame, stream_over, self._settle)
        self._held = bytearray()
        self._logged_in = False
        self._offered = 0  # the capabilities of its greeting

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        return b""

    # -- what is sent

    def send(self, message: Message, id: int) -> bytes:
        if isinstance(message, Chunk) or message.kind is Kind.ONEWAY:
            return message.frame
        frame = message.frame
        shape = SHAPES.get(frame[_HEAD], Shape.ONE)
        if not self._logged_in:
            self._logged_in = True
            self._answers.flags = Login.read(payload_of(frame)).capabilities & self._offered
            shape = Shape.LOGIN
        if shape is not Shape.NONE:
            self._answers.expect(shape, message.id, effect_of(message))
        return frame

    # -- what comes

    def receive(self, data: bytes) -> list[Message]:
        if self.error is not None:
            return []
        if not self.ready:
            return self._greeting(data)
        messages, self.error = self._answers.read(data)
        self.buffered = self._answers.buffered
        return messages

    def _greeting(self, data: bytes) -> list[Message]:
        self._held += data
        held = self._held
        self.buffered = len(held)
        if len(held) < _HEAD:
            return []
        size, _ = head_of(bytes(held[:_HEAD]), 0)
        stop = _HEAD + size
        try:
            if not size or stop > LONGEST_LOGIN:
                raise FrameError(f"a greeting of {size} bytes")
            if len(held) < stop:
                return []
            frame = bytes(held[:stop])
            if frame[_HEAD] == ERR:
                refusal = read_error(frame[_HEAD:])
                raise FrameError(f"the server refused the connection: {refusal.number} {refusal.text}")
            self._offered = Greeting.read(frame[_HEAD:]).capabilities
        except FrameError as error:
            self.error = error
            self.buffered = 0
            return []
        rest = bytes(held[stop:])
        self._held = bytearray()
        self.ready = True
        self.buffered = 0
        return [Message(Kind.EVENT, frame), *(self.receive(rest) if rest else ())]

    def _settle(self, message: Answer | LastChunk) -> None:
        """Nothing: what the server says of its state is its client's alone."""
