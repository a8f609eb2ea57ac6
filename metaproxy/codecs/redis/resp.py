r"""
RESP2 and RESP3: where commands and replies end.

    command   *N\r\n, then N times $LENGTH\r\nBYTES\r\n; or an inline command, a line of words
    reply     + - : , # ( _   a line           $ ! =  LENGTH\r\nBYTES\r\n (length -1: null)
              * ~ >  N values                  %  N pairs      |  N pairs of attributes, then the reply itself

Source: the Redis serialization protocol specification. Lives here: `Cutter`, which holds what is incomplete, and the
two ways to step over a message. Does not: what commands mean (`client`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from metaproxy.message import FrameError

MAX_INLINE = 65536
"""Bytes of a line: an inline command, a status, an error, a number."""
MAX_ITEMS = 1024 * 1024
"""Arguments of a command, as redis-server allows; values of one level of a reply are bounded by the frame's size."""

SMALL = 4096
"""Pieces of a value that are smaller are collected: an object for each would cost more than its bytes."""

COMMAND = re.compile(rb"\*(\d{1,7})\r\n\$(\d{1,9})\r\n([^\r\n]{1,64})\r\n")
"""The head of a command: number of arguments, length of the name, name."""

LINES = frozenset(b"+-:,#(_")
BULKS = frozenset(b"$!=")
LISTS = frozenset(b"*~>")

INCOMPLETE = -1


class Cutter:
    """
    The bytes of an incomplete message, and how far it was stepped over, so that no byte is looked at twice.

    Inside of a value pieces are kept as they came and joined once, when it is whole: a large one is copied once.
    Between values they go into one growing buffer, so that a message that trickles in costs no more than its bytes.
    """

    __slots__ = ("_at", "_buffer", "_chunks", "_left", "_need", "_opaque", "most", "size")

    def __init__(self, most: int) -> None:
        self.most = most
        self._chunks: list[bytes | bytearray] = []
        self._buffer: bytearray | None = None
        self._need = 0
        self._opaque = False
        self._at = 0
        self._left = 0
        self.size = 0
        """Bytes held."""

    def add(self, data: bytes) -> bytes | bytearray | None:
        """All that is there, once it is worth looking at; None while more of a value must come first."""
        self.size += len(data)
        if self._buffer is not None:
            self._buffer += data
            return self._buffer if self.size >= self._need else None
        last = self._chunks[-1]
        if len(data) >= SMALL:
            self._chunks.append(data)
        elif isinstance(last, bytearray):
            last += data
        else:
            self._chunks.append(bytearray(data))
        return b"".join(self._chunks) if self.size >= self._need else None

    @property
    def stepping(self) -> bool:
        """Whether a message was stepped over in part."""
        return self._at > 0

    def await_line(self, size: int) -> None:
        """An inline command is incomplete."""
        self._between(0, 0, size)

    def keep(self, data: bytes | bytearray, at: int) -> None:
        """`data` from `at` on is incomplete; nothing is kept if that is nothing."""
        rest = data[at:] if at else data
        self.size = len(rest)
        self._chunks = []
        if not rest:
            self._buffer = None
        elif self._opaque and isinstance(rest, bytes):
            self._buffer = None
            self._chunks = [rest]
        elif isinstance(rest, bytes):
            self._buffer = bytearray(rest)
        else:
            self._buffer = rest

    # -- stepping over one message from `start` on, which must be where the last one ended: its end, or INCOMPLETE

    def command(self, data: bytes | bytearray, start: int) -> int:
        """A command in RESP. Raises FrameError."""
        at, left = self._at, self._left
        if not at:
            count, at = self._line_number(data, start, start, b"*", MAX_ITEMS)
            if at < 0:
                return INCOMPLETE
            if count <= 0:
                return at
            left = count
            at -= start
        end = len(data)
        while left:
            length, next_at = self._line_number(data, start, start + at, b"$", self.most)
            if next_at < 0:
                self._at, self._left = at, left
                return INCOMPLETE
            stop = next_at + length + 2
            if stop - start > self.most:
                raise FrameError(f"command of more than {self.most} bytes")
            if stop > end:
                return self._inside(at, left, stop - start)
            if data[stop - 2 : stop] != b"\r\n":
                raise FrameError(f"an argument of {length} bytes is not followed by a line end")
            at = stop - start
            left -= 1
        self._at = self._left = 0
        return start + at

    def reply(self, data: bytes | bytearray, start: int) -> int:
        """A reply, however it is nested. Raises FrameError."""
        at, left = self._at, self._left or 1
        end = len(data)
        while left:
            here = start + at
            if here >= end:
                return self._between(at, left, end - start)
            code = data[here]
            line = data.find(b"\r\n", here, here + MAX_INLINE)
            if line < 0:
                if end - here >= MAX_INLINE:
                    raise FrameError(f"a line of more than {MAX_INLINE} bytes")
                return self._between(at, left, end - start)
            stop = line + 2
            if code in LINES:
                left -= 1
            elif code in BULKS:
                length = _number(bytes(data[here + 1 : line]))
                if length >= 0:
                    stop += length + 2
                    if stop - start <= self.most and stop > end:
                        return self._inside(at, left, stop - start)
                    if stop <= end and data[stop - 2 : stop] != b"\r\n":
                        raise FrameError(f"a value of {length} bytes is not followed by a line end")
                left -= 1
            else:
                left += _values(code, bytes(data[here + 1 : line]))
            at = stop - start
            if at + 3 * left > self.most:  # no value has less than three bytes
                raise FrameError(f"reply of more than {self.most} bytes")
        self._at = self._left = 0
        return start + at

    def _inside(self, at: int, left: int, need: int) -> int:
        """The message goes on for `need` bytes at least, up to there with bytes that tell nothing."""
        self._at, self._left, self._need, self._opaque = at, left, need, True
        return INCOMPLETE

    def _between(self, at: int, left: int, size: int) -> int:
        """Each further byte may tell something."""
        self._at, self._left, self._need, self._opaque = at, left, size + 1, False
        return INCOMPLETE

    def _line_number(self, data: bytes | bytearray, start: int, here: int, code: bytes, most: int) -> tuple[int, int]:
        """The number behind `code`, and where the next line begins: INCOMPLETE until that is there."""
        end = len(data)
        if here < end and data[here] != code[0]:
            raise FrameError(f"{code.decode()!r} expected, {bytes(data[here : here + 1])!r} read")
        line = data.find(b"\r\n", here, here + 24)
        if line < 0:
            if end - here >= 24:
                raise FrameError(f"a number expected, {bytes(data[here + 1 : here + 24])!r} read")
            self._between(0, 0, end - start)
            return 0, INCOMPLETE
        number = _number(bytes(data[here + 1 : line]))
        if number > most or (number < 0 and code == b"$"):
            raise FrameError(f"{code.decode()}{number}; allowed are 0 to {most}")
        return number, line + 2


