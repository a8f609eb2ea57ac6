"""
TTHeader: what Kitex and CloudWeGo's other libraries put around a message. Laid out like THeader, and other inside.

    0        4      6       8          12    14         15                16
    | size 4 | 1000 | flags | sequence | n 2 | protocol | transforms 1 + m | infos, padding ... | message |
    info 0: padding · 1: count 2, then key and value, each with 2 bytes of length · 16: count 2, then key 2, and value
    with 2 bytes of length · 17: the ACL token with 2 bytes of length

Source: the protocol's description at cloudwego.io (Kitex, "Transport Protocol TTHeader"), github.com/cloudwego/gopkg.
Lives here: this layout; its infos, read and changed. Does not: what it shares with THeader (carrier).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from metaproxy.codecs.thrift.carrier import FIXED, MAX_TRANSFORMS, Found, Head, Pairs, check_fixed, collected, with_head
from metaproxy.codecs.thrift.heads import Data, WrongByte
from metaproxy.message import FrameError, Mutation

MAGIC = 0x1000
PROTOCOLS = {0: "binary", 2: "compact"}

_PADDING, _KEY_VALUE, _INT_KEY_VALUE, _TOKEN = 0, 1, 16, 17

PREFIX = "ttheader."
"""What the metadata keys of numbered infos and of the token begin with. No other header counts under such a name."""
TOKEN = f"{PREFIX}acl_token"
_NAMES = (
    "mesh_version", "transport_type", "log_id", "from_service", "from_cluster", "from_idc", "to_service", "to_cluster",
    "to_idc", "to_method", "env", "dest_address", "rpc_timeout", "read_timeout", "ring_hash_key", "ddp_tag",
    "with_mesh_header", "connect_timeout", "span_context", "short_connection", "from_method", "stress_tag", "msg_type",
    "http_content_type", "raw_ring_hash_key", "lb_type", "cluster_shard_id", "frame_type",
)  # fmt: skip
"""Names of the numbered infos, by number, as Kitex has them."""
_NUMBERS = {f"{PREFIX}{name}": number for number, name in enumerate(_NAMES)}

Infos = tuple[Pairs, list[tuple[int, bytes]], bytes | None]
"""The pairs, the numbered ones, the token."""


def check(data: Data, at: int, end: int, most: int, protocol: int | None) -> int | None:
    """As header.check."""
    stop = check_fixed(data, at, end, most, MAGIC, "TTHeader")
    if stop is None or at + 14 >= end:
        return None
    check_protocol(at + 14, data[at + 14], protocol)
    return stop if at + 15 < end and data[at + 15] == 0 else None


def check_protocol(at: int, number: int, wanted: int | None) -> None:
    if number not in PROTOCOLS:
        raise WrongByte(at, f"TTHeader with protocol {number}; known are 0 Thrift binary and 2 compact")
    if wanted is not None and number != wanted:
        raise WrongByte(at, f"TTHeader with protocol {number}; the connection began with {PROTOCOLS[wanted]}")


def read(frame: bytes) -> Head:
    """The head of a whole TTHeader frame. Raises FrameError."""
    check_fixed(frame, 0, len(frame), len(frame), MAGIC, "TTHeader")
    _, _, _, sequence, words = FIXED.unpack_from(frame)
    end, count = 14 + 4 * words, frame[15]
    if count > MAX_TRANSFORMS or 16 + count > end:
        raise FrameError(f"TTHeader with {count} transforms; allowed are {MAX_TRANSFORMS}")
    return sequence, frame[14], tuple(frame[16 : 16 + count]), 16 + count, end


def start(frame: bytes, end: int) -> int:
    """Where the message of a plain payload begins: it may have a length of its own (Kitex's TTHeaderFramed)."""
    return end + 4 if frame[end : end + 1] == b"\0" else end


def build(sequence: int, protocol: int, payload: bytes, like: bytes = b"") -> bytes:
    """A frame of ours, without infos. like: the frame that it answers; if that has a length inside, so has this."""
    if like and start(like, read(like)[4]) != read(like)[4]:
        payload = len(payload).to_bytes(4, "big") + payload
    return FIXED.pack(14 + len(payload), MAGIC, 0, sequence, 1) + bytes((protocol, 0, 0, 0)) + payload


def metadata(frame: bytes) -> Found:
    """The pairs, as `header.metadata` gives them; numbered ones under their names. Raises FrameError."""
    _, _, _, at, end = read(frame)
    (pairs, numbered, token), _ = _infos_to(frame, at, end)
    found: Pairs = [pair for pair in pairs if not pair[0].lower().startswith(PREFIX.encode())]
    for number, value in numbered:
        name = _NAMES[number] if number < len(_NAMES) else str(number)
        found.append((f"{PREFIX}{name}".encode(), value))
    if token is not None:
        found.append((TOKEN.encode(), token))
    return collected(found)


def mutate(frame: bytes, mutation: Mutation) -> bytes:
    """
    The frame with pairs removed, replaced, added; names of numbered infos and of the token mean those. What is added
    stands behind all others, which keep their bytes unless one is removed. FrameError if its infos can't be read.
    """
    _, _, _, at, end = read(frame)
    before, last = _infos_to(frame, at, end)
    kept = _without(before, {key.lower() for key in (*mutation.remove, *mutation.set)})
    if kept == before and not mutation.set:
        return frame
    head = frame[14:last] if kept == before else frame[14:at] + _written(kept)
    return with_head(frame, end, head + _written(_added(mutation.set)), "TTHeader")


def _without(infos: Infos, gone: set[str]) -> Infos:
    pairs, numbered, token = infos
    numbers = {_number(key) for key in gone}
    return (
        [pair for pair in pairs if pair[0].lower().decode("utf-8", "replace") not in gone],
        [info for info in numbered if info[0] not in numbers],
        None if TOKEN in gone else token,
    )


def _added(values: Mapping[str, str]) -> Infos:
    pairs: Pairs = []
    numbered: list[tuple[int, bytes]] = []
    token: bytes | None = None
    for key, value in values.items():
        number = _number(key.lower())
        if key.lower() == TOKEN:
            token = value.encode()
        elif number is not None:
            numbered.append((number, value.encode()))
        else:
            pairs.append((key.encode(), value.encode()))
    return pairs, numbered, token


def _number(key: str) -> int | None:
    """Which numbered info a key of metadata means."""
    if not key.startswith(PREFIX):
        return None
    rest = key[len(PREFIX) :]
    if rest.isascii() and rest.isdigit() and len(rest) <= 5 and int(rest) <= 0xFFFF:
        return int(rest)
    return _NUMBERS.get(key)


def _infos_to(frame: bytes, at: int, end: int) -> tuple[Infos, int]:
    """
    What stands between the transforms and the payload, and where the last of it ends. Raises FrameError for what Kitex
    can't read either.
    """
    last = at
    pairs: Pairs = []
    numbered: list[tuple[int, bytes]] = []
    token: bytes | None = None
    while at < end:
        kind = frame[at]
        at += 1
        if kind == _PADDING:
            continue
        if kind == _TOKEN:
            token, at = _bytes(frame, at, end)
            last = at
            continue
        if kind not in (_KEY_VALUE, _INT_KEY_VALUE):
            raise FrameError(f"TTHeader with info {kind} at byte {at - 1}; there are 0, 1, 16 and 17")
        count, at = _short(frame, at, end)
        for _ in range(count):
            if kind == _KEY_VALUE:
                key, at = _bytes(frame, at, end)
                value, at = _bytes(frame, at, end)
                pairs.append((key, value))
            else:
                number, at = _short(frame, at, end)
                value, at = _bytes(frame, at, end)
                numbered.append((number, value))
        last = at
    return (pairs, numbered, token), last


def _short(frame: bytes, at: int, end: int) -> tuple[int, int]:
    if at + 2 > end:
        raise FrameError(f"an info goes on at byte {at}; TTHeader ends at {end}")
    return frame[at] << 8 | frame[at + 1], at + 2


def _bytes(frame: bytes, at: int, end: int) -> tuple[bytes, int]:
    length, at = _short(frame, at, end)
    if at + length > end:
        raise FrameError(f"an info of {length} bytes at byte {at}; TTHeader ends at {end}")
    return frame[at : at + length], at + length


def _written(infos: Infos) -> bytes:
    pairs, numbered, token = infos
    made = bytearray()
    if token is not None:
        made += bytes((_TOKEN,)) + _counted((token,))
    if pairs:
        made += bytes((_KEY_VALUE,)) + _number_of(len(pairs))
        for pair in pairs:
            made += _counted(pair)
    if numbered:
        made += bytes((_INT_KEY_VALUE,)) + _number_of(len(numbered))
        for number, value in numbered:
            made += _number_of(number) + _counted((value,))
    return bytes(made)


def _counted(items: Iterable[bytes]) -> bytes:
    return b"".join(_number_of(len(item)) + item for item in items)


def _number_of(value: int) -> bytes:
    if value > 0xFFFF:
        raise FrameError(f"a header of {value} bytes; TTHeader allows 65535")
    return value.to_bytes(2, "big")
