"""
A server's connection that one client has for itself, with `mode: pinned`.

Lives here: `PinnedServer`; and the stream of data that follows SYNC and PSYNC, which is passed on as it comes. Does
not: what a reply answers (`pinned_replies`), where it ends (`server`).
"""

from __future__ import annotations

from metaproxy.codecs.redis import resp
from metaproxy.codecs.redis.pinned_replies import Replies
from metaproxy.codecs.redis.server import ServerSession
from metaproxy.message import Chunk, FrameError, Kind, Message

_EVENT = Kind.EVENT
_LONGEST = 1024
"""Bytes of the line that answers SYNC or PSYNC."""


class PinnedServer(ServerSession):
    reusable = False

    def __init__(self, max_frame: int, stream_over: int) -> None:
        super().__init__(max_frame, stream_over)
        self._replies = Replies()
        self._streaming = False

    # -- what is sent

    def send(self, message: Message, id: int) -> bytes:
        if self._plain and message.__class__ is Message:
            self._unanswered += 1
            return message.frame
        if isinstance(message, Chunk):
            return message.frame
        if self._plain:
            self._plain = False
            self._replies.add_plain(self._unanswered)
        return self._replies.sent(message)

    # -- what comes

    def receive(self, data: bytes) -> list[Message]:
        messages = super().receive(data)
        if not self._plain:
            if self.ready and self._replies.plain:
                self._plain = True
                self._unanswered = self._replies.take_plain()
        elif self._unanswered < 0:
            self._surplus(messages)
        return messages

    def _surplus(self, messages: list[Message]) -> None:
        """More replies than commands: the last ones answer nothing."""
        for message in reversed(messages):
            if self._unanswered == 0:
                break
            if message.kind is not _EVENT and not isinstance(message, Chunk):
                if message.kind is Kind.SKIPPED:
                    message.frame = b""
                message.kind = _EVENT
                self._unanswered += 1

    def _read(self, data: bytes, messages: list[Message], at: int = 0) -> None:
        if self._streaming:
            messages.append(Message(_EVENT, data[at:]))
        elif self._replies.syncing:
            self._handshake(data[at:], messages)
        else:
            super()._read(data, messages, at)

    def _take(self, frame: bytes, messages: list[Message]) -> None:
        """A whole reply."""
        if self._plain or self._greetings:
            super()._take(frame, messages)
        else:
            messages += self._replies.received(frame, self._scanner.code)

    def _opens(self, beginning: bytes, code: int, messages: list[Message]) -> bool:
        if self._plain:
            return code != resp.PUSH and self._unanswered > len(messages)
        return self._replies.opens(beginning, code, messages)

    def _skip(self, beginning: bytes, messages: list[Message]) -> None:
        """A reply with more bytes than are allowed has come to its end."""
        before = len(messages)
        if self._plain or self._greetings:
            super()._skip(beginning, messages)
            return
        messages += self._replies.received(beginning, self._scanner.code, whole=False)
        for message in messages[before:]:
            if message.kind is _EVENT:
                message.frame = b""
            elif message.kind is not Kind.SILENCE:
                message.kind = Kind.SKIPPED
                message.frame = b"an answer of more than %d bytes (max_frame)" % self._most

    # -- replication

    def _handshake(self, data: bytes, messages: list[Message]) -> None:
        """
        The answer to SYNC or PSYNC: line ends while the server prepares its data, then a line, or the data at once.
        """
        if not self._held.size:
            rest = data.lstrip(b"\n")
            if len(rest) < len(data):
                messages.append(Message(_EVENT, data[: len(data) - len(rest)]))
            if rest[:1] == b"$":
                messages += self._replies.received(b"", resp.BULK)
                self._stream(rest, messages)
                return
            if rest and rest[:1] != b"+":  # refused
                self._replies.syncing = False
                super()._read(rest, messages)
                return
            data = rest
        whole = self._held.take(data)
        end = whole.find(resp.CRLF, 0, _LONGEST)
        if end < 0:
            if len(whole) >= _LONGEST:
                raise FrameError(f"a line of more than {_LONGEST} bytes where the answer to SYNC was expected")
            if whole:
                self._held.add(whole)
            return
        line, rest = whole[: end + 2], whole[end + 2 :]
        messages += self._replies.received(line, line[0])
        if line.startswith((b"+FULLRESYNC", b"+CONTINUE")):
            self._stream(rest, messages)
            return
        self._replies.syncing = False
        if rest:
            super()._read(rest, messages)

    def _stream(self, rest: bytes, messages: list[Message]) -> None:
        """From here on nothing is a reply."""
        self._streaming = True
        self._replies.stream()
        if rest:
            messages.append(Message(_EVENT, rest))
