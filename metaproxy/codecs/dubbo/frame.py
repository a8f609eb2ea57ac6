"""
Dubbo's frames, and what they are.

    | da bb | flags | status | id 8 | length 4 | body |       big-endian; length counts the body
    flags: 0x80 request, 0x40 two-way, 0x20 event, 0x1f serialization; status: in responses only

Source: org.apache.dubbo.remoting.exchange.codec.ExchangeCodec (2.7, 3.3). Lives here: the frames of one connection,
heartbeats and other events. Does not: bodies (`body`), metadata, errors, mutations (`codec`).
"""

from __future__ import annotations

import struct
from typing import Final

from metaproxy.codecs.cutters import compiled_cutter, compiled_methods
from metaproxy.codecs.dubbo.body import HEAD
from metaproxy.codecs.dubbo.metadata import BODIES, OK, SERIALIZATION, read_call, read_result
from metaproxy.codecs.framing import LARGE, Held, Session
from metaproxy.codecs.session_fields import FrameFields
from metaproxy.message import FrameError, Kind, Message, Side, Spliced, Written

MAGIC: Final = 0xDABB
REQUEST, TWO_WAY, EVENT = 0x80, 0x40, 0x20
HESSIAN2: Final = 2
READ_ONLY, WRITABLE = "R", "W"

HEADER = struct.Struct(">HBBQI")
_ID = struct.Struct(">Q")

_CALL = REQUEST | TWO_WAY
_SHAPE = REQUEST | TWO_WAY | EVENT
_THROWN = frozenset((0x90, 0x93))
"""The first byte of a Hessian 2 response that brings an exception, without and with attachments."""

# Looked up for every frame: an enumeration's members are slow to reach.
_KIND_REQUEST, _KIND_ONEWAY, _KIND_EVENT = Kind.REQUEST, Kind.ONEWAY, Kind.EVENT
_KIND_RESPONSE, _KIND_ERROR = Kind.RESPONSE, Kind.ERROR


