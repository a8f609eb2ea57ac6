r"""
RESP2 and RESP3: where commands and replies end, and what they are made of.

    command   *N\r\n, then N times $LENGTH\r\nBYTES\r\n; or a line of words, an inline command (`inline`)
    reply     + - : , # ( _   a line           $ ! =  LENGTH\r\nBYTES\r\n, or $-1\r\n: a null
              * ~ >  N values, or *-1\r\n      %  N pairs      |  N pairs of attributes, then the value itself

Of RESP3 the streamed forms ($?, *?) are refused: no server sends them. Source: the Redis serialization protocol
specification. Lives here: `Scanner`, which steps over messages; `Held`, which keeps the pieces of one; writing commands
and taking them apart. Does not: what commands mean (`client`), what replies mean (`server`).
"""

from __future__ import annotations

from collections.abc import Iterable

from metaproxy.message import FrameError

CRLF = b"\r\n"
MAX_LINE = 1 << 16
"""Bytes of a line: an inline command, a status, an error, a number."""
MAX_HEAD = 22
"""Bytes of a line that only tells a number, its first byte included."""
MAX_ITEMS = 1 << 20
"""Arguments of a command, as redis-server allows. The values of a reply are bounded by its size alone."""
MAX_DEPTH = 32
SMALL = 4096
"""Pieces of a message that are smaller are collected: an object for each would cost more than its bytes."""

INCOMPLETE = -1

SIZES: dict[bytes, int] = {b"$%d" % size: size for size in range(2048)}
"""The heads of small values: a look-up costs a third of reading digits."""

BULK, ARRAY, PUSH, ATTRIBUTE, MAP, ERROR, BULK_ERROR = b"$*>|%-!"
_LINES = frozenset(b"+-:,#(_")
_LONG = frozenset(b"+-,(")
"""Lines that may be long. The others tell a number or nothing."""
_BULKS = frozenset(b"$!=")
_LISTS = frozenset(b"*~>")
_PAIRS = frozenset(b"%|")
_REPLIES = _LINES | _BULKS | _LISTS | _PAIRS
_LEAST = 3
"""Bytes of the smallest value, `_` and a line end."""


