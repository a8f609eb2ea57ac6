"""
A connection of HTTP/2 to a server of gRPC.

Lives here: `GrpcServer`: how answers end, what is no answer of gRPC, messages that are over the bound. Does not: HTTP/2
itself (`metaproxy.codecs.http`), which codes count as failures (`codec`).
"""

from __future__ import annotations

from dataclasses import dataclass

from metaproxy.codecs.grpc import status
from metaproxy.codecs.grpc.messages import Recut, TooLarge, Walk
from metaproxy.codecs.grpc.metadata import add_end
from metaproxy.codecs.http.heads import Pair
from metaproxy.codecs.http.http2 import Http2Server, Options
from metaproxy.codecs.http.http2.frames import Code
from metaproxy.codecs.http.http2.stream import Stream
from metaproxy.codecs.http.model import Head, end, head_of, opening, parts, whole
from metaproxy.message import Chunk, FrameError, Kind, Message

_NO_STATUS = "the server ended its answer without grpc-status"


@dataclass(frozen=True, slots=True)
class Calls:
    """
    What is configured for calls. failures: the numbers of codes that count as failures; max_message: bytes of a
    message, 0 for any; whole_messages: bytes up to which a message of a stream is one chunk, 0 for as they come.
    """

    failures: frozenset[bytes]
    max_message: int = 0
    whole_messages: int = 0

    def failed(self, code: bytes) -> bool:
        """Whether a grpc-status counts as failure."""
        return code in self.failures or (code != b"0" and b"%d" % status.number_of(code) in self.failures)


