"""
The frames of one connection of baidu_std.

Lives here: cutting the stream, ids, and which requests a server has not answered yet. Does not: one frame's bytes
(`frame`), metadata, errors and mutations (`codec`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from metaproxy.codecs.brpc import frame as tags
from metaproxy.codecs.brpc.frame import HEAD, HEADER, MAGIC, appended, with_id
from metaproxy.codecs.brpc.metadata import error_code, read_call, read_result
from metaproxy.codecs.framing import Session
from metaproxy.codecs.protobuf_wire import Field, fields, number, write
from metaproxy.message import FrameError, Kind, Message

LOGOFF = 2003
"""The error of a server that stops: it takes no new request."""
_UNANSWERED = 65536
"""Requests without an answer that a connection remembers; with more an answer without id finds none of them."""
_MAGIC = b"PRPC"


def _bad_magic(read: bytes) -> FrameError:
    """Says what is wrong at the first byte that differs, however many are there."""
    while not _MAGIC.startswith(read[:-1]):
        read = read[:-1]
    return FrameError(f"magic PRPC expected, {read!r} read")


class BrpcSession(Session):
    """What both sides have in common: frames of whole messages."""

    _skips = False
    """Whether a frame over the bound is read to its end and dropped."""

    def __init__(self, max_frame: int) -> None:
        self._most = max_frame - HEAD
        self._rest = bytearray()
        self._need = HEAD
        self._skip = 0

    def receive(self, data: bytes) -> list[Message]:
        if self.error is not None:
            return []
        if self._rest:
            self._rest += data
            self.buffered = len(self._rest)
            if self.buffered < self._need:
                self._check_magic(self._rest)
                return []
            data = bytes(self._rest)
            self._rest.clear()
            self.buffered = 0
        messages: list[Message] = []
        try:
            at = self._read(data, messages)
        except FrameError as error:
            self.error = error
            return messages
        if at < len(data):
            self._rest += data[at:]
            self.buffered = len(self._rest)
            self._check_magic(self._rest)
        return messages

    def _read(self, data: bytes, messages: list[Message]) -> int:
        """Add the messages that are whole; where what is left of the data begins."""
        at, end = 0, len(data)
        if self._skip:
            at = min(self._skip, end)
            self._skip -= at
            if self._skip:
                return at
            self._skipped(messages)
        unpack = HEADER.unpack_from
        self._need = HEAD
        while end - at >= HEAD:
            magic, body, meta = unpack(data, at)
            if magic != MAGIC:
                raise _bad_magic(data[at : at + 4])
            if meta > body:
                raise FrameError(f"meta of {meta} bytes in a body of {body}")
            stop = at + HEAD + body
            if body > self._most:
                if meta > self._most or not self._skips:
                    raise FrameError(f"frame of {HEAD + body} bytes; allowed are {HEAD} to {HEAD + self._most}")
                if end - at < HEAD + meta:
                    self._need = HEAD + meta
                    break
                self._over(data[at : at + HEAD + meta], HEAD + body)
                at, self._skip = min(stop, end), max(0, stop - end)
                if not self._skip:
                    self._skipped(messages)
                continue
            if stop > end:
                self._need = HEAD + body
                break
            frame = data[at:stop]
            self._add(frame, fields(frame, HEAD, HEAD + meta), messages)
            at = stop
        return at

    def _add(self, frame: bytes, found: list[Field], messages: list[Message]) -> None:
        """Add what a whole frame is. found: the fields of its meta."""
        raise NotImplementedError

    def _over(self, head: bytes, size: int) -> None:
        """A frame of so many bytes, of which head and meta are there, is over the bound and will be skipped."""

    def _skipped(self, messages: list[Message]) -> None:
        """The frame over the bound has been read."""

    def _check_magic(self, data: bytes | bytearray) -> None:
        """Refuse what cannot become a frame at the first byte that differs."""
        read = bytes(data[:4])
        if not _MAGIC.startswith(read):
            self.error = _bad_magic(read)


class ClientSession(BrpcSession):
    """A client's connection: requests come in, answers go out under the ids that they came with."""

    def __init__(self, max_frame: int) -> None:
        super().__init__(max_frame)
        self._authentication: bytes | None = None

    def send(self, message: Message, id: int) -> bytes:
        return message.frame if message.id == id else with_id(message.frame, id)

    def _add(self, frame: bytes, found: list[Field], messages: list[Message]) -> None:
        id, request = 0, False
        for field in found:
            tag = field[0]
            if tag == tags.CORRELATION_ID:
                id = number(frame, field)
            elif tag == tags.REQUEST:
                request = True
            elif tag == tags.AUTHENTICATION_DATA:
                self._authentication = frame[field[2] : field[3]]
        if not request:
            raise FrameError("a frame of a client without `request` in its meta")
        messages.append(Message(Kind.REQUEST, frame, id, None, read_call, profile=self._authentication))


