"""
A connection of baidu_std to a server.

Lives here: calls under the proxy's ids, whose answer is whose, what a server needs in calls besides. Does not: cutting
the stream (`session`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from metaproxy.codecs.brpc import frame as tags
from metaproxy.codecs.brpc.frame import HEAD, appended, renumbered, with_id
from metaproxy.codecs.brpc.metadata import error_code, read_call, read_result
from metaproxy.codecs.brpc.session import BrpcSession, Limits
from metaproxy.codecs.brpc.stream import CLOSE, RST, Stream, settings_of, with_settings
from metaproxy.codecs.framing import Cutter
from metaproxy.codecs.protobuf_wire import Field, fields, number, write
from metaproxy.codecs.shapes import MAX_HEAD, Shape
from metaproxy.message import Chunk, ErrorKind, FrameError, Kind, Message

LOGOFF = 2003
"""The error of a server that stops: it takes no new request."""
_UNANSWERED = 65536
"""Calls without an answer that a connection remembers; with more an answer without id finds none of them."""
_GIVEN_UP = 1024
"""Streams that were given up before their server said its id: with more the connection ends."""
_AUTHENTICATION = "authentication_data"


class ServerSession(BrpcSession):
    """
    Calls go out under the proxy's ids, and their answers come back in any order. A stream's id is that of its call.

    Some servers (brpc-java, for a service or method that they do not know) answer with correlation_id 0. Such an answer
    is that of the only call under way, if there is one only. If there are more, the connection takes no new call, and
    once all that are left must be those without id, they have failed.
    """

    _skips = True
    _numbered = True

    def __init__(self, limits: Limits, writes_compress_type: bool) -> None:
        super().__init__(limits)
        self._writes_compress_type = writes_compress_type
        self._authentication = b""
        self._unanswered: set[int] = set()
        self._knows_all = True  # that are unanswered
        self._anonymous = 0
        self._last_anonymous = b""
        self._given_up = 0
        self._over_id = 0
        self._over_text = b""

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        own = credentials.get(_AUTHENTICATION, "")
        self._authentication = own.encode() or (profile if isinstance(profile, bytes) else b"")
        return b""

    # -- calls

    def send(self, message: Message, id: int) -> bytes:
        if type(message) is Chunk:
            return self._send_chunk(message, id)
        frame = message.frame if message.id == id else renumbered(message, id)
        if message.kind is Kind.STREAM_OPEN:
            frame = self._begin(frame, id)
        unanswered = self._unanswered
        unanswered.add(id)
        if len(unanswered) > _UNANSWERED:
            self._knows_all = False
            unanswered.clear()
        if self._authentication or self._writes_compress_type:
            frame = self._completed(frame)
        return frame

    def _completed(self, frame: bytes) -> bytes:
        """The frame with what this server needs in its meta besides, where it is not there."""
        there = {field[0] for field in tags.meta_fields(frame)}
        if self._authentication:
            if tags.AUTHENTICATION_DATA not in there:
                frame = appended(frame, write(tags.AUTHENTICATION_DATA, self._authentication))
            self._authentication = b""
        if self._writes_compress_type and tags.COMPRESS_TYPE not in there:
            frame = appended(frame, tags.NO_COMPRESSION)
        return frame

    def _begin(self, frame: bytes, id: int) -> bytes:
        settings = settings_of(frame, tags.meta_fields(frame))
        if settings is not None and settings.several:
            raise FrameError("extra_stream_ids: a call opens one stream through a proxy, not several")
        self._open[id] = self._streams[id] = Stream(id, id, self._limits.stream_buffer, self._limits.max_frame)
        return with_settings(frame, id)

    def reset(self, id: int, kind: ErrorKind | None, text: str) -> bytes | None:
        """A call that waits for its answer can't be given up: the protocol has no word for it."""
        stream = self._open.get(id)
        if stream is None:
            return b""
        if stream.connected:
            self._forget(stream)
            return b"" if stream.closing and kind is None else stream.frame(CLOSE if kind is None else RST)
        if not stream.given_up:
            stream.given_up = True
            stream.outgoing.clear()
            self._given_up += 1
        return b"" if self._given_up <= _GIVEN_UP else None

    def _settle(self, stream: Stream) -> None:
        if stream.closing and stream.ended:
            self._forget(stream)

    # -- answers

    def _cut_repeated(self, cutter: Cutter, data: bytes, at: int, messages: list[Message]) -> int:
        if self._anonymous:  # each answer may be the one that shows whose those are
            return at
        before = len(messages)
        at = cutter(data, at, messages)
        for message in messages[before:]:
            self._unanswered.discard(message.id)
        return at

    def _add(self, frame: bytes, end: int, messages: list[Message]) -> None:
        shape = self._shape
        again = shape.message(frame, end) if shape is not None else None
        if again is not None and again.id and again.id not in self._open:
            messages.append(again)
            self._answered(again.id, messages)
            if shape is not self._repeated:
                self._repeats(shape)
            return
        id, code, request, response = 0, 0, False, False
        place = None
        found = fields(frame, HEAD, end)
        for field in found:
            tag = field[0]
            if tag == tags.CORRELATION_ID:
                place = field
                id = number(frame, field)
            elif tag == tags.RESPONSE:
                response = True
                code = error_code(frame, field)
            elif tag == tags.REQUEST:
                request = True
        if request and not response:  # a server that calls its client
            messages.append(Message(Kind.EVENT, frame, id, None, read_call))
            return
        if id == 0 and self._unanswered:
            self._without_id(frame, messages)
            return
        kind = Kind.ERROR if code else Kind.RESPONSE
        stream = self._open.get(id)
        if stream is not None and not stream.connected and self._accepted(stream, frame, found, code):
            kind = Kind.STREAM_OPEN
        elif not code and place is not None and end <= MAX_HEAD:
            self._shape = Shape(kind, frame, HEAD, place[2], place[3], end, read_result)
        messages.append(Message(kind, frame, id, None, read_result))
        if code == LOGOFF:
            leaving = Message(Kind.DRAIN, b"")
            leaving.logoff = True
            messages.append(leaving)
        self._answered(id, messages)

    def _accepted(self, stream: Stream, frame: bytes, found: list[Field], code: int) -> bool:
        """Whether an answer opens the stream that its call asked for, and somebody still wants it."""
        settings = settings_of(frame, found) if not code else None
        if settings is not None:
            stream.meet(settings)
            if not stream.given_up:
                self._say(stream.connect(self._limits.stream_window))
                return True
            self._say(stream.frame(RST))
        self._given_up -= stream.given_up
        self._forget(stream)
        return False

    def _answered(self, id: int, messages: list[Message]) -> None:
        self._unanswered.discard(id)
        if self._anonymous:
            self._assign(messages)

    def _without_id(self, frame: bytes, messages: list[Message]) -> None:
        self._anonymous += 1
        self._last_anonymous = frame
        if len(self._unanswered) > self._anonymous:
            messages.append(Message(Kind.DRAIN, b""))
        self._assign(messages)

    def _assign(self, messages: list[Message]) -> None:
        """Once there are no more calls than answers without id, each of these has one."""
        ids = self._unanswered
        if len(ids) != self._anonymous or not self._knows_all:
            return
        last, number_of = self._last_anonymous, self._anonymous
        self._anonymous, self._last_anonymous = 0, b""
        self._unanswered = set()
        if number_of == 1:
            frame = with_id(last, ids.pop())
            self._add(frame, tags.meta_end(frame), messages)
            return
        text = b"answered without a correlation_id, as others that were sent with it"
        messages.extend(Message(Kind.SKIPPED, text, id) for id in sorted(ids))

    def _over(self, head: bytes, size: int) -> None:
        self._over_id = 0
        for field in fields(head, HEAD, len(head)):
            if field[0] == tags.CORRELATION_ID:
                self._over_id = number(head, field)
        self._over_text = b"an answer of %d bytes; allowed are %d" % (size, HEAD + self._most)

    def _skipped(self, messages: list[Message]) -> None:
        messages.append(Message(Kind.SKIPPED, self._over_text, self._over_id))
        self._answered(self._over_id, messages)
