"""
A client's connection of baidu_std.

Lives here: calls, and the answers under the ids that they came with. Does not: cutting the stream (`session`).
"""

from __future__ import annotations

from metaproxy.codecs.brpc import frame as tags
from metaproxy.codecs.brpc.frame import HEAD, error_frame, renumbered
from metaproxy.codecs.brpc.metadata import read_call
from metaproxy.codecs.brpc.session import BrpcSession, Limits
from metaproxy.codecs.brpc.stream import CLOSE, RST, Stream, settings_of, with_settings
from metaproxy.codecs.protobuf_wire import Field, fields, number
from metaproxy.codecs.shapes import MAX_HEAD, Shape
from metaproxy.message import Chunk, ErrorKind, FrameError, Kind, Message

_OVERCROWDED = 1011


def _taken(id: int) -> FrameError:
    return FrameError(f"correlation_id {id} of a call is that of an open stream")


class ClientSession(BrpcSession):
    """Calls come in, answers go out. A stream's exchange has the id of the call that opened it, as long as it lasts."""

    def __init__(self, limits: Limits, writes_compress_type: bool) -> None:
        super().__init__(limits)
        self._writes_compress_type = writes_compress_type
        self._authentication: bytes | None = None
        self._last_own = 0

    def _add(self, frame: bytes, end: int, messages: list[Message]) -> None:
        shape = self._shape
        if shape is not None and (again := shape.message(frame, end, self._authentication)) is not None:
            if again.id in self._open:
                raise _taken(again.id)
            messages.append(again)
            if shape is not self._repeated:
                self._repeats(shape, self._authentication)
            return
        id, request, opens = 0, False, False
        place = None
        found = fields(frame, HEAD, end)
        for field in found:
            tag = field[0]
            if tag == tags.CORRELATION_ID:
                place = field
                id = number(frame, field)
            elif tag == tags.REQUEST:
                request = True
            elif tag == tags.STREAM_SETTINGS:
                opens = True
            elif tag == tags.AUTHENTICATION_DATA:
                self._authentication = frame[field[2] : field[3]]
                self._repeats(None)
        if not request:
            raise FrameError("a frame of a client without `request` in its meta")
        if id in self._open:
            raise _taken(id)
        if not opens:
            if place is not None and end <= MAX_HEAD:
                self._shape = Shape(Kind.REQUEST, frame, HEAD, place[2], place[3], end, read_call)
            messages.append(Message(Kind.REQUEST, frame, id, None, read_call, profile=self._authentication))
            return
        most = self._limits.max_streams
        if len(self._open) >= most:
            refusal = error_frame(id, _OVERCROWDED, f"more than {most} streams on a connection (max_streams)")
            messages.append(Message(Kind.REQUEST, frame, id, None, read_call, answer=refusal))
            return
        self._begin(frame, found, id)
        messages.append(Message(Kind.STREAM_OPEN, frame, id, None, read_call, profile=self._authentication))

    def _begin(self, frame: bytes, found: list[Field], id: int) -> None:
        settings = settings_of(frame, found)
        assert settings is not None
        self._last_own += 1
        stream = Stream(id, self._last_own, self._limits.stream_buffer, self._limits.max_frame)
        stream.meet(settings)
        self._open[id] = self._streams[stream.own] = stream

    def send(self, message: Message, id: int) -> bytes:
        if type(message) is Chunk:
            return self._send_chunk(message, id)
        frame = message.frame if message.id == id else renumbered(message, id)
        if self._writes_compress_type and all(field[0] != tags.COMPRESS_TYPE for field in tags.meta_fields(frame)):
            frame = tags.appended(frame, tags.NO_COMPRESSION)
        stream = self._open.get(id)
        if stream is None:
            return frame
        if message.kind is Kind.STREAM_OPEN:
            return with_settings(frame, stream.own) + stream.connect(self._limits.stream_window)
        self._end(stream)
        return frame

    def reset(self, id: int, kind: ErrorKind | None, text: str) -> bytes:
        stream = self._open.get(id)
        if stream is None:
            return b""
        self._end(stream)
        return stream.frame(CLOSE if kind is None else RST)

    def _settle(self, stream: Stream) -> None:
        if stream.closing and stream.outgoing.empty:
            self._end(stream)

    def _end(self, stream: Stream) -> None:
        """Nothing more is sent, and nothing more of what comes is wanted: its half is over."""
        if not stream.ended:
            self._finished.append(Chunk(Kind.STREAM_CLOSE, b"", stream.id))
        self._forget(stream)
