r"""
RESP2 and RESP3: where commands and replies end, and what they are made of.

    command   *N\r\n, then N times $LENGTH\r\nBYTES\r\n; or a line of words, an inline command (`inline`)
    reply     + - : , # ( _   a line           $ ! =  LENGTH\r\nBYTES\r\n, or $-1\r\n: a null
              * ~ >  N values, or *-1\r\n      %  N pairs      |  N pairs of attributes, then the value itself

Of RESP3 the streamed forms ($?, *?) are refused: no server sends them. Source: the Redis serialization protocol
specification. Lives here: `Scanner`, which steps over replies; writing
commands and taking them apart. Does not: where commands end (`command_scanner`), what they and replies mean (`client`,
`server`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from math import inf

from metaproxy.message import FrameError

CRLF = b"\r\n"
MAX_HEAD = 22
"""Bytes of a line that only tells a number, its first byte included."""
MAX_DEPTH = 1 << 16
"""Lists of a reply that are not complete, one within the other. The values of a reply are bounded by its size alone."""
INCOMPLETE = -1

SIZES: dict[bytes, int] = {b"$%d" % size: size for size in range(2048)}
"""The heads of small values: a look-up costs a third of reading digits."""

BULK, ARRAY, PUSH, ATTRIBUTE, MAP, ERROR, BULK_ERROR = b"$*>|%-!"
_LINES = frozenset(b"+-:,#(_")
_LONG = frozenset(b"+-,(")
"""Lines that may be as long as a reply. The others tell a number or nothing."""
_BULKS = frozenset(b"$!=")
_LISTS = frozenset(b"*~>")
_PAIRS = frozenset(b"%|")
_REPLIES = _LINES | _BULKS | _LISTS | _PAIRS
_LEAST = 3
"""Bytes of the smallest value, `_` and a line end."""


class Scanner:
    """
    Steps over one reply after another, in whatever pieces they come; no byte is looked at twice. most: bytes that a
    reply may have; expected: those that it has as a rule.

    code: what the reply is (its first byte, behind attributes). Whether it was a `*`, `-` or `>` decides what it means.
    over: whether the reply that was or is being stepped over has more bytes than `most`, known as soon as its heads
    tell it; it is stepped over all the same, to its end. large: the same with `expected`, unless that many stand before
    it is known what the reply is.
    """

    __slots__ = (
        "_above", "_bound", "_in_text", "_line", "_owed", "_size", "_skip", "_whole", "code", "expected", "large",
        "most", "over",
    )  # fmt: skip

    def __init__(self, most: int, expected: int) -> None:
        self.most = most
        self.expected = expected
        self.code = 0
        self.over = self.large = False
        self._bound: float = expected
        self._whole = True  # whether the next byte begins a reply
        self._size = 0  # bytes of the reply that were stepped over
        self._owed = 0  # values still to come where we are
        self._above: list[int] = []  # the same of the lists that we are in, where any are
        self._skip = 0  # bytes of a value still to come, its line end included
        self._line = b""  # the beginning of a short line whose end has not come
        self._in_text = 0  # in a long line: 2 behind its \\r, else 1

    def scan(self, data: bytes, at: int) -> int:
        """
        Where in `data` the reply ends that begins at `at`, or goes on there, if the last call gave INCOMPLETE.

        Raises FrameError, at the same byte however the stream was cut; the scanner is of no use afterwards.
        """
        if self._whole:
            self._whole = self.over = self.large = False
            self._bound = self.expected
            self.code = self._size = 0
            self._owed = 1
        if self._skip:
            at = self._skip_value(data, at)
        elif self._in_text:
            at = self._finish_text(data, at)
        elif self._line:
            at = self._finish_line(data, at)
        if at < 0:
            return INCOMPLETE
        end = len(data)
        size = self._size - at  # so that the reply has `size + place` bytes up to any place in `data`
        while self._owed:
            if self._owed > 1 or self._above:
                at = self._small_values(data, at, self._bound - size)
                if not self._owed:
                    break
            self._size = size + at
            if at >= end:
                return INCOMPLETE
            code = data[at]
            at = self._text(code, data, at) if code in _LONG else self._short(code, data, at)
            if at < 0:
                return INCOMPLETE
        self._whole = True
        return at

    def _small_values(self, data: bytes, at: int, bound: float) -> int:
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

    # -- lines

    def _text(self, code: int, data: bytes, at: int) -> int:
        """Over a line that may be long, of which nothing but its kind matters; to its end, or to that of `data`."""
        if not (self.code or self._above):
            self.code = code
        return self._to_line_end(data, at)

    def _finish_text(self, data: bytes, at: int) -> int:
        """Over the rest of such a line."""
        if self._in_text == 2 and data[at : at + 1] == b"\n":
            self._grow(1)
            self._in_text = 0
            self._done()
            return at + 1
        return self._to_line_end(data, at)

    def _to_line_end(self, data: bytes, at: int) -> int:
        line = data.find(CRLF, at)
        if line < 0:
            self._grow(len(data) - at)
            if at < len(data):
                self._in_text = 2 if data[-1] == 0x0D else 1
            return INCOMPLETE
        self._grow(line + 2 - at)
        self._in_text = 0
        self._done()
        return line + 2

    def _short(self, code: int, data: bytes, at: int) -> int:
        """Over a line that tells a number or nothing, and the value behind it."""
        if code not in _REPLIES:
            raise FrameError(f"no reply begins with {bytes((code,))!r}")
        line = data.find(CRLF, at, at + MAX_HEAD + 2)
        if line < 0:
            self._line = data[at : at + MAX_HEAD + 2]
            self._refuse_long_line()
            return INCOMPLETE
        self._grow(line + 2 - at)
        self._head(code, data[at + 1 : line])
        return self._skip_value(data, line + 2) if self._skip else line + 2

    def _finish_line(self, data: bytes, at: int) -> int:
        """Over the rest of a short line."""
        begun = self._line
        whole = begun + data[at : at + MAX_HEAD + 2 - len(begun)]
        line = whole.find(CRLF)
        if line < 0:
            self._line = whole
            self._refuse_long_line()
            return INCOMPLETE
        self._line = b""
        self._grow(line + 2)
        at += line + 2 - len(begun)
        self._head(begun[0], whole[1:line])
        return self._skip_value(data, at) if self._skip else at

    def _refuse_long_line(self) -> None:
        """Raises if the line that was begun can't end in time any more."""
        if len(self._line) >= MAX_HEAD + 2:
            raise FrameError(f"a line of more than {MAX_HEAD} bytes: {self._line[:MAX_HEAD]!r}")

    # -- what a line tells

    def _head(self, code: int, digits: bytes) -> None:
        """Takes in one short line: a value is to be skipped now, or a list was entered."""
        if not (self.code or self._above) and code != ATTRIBUTE:
            self.code = code
        if code in _LINES:
            self._done()
            return
        number = _number(digits)
        if code in _BULKS:
            self._done()
            if number >= 0:
                self._skip = number + 2
                self._expect(number + 2)
            return
        if code in _PAIRS:
            number *= 2
        self._enter(code, number)

    def _enter(self, code: int, number: int) -> None:
        """Into a list of `number` values."""
        if code != ATTRIBUTE:  # attributes come on top of the value that they are about
            self._owed -= 1
        if number <= 0:
            self._leave()
            return
        self._expect(_LEAST * number)
        if self._owed:  # behind the last value of a list there is nothing to come back to
            if len(self._above) >= MAX_DEPTH:
                raise FrameError(f"lists in more than {MAX_DEPTH} levels")
            self._above.append(self._owed)
        self._owed = number

    def _done(self) -> None:
        self._owed -= 1
        self._leave()

    def _leave(self) -> None:
        """Out of the lists that are complete."""
        if not self._owed and self._above:
            self._owed = self._above.pop()

    def _grow(self, size: int) -> None:
        """`size` more bytes were stepped over."""
        self._size += size
        self._expect(0)

    def _expect(self, size: int) -> None:
        """At least `size` more bytes are to come."""
        if self._size + size > self._bound:
            self._bound = self.most
            self.large = self.code != 0
            if self._size + size > self._bound:
                self.over = True
                self._bound = inf


