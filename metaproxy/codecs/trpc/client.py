"""
A client's connection of tRPC.

Lives here: calls and streams, and the answers under the ids that they came with. Does not: cutting the stream
(`session`).
"""

from __future__ import annotations

from metaproxy.codecs.protobuf_wire import fields, number
from metaproxy.codecs.shapes import MAX_HEAD, Shape
from metaproxy.codecs.trpc import frame as tags
from metaproxy.codecs.trpc.frame import HEAD, STREAM, renumbered, request_id
from metaproxy.codecs.trpc.metadata import read_call, read_init
from metaproxy.codecs.trpc.session import TrpcSession
from metaproxy.codecs.trpc.stream import Close, Stream, init_with, refusal, window_of
from metaproxy.message import Chunk, ErrorKind, FrameError, Kind, Message

STREAM_BIT = 1 << 32
"""In an exchange's id: the rest is a stream's id. Request ids and stream ids are apart, and have 32 bits each."""
_OVERLOAD, _CLIENT_DECODE = 22, 122
_RESETS = {
    ErrorKind.TIMEOUT: 254, ErrorKind.OVERLOAD: 232, ErrorKind.LIMITED: 232, ErrorKind.BAD_RESPONSE: 222,
    ErrorKind.BAD_REQUEST: 222,
}  # fmt: skip
"""TrpcRetCode of a stream that is given up: TRPC_STREAM_SERVER_READ_TIMEOUT, WRITE_OVERFLOW, DECODE."""
_NETWORK, _EXCEED = 201, 211


class ClientSession(TrpcSession):
    """Calls and INITs come in, answers go out."""

    _exceed_ret = _EXCEED

    def _unary(self, frame: bytes, end: int, messages: list[Message]) -> None:
        if self._again(frame, end, messages):
            return
        id, kind, place = 0, Kind.REQUEST, None
        for field in fields(frame, HEAD, end):
            tag = field[0]
            if tag == tags.REQUEST_ID:
                place = field
                id = request_id(frame, field)
            elif tag == tags.CALL_TYPE:
                kind = Kind.ONEWAY if number(frame, field) & 0xFFFFFFFF == 1 else Kind.REQUEST
        if place is not None and end <= MAX_HEAD:
            self._shape = Shape(kind, frame, HEAD, place[2], place[3], end, read_call)
        messages.append(Message(kind, frame, id, None, read_call))

    def _init(self, frame: bytes, wire_id: int, messages: list[Message]) -> None:
        if wire_id in self._streams:
            raise FrameError(f"INIT of stream {wire_id}, which is open")
        window = window_of(frame)
        id = STREAM_BIT | wire_id
        most = self._limits.max_streams
        if len(self._open) >= most:
            text = b"more than %d streams on a connection (max_streams)" % most
            answer = refusal(wire_id, _OVERLOAD, text)
            messages.append(Message(Kind.REQUEST, frame, id, None, read_init, answer=answer))
            return
        # A client without flow control gets none.
        stream = Stream(id, wire_id, self._limits.stream_window if window else 0, self._limits.stream_buffer)
        stream.peer_window = window
        self._open[id] = self._streams[wire_id] = stream
        messages.append(Message(Kind.STREAM_OPEN, frame, id, None, read_init))

    def _closed(self, stream: Stream, close: Close, payload: bytes, messages: list[Message]) -> None:
        if close.reset:
            self._forget(stream)
            text = close.message or b"reset by its client"
            messages.append(Chunk(Kind.STREAM_RESET, text, stream.id, trailers=payload))
        else:
            stream.ended = True
            messages.append(Chunk(Kind.STREAM_CLOSE, b"", stream.id, trailers=payload))

    def send(self, message: Message, id: int) -> bytes:
        if type(message) is Chunk:
            return self._send_chunk(message, id)
        frame = message.frame
        if id < STREAM_BIT:
            return frame if message.id == id else renumbered(message, id)
        stream = self._open.get(id)
        if stream is None:
            return b""
        if message.kind is Kind.STREAM_OPEN:
            stream.accepted = True
            head = init_with(frame, stream.wire_id, stream.window)
            return head + stream.outgoing.open(stream.peer_window or None)
        self._end(stream)
        if frame[2] != STREAM:
            return refusal(stream.wire_id, _CLIENT_DECODE, b"a unary answer to a stream")
        return tags.with_stream_id(frame, stream.wire_id)

    def _reset_ret(self, kind: ErrorKind | None) -> int:
        return _RESETS.get(kind, _NETWORK) if kind is not None else 0

    def _settle(self, stream: Stream) -> None:
        if stream.closing and stream.outgoing.empty:
            self._end(stream)

    def _end(self, stream: Stream) -> None:
        if not stream.ended:
            self._finished.append(Chunk(Kind.STREAM_CLOSE, b"", stream.id))
        self._forget(stream)
