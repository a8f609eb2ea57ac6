"""
What a server sends, cut into answers: where each ends, which of its packets needs a look, what is passed on early.

    first packet ── OK, ERR ───────────────────────────────────────────────┐
         ├── a request for a file ── (the client sends it) ── first packet  ├── more results? first packet : over
         └── number of columns ── columns ── [EOF] ── rows ── EOF, OK, ERR ─┘

An answer that one read brings is a whole message. Of rows that are not all there, what is there is passed on as the
head of a stream, and what follows as its chunks. Columns and rows are stepped over, by their heads.

Lives here: `Answers`. Does not: what was sent, logins (`server`, `upstream_login`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum

from metaproxy.codecs import cutters
from metaproxy.codecs.mysql.commands import Shape
from metaproxy.codecs.mysql.handshake import Capability
from metaproxy.codecs.mysql.messages import Answer, Effect, LastChunk
from metaproxy.codecs.mysql.packets import (
    CURSOR,
    EOF,
    ERR,
    FULL,
    HEAD,
    INFILE,
    LONGEST_LOGIN,
    MORE_RESULTS,
    OK,
    End,
    read_eof,
    read_error,
    read_integer,
    read_ok,
)  # fmt: skip
from metaproxy.message import Chunk, FrameError, Kind, Message

CHUNK = 65536
"""Bytes of a piece of a stream at most."""
LOCAL_INFILE = "local_infile"
"""The metadata key of a head, or a chunk, behind which the client sends a file: the name of it."""
_PROGRESS = 0xFFFF
"""The number of an ERR packet that reports how far a statement is, and is no error."""


class _At(IntEnum):
    """What the next packet is."""

    FIRST = 0
    COLUMNS = 1
    COLUMNS_END = 2
    ROWS = 3
    ONE = 4
    PREPARED = 5
    LOGIN = 6
    EVENTS = 7


_BEGIN = {
    Shape.RESULTS: _At.FIRST,
    Shape.ROWS: _At.ROWS,
    Shape.ONE: _At.ONE,
    Shape.PREPARED: _At.PREPARED,
    Shape.LOGIN: _At.LOGIN,
    Shape.EVENTS: _At.EVENTS,
}
_EARLY = frozenset((Shape.RESULTS, Shape.ROWS, Shape.EVENTS))
"""Answers of which a part is passed on when the rest is not there."""

Settle = Callable[[Answer | LastChunk], None]


class Answers:
    """
    max_frame: bytes of a packet that must be whole. stream_over: bytes of an answer beyond which it is passed on in
    pieces. settle(message): called with the last message of each answer. buffered: bytes that are held.
    """

    def __init__(self, max_frame: int, stream_over: int, settle: Settle) -> None:
        self.flags = 0
        self.buffered = 0
        self._most = max_frame
        self._stream_over = min(stream_over, max_frame)
        self._settle = settle
        self._expected: deque[tuple[Shape, int, Effect | None]] = deque()
        self._held = bytearray()  # of a packet that must be whole
        self._need = HEAD + 1
        self._parts: list[bytes] = []  # of an answer that is not whole
        self._size = 0
        self._at = _At.FIRST
        self._left = 0  # bytes of the current packet that need no look
        self._continues = False  # the next packet belongs to the one before it
        self._columns = 0
        self._then: list[int] = []  # columns behind these, of a statement that was prepared
        self._open = False  # the answer's head was passed on
        self._head: Message | None = None
        self._rows = -1  # in the answer, or changed by what was asked; -1 where it has no result

    @property
    def flags(self) -> int:
        """The capabilities that were agreed on."""
        return self._flags

    @flags.setter
    def flags(self, flags: int) -> None:
        self._flags = flags
        self._deprecated = bool(flags & Capability.DEPRECATE_EOF)
        self._shortest = FULL if self._deprecated else 9
        # Behind any answer to a query a request for a file may come, and then the client's half must be open.
        self._duplex = bool(flags & Capability.LOCAL_FILES)
        self._may_omit = bool(flags & Capability.OPTIONAL_METADATA)
        self._may_cache = bool(flags & Capability.CACHE_METADATA)

    def expect(self, shape: Shape, id: int, effect: Effect | None = None) -> None:
        """A command was sent that is answered so, under that id. effect: what its answer carries."""
        if not self._expected:
            self._at = _BEGIN[shape]
        self._expected.append((shape, id, effect))

    @property
    def waiting(self) -> bool:
        """Whether any answer is to come."""
        return bool(self._expected)

    def read(self, data: bytes) -> tuple[list[Message], FrameError | None]:
        """The messages that `data` completes, and why nothing more can be read, if so."""
        messages: list[Message] = []
        error = None
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                self._count()
                return messages, None
            data, self._held = bytes(self._held), bytearray()
        try:
            self._read(data, messages)
        except FrameError as broken:
            error = broken
            self._parts, self._size, self._held = [], 0, bytearray()
        self._count()
        return messages, error

    def _count(self) -> None:
        self.buffered = self._size + len(self._held)

    def _read(self, data: bytes, messages: list[Message]) -> None:
        at = start = 0
        end = len(data)
        while at < end:
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
                continue
            if self._at == _At.ROWS and not self._continues:
                at = self._step_over_rows(data, at, end)
                if self._left or at >= end:
                    continue
            if end - at < HEAD:
                self._need = HEAD
                break
            size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            if self._continues:
                self._continues = size == FULL
                self._left = size
                at += HEAD
                continue
            if not size:
                raise FrameError("an empty packet from a server")
            if end - at == HEAD:
                self._need = HEAD + 1
                break
            first = data[at + HEAD]
            stop = at + HEAD + size
            if self._passes(first, size):
                if stop <= end and size != FULL:
                    at = stop
                    continue
                self._left = size
                self._continues = size == FULL
                at += HEAD
                continue
            most = max(self._most, LONGEST_LOGIN) if self._at == _At.LOGIN else self._most
            if size == FULL or HEAD + size > most:
                raise FrameError(f"a packet of {size} bytes where one of at most {most - HEAD} was expected")
            if stop > end:
                self._need = HEAD + size
                break
            start = self._take(data, start, at, stop, messages)
            at = stop
        self._keep(data, start, at, messages)
        if at < end:
            self._held += data[at:]

    def _step_over_rows(self, data: bytes, at: int, end: int) -> int:
        """Where the first packet begins that is none, or that is not whole."""
        rows = self._rows
        if cutters.mysql_rows is not None:
            at, whole = cutters.mysql_rows(data, at)
            rows += whole
        while end - at > HEAD:
            size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            if size == FULL or not size or data[at + HEAD] >= EOF:
                break
            rows += 1
            stop = at + HEAD + size
            if stop > end:
                self._left = stop - end
                at = end
                break
            at = stop
        self._rows = rows
        return at

    def _passes(self, first: int, size: int) -> bool:
        """Whether the packet that begins so is stepped over; counts the columns."""
        at = self._at
        if first == ERR or not self._expected:
            return False
        if at == _At.ROWS:
            passes = first != EOF or size >= self._shortest
            self._rows += passes
            return passes
        if at == _At.EVENTS:
            return first != EOF or size >= 9
        if at != _At.COLUMNS or self._expected[0][0] is Shape.PREPARED:
            return False
        self._columns -= 1
        if not self._columns:
            self._at = _At.ROWS if self._deprecated else _At.COLUMNS_END
        return True

    # -- packets that need a look

    def _take(self, data: bytes, start: int, at: int, stop: int, messages: list[Message]) -> int:
        """Looks at the packet from `at` to `stop`; where what is not passed on begins."""
        payload = data[at + HEAD : stop]
        first = payload[0]
        if not self._expected:
            if first != ERR:
                raise FrameError("an answer to nothing that was asked")
            messages.append(Message(Kind.EVENT, data[start:stop]))
            return stop
        if first == ERR:
            if len(payload) >= 3 and payload[1] | payload[2] << 8 == _PROGRESS and self._flags & Capability.PROGRESS:
                return self._progress(data, start, at, stop, messages)
            return self._end(data, start, stop, messages, None, Kind.ERROR)
        return _TAKE[self._at](self, payload, data, start, stop, messages)

    def _progress(self, data: bytes, start: int, at: int, stop: int, messages: list[Message]) -> int:
        if self._open or self._parts or start < at:
            return start
        messages.append(Message(Kind.INTERIM, data[at:stop], self._expected[0][1]))
        return stop

    def _first(self, payload: bytes, data: bytes, start: int, stop: int, messages: list[Message]) -> int:
        first = payload[0]
        if first == OK:
            end = read_ok(payload)
            self._rows = max(self._rows, 0) + read_integer(payload, 1)[0]
            return self._result_over(end, data, start, stop, messages)
        if first == INFILE:
            return self._ask_for_file(payload, data, start, stop, messages)
        at = 0
        follows = True
        if self._may_omit:
            follows, at = bool(first), 1
        count, at = read_integer(payload, at)
        if self._may_cache and at < len(payload):
            follows, at = bool(payload[at]), at + 1
        if at != len(payload) or not count:
            raise FrameError(f"{len(payload)} bytes where a number of columns was expected")
        self._rows = max(self._rows, 0)
        if follows:
            self._columns, self._at = count, _At.COLUMNS
        elif self._deprecated:
            self._at = _At.ROWS
        else:
            self._at = _At.COLUMNS_END
        return start

    def _column(self, payload: bytes, data: bytes, start: int, stop: int, messages: list[Message]) -> int:
        """One parameter or column of a statement that was prepared, whose answer may end with it."""
        self._columns -= 1
        if self._columns:
            return start
        if not self._deprecated:
            self._at = _At.COLUMNS_END
            return start
        return self._next_columns(data, start, stop, messages)

    def _next_columns(self, data: bytes, start: int, stop: int, messages: list[Message]) -> int:
        """Of a statement that was prepared: its parameters, then its columns, as far as it has any."""
        if not self._then:
            return self._end(data, start, stop, messages, None)
        self._columns = self._then.pop(0)
        self._at = _At.COLUMNS
        return start

    def _columns_end(self, payload: bytes, data: bytes, start: int, stop: int, messages: list[Message]) -> int:
        if payload[0] != EOF:
            raise FrameError("no EOF packet behind the columns")
        end = read_eof(payload)
        if self._expected[0][0] is Shape.PREPARED:
            return self._next_columns(data, start, stop, messages)
        if end.status & CURSOR:
            return self._result_over(end, data, start, stop, messages)
        self._at = _At.ROWS
        return start

    def _rows_over(self, payload: bytes, data: bytes, start: int, stop: int, messages: list[Message]) -> int:
        end = read_ok(payload) if self._deprecated and len(payload) > 5 else read_eof(payload)
        return self._result_over(end, data, start, stop, messages)

    def _result_over(self, end: End, data: bytes, start: int, stop: int, messages: list[Message]) -> int:
        if end.status & MORE_RESULTS and self._expected[0][0] is Shape.RESULTS:
            self._at = _At.FIRST
            return start
        return self._end(data, start, stop, messages, end)

    def _one(self, payload: bytes, data: bytes, start: int, stop: int, messages: list[Message]) -> int:
        end = None
        if payload[0] == OK and len(payload) >= 7:
            end = read_ok(payload)
        elif payload[0] == EOF and len(payload) == 5:
            end = read_eof(payload)
        return self._end(data, start, stop, messages, end)

    def _prepared(self, payload: bytes, data: bytes, start: int, stop: int, messages: list[Message]) -> int:
        if payload[0] != OK or len(payload) < 9:
            raise FrameError(f"{len(payload)} bytes where a prepared statement was expected")
        columns, parameters = (int.from_bytes(payload[at : at + 2], "little") for at in (5, 7))
        if self._may_omit and len(payload) > 12 and not payload[12]:
            columns = parameters = 0
        self._then = [count for count in (parameters, columns) if count]
        return self._next_columns(data, start, stop, messages)

    def _login(self, payload: bytes, data: bytes, start: int, stop: int, messages: list[Message]) -> int:
        if payload[0] == OK:
            return self._end(data, start, stop, messages, read_ok(payload))
        messages.append(Message(Kind.INTERIM, data[start:stop], self._expected[0][1]))
        return stop

    def _events_over(self, payload: bytes, data: bytes, start: int, stop: int, messages: list[Message]) -> int:
        return self._end(data, start, stop, messages, None)

    # -- what is passed on

    def _ask_for_file(self, payload: bytes, data: bytes, start: int, stop: int, messages: list[Message]) -> int:
        """The server waits for the client's file: what there is must go."""
        if not self._duplex:
            raise FrameError("a request for a file of the client's, which did not offer any (LOCAL_FILES)")
        self._parts.append(data[start:stop])
        self._size = 0
        self._pass_on(messages, {LOCAL_INFILE: payload[1:].decode("utf-8", "surrogateescape")})
        return stop

    def _end(
        self,
        data: bytes,
        start: int,
        stop: int,
        messages: list[Message],
        end: End | None,
        kind: Kind = Kind.RESPONSE,
    ) -> int:
        """The answer is over with the packet that ends at `stop`."""
        shape, id, effect = self._expected.popleft()
        self._at = _BEGIN[self._expected[0][0]] if self._expected else _At.FIRST
        last = data[start:stop]
        if shape is Shape.PREPARED and self._size + len(last) > self._most:
            raise FrameError(f"an answer of more than {self._most} bytes where it must be whole")
        if self._parts:
            last = b"".join((*self._parts, last))
            self._parts, self._size = [], 0
        failed = kind is Kind.ERROR
        rows, self._rows = self._rows, -1
        known = {"rows": str(rows)} if rows >= 0 and not failed else None
        if self._open or (len(last) > self._stream_over and shape is not Shape.PREPARED):
            pieces = _pieces(last)
            if not self._open:
                self._head = Message(Kind.STREAM_OPEN, pieces.pop(0), id)
                messages.append(self._head)
            if known is not None and self._head is not None:
                self._head.metadata = {**(self._head.metadata or {}), **known}  # for those who look at the end
            self._open, self._head = False, None
            messages += [Chunk(Kind.STREAM_DATA, piece, id) for piece in pieces[:-1]]
            rest = pieces[-1] if pieces else b""
            message: LastChunk | Answer = LastChunk(Kind.STREAM_CLOSE, rest, id, known, failed=failed)
        else:
            message = Answer(kind, last, id, known, read_error_metadata if failed else None)
        message.effect, message.end = effect, end
        messages.append(message)
        self._settle(message)
        return stop

    def _keep(self, data: bytes, start: int, at: int, messages: list[Message]) -> None:
        """What came of an answer that is not whole: passed on, or kept where it must be whole."""
        if start < at:
            self._parts.append(data[start:at])
            self._size += at - start
        if not self._parts:
            return
        if self._open or self._expected[0][0] in _EARLY:
            self._size = 0
            self._pass_on(messages, None)
        elif self._size > self._most:
            raise FrameError(f"an answer of more than {self._most} bytes where it must be whole")

    def _pass_on(self, messages: list[Message], metadata: dict[str, str] | None) -> None:
        pieces = _pieces(b"".join(self._parts))
        self._parts = []
        shape, id, _ = self._expected[0]
        if not self._open:
            self._open = True
            head = self._head = Message(Kind.STREAM_OPEN, pieces.pop(0), id, None if pieces else metadata)
            if self._duplex and shape is Shape.RESULTS:
                head.duplex = True
            messages.append(head)
        for piece in pieces:
            messages.append(Chunk(Kind.STREAM_DATA, piece, id))
        if pieces:
            messages[-1].metadata = metadata


_TAKE: dict[_At, Callable[[Answers, bytes, bytes, int, int, list[Message]], int]] = {
    _At.FIRST: Answers._first,
    _At.COLUMNS: Answers._column,
    _At.COLUMNS_END: Answers._columns_end,
    _At.ROWS: Answers._rows_over,
    _At.ONE: Answers._one,
    _At.PREPARED: Answers._prepared,
    _At.LOGIN: Answers._login,
    _At.EVENTS: Answers._events_over,
}


def _pieces(data: bytes) -> list[bytes]:
    if len(data) <= CHUNK:
        return [data]
    return [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]


def read_error_metadata(message: Message) -> None:
    """`Message.more` of errors. What stands before the last packet is stepped over."""
    frame = message.frame
    at = stop = 0
    while stop + HEAD <= len(frame):
        at = stop
        stop = at + HEAD + int.from_bytes(frame[at : at + 3], "little")
    error = read_error(frame[at + HEAD :])
    message.metadata = {"errno": str(error.number), "sqlstate": error.state}