@compiled_methods("dubbo_methods")
class DubboSession(FrameFields, Session):
    """The frames of one connection. A loop of its own, as LengthFramed's makes two more calls a frame."""

    def __init__(self, side: Side, max_frame: int) -> None:
        super().__init__()
        self._client = side is Side.CLIENT
        self._max = max_frame
        self._held = Held()
        self._need = HEAD
        self._serialization = HESSIAN2
        more = read_call if self._client else read_result
        self.cutter = compiled_cutter("DubboCutter", self._client, max_frame - HEAD, more)

    def receive(self, data: bytes, at: int = 0, found: list[Message] | None = None) -> list[Message]:
        """at, found: where to go on behind messages that are cut already, see `_cut.pyx`; 0 while anything is held."""
        messages = [] if found is None else found
        if self.error is not None:
            return messages
        if self.buffered:
            at = self._complete(data, messages)
            if at < 0:
                return messages
        add, unpack, most, client = messages.append, HEADER.unpack_from, self._max - HEAD, self._client
        end, need, flags = len(data), HEAD, self._serialization
        if self.cutter is not None and (stop := self.cutter(data, at, messages)) > at:
            at, flags = stop, messages[-1].frame[2]
        while end - at >= HEAD:
            magic, flags, status, id, length = unpack(data, at)
            if magic != MAGIC or length > most:
                self.error = self._refusal(data, at, length)
                return messages
            stop = at + HEAD + length
            if stop > end:
                need = HEAD + length
                break
            frame = data[at:stop]
            at = stop
            shape = flags & _SHAPE
            if shape == _CALL and client:
                add(Message(_KIND_REQUEST, frame, id, None, read_call))
            elif shape & EVENT:
                add(self._event(frame, flags, id))
            elif shape & REQUEST:
                # One-way; or a server's, which calls back an argument of an earlier request.
                add(Message(_KIND_ONEWAY if client else _KIND_EVENT, frame, id, None, read_call))
            else:
                kind = _KIND_RESPONSE
                if status != OK:
                    kind = _KIND_ERROR
                elif flags == HESSIAN2:
                    if length and frame[HEAD] in _THROWN:
                        kind = _KIND_ERROR
                elif _throws(frame, flags):
                    kind = _KIND_ERROR
                add(Message(kind, frame, id, None, read_result))
        self._serialization = flags & SERIALIZATION
        if at < end:
            self._hold(data[at:], need)
        return messages

    def send(self, message: Message, id: int) -> Written:  # type: ignore[override]  # ISession's, of all sessions
        frame = message.frame
        if message.id == id:
            return frame
        head = frame[:4] + _ID.pack(id)
        return head + frame[12:] if len(frame) < LARGE else Spliced(head, frame, 12)

    def drain(self) -> bytes:
        """
        The read-only event, after which a Dubbo client sends nothing new on this connection. In hessian2, as Java
        does too, where the client's own serialization is none that can be written.
        """
        if not self._client:
            return b""
        number = self._serialization if self._serialization in BODIES else HESSIAN2
        body = BODIES[number].string(READ_ONLY)
        return HEADER.pack(MAGIC, REQUEST | EVENT | number, 0, 0, len(body)) + body

    # -- what one read does not bring whole

    def _complete(self, data: bytes, messages: list[Message]) -> int:
        """Takes from `data` what is missing of what is held; where the rest begins, -1 while that is not whole."""
        held, missing = self._held, self._need - self.buffered
        if len(data) < missing:
            self._hold(data, self._need)
            return -1
        stop = len(data) if self._need == HEAD else missing  # the frame, or its head and what may be all of it
        whole = held.take(memoryview(data)[:stop])
        self.buffered = 0
        messages += self.receive(whole)
        return stop if self.error is None else -1

    def _hold(self, rest: bytes, need: int) -> None:
        self._held.add(rest)
        self.buffered = self._held.size
        self._need = need
        if self.buffered < HEAD:
            self.error = _bad_magic(self._held.beginning())

    def _refusal(self, data: bytes, at: int, length: int) -> FrameError:
        bad = _bad_magic(data[at : at + 2])
        if bad is not None:
            return bad
        if length >= 1 << 31:
            return FrameError(f"body of {length - (1 << 32)} bytes; a length is not negative")
        return FrameError(f"frame of {HEAD + length} bytes; allowed are {HEAD} to {self._max}")

    # -- heartbeats and other events

    def _event(self, frame: bytes, flags: int, id: int) -> Message:
        """
        A heartbeat that wants an answer gets one with its own body: that is the null of its serialization, whatever
        that is. Other events get none.
        """
        text = _event_text(frame, flags & SERIALIZATION)
        if text == READ_ONLY and flags & REQUEST and not self._client:
            leaving = Message(Kind.DRAIN, frame, id)
            leaving.logoff = True
            return leaving
        answer = b""
        if flags & _CALL == _CALL and not text:
            answer = HEADER.pack(MAGIC, EVENT | flags & SERIALIZATION, OK, id, len(frame) - HEAD) + frame[HEAD:]
        if self._client:
            return Message(Kind.HEARTBEAT, frame, id, None, None, answer)
        if answer:
            self.say(answer)
        return Message(Kind.HEARTBEAT, frame, id)


def _bad_magic(data: bytes | bytearray) -> FrameError | None:
    """What is wrong at the first byte that differs, however many are there."""
    for length in (1, 2):
        read = data[:length]
        if not b"\xda\xbb".startswith(read):
            return FrameError(f"magic dabb expected, {read.hex()} read")
    return None


def _event_text(frame: bytes, number: int) -> str:
    """The text of an event; "" for a heartbeat, and for what cannot be read."""
    body = BODIES.get(number)
    if body is None or len(frame) == HEAD:
        return ""
    try:
        return body.event(frame)
    except FrameError:
        return ""


def _throws(frame: bytes, flags: int) -> bool:
    """Whether a response of status 20 brings an exception, as far as that can be read."""
    body = BODIES.get(flags & SERIALIZATION)
    if body is None or len(frame) == HEAD:
        return False
    try:
        return body.result(frame)[0] in (0, 3)
    except FrameError:
        return False