def _number(digits: bytes) -> int:
    """-1, a null, or what is not negative. Raises FrameError."""
    if digits.isdigit():
        return int(digits)
    if digits[:1] == b"-" and digits[1:].isdigit():
        return -1
    raise FrameError(f"a number expected, {digits[:MAX_HEAD]!r} read")


def encode(arguments: Iterable[bytes]) -> bytes:
    """A command as clients write it."""
    items = list(arguments)
    return b"".join((b"*%d\r\n" % len(items), *(b"$%d\r\n%b\r\n" % (len(item), item) for item in items)))


def arguments(frame: bytes, most: int = sys.maxsize, at: int = 0) -> list[bytes]:
    """The first `most` arguments of a whole command, which begins at `at`; whatever stands behind each \\r."""
    found: list[bytes] = []
    line = frame.index(b"\r", at)
    left = min(int(frame[at + 1 : line]), most)
    while left > 0:
        at = line + 2
        line = frame.index(b"\r", at)
        start = line + 2
        line = start + int(frame[at + 1 : line])
        found.append(frame[start:line])
        left -= 1
    return found


def begun(frame: bytes, at: int = 0) -> list[bytes]:
    """The arguments that are whole in the beginning of a command, which stands at `at`."""
    found: list[bytes] = []
    line = frame.index(b"\r", at)
    while line + 2 < len(frame):
        start = frame.index(b"\r", line + 2) + 2
        stop = start + int(frame[line + 3 : start - 2])
        if stop + 2 > len(frame):
            break
        found.append(frame[start:stop])
        line = stop
    return found


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def values(frame: bytes) -> list[bytes]:
    """The values of an array, each as it stands there, as far as they are whole; [] if `frame`, a reply, is none."""
    if frame[0] != ARRAY:
        return []
    found: list[bytes] = []
    scanner = Scanner(len(frame), len(frame))
    at = frame.index(CRLF) + 2
    while at < len(frame):
        stop = scanner.scan(frame, at)
        if stop < 0:
            break
        found.append(frame[at:stop])
        at = stop
    return found