class Scanner:
    """
    Steps over one message after another, in whatever pieces they come; no byte is looked at twice. most: bytes that a
    message may have, refused as soon as its heads tell that it has more.

    code: what the reply is (its first byte, behind attributes). Whether it was a `*`, `-` or `>` decides what it means.
    """

    __slots__ = ("_above", "_line", "_owed", "_size", "_skip", "code", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.code = 0
        self._size = 0  # bytes of the message that were stepped over
        self._owed = 1  # values still to come where we are
        self._above: list[int] = []  # the same of the lists that we are in
        self._skip = 0  # bytes of a value still to come, its line end included
        self._line = b""  # the beginning of a line whose end has not come

    def scan(self, data: bytes, at: int) -> int:
        """
        Where in `data` the message ends that begins at `at`, or goes on there, if the last call gave INCOMPLETE.

        Raises FrameError, at the same byte however the stream was cut; the scanner is of no use afterwards.
        """
        if self._skip:
            at = self._skip_value(data, at)
        elif self._line:
            at = self._finish_line(data, at)
        if at < 0:
            return INCOMPLETE
        end, most = len(data), self.most
        size = self._size - at  # so that the message has `size + place` bytes up to any place in `data`
        while self._owed:
            if self._above:
                at = self._small_values(data, at, most - size)
                if not self._owed:
                    break
            if at >= end:
                self._size = size + at
                return INCOMPLETE
            code = data[at]
            limit = self._limit(code, most - size - at)
            line = data.find(CRLF, at, at + limit + 2)
            if line < 0:
                self._size = size + at
                self._line = data[at:]
                self._refuse_long_line(code, limit)
                return INCOMPLETE
            skip = self._head(code, data[at + 1 : line], size + line + 2)
            at = line + 2
            if skip:
                self._skip = skip
                self._size = size + at
                at = self._skip_value(data, at)
                if at < 0:
                    return INCOMPLETE
        self._owed = 1
        self._size = 0
        return at

    def _small_values(self, data: bytes, at: int, bound: int) -> int:
        """Over the small values that a list goes on with, which most are. bound: where in `data` it must end."""
        owed, size_of, find = self._owed, SIZES.get, data.find
        while owed:
            line = find(CRLF, at, at + 8)
            size = size_of(data[at:line])
            if size is None or line < 0:
                break
            stop = line + 4 + size
            if data[stop - 2 : stop] != CRLF or stop > bound:
                break
            at = stop
            owed -= 1
        self._owed = owed
        if not owed:
            self._leave()
        return at

    def _skip_value(self, data: bytes, at: int) -> int:
        """Over the bytes of a value and the line end behind them."""
        stop = at + self._skip
        end = len(data)
        if stop <= end:
            if data[max(stop - 2, at) : stop] != CRLF[-min(self._skip, 2) :]:
                raise FrameError("a value is not followed by a line end")
            self._size += self._skip
            self._skip = 0
            return stop
        if stop - end == 1 and end > at and data[-1] != 0x0D:
            raise FrameError("a value is not followed by a line end")
        self._size += end - at
        self._skip = stop - end
        return INCOMPLETE

    def _finish_line(self, data: bytes, at: int) -> int:
        """Over the rest of a line."""
        begun = self._line
        code = begun[0]
        limit = self._limit(code, self.most - self._size)
        whole = begun + data[at : at + limit + 2 - len(begun)]
        line = whole.find(CRLF)
        if line < 0:
            self._line = whole
            self._refuse_long_line(code, limit)
            return INCOMPLETE
        self._line = b""
        self._size += line + 2
        at += line + 2 - len(begun)
        self._skip = self._head(code, whole[1:line], self._size)
        return self._skip_value(data, at) if self._skip else at

    def _limit(self, code: int, left: int) -> int:
        """How long the line may be that `code` begins, without its end, when `left` more bytes are allowed."""
        if code not in _REPLIES:
            raise FrameError(f"no reply begins with {bytes((code,))!r}")
        return min(MAX_LINE if code in _LONG else MAX_HEAD, left - 2)

    def _refuse_long_line(self, code: int, limit: int) -> None:
        """Raises if the line that was begun can't end in time any more."""
        if len(self._line) < limit + 2:
            return
        if limit < (MAX_LINE if code in _LONG else MAX_HEAD):
            raise self._too_much()
        raise FrameError(f"a line of more than {limit} bytes: {self._line[:MAX_HEAD]!r}")

    def _head(self, code: int, digits: bytes, size: int) -> int:
        """
        Takes in one line, with which the message has `size` bytes: how many bytes of a value follow, line end included.
        """
        if not self._above and code != ATTRIBUTE:
            self.code = code
        if code in _LINES:
            self._done()
            return 0
        number = _number(digits)
        if code in _BULKS:
            self._done()
            if number < 0:
                return 0
            if size + number + 2 > self.most:
                raise self._too_much()
            return number + 2
        if code in _PAIRS:
            number *= 2
        self._enter(code, number, size)
        return 0

    def _enter(self, code: int, number: int, size: int) -> None:
        """Into a list of `number` values."""
        if code != ATTRIBUTE:  # attributes come on top of the value that they are about
            self._owed -= 1
        if number > 0:
            if size + _LEAST * number > self.most:
                raise self._too_much()
            if len(self._above) >= MAX_DEPTH:
                raise FrameError(f"lists in more than {MAX_DEPTH} levels")
            self._above.append(self._owed)
            self._owed = number
        else:
            self._leave()

    def _done(self) -> None:
        self._owed -= 1
        self._leave()

    def _leave(self) -> None:
        """Out of the lists that are complete."""
        while not self._owed and self._above:
            self._owed = self._above.pop()

    def _too_much(self) -> FrameError:
        return FrameError(f"a message of more than {self.most} bytes")


class CommandScanner(Scanner):
    """The same for commands: one list of values. As strict as redis-server, to whom what passes here is sent on."""

    __slots__ = ()

    def _limit(self, code: int, left: int) -> int:
        wanted = BULK if self._above else ARRAY
        if code != wanted:
            raise FrameError(f"{chr(wanted)!r} expected, {bytes((code,))!r} read")
        return min(MAX_HEAD, left - 2)

    def _head(self, code: int, digits: bytes, size: int) -> int:
        number = _number(digits)
        if digits != b"%d" % number or (code == BULK and number < 0) or (code == ARRAY and number > MAX_ITEMS):
            most = self.most if code == BULK else MAX_ITEMS
            raise FrameError(f"{chr(code)}{digits.decode('latin-1')}; allowed are 0 to {most}")
        return super()._head(code, digits, size)


def _number(digits: bytes) -> int:
    """-1, a null, or what is not negative. Raises FrameError."""
    if digits.isdigit():
        return int(digits)
    if digits[:1] == b"-" and digits[1:].isdigit():
        return -1
    raise FrameError(f"a number expected, {digits[:MAX_HEAD]!r} read")


class Held:
    """The pieces of an incomplete message, joined once, when it is whole. size: bytes."""

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if len(piece) >= SMALL:
            self._pieces.append(piece)
        elif self._pieces and isinstance(self._pieces[-1], bytearray):
            self._pieces[-1] += piece
        else:
            self._pieces.append(bytearray(piece))

    def take(self, last: bytes) -> bytes:
        """All of them, and `last`."""
        self._pieces.append(last)
        whole = b"".join(self._pieces)
        self.drop()
        return whole

    def drop(self) -> None:
        self._pieces = []
        self.size = 0


def encode(arguments: Iterable[bytes]) -> bytes:
    """A command as clients write it."""
    items = list(arguments)
    return b"".join((b"*%d\r\n" % len(items), *(b"$%d\r\n%b\r\n" % (len(item), item) for item in items)))


def arguments(frame: bytes, most: int = MAX_ITEMS, at: int = 0) -> list[bytes]:
    """The first `most` arguments of a whole command, which begins at `at`."""
    found: list[bytes] = []
    line = frame.index(CRLF, at)
    left = min(int(frame[at + 1 : line]), most)
    while left > 0:
        at = line + 2
        line = frame.index(CRLF, at)
        start = line + 2
        line = start + int(frame[at + 1 : line])
        found.append(frame[start:line])
        left -= 1
    return found


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def values(frame: bytes) -> list[bytes]:
    """The values of an array, each as it stands there; [] if `frame`, a whole reply, is none."""
    if frame[0] != ARRAY:
        return []
    found: list[bytes] = []
    scanner = Scanner(len(frame))
    at = frame.index(CRLF) + 2
    while at < len(frame):
        stop = scanner.scan(frame, at)
        found.append(frame[at:stop])
        at = stop
    return found
