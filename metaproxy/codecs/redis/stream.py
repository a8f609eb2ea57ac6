"""
Commands cut from what a client sends: arrays and inline commands, whole or in pieces, plain ones as fast as can be.

    up to stream_over                             a whole message
    over it, where the head tells all keys        STREAM_OPEN, STREAM_DATA ..., STREAM_CLOSE
    over it, with keys behind a large argument    a whole message up to max_frame, over that STREAM_OPEN ... too

Lives here: `CommandStream`. Does not: what commands mean (`client`), stepping over one that is unusual
(`command_scanner`), which commands may come in pieces (`large`).
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from metaproxy.codecs.cutters import compiled_cutter, compiled_methods
from metaproxy.codecs.framing import Held, Session
from metaproxy.codecs.redis import inline, resp
from metaproxy.codecs.redis.command_scanner import LARGE, MAX_LINE, CommandScanner, ProtocolError
from metaproxy.codecs.redis.large import add_chunks, begins_stream
from metaproxy.codecs.redis.metadata import Profile, read
from metaproxy.codecs.redis.resp import CRLF, SIZES
from metaproxy.codecs.session_fields import CommandFields
from metaproxy.message import Chunk, FrameError, Hold, Kind, Message

_REQUEST, _NONE = Kind.REQUEST, Hold.NONE
_STAR = 0x2A
_WHOLE, _PASSED, _DROPPED = range(3)
"""What becomes of the command that is under way: kept until it is whole, passed on as it comes, or read and dropped."""


@compiled_methods("redis_commands_methods")
class CommandStream(CommandFields, Session):
    """
    A subclass says what is to become of a command (`_take`), and of plain ones: whether they need no look (`_plain`),
    and their `_more` and `_profile`. Nothing is read once it set `_quit`. stream_over: bytes of a command beyond which
    it is passed on in pieces.
    """

    __slots__ = (
        "_heads", "_held", "_in_line", "_more", "_most", "_plain", "_profile", "_quit", "_rest", "_scanner",
        "_streams",
    )  # fmt: skip

    def __init__(
        self, max_frame: int, stream_over: int, heads: dict[bytes, int], more: Callable[[Message], None] = read
    ) -> None:
        super().__init__()
        self._heads = heads
        self._most = max_frame
        self._scanner = CommandScanner(min(stream_over, max_frame))
        self._held = Held()
        self._rest = _WHOLE
        self._streams = 0  # commands that were passed on in pieces
        self._in_line = False  # what is held is of an inline command
        self._quit = False
        self._plain = False
        self._straight = False  # see _look_ahead
        self._more = more
        self._profile: Profile = None
        self.cutter = compiled_cutter("RedisCommands", heads, max_frame, more, None)

    def _renew_cutter(self) -> None:
        """`_more` or `_profile` is another one."""
        if self.cutter is not None:
            self.cutter = compiled_cutter("RedisCommands", self._heads, self._most, self._more, self._profile)

    def _take(self, frame: bytes, messages: list[Message]) -> None:
        """Adds the message of a whole command in RESP."""
        raise NotImplementedError

    def _admit(self, head: Message) -> bool:
        """
        As `_take`, for a command that comes in pieces, whose head is a STREAM_OPEN. False where it is refused: `head`
        was made what is answered or sent in its place, and the rest of the command is dropped.
        """
        raise NotImplementedError

    def _trusts(self, keys_known: bool) -> bool:
        """Whether a command may be passed on without a look at all of its arguments."""
        raise NotImplementedError

    def _look_ahead(self) -> None:
        """Set `_straight`: what is read next may go to the cutter: a command begins, and plain ones need no look."""
        begun = self._rest or self._in_line or self._held.size
        self._straight = self._plain and not (begun or self._quit or self.error is not None)

    def receive(self, data: bytes, at: int = 0, found: list[Message] | None = None) -> list[Message]:
        """at, found: where to go on behind messages that are cut already, see `_cut.pyx`; 0 while anything is held."""
        messages = [] if found is None else found
        if self.error is not None or self._quit:
            return messages
        try:
            self._read(data, messages, at)
        except FrameError as error:
            self.error = error
            self._held.drop()
            if self._rest == _PASSED:
                messages.append(Chunk(Kind.STREAM_RESET, b"", self._streams))
        self.buffered = self._held.size
        if self.cutter is not None:
            self._look_ahead()
        return messages

    def owed(self) -> bytes:
        """What redis-server says before it closes; of HTTP it says nothing."""
        return self.error.line() if isinstance(self.error, ProtocolError) else b""

    def _command(self, frame: bytes, messages: list[Message]) -> None:
        """What the scanner stepped over."""
        if not self._scanner.regular:  # only redis-server reads it as it is
            frame = resp.encode(resp.arguments(frame))
        self._take(frame, messages)

    def _read(self, data: bytes, messages: list[Message], at: int = 0) -> None:
        """What there is from `at` on, which is 0 unless nothing is held."""
        if self._rest:
            at = self._pass_on(data, 0, messages)
        elif self._in_line:
            if b"\n" not in data and self._held.size + len(data) <= self._line_limit():
                self._held.add(data)
                return
            data = self._held.take(data)
            self._in_line = False
        elif self._held.size:
            at = self._step(data, 0, messages)
        if at < 0:
            return
        end = len(data)
        while at < end and not self._quit:
            if self._plain:
                at = self._burst(data, at, messages)
                if at == end:
                    return
            if data[at] == _STAR:
                at = self._step(data, at, messages)
                if at < 0:
                    return
                continue
            stop = self._line(data, at, messages)
            if stop < 0:
                self._held.add(data[at:])
                return
            at = stop

    def _step(self, data: bytes, at: int, messages: list[Message]) -> int:
        """Takes in the command that begins at `at`, or goes on there; where it ends, INCOMPLETE if it does not."""
        scanner, held = self._scanner, self._held
        stop = scanner.scan(data, at)
        while stop == LARGE:
            place = scanner.place
            beginning = held.take(data[at:place])
            at = place
            if self._begin_stream(beginning, messages):
                return self._pass_on(data, at, messages)
            if scanner.announced > self._most:
                raise ProtocolError("invalid bulk length", f"a message of more than {self._most} bytes")
            scanner.bound = self._most
            held.add(beginning)
            stop = scanner.scan(data, at)
        if stop < 0:
            held.add(data[at:])
        else:
            self._command(held.take(memoryview(data)[at:stop]) if held.size else data[at:stop], messages)
        return stop

    def _begin_stream(self, beginning: bytes, messages: list[Message]) -> bool:
        """Whether the command is passed on as it comes, or dropped, which begins so and is over `bound`."""
        scanner = self._scanner
        way = begins_stream(beginning, scanner.left, scanner.announced > self._most) if scanner.regular else None
        if way is None or not self._trusts(way.keys_known):
            return False
        head = Message(Kind.STREAM_OPEN, beginning, self._streams + 1, None, self._more, None, _NONE, self._profile)
        if not way.keys_known:
            head.unclear = way.unclear
        if self._admit(head):
            self._streams += 1
            self._rest = _PASSED
            if head.hold is _NONE:
                head.hold = Hold.EXCHANGE
        else:
            self._rest = _DROPPED
            head.id = 0
            if head.kind is Kind.STREAM_OPEN:
                head.kind = _REQUEST
        messages.append(head)
        scanner.bound = inf
        return True

    def _pass_on(self, data: bytes, at: int, messages: list[Message]) -> int:
        """The rest of a large command, as far as it is there; where it ends, INCOMPLETE if it does not."""
        scanner = self._scanner
        stop = scanner.scan(data, at)
        if self._rest == _PASSED:
            if not scanner.regular:  # others than redis-server read it in another way, and it can't be written again
                raise ProtocolError("invalid line end", "in a command that is passed on in pieces")
            end = len(data) if stop < 0 else stop
            add_chunks(messages, data, at, end, self._streams, stop >= 0)
        if stop >= 0:
            self._rest = _WHOLE
        return stop

    def _burst(self, data: bytes, at: int, messages: list[Message]) -> int:
        """
        Cuts off what most traffic is made of: whole commands that are nothing special, with eight arguments at most.
        Gives where it stopped, at a command that needs a closer look.
        """
        find, count, size_of, add = data.find, self._heads.get, SIZES.get, messages.append
        more, profile, most = self._more, self._profile, self._most
        if self.cutter is not None:
            at = self.cutter(data, at, messages)
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
