"""
Where commands end, and what redis-server says of bytes that are no command.

It takes what redis-server 7.0 takes, to the letter: a head ends at its first \\r, whatever byte stands behind that; the
two bytes behind a value are not looked at; numbers are written without leading zeros. A command with other line ends
than \\r\\n is not `regular`: it must be written again before anybody else reads it.

Source: the behaviour of redis-server 7.0, with which a test compares it. Lives here: `CommandScanner`, `ProtocolError`.
Does not: inline commands (`inline`), replies (`resp`), what commands mean (`client`).
"""

from __future__ import annotations

from metaproxy.codecs.redis.resp import CRLF, INCOMPLETE, SIZES
from metaproxy.message import FrameError

MAX_LINE = 1 << 16
"""Bytes of a head or an inline command without its end."""
MAX_ARGUMENTS = (1 << 31) - 1
MAX_BULK = 512 << 20
"""Bytes of an argument, as redis-server's proto-max-bulk-len has it if it was not changed."""
STRANGERS_ARGUMENTS = 10
STRANGERS_BULK = 16384
"""What redis-server takes from a client that is not logged in."""
LARGE = -2
"""What `CommandScanner.scan` gives where a command turns out to have more bytes than was expected."""
_MOST_DIGITS = 20
_CR = 0x0D


class ProtocolError(FrameError):
    """words: what redis-server tells the client; the text, for logs, may say more."""

    def __init__(self, words: str, text: str = "") -> None:
        super().__init__(text or words)
        self.words = words

    def line(self) -> bytes:
        """The error as a reply."""
        return b"-ERR Protocol error: %b\r\n" % self.words.encode("latin-1")


class CommandScanner:
    """
    Steps over one array of values after another, in whatever pieces they come; no byte is looked at twice. expected:
    bytes that a command has at most, as a rule: `scan` stops behind the head of the argument by which it has more.
    stranger: whether the client is still to log in. regular: whether all line ends of the command were \\r\\n.

    bound: the same of the command that is being stepped over; a caller that `scan` gave LARGE sets it to
    what it may have. place: where in the data that was; announced: bytes that the command has at least; left: its
    arguments that have not come, the one whose head was read included.
    """

    __slots__ = (
        "_line", "_size", "_skip", "_whole", "announced", "bound", "expected", "left", "place", "regular", "stranger",
    )  # fmt: skip

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.bound: float = expected
        self.place = self.announced = 0
        self.regular = True
        self.stranger = False
        self._whole = True  # whether the next byte begins a command
        self._size = 0  # bytes of the command that were stepped over
        self.left = 0
        self._skip = 0  # bytes of a value still to come, its line end included
        self._line = bytearray()  # the beginning of a head whose end has not come

    def scan(self, data: bytes, at: int) -> int:
        """
        Where in `data` the command ends that begins at `at`, or goes on there, if the last call gave INCOMPLETE.

        LARGE: see `bound`; the next call goes on at `place`. Raises ProtocolError, the same however the stream was cut;
        the scanner is of no use afterwards.
        """
        if self._whole:
            self._whole, self.regular = False, True
            self._size, self.left = 0, -1
            self.bound = self.expected
        while self.left:
            if self._skip:
                at = self._skip_value(data, at)
            elif self._line or self.left < 0 or data[at : at + 1] != b"$":
                at = self._head(data, at)
            else:
                at = self._small_values(data, at)
                if self.left:
                    at = self._head(data, at)
            if at < 0:
                return at
        self._whole = True
        return at

    def _small_values(self, data: bytes, at: int) -> int:
        """Over the small values that a command goes on with, which most are."""
        left, size_of, find = self.left, SIZES.get, data.find
        start, bound = at, at + self.bound - self._size
        while left:
            line = find(CRLF, at, at + 8)
            size = size_of(data[at:line])
            if size is None or line < 0:
                break
            stop = line + 4 + size
            if data[stop - 2 : stop] != CRLF or stop > bound:
                break
            at = stop
            left -= 1
        self.left = left
        self._size += at - start
        return at

    def _skip_value(self, data: bytes, at: int) -> int:
        """Over the bytes of a value and the two behind them."""
        skip = self._skip
        stop = at + skip
        end = len(data)
        if stop <= end:
            if data[max(stop - 2, at) : stop] != CRLF[-min(skip, 2) :]:
                self.regular = False
            self._size += skip
            self._skip = 0
            self.left -= 1
            return stop
        if stop - end == 1 and end > at and data[-1] != _CR:
            self.regular = False
        self._size += end - at
        self._skip = stop - end
        return INCOMPLETE

    def _head(self, data: bytes, at: int) -> int:
        """Takes in one head; where it ends, INCOMPLETE or LARGE."""
        begun, end = self._line, len(data)
        if begun and begun[-1] == _CR:
            last = at  # the one byte that is still to come
        else:
            room = MAX_LINE + 1 - len(begun)
            last = data.find(b"\r", at, at + room) + 1
            if not last and end - at >= room:
                what = "mbulk" if self.left < 0 else "bulk"
                raise ProtocolError(f"too big {what} count string")
            if not last:
                last = end
        if last >= end:
            begun += data[at:]
            return INCOMPLETE
        if data[last] != 0x0A:
            self.regular = False
        line = data[at : last - 1]
        if begun:
            begun += data[at:last]
            line = bytes(begun[:-1])
            self._line = bytearray()
        self._size += len(line) + 2
        if self.left < 0:
            self.left = self._count(line)
            return last + 1
        self._skip = self._length(line) + 2
        self.announced = self._size + self._skip
        if self.announced > self.bound:
            self.place = last + 1
            return LARGE
        return last + 1

    def _count(self, line: bytes) -> int:
        number = _number(line[1:])
        if number is None or number > MAX_ARGUMENTS:
            raise ProtocolError("invalid multibulk length", f"{_shown(line)}; allowed are 0 to {MAX_ARGUMENTS}")
        if self.stranger and number > STRANGERS_ARGUMENTS:
            raise ProtocolError("unauthenticated multibulk length")
        return max(number, 0)

    def _length(self, line: bytes) -> int:
        if line[:1] != b"$":
            # In the place of an empty line its end is what was read.
            read = line[:1].decode("latin-1").replace("\n", " ") or " "
            raise ProtocolError(f"expected '$', got '{read}'")
        number = _number(line[1:])
        if number is None or not 0 <= number <= MAX_BULK:
            raise ProtocolError("invalid bulk length", f"{_shown(line)}; allowed are 0 to {MAX_BULK}")
        if self.stranger and number > STRANGERS_BULK:
            raise ProtocolError("unauthenticated bulk length")
        return number


def _number(digits: bytes) -> int | None:
    """As redis-server reads it: digits without leading zeros, perhaps behind a minus; None for anything else."""
    if not 0 < len(digits) <= _MOST_DIGITS:
        return None
    if digits == b"0":
        return 0
    bare = digits[1:] if digits[:1] == b"-" else digits
    if not bare.isdigit() or bare[:1] == b"0":
        return None
    return int(digits)


def _shown(line: bytes) -> str:
    return line[:24].decode("latin-1")