class GrpcServer(Http2Server):
    """Writes calls, and reads what answers them. What is no call passes as HTTP."""

    def __init__(self, options: Options, max_frame: int, calls: Calls) -> None:
        super().__init__(options, max_frame)
        self._calls = calls
        self._call_head: Head | None = None  # the last heads that were found to be of gRPC
        self._answer_head: Head | None = None
        self._is_call = True
        self._others: set[int] = set()
        self._opened: dict[int, Message] = {}
        self._up: dict[int, Walk] = {}
        self._down: dict[int, Walk] = {}
        self._recuts: dict[int, Recut] = {}
        self._bounded = bool(calls.max_message or calls.whole_messages)

    # -- calls

    def send(self, message: Message, id: int) -> bytes:
        most = self._calls.max_message
        if most:
            if isinstance(message, Chunk):
                known = self._up.get(id)
                if known is not None and message.kind is not Kind.STREAM_RESET:
                    known.over(message.frame)
            elif status.is_call(head_of(message)):
                walk = Walk(most)
                if message.kind is Kind.STREAM_OPEN:
                    self._up[id] = walk
                else:
                    walk.over(parts(message)[1])
        return super().send(message, id)

    def _request(self, stream: Stream, message: Message) -> bytes:
        written = super()._request(stream, message)
        if not self._is_call:
            self._others.add(stream.id)
        return written

    def _request_block(self, head: Head) -> bytes:
        self._is_call = head is self._call_head or status.is_call(head)
        if self._is_call:
            self._call_head = head
        return super()._request_block(head)

    # -- answers

    def receive(self, data: bytes) -> list[Message]:
        messages = super().receive(data)
        return self._within_bounds(messages) if self._bounded and messages else messages

    def _answered(self, stream: Stream, head: Head, ends: bool, messages: list[Message]) -> None:
        if head is not self._answer_head and stream.id not in self._others:
            if head.status != 200 or not (status.is_call(head) or status.code_in(head.pairs)):
                self._refuse_answer(stream, head, ends, messages)
                return
            self._answer_head = head
        super()._answered(stream, head, ends, messages)

    def _refuse_answer(self, stream: Stream, head: Head, ends: bool, messages: list[Message]) -> None:
        """What is no answer of gRPC becomes one that says so."""
        code = status.code_in(head.pairs)
        if code is not None:
            number = status.number_of(code)
            text = status.decoded((head.value(b"grpc-message") or b"").decode("latin-1"))
        else:
            number = status.of_http(head.status)
            kind = (head.value(b"content-type") or b"no content type").decode("latin-1")
            text = f"the server answered with HTTP status {head.status}, {kind[:100]}"
        messages.append(self._ending(number, text, stream.id))
        if ends and not stream.local_open:
            self._remove(stream)
        else:
            self._say(self._give_up(stream, Code.CANCEL))

    def _ending(self, number: int, text: str, id: int) -> Message:
        made = status.trailers_only(number, text, id, self._rules.more)
        if not self._calls.failed(b"%d" % number):
            made.kind = Kind.RESPONSE
        return made

    def _whole(self, stream: Stream, head: Head, body: bytes, trailers: list[Pair] | None) -> Message:
        if stream.id in self._others:
            return super()._whole(stream, head, body, trailers)
        code = status.code_in(trailers) or status.code_in(head.pairs)
        if not code:
            code = b"2"
            trailers = [*(trailers or ()), *status.ends(status.UNKNOWN, _NO_STATUS)]
        failed = self._calls.failed(code)
        message = whole(head, body, stream.id, self._rules.more, trailers, failed)
        if failed:
            _note_pushback(message, trailers or head.pairs)
        return message

    def _opening(self, stream: Stream, head: Head) -> Message:
        if stream.id in self._others:
            return super()._opening(stream, head)
        code = status.code_in(head.pairs)
        failed = code is not None and self._calls.failed(code)
        message = opening(head, stream.id, self._rules.more, failed)
        if failed:
            _note_pushback(message, head.pairs)
        self._opened[stream.id] = message
        return message

    def _close(self, stream: Stream, body: bytes, trailers: list[Pair] | None, size: int) -> Chunk:
        opened = self._opened.pop(stream.id, None)
        if opened is None:
            return super()._close(stream, body, trailers, size)
        code = status.code_in(trailers) or status.code_in(stream.answer.pairs if stream.answer is not None else None)
        if not code:
            code = b"2"
            trailers = [*(trailers or ()), *status.ends(status.UNKNOWN, _NO_STATUS)]
        _tell(opened, trailers)
        chunk = end(stream.id, body, trailers, self._calls.failed(code))
        chunk.size = size
        return chunk

    def _remove(self, stream: Stream) -> None:
        super()._remove(stream)
        id = stream.id
        self._others.discard(id)
        self._opened.pop(id, None)
        if self._bounded:
            self._up.pop(id, None)

    # -- bounds

    def _within_bounds(self, messages: list[Message]) -> list[Message]:
        """The messages, those that are too large as an end, chunks as messages where that is asked for."""
        made: list[Message] = []
        ended: set[int] = set()
        for message in messages:
            if message.id in ended:
                continue
            try:
                self._bound(message, made)
            except TooLarge as error:
                ended.add(message.id)
                self._end_answer(message, str(error), made)
        self.buffered += sum(recut.held for recut in self._recuts.values())
        return made

    def _bound(self, message: Message, made: list[Message]) -> None:
        id, kind = message.id, message.kind
        if not isinstance(message, Chunk):
            if id not in self._others:
                if kind is Kind.STREAM_OPEN:
                    self._down[id] = Walk(self._calls.max_message)
                    if self._calls.whole_messages:
                        self._recuts[id] = Recut(self._calls.whole_messages, lambda size: self.credit(id, size))
                elif kind is Kind.RESPONSE or kind is Kind.ERROR:
                    Walk(self._calls.max_message).over(parts(message)[1])
            made.append(message)
            return
        walk, recut = self._down.get(id), self._recuts.get(id)
        if kind is not Kind.STREAM_RESET and walk is not None:
            walk.over(message.frame)
            made += recut.cut(message) if recut is not None else [message]
        else:
            made.append(message)
        if kind is not Kind.STREAM_DATA:
            self._down.pop(id, None)
            self._recuts.pop(id, None)

    def _end_answer(self, message: Message, text: str, made: list[Message]) -> None:
        """An answer holds a message that is over the bound."""
        id = message.id
        self._down.pop(id, None)
        self._recuts.pop(id, None)
        if isinstance(message, Chunk):
            trailers = status.ends(status.RESOURCE_EXHAUSTED, text)
            made.append(end(id, b"", trailers, True))
        else:
            made.append(status.trailers_only(status.RESOURCE_EXHAUSTED, text, id, self._rules.more))
        stream = self._stream_of(id)
        if stream is not None:
            self._say(self._give_up(stream, Code.CANCEL))


def _note_pushback(message: Message, pairs: list[Pair]) -> None:
    """What a server says of another try: so many milliseconds, or not at all."""
    for name, value in pairs:
        if name == b"grpc-retry-pushback-ms":
            message.retry_after = int(value) / 1000 if value.isdigit() and len(value) <= 10 else -1.0


def _tell(opened: Message, trailers: list[Pair] | None) -> None:
    """What is known of an answer's head, with the end of the answer: for logs."""
    try:
        opened.read()
    except FrameError:
        return
    if opened.metadata is not None:
        add_end(opened.metadata, trailers)