class ServerSession(BrpcSession):
    """
    A connection to a server: requests go out under the proxy's ids, and their answers come back in any order.

    Some servers (brpc-java, for a service or method that they do not know) answer with correlation_id 0. Such an answer
    is that of the only request under way, if there is one only. If there are more, the connection takes no new request,
    and once all that are left must be those without id, they have failed.
    """

    _skips = True

    def __init__(self, max_frame: int, writes_compress_type: bool) -> None:
        super().__init__(max_frame)
        self._writes_compress_type = writes_compress_type
        self._authentication = b""
        self._unanswered: set[int] = set()
        self._counts_all = True
        self._anonymous = 0
        self._last_anonymous = b""
        self._over_id = 0
        self._over_text = b""

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        own = credentials.get("authentication_data", "")
        self._authentication = own.encode() or (profile if isinstance(profile, bytes) else b"")
        return b""

    # -- requests

    def send(self, message: Message, id: int) -> bytes:
        unanswered = self._unanswered
        unanswered.add(id)
        if len(unanswered) > _UNANSWERED:
            self._counts_all = False
            unanswered.clear()
        frame = message.frame if message.id == id else with_id(message.frame, id)
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
            frame = appended(frame, b"\x18\x00")
        return frame

    # -- answers

    def _add(self, frame: bytes, found: list[Field], messages: list[Message]) -> None:
        id, code, request, response = 0, 0, False, False
        for field in found:
            tag = field[0]
            if tag == tags.CORRELATION_ID:
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
        messages.append(Message(kind, frame, id, None, read_result))
        if code == LOGOFF:
            messages.append(Message(Kind.DRAIN, b""))
        self._answered(id, messages)

    def _answered(self, id: int, messages: list[Message]) -> None:
        self._unanswered.discard(id)
        if self._anonymous:
            self._settle(messages)

    def _without_id(self, frame: bytes, messages: list[Message]) -> None:
        self._anonymous += 1
        self._last_anonymous = frame
        if len(self._unanswered) > self._anonymous:
            messages.append(Message(Kind.DRAIN, b""))
        self._settle(messages)

    def _settle(self, messages: list[Message]) -> None:
        """Once there are no more requests than answers without id, each of these has one."""
        ids = self._unanswered
        if len(ids) != self._anonymous or not self._counts_all:
            return
        if len(ids) == 1:
            (id,) = ids
            message = Message(Kind.RESPONSE, with_id(self._last_anonymous, id), id, None, read_result)
            if message.get("error_code") != "0":
                message.kind = Kind.ERROR
            messages.append(message)
        else:
            text = b"answered without a correlation_id, as others that were sent with it"
            messages.extend(Message(Kind.SKIPPED, text, id) for id in sorted(ids))
        ids.clear()
        self._anonymous = 0
        self._last_anonymous = b""

    def _over(self, head: bytes, size: int) -> None:
        self._over_id = 0
        for field in fields(head, HEAD, len(head)):
            if field[0] == tags.CORRELATION_ID:
                self._over_id = number(head, field)
        self._over_text = b"an answer of %d bytes; allowed are %d" % (size, HEAD + self._most)

    def _skipped(self, messages: list[Message]) -> None:
        messages.append(Message(Kind.SKIPPED, self._over_text, self._over_id))
        self._answered(self._over_id, messages)