def _number(digits: bytes) -> int:
    body = digits[1:] if digits[:1] in (b"-", b"+") else digits
    if not body.isdigit() or len(body) > 20:
        raise FrameError(f"a number expected, {digits[:24]!r} read")
    return int(digits)


def _values(code: int, digits: bytes) -> int:
    """By how much the number of values to come changes behind the head of an aggregate."""
    if code not in b"*~>%|":
        raise FrameError(f"no reply begins with {bytes((code,))!r}")
    number = max(_number(digits), 0)  # *-1 is a null
    if code in LISTS:
        return number - 1
    return 2 * number - 1 if code == 0x25 else 2 * number


def encode(arguments: Iterable[bytes]) -> bytes:
    """A command as clients write it."""
    items = list(arguments)
    return b"".join((b"*%d\r\n" % len(items), *(b"$%d\r\n%b\r\n" % (len(item), item) for item in items)))


def arguments(frame: bytes) -> list[bytes]:
    """The arguments of a whole command in RESP."""
    found = []
    at = frame.index(b"\r\n") + 2
    while at < len(frame):
        line = frame.index(b"\r\n", at)
        length = int(frame[at + 1 : line])
        found.append(frame[line + 2 : line + 2 + length])
        at = line + 4 + length
    return found


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}


def split_inline(line: bytes) -> list[bytes]:
    """
    The words of an inline command, quoted as redis-cli and redis-server take it: "..." with escapes, '...' without.
    Raises FrameError for quotes that do not match.
    """
    text = line.decode("latin-1")
    words: list[bytes] = []
    at = 0
    while True:
        while at < len(text) and text[at] in " \t\r\n\0":
            at += 1
        if at >= len(text):
            return words
        word, at = _word(text, at)
        words.append(word.encode("latin-1"))


def _word(text: str, at: int) -> tuple[str, int]:
    out: list[str] = []
    while at < len(text) and text[at] not in " \t\r\n\0":
        char = text[at]
        if char in "\"'":
            piece, at = _quoted(text, at)
            out.append(piece)
            if at < len(text) and text[at] not in " \t\r\n\0":
                raise FrameError("unbalanced quotes in request")
        else:
            out.append(char)
            at += 1
    return "".join(out), at


def _quoted(text: str, at: int) -> tuple[str, int]:
    quote = text[at]
    out: list[str] = []
    at += 1
    while at < len(text):
        char = text[at]
        if char == quote:
            return "".join(out), at + 1
        if char == "\\" and quote == '"' and at + 1 < len(text):
            hexadecimal = re.match(r"\\x([0-9a-fA-F]{2})", text[at : at + 4])
            if hexadecimal:
                out.append(chr(int(hexadecimal[1], 16)))
                at += 4
                continue
            out.append(_ESCAPES.get(text[at + 1], text[at + 1]))
            at += 2
        elif char == "\\" and text[at + 1 : at + 2] == "'":
            out.append("'")
            at += 2
        else:
            out.append(char)
            at += 1
    raise FrameError("unbalanced quotes in request")
