"""
A client's connection: calls of gRPC over HTTP/2, of gRPC-Web over HTTP/2 and HTTP/1.1.

Lives here: `GrpcClient`. What is no call passes as HTTP. Does not: HTTP itself (`metaproxy.codecs.http`), how a call of
gRPC-Web is written (`web`).
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.codecs.grpc import status
from metaproxy.codecs.grpc.messages import Recut
from metaproxy.codecs.grpc.web import WebCall, is_web
from metaproxy.codecs.http.client import ClientSession
from metaproxy.codecs.http.heads import HeadError
from metaproxy.codecs.http.http2 import Http2Client
from metaproxy.codecs.http.model import Head, end, head_of
from metaproxy.codecs.http.rules import Rules
from metaproxy.message import Chunk, ErrorKind, FrameError, Kind, Message

_REQUEST, _OPEN, _DATA, _CLOSE, _RESET = (
    Kind.REQUEST, Kind.STREAM_OPEN, Kind.STREAM_DATA, Kind.STREAM_CLOSE, Kind.STREAM_RESET,
)  # fmt: skip
_ENDS = frozenset((Kind.RESPONSE, Kind.ERROR, _CLOSE, _RESET))


class GrpcClient(ClientSession):
    """whole_messages: bytes up to which a message of a stream is one chunk, 0 for as they come."""

    def __init__(self, rules: Rules, max_frame: int, http2: Callable[[], Http2Client], whole_messages: int) -> None:
        super().__init__(rules, max_frame, http2)
        self._whole_messages = whole_messages
        self._plain: Head | None = None  # the last head that was looked at and is not of gRPC-Web
        self._web: dict[int, WebCall] = {}
        self._recuts: dict[int, Recut] = {}
        self._begun_calls: set[int] = set()
        self._said: list[bytes] = []

    def receive(self, data: bytes) -> list[Message]:
        messages = super().receive(data)
        if self._whole_messages or self._web:
            return self._translated(messages)
        for message in messages:
            kind = message.kind
            if kind is _REQUEST or kind is _OPEN:
                head = head_of(message)
                if head is not self._plain:
                    if is_web(head):
                        return self._translated(messages)
                    self._plain = head
            elif kind is _RESET:
                self._begun_calls.discard(message.id)
        return messages

    def _translated(self, messages: list[Message]) -> list[Message]:
        """The messages, those of gRPC-Web as those of gRPC, and chunks as messages where that is asked for."""
        made: list[Message] = []
        for message in messages:
            try:
                self._translate(message, made)
            except FrameError as error:
                self._give_up(message, error, made)
                if self.error is not None:
                    break
        if self._recuts:
            self.buffered += sum(recut.held for recut in self._recuts.values())
        return made

    def _translate(self, message: Message, made: list[Message]) -> None:
        id, kind = message.id, message.kind
        if isinstance(message, Chunk):
            if kind is _RESET:
                self._forget(id)
                made.append(message)
                return
            web = self._web.get(id)
            if web is not None:
                message = web.chunk(message)
            recut = self._recuts.get(id)
            if recut is None:
                made.append(message)
                return
            made += recut.cut(message)
            if kind is _CLOSE:
                del self._recuts[id]
            return
        if kind is _REQUEST or kind is _OPEN:
            head = head_of(message)
            if is_web(head):
                web = WebCall(head)
                message = web.request(message)
                self._web[id] = web
                head = head_of(message)
            if kind is _OPEN and self._whole_messages and status.is_call(head):
                self._recuts[id] = Recut(self._whole_messages, lambda size: self.credit(id, size))
        made.append(message)

    def _give_up(self, message: Message, error: FrameError, made: list[Message]) -> None:
        """The body of a call can't be read."""
        id = message.id
        self._forget(id)
        if isinstance(message, Chunk):
            made.append(Chunk(_RESET, str(error).encode(), id))
        said = super().reset(id, ErrorKind.BAD_REQUEST, str(error))
        if said is None:
            self.error = HeadError(str(error))
            return
        self._said.append(said)
        self.owes = True

    def _forget(self, id: int) -> None:
        self._begun_calls.discard(id)
        self._web.pop(id, None)
        self._recuts.pop(id, None)

    def owed(self) -> bytes:
        if not self._said:
            return super().owed()
        said = b"".join(self._said)
        self._said.clear()
        self.owes = self._second is not None and self._second.owes
        return super().owed() + said if self.owes else said

    # -- answers

    def send(self, message: Message, id: int) -> bytes:
        kind = message.kind
        if self._web and (web := self._web.get(id)) is not None:
            message = web.answer(message)
        if kind is _OPEN:
            if status.is_call(head_of(message)):
                self._begun_calls.add(id)
        elif kind in _ENDS and (self._begun_calls or self._web or self._recuts):
            self._forget(id)
        return super().send(message, id)

    def reset(self, id: int, kind: ErrorKind | None, text: str) -> bytes | None:
        """A call whose answer has begun ends with a status that says why, if its client reads."""
        if kind is not None and id in self._begun_calls and not self.unsent_bytes(id) and self._can_end(id):
            trailers = status.ends(status.NUMBERS[status.OF_KINDS[kind]], text)
            return self.send(end(id, b"", trailers, failed=True), id)
        self._forget(id)
        return super().reset(id, kind, text)

    def _can_end(self, id: int) -> bool:
        """Whether an end can come now: HTTP/1.1 may have promised a length, but to calls of gRPC-Web."""
        return self._second is not None or id in self._web
