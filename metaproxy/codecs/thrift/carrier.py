"""
What THeader and Kitex's TTHeader have in common: the fixed part in front, headers as metadata, transforms.

    | size 4 | magic 2 | flags 2 | sequence 4 | n 2 |    then 4n bytes of each one's own, then the message

Lives here: that part, transforms undone within a bound and done again, and frames that remember what they hold.
Does not: protocols, infos and padding, which are written in two ways (header, ttheader).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from metaproxy.codecs.thrift.heads import Data, WrongByte, check_size
from metaproxy.message import FrameError

ZLIB = 1
INVALID_TRANSFORM, PROTOCOL_ERROR = 8, 7
MAX_TRANSFORMS = 8
LEAST = 18
"""Bytes of a frame: its fixed part, and four for protocol and transforms."""

FIXED = struct.Struct(">iHHiH")
_SIZE = struct.Struct(">i")
_WORDS = struct.Struct(">H")

Head = tuple[int, int, tuple[int, ...], int, int]
"""Sequence number, number of the protocol, transforms as sent, where the infos begin, where the payload begins."""

Pairs = list[tuple[bytes, bytes]]
Found = tuple[dict[str, str], dict[str, tuple[str | None, ...]]]
"""Headers as spelled and lower-cased; and all values of each that is there more than once, by its lower-cased name."""


class Unreadable(Exception):
    """The payload can't be undone. number: the type of TApplicationException that says so."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


class Carried(bytes):
    """A frame with transforms that remembers its payload without them, so that it is inflated once only."""

    payload: bytes

    @classmethod
    def of(cls, frame: bytes, payload: bytes) -> Carried:
        made = cls(frame)
        made.payload = payload
        return made


def check_fixed(data: Data, at: int, end: int, most: int, magic: int, name: str) -> int | None:
    """Raises WrongByte for the first byte of the fixed part that can't be right; where the payload begins, if seen."""
    size = check_size(data, at, end, LEAST, most)
    for place in (4, 5):
        if at + place < end and data[at + place] != magic.to_bytes(2, "big")[place - 4]:
            seen = data[at + 4 : at + place + 1].hex(" ")
            wanted = magic.to_bytes(2, "big").hex(" ")
            raise WrongByte(at + place, f"a {name} frame has {wanted} at byte 4, not {seen}")
    if size is None or at + 14 > end:
        return None
    words = data[at + 12] << 8 | data[at + 13]
    if not 0 < 4 * words <= size - 10:
        raise WrongByte(at + 13, f"{name} of {4 * words} bytes in a frame of {size + 4}")
    return at + 14 + 4 * words


def undo(payload: bytes, transforms: Sequence[int], limit: int) -> bytes:
    """The payload without its transforms, of which there may be one of each, of `limit` bytes. Raises Unreadable."""
    for transform in transforms:
        if transform != ZLIB:
            raise Unreadable(INVALID_TRANSFORM, f"transform {transform} is not supported; send zlib (1) or none")
    if len(transforms) > 1:
        raise Unreadable(INVALID_TRANSFORM, f"zlib {len(transforms)} times; send it once")
    try:
        payload = zlib.decompressobj().decompress(payload, limit + 1)
    except zlib.error as error:
        raise Unreadable(PROTOCOL_ERROR, f"the payload is not zlib: {error}") from error
    if len(payload) > limit:
        raise Unreadable(PROTOCOL_ERROR, f"the payload inflates to more than {limit} bytes")
    return payload


def redo(payload: bytes, transforms: Sequence[int]) -> bytes:
    """The payload under the transforms that `undo` took away."""
    return zlib.compress(payload) if transforms else payload


def with_payload(frame: bytes, end: int, sequence: int, payload: bytes) -> bytes:
    """The frame with another sequence number, and another payload behind `end`."""
    return b"".join((_SIZE.pack(end - 4 + len(payload)), frame[4:8], _SIZE.pack(sequence), frame[12:end], payload))


def with_head(frame: bytes, end: int, inside: bytes, name: str) -> bytes:
    """The frame with other protocol, transforms and infos in front of the payload, which begins at `end`."""
    inside += bytes(-len(inside) % 4)
    if len(inside) >= 4 * 16384:
        raise FrameError(f"headers of {len(inside)} bytes; {name} allows 65532")
    size = len(frame) - end + 10 + len(inside)
    changed = b"".join((_SIZE.pack(size), frame[4:12], _WORDS.pack(len(inside) // 4), inside, frame[end:]))
    return Carried.of(changed, frame.payload) if isinstance(frame, Carried) else changed


def collected(pairs: Pairs) -> Found:
    """Of equal keys the last counts; under the lower-cased name what was written so, else the last spelling of it."""
    found: dict[str, str] = {}
    all_values: dict[str, tuple[str | None, ...]] = {}
    exact: set[str] = set()
    for key, value in pairs:
        spelled, text = key.decode("utf-8", "replace"), value.decode("utf-8", "replace")
        lower = spelled.lower()
        values = all_values.get(lower, ())
        if text not in values:
            all_values[lower] = (*values, text)
        if spelled == lower:
            exact.add(lower)
        found[spelled] = text
        if lower not in exact:
            found[lower] = text
    return found, {key: values for key, values in all_values.items() if len(values) > 1}
