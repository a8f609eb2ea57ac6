"""
THeader: a frame whose message comes with headers, and may be compressed.

    0        4      6       8          12      14                                                     14+4n
    | size 4 | 0fff | flags | sequence | n 2   | protocol, transforms, infos, padding: varints ...    | message |

Source: Apache Thrift, doc/specs/HeaderFormat.md, and its C++, Python and Node libraries; fbthrift for info 2.
Lives here: this layout; its key-value infos, read and changed. Does not: what it shares with Kitex's TTHeader
(carrier), the message inside (encodings), nor which session may speak THeader.
"""

from __future__ import annotations

from metaproxy.codecs.thrift.carrier import FIXED, MAX_TRANSFORMS, Found, Head, Pairs, check_fixed, collected
from metaproxy.codecs.thrift.carrier import with_head as _with_head
from metaproxy.codecs.thrift.encodings import to_varint, whole_varint
from metaproxy.codecs.thrift.heads import Data, WrongByte
from metaproxy.message import FrameError, Mutation

MAGIC = 0x0FFF
PROTOCOLS = {0: "binary", 1: "json", 2: "compact"}

_KEY_VALUE, _PERSISTENT = 1, 2
"""Both hold pairs. The second (fbthrift's alone) stands for all later messages of its connection too."""


def check(data: Data, at: int, end: int, most: int, protocol: int | None) -> int | None:
    """
    Raises WrongByte for the first byte of a frame that can't be right. protocol: the number that it must have, None for
    any. Gives where a plain message begins, if that can be seen.
    """
    stop = check_fixed(data, at, end, most, MAGIC, "THeader")
    if stop is None or at + 14 >= min(end, stop):
        return None
    # A varint of two bytes would be known as wrong only with the second, when its connection may be taken for THeader.
    check_protocol(at + 14, data[at + 14], protocol)
    after = at + 15
    return stop if after < min(end, stop) and data[after] == 0 else None


def check_protocol(at: int, number: int, wanted: int | None) -> None:
    if number not in PROTOCOLS:
        raise WrongByte(at, f"THeader with protocol {number}; known are 0 binary, 1 JSON and 2 compact")
    if wanted is not None and number != wanted:
        raise WrongByte(at, f"THeader with protocol {number}; the connection began with {PROTOCOLS[wanted]}")


def read(frame: bytes) -> Head:
    """The head of a whole THeader frame. Raises FrameError."""
    if len(frame) < 18:
        raise FrameError(f"THeader frame of {len(frame)} bytes; the least is 18")
    _, magic, _, sequence, words = FIXED.unpack_from(frame)
    end = 14 + 4 * words
    if magic != MAGIC:
        raise FrameError(f"a THeader frame has 0f ff at byte 4, not {frame[4:6].hex(' ')}")
    if not 14 < end <= len(frame):
        raise FrameError(f"THeader of {4 * words} bytes in a frame of {len(frame)}")
    protocol, at = whole_varint(frame, 14, end)
    count, at = whole_varint(frame, at, end)
    if not count:
        return sequence, protocol, (), at, end
    if count > MAX_TRANSFORMS:
        raise FrameError(f"THeader with {count} transforms; allowed are {MAX_TRANSFORMS}")
    transforms = []
    for _ in range(count):
        transform, at = whole_varint(frame, at, end)
        transforms.append(transform)
    return sequence, protocol, tuple(transforms), at, end


def start(frame: bytes, end: int) -> int:
    """Where the message of a plain payload, which begins at `end`, begins."""
    return end


def build(sequence: int, protocol: int, payload: bytes, like: bytes = b"") -> bytes:
    """A frame of ours: no flags, transforms or infos. like: the frame that it answers."""
    inside = to_varint(protocol) + b"\0"
    inside += bytes(-len(inside) % 4)
    return FIXED.pack(10 + len(inside) + len(payload), MAGIC, 0, sequence, len(inside) // 4) + inside + payload


def metadata(frame: bytes) -> Found:
    """
    The pairs of a frame. Of equal keys in one block the last counts, and any pair goes before a persistent one, as in
    fbthrift; Apache's libraries know no persistent ones. Raises FrameError.
    """
    _, _, _, at, end = read(frame)
    infos = _infos(frame, at, end)[0]
    persistent = [pair for number, pairs in infos if number == _PERSISTENT for pair in pairs]
    return collected([*persistent, *(pair for number, pairs in infos if number == _KEY_VALUE for pair in pairs)])


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
    return _with_head(frame, end, inside, "THeader")


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
