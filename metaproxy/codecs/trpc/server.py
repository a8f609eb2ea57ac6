"""
A connection of tRPC to a server.

Lives here: calls and streams under the proxy's ids, and their answers. Does not: cutting the stream (`session`).
"""

from __future__ import annotations

from typing import Final

from metaproxy.codecs.protobuf_wire import fields, number
from metaproxy.codecs.shapes import MAX_HEAD, Shape
from metaproxy.codecs.trpc import frame as tags
from metaproxy.codecs.trpc.frame import HEAD, renumbered, request_id
from metaproxy.codecs.trpc.metadata import read_init_answer, read_result
from metaproxy.codecs.trpc.session import Limits, TrpcSession
from metaproxy.codecs.trpc.stream import Close, Stream, init_with, refusal, ret_of, window_of
from metaproxy.message import Chunk, ErrorKind, Kind, Message

RESERVED: Final = 100
"""Stream ids below are reserved: an exchange's stream has its id and so much more."""
_CANCELED, _EXCEED, _UNKNOWN = 161, 311, 1000


class ServerSession(TrpcSession):
    """Calls and INITs go out under the proxy's ids; answers come back in any order."""

    _skips = True
    _exceed_ret = _EXCEED

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._over_id = 0
        self._over_text = b""

    def send(self, message: Message, id: int) -> bytes:
        if type(message) is Chunk:
            return self._send_chunk(message, id)
        if message.kind is not Kind.STREAM_OPEN:
            return message.frame if message.id == id else renumbered(message, id)
        limits = self._limits
        stream = Stream(id, id + RESERVED, limits.stream_window, limits.stream_buffer)
        self._open[id] = self._streams[stream.wire_id] = stream
        return init_with(message.frame, stream.wire_id, stream.window)

    def _unary(self, frame: bytes, end: int, messages: list[Message]) -> None:
        if self._again(frame, end, messages):
            return
        id = ret = func_ret = 0
        place = None
        for field in fields(frame, HEAD, end):
            tag = field[0]
            if tag == tags.REQUEST_ID:
                place = field
                id = request_id(frame, field)
            elif tag == tags.RET:
                ret = number(frame, field)
            elif tag == tags.FUNC_RET:
                func_ret = number(frame, field)
        kind = Kind.ERROR if ret or func_ret else Kind.RESPONSE
        if place is not None and end <= MAX_HEAD:
            self._shape = Shape(kind, frame, HEAD, place[2], place[3], end, read_result)
        messages.append(Message(kind, frame, id, None, read_result))

    def _init(self, frame: bytes, wire_id: int, messages: list[Message]) -> None:
        stream = self._streams.get(wire_id)
        if stream is None or stream.accepted:
            return
        if ret_of(frame):
            self._forget(stream)
            messages.append(Message(Kind.ERROR, frame, stream.id, None, read_init_answer))
            return
        stream.accepted = True
        stream.peer_window = window_of(frame)
        if not stream.peer_window:  # a server without flow control gives none, either
            stream.unlimited(self._limits.stream_buffer)
        self._say(stream.outgoing.open(stream.peer_window or None))
        messages.append(Message(Kind.STREAM_OPEN, frame, stream.id, None, read_init_answer))

    def _listens(self, stream: Stream) -> bool:
        return stream.accepted

    def _closed(self, stream: Stream, close: Close, payload: bytes, messages: list[Message]) -> None:
        """It ends the stream. A reset passes as an end with its error, which would else be lost on its way."""
        self._forget(stream)
        if not stream.accepted:
            text = close.message or b"closed before the INIT was answered"
            frame = refusal(stream.wire_id, close.ret or close.func_ret or _UNKNOWN, text)
            messages.append(Message(Kind.ERROR, frame, stream.id, None, read_init_answer))
            return
        failed = close.reset or bool(close.ret or close.func_ret)
        metadata = {"ret": str(close.ret), "func_ret": str(close.func_ret)}
        if close.message:
            metadata["error_msg"] = close.message.decode("utf-8", "replace")
        messages.append(Chunk(Kind.STREAM_CLOSE, b"", stream.id, metadata, payload, failed=failed))

    def _reset_ret(self, kind: ErrorKind | None) -> int:
        return _CANCELED if kind is not None else 0

    def _over(self, head: bytes, total: int) -> None:
        self._over_id = 0
        for field in fields(head, HEAD, len(head)):
            if field[0] == tags.REQUEST_ID:
                self._over_id = request_id(head, field)
        self._over_text = b"an answer of %d bytes; allowed are %d" % (total, self._most)

    def _skipped(self, messages: list[Message]) -> None:
        messages.append(Message(Kind.SKIPPED, self._over_text, self._over_id))
