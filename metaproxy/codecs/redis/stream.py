"""
Commands cut from what a client sends: arrays and inline commands, whole or in pieces, plain ones as fast as can be.

Lives here: `CommandStream`. Does not: what commands mean (`client`), stepping over one that is unusual (`resp`).
"""

from __future__ import annotations

from metaproxy.codecs.framing import Session
from metaproxy.codecs.redis import inline, resp
from metaproxy.codecs.redis.command_scanner import MAX_LINE, CommandScanner, ProtocolError
from metaproxy.codecs.redis.metadata import Profile, read
from metaproxy.codecs.redis.resp import CRLF, SIZES, Held
from metaproxy.message import FrameError, Hold, Kind, Message

_REQUEST, _NONE = Kind.REQUEST, Hold.NONE
_STAR = 0x2A


class CommandStream(Session):
    """
    A subclass says what is to become of a command (`_take`), and of plain ones: whether they need no look (`_plain`),
    and their `_more` and `_profile`. Nothing is read once it set `_quit`.
    """

    def __init__(self, max_frame: int, heads: dict[bytes, int]) -> None:
        super().__init__()
        self._heads = heads
        self._most = max_frame
        self._scanner = CommandScanner(max_frame)
        self._held = Held()
        self._in_line = False  # what is held is of an inline command
        self._quit = False
        self._plain = False
        self._more = read
        self._profile: Profile = None

    def _take(self, frame: bytes, messages: list[Message]) -> None:
        """Adds the message of a whole command in RESP."""
        raise NotImplementedError

    def receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        if self.error is not None or self._quit:
            return messages
        try:
            self._read(data, messages)
        except FrameError as error:
            self.error = error
            self._held.drop()
        self.buffered = self._held.size
        return messages

    def owed(self) -> bytes:
        """What redis-server says before it closes; of HTTP it says nothing."""
        return self.error.line() if isinstance(self.error, ProtocolError) else b""

    def _command(self, frame: bytes, messages: list[Message]) -> None:
        """What the scanner stepped over."""
        if not self._scanner.regular:  # only redis-server reads it as it is
            frame = resp.encode(resp.arguments(frame))
        self._take(frame, messages)

    def _read(self, data: bytes, messages: list[Message]) -> None:
        at = 0
        if self._held.size:
            if self._in_line:
                if b"\n" not in data and self._held.size + len(data) <= self._line_limit():
                    self._held.add(data)
                    return
                data = self._held.take(data)
                self._in_line = False
            else:
                at = self._scanner.scan(data, 0)
                if at < 0:
                    self._held.add(data)
                    return
                self._command(self._held.take(data[:at]), messages)
        end = len(data)
        while at < end and not self._quit:
            if self._plain:
                at = self._burst(data, at, messages)
                if at == end:
                    return
            stop = self._scanner.scan(data, at) if data[at] == _STAR else self._line(data, at, messages)
            if stop < 0:
                self._held.add(data[at:])
                return
            if data[at] == _STAR:
                self._command(data[at:stop], messages)
            at = stop

    def _burst(self, data: bytes, at: int, messages: list[Message]) -> int:
        """
        Cuts off what most traffic is made of: whole commands that are nothing special, with eight arguments at most.
        Gives where it stopped, at a command that needs a closer look.
        """
        find, count, size_of, add = data.find, self._heads.get, SIZES.get, messages.append
        more, profile, most = self._more, self._profile, self._most
        while True:
            line = find(CRLF, at + 8, at + 40)
            left = count(data[at:line])
            if left is None or line < 0:
                return at
            stop = line + 2
            while left:
                line = find(CRLF, stop, stop + 12)
                if line < 0:
                    return at
                size = size_of(data[stop:line])
                if size is None:
                    digits = data[stop + 1 : line]
                    if data[stop] != resp.BULK or not digits.isdigit() or digits[0] == 0x30:
                        return at
                    size = int(digits)
                stop = line + 4 + size
                if data[stop - 2 : stop] != CRLF:
                    return at
                left -= 1
            if stop - at > most:
                return at
            add(Message(_REQUEST, data[at:stop], 0, None, more, None, _NONE, profile))
            at = stop

    def _line_limit(self) -> int:
        return min(MAX_LINE, self._most)

    def _line(self, data: bytes, at: int, messages: list[Message]) -> int:
        """An inline command; where it ends, or INCOMPLETE."""
        limit = self._line_limit()
        stop = data.find(b"\n", at, at + limit + 1)
        if stop < 0:
            if len(data) - at > limit:
                raise ProtocolError("too big inline request", f"an inline command of more than {limit} bytes")
            self._in_line = True
            return resp.INCOMPLETE
        words = inline.words(data[at:stop])
        if words:
            frame = resp.encode(words)
            if len(frame) > self._most:
                raise ProtocolError("too big inline request", f"a message of more than {self._most} bytes")
            self._take(frame, messages)
        return stop + 1
