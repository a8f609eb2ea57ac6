"""
THeader: a frame whose message comes with headers, and may be compressed.

    0        4      6       8          12      14                                                     14+4n
    | size 4 | 0fff | flags | sequence | n 2   | protocol, transforms, infos, padding: varints ...    | message |

Source: Apache Thrift, doc/specs/HeaderFormat.md, and its C++, Python and Node libraries; fbthrift for info 2.
Lives here: this layout; its key-value infos, read and changed; its transforms, undone within a bound and done again.
Does not: the message inside (encodings), nor which session may speak THeader.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from metaproxy.codecs.thrift.encodings import to_varint, whole_varint
from metaproxy.message import FrameError, Mutation

MAGIC = b"\x0f\xff"
ZLIB = 1
INVALID_TRANSFORM, PROTOCOL_ERROR = 8, 7

_MAX_TRANSFORMS = 8
_KEY_VALUE, _PERSISTENT = 1, 2
"""Both hold pairs. The second (fbthrift's alone) stands for all later messages of its connection too."""

_FIXED = struct.Struct(">iHHiH")
_SIZE = struct.Struct(">i")
_WORDS = struct.Struct(">H")

Head = tuple[int, int, tuple[int, ...], int, int]
"""Sequence number, number of the protocol, transforms as sent, where the infos begin, where the payload begins."""

Pairs = list[tuple[bytes, bytes]]


class Unreadable(Exception):
    """The payload can't be undone. number: the type of TApplicationException that says so."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


def read(frame: bytes) -> Head:
    """The head of a whole THeader frame. Raises FrameError."""
    if len(frame) < 18:
        raise FrameError(f"THeader frame of {len(frame)} bytes; the least is 18")
    _, magic, _, sequence, words = _FIXED.unpack_from(frame)
    end = 14 + 4 * words
    if magic != 0x0FFF:
        raise FrameError(f"a THeader frame has 0f ff at byte 4, not {frame[4:6].hex(' ')}")
    if not 14 < end <= len(frame):
        raise FrameError(f"THeader of {4 * words} bytes in a frame of {len(frame)}")
    protocol, at = whole_varint(frame, 14, end)
    count, at = whole_varint(frame, at, end)
    if not count:
        return sequence, protocol, (), at, end
    if count > _MAX_TRANSFORMS:
        raise FrameError(f"THeader with {count} transforms; allowed are {_MAX_TRANSFORMS}")
    transforms = []
    for _ in range(count):
        transform, at = whole_varint(frame, at, end)
        transforms.append(transform)
    return sequence, protocol, tuple(transforms), at, end


def undo(payload: bytes, transforms: Sequence[int], limit: int) -> bytes:
    """The payload without its transforms, of at most `limit` bytes at any stage. Raises Unreadable."""
    for transform in transforms:
        if transform != ZLIB:
            raise Unreadable(INVALID_TRANSFORM, f"transform {transform} is not supported; send zlib (1) or none")
    for _ in transforms:
        try:
            payload = zlib.decompressobj().decompress(payload, limit + 1)
        except zlib.error as error:
            raise Unreadable(PROTOCOL_ERROR, f"the payload is not zlib: {error}")
        if len(payload) > limit:
            raise Unreadable(PROTOCOL_ERROR, f"the payload inflates to more than {limit} bytes")
    return payload


def redo(payload: bytes, transforms: Sequence[int]) -> bytes:
    """The payload under transforms that `undo` took away."""
    for _ in transforms:
        payload = zlib.compress(payload)
    return payload


def build(sequence: int, protocol: int, payload: bytes) -> bytes:
    """A frame of ours: no flags, transforms or infos."""
    inside = to_varint(protocol) + b"\0"
    inside += bytes(-len(inside) % 4)
    size = 10 + len(inside) + len(payload)
    return _FIXED.pack(size, 0x0FFF, 0, sequence, len(inside) // 4) + inside + payload


def with_payload(frame: bytes, end: int, sequence: int, payload: bytes) -> bytes:
    """The frame with another sequence number, and another payload behind `end`."""
    return b"".join((_SIZE.pack(end - 4 + len(payload)), frame[4:8], _SIZE.pack(sequence), frame[12:end], payload))


def metadata(frame: bytes) -> dict[str, str]:
    """The pairs of a frame, keys as spelled and lower-cased; of equal keys the last counts. Raises FrameError."""
    _, _, _, at, end = read(frame)
    found: dict[str, str] = {}
    for _, pairs in _infos(frame, at, end)[0]:
        for key, value in pairs:
            spelled, text = key.decode("utf-8", "replace"), value.decode("utf-8", "replace")
            found[spelled.lower()] = text
            found[spelled] = text
    return found


def mutate(frame: bytes, mutation: Mutation) -> bytes:
    """The frame with pairs removed, replaced, added; keys match in any case. FrameError if its pairs can't be read."""
    _, _, _, at, end = read(frame)
    infos, rest = _infos(frame, at, end)
    gone = {key.lower().encode() for key in (*mutation.remove, *mutation.set)}
    kept = [(number, [pair for pair in pairs if pair[0].lower() not in gone]) for number, pairs in infos]
    added = [(key.encode(), value.encode()) for key, value in mutation.set.items()]
    if not added and kept == infos:
        return frame
    if not kept or kept[0][0] != _KEY_VALUE:
        kept.insert(0, (_KEY_VALUE, []))
    kept[0][1].extend(added)
    inside = frame[14:at] + b"".join(_info(number, pairs) for number, pairs in kept if pairs) + rest
    inside += bytes(-len(inside) % 4)
    if len(inside) >= 4 * 16384:
        raise FrameError(f"headers of {len(inside)} bytes; THeader allows 65532")
    size = len(frame) - end + 10 + len(inside)
    return b"".join((_SIZE.pack(size), frame[4:12], _WORDS.pack(len(inside) // 4), inside, frame[end:]))


def _infos(frame: bytes, at: int, end: int) -> tuple[list[tuple[int, Pairs]], bytes]:
    """The blocks of pairs, and what stands behind them up to the payload: padding, or infos that we don't know."""
    found: list[tuple[int, Pairs]] = []
    while at < end:
        number, after = whole_varint(frame, at, end)
        if number not in (_KEY_VALUE, _PERSISTENT):
            break
        pairs, at = _pairs(frame, after, end)
        found.append((number, pairs))
    rest = frame[at:end]
    return found, rest if rest.strip(b"\0") else b""


def _pairs(frame: bytes, at: int, end: int) -> tuple[Pairs, int]:
    count, at = whole_varint(frame, at, end)
    pairs: Pairs = []
    for _ in range(count):  # bounded by `end`: a pair has at least two bytes
        key, at = _bytes(frame, at, end)
        value, at = _bytes(frame, at, end)
        pairs.append((key, value))
    return pairs, at


def _bytes(frame: bytes, at: int, end: int) -> tuple[bytes, int]:
    length, at = whole_varint(frame, at, end)
    if at + length > end:
        raise FrameError(f"a header of {length} bytes at byte {at}; THeader ends at {end}")
    return frame[at : at + length], at + length


def _info(number: int, pairs: Pairs) -> bytes:
    made = [to_varint(number), to_varint(len(pairs))]
    for pair in pairs:
        for each in pair:
            made.append(to_varint(len(each)))
            made.append(each)
    return b"".join(made)
