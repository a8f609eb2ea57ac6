"""
Serialization 2, hessian2: the items are Hessian 2 values, one after the other.

Source: org.apache.dubbo.common.serialize.hessian2. Lives here: where the items of such a body are, a fast way to read
the attachments that most peers send, and the writing of strings. Does not: reading other values (`hessian2_reader`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

from metaproxy.codecs.dubbo.body import HEAD, MAX_PAIRS, MAX_PLAIN, Attachments, Body, Pair
from metaproxy.codecs.dubbo.hessian2_codes import (
    CHUNK,
    END,
    LAST_CHUNK,
    NULL,
    REFERENCE,
    SOME,
    is_string,
    simple_values,
)
from metaproxy.codecs.dubbo.hessian2_reader import Reader, TooMuch
from metaproxy.message import FrameError

T = TypeVar("T")

_GROUP_OF_FOUR = re.compile(b"[\xf0-\xff]")


_STRINGS = (None,) * 5
"""As many as stand in front of the arguments. No range: it would be made for each request."""


class Hessian2(Body):
    """Serialization 2."""

    def head_end(self, frame: bytes) -> int:
        at = HEAD
        try:
            for _ in _STRINGS:
                length = frame[at]
                if length <= 0x1F:
                    at += 1 + length
                elif 0x30 <= length <= 0x33:
                    at += 2 + (length - 0x30 << 8 | frame[at + 1])
                elif length == NULL:
                    at += 1
                else:
                    return 0
        except IndexError:
            return 0
        # Beyond ASCII a string has more bytes than its length says.
        return at if at <= len(frame) and frame[HEAD:at].isascii() else 0

    def head(self, frame: bytes) -> tuple[list[str], int]:
        def strings(reader: Reader) -> tuple[list[str], int]:
            return [reader.string() for _ in range(5)], reader.at

        return self._either(frame, HEAD, strings)

    def first_argument(self, frame: bytes, at: int) -> str | None:
        reader = Reader(frame, at)
        return reader.string() if is_string(reader.peek()) else None

    def result(self, frame: bytes) -> tuple[int | None, int]:
        code = frame[HEAD] if len(frame) > HEAD else 0
        if 0x90 <= code <= 0x95:
            return code - 0x90, HEAD + 1
        if code == NULL:  # npm's dubbo-remoting, for a method that returns nothing
            return None, HEAD
        reader = Reader(frame, HEAD)
        return reader.integer(), reader.at

    def attachments(self, frame: bytes, at: int, skip: int) -> Attachments:
        skipped = simple_values(skip).match(frame, at) if skip <= SOME else None
        if skipped is not None:
            start = skipped.end()
            plain = plain_pairs(frame, start)
            if plain is not None:
                return start, plain[1], b"H", plain[0]
        return self._either(frame, at, lambda reader: _after(reader, skip))

    def pair(self, key: str, value: str) -> bytes:
        return write_string(key) + write_string(value)

    def map(self, opening: bytes, raws: Sequence[bytes]) -> bytes:
        return opening + b"".join(raws) + b"Z"

    def string(self, text: str) -> bytes:
        return write_string(text)

    def event(self, frame: bytes) -> str:
        return Reader(frame, HEAD).text() or ""

    @staticmethod
    def _either(frame: bytes, at: int, read: Callable[[Reader], T]) -> T:
        """What `read` gives, whichever way the writer counts characters beyond U+FFFF; see `hessian2_reader`."""
        try:
            return read(Reader(frame, at))
        except TooMuch:
            raise
        except FrameError as error:
            if _GROUP_OF_FOUR.search(frame, at) is None:
                raise
            try:
                return read(Reader(frame, at, wide=2))
            except FrameError:
                raise error from None


def _after(reader: Reader, skip: int) -> Attachments:
    """The attachments after `skip` values."""
    reader.skip_values(skip)
    data, start = reader.data, reader.at
    plain = plain_pairs(data, start)
    if plain is not None:
        return start, plain[1], b"H", plain[0]
    if start == len(data):
        return start, start, b"H", ()
    code = reader.peek()
    if code == NULL:
        return start, start + 1, b"H", ()
    map_reader = reader.referred() if code == REFERENCE else reader
    opening = map_reader.begin_map()
    pairs = map_reader.pairs()
    return start, reader.at, opening, pairs


def plain_pairs(data: bytes, at: int) -> tuple[list[Pair], int] | None:
    """
    The pairs of a map at `at`, and where it ends; None unless it is an untyped one of unchunked ASCII strings with
    nothing but ASCII behind, as nearly all maps of attachments are. Several times as fast as a Reader.
    """
    raw = data[at:]
    if raw[:1] != b"H" or len(raw) > MAX_PLAIN or not raw.isascii():
        return None
    text = raw.decode("ascii")
    found: list[Pair] = []
    start = 1
    try:
        while (size := raw[start]) != END:
            if size <= 0x1F:
                middle = start + 1 + size
                key = text[start + 1 : middle]
            elif 0x30 <= size <= 0x33:
                middle = start + 2 + (size - 0x30 << 8 | raw[start + 1])
                key = text[start + 2 : middle]
            else:
                return None
            size = raw[middle]
            if size <= 0x1F:
                end = middle + 1 + size
                value = text[middle + 1 : end]
            elif 0x30 <= size <= 0x33:
                end = middle + 2 + (size - 0x30 << 8 | raw[middle + 1])
                value = text[middle + 2 : end]
            else:
                return None
            found.append((key, value, raw[start:end], False))
            start = end
    except IndexError:
        return None
    return (found, at + start + 1) if len(found) <= MAX_PAIRS else None


def write_string(text: str) -> bytes:
    """A string as Java reads it: chunks of at most 32767 units, characters beyond U+FFFF as two groups."""
    if text.isascii():
        size = len(text)
        if size <= 0x1F:
            return bytes((size,)) + text.encode()
        if size <= 0x3FF:
            return bytes((0x30 | size >> 8, size & 0xFF)) + text.encode()
    wide = text.encode("utf-16-be", "surrogatepass")
    pieces = [wide[at : at + 0xFFFE] for at in range(0, len(wide), 0xFFFE)] or [b""]
    out = bytearray()
    for piece in pieces[:-1]:
        out += bytes((CHUNK, 0x7F, 0xFF)) + _cesu8(piece)
    last = pieces[-1]
    units = len(last) // 2
    if units <= 0x1F:
        out.append(units)
    elif units <= 0x3FF:
        out += bytes((0x30 + (units >> 8), units & 0xFF))
    else:
        out += bytes((LAST_CHUNK, units >> 8, units & 0xFF))
    return bytes(out + _cesu8(last))


def _cesu8(units: bytes) -> bytes:
    """Each of the UTF-16 units (big-endian) as UTF-8 on its own."""
    return "".join(map(chr, struct.unpack(f">{len(units) // 2}H", units))).encode("utf-8", "surrogatepass")
