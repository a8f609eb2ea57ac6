"""
Commands without a key where several servers have the keys: answered here, asked of all, or refused.

    PING, ECHO           answered here, as long as there is a server
    DBSIZE, KEYS ...     asked of all servers, and the answers put together; refused when one can't be asked
    SCAN                 goes through the servers one after the other; the cursor tells where it is
    FLUSHALL ...         refused: one server would do it and the next might not
    all others           are about a server, not about its keys, and any will do

A cursor of ours: the server's own, 12 bits that tell the list of servers from another, 12 bits for the place in it.

Lives here: `split` and `merge` for these. Does not: commands with keys (`split`).
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, Protocol, TypeGuard

from metaproxy.codecs.redis import resp
from metaproxy.codecs.redis.metadata import ANYBODY, reader
from metaproxy.message import FrameError, Kind, Message, Part

_BITS = 12
_MASK = (1 << _BITS) - 1
_LARGEST = (1 << 63) - 1
"""Cursors are kept below: some clients read them as signed 64-bit numbers."""

_HALF_DONE = "some of the servers might do it and others not"
_ONE_OF_THEM = "it would reach one of the servers only"

REFUSED: dict[str, str] = {
    **dict.fromkeys(("FLUSHALL", "FLUSHDB", "SWAPDB"), _HALF_DONE),
    **dict.fromkeys(("BGREWRITEAOF", "BGSAVE", "SAVE"), _ONE_OF_THEM),
}
REFUSED_WITH: dict[str, dict[bytes, str]] = {
    "ACL": dict.fromkeys((b"DELUSER", b"LOAD", b"LOG", b"SAVE", b"SETUSER"), _ONE_OF_THEM),
    "CONFIG": dict.fromkeys((b"RESETSTAT", b"REWRITE", b"SET"), _ONE_OF_THEM),
    "FUNCTION": dict.fromkeys((b"DELETE", b"FLUSH", b"KILL", b"LOAD", b"RESTORE"), _HALF_DONE),
    "LATENCY": {b"RESET": _ONE_OF_THEM},
    "MEMORY": {b"PURGE": _ONE_OF_THEM},
    "PUBSUB": {b"NUMSUB": "each server counts its own", b"SHARDNUMSUB": "each server counts its own"},
    "SCRIPT": {b"KILL": _ONE_OF_THEM},
    "SLOWLOG": {b"RESET": _ONE_OF_THEM},
}
"""What is refused over several servers, and why."""


Gather = Callable[[list[bytes]], bytes]
"""Makes one answer of the frames of several."""


def _sum(frames: list[bytes]) -> bytes:
    if any(frame[:1] != b":" for frame in frames):
        raise ValueError(f"numbers expected, {frames[0][:20]!r} read")
    return b":%d\r\n" % sum(int(frame[1:-2]) for frame in frames)


def _all_of(frames: list[bytes]) -> bytes:
    values = [value for frame in frames for value in resp.values(frame)]
    return frames[0][:1] + b"%d\r\n" % len(values) + b"".join(values)


def _first(frames: list[bytes]) -> bytes:
    return frames[0]


def _any_of(frames: list[bytes]) -> bytes:
    there = [frame for frame in frames if frame not in (b"$-1\r\n", b"_\r\n")]
    return random.choice(there) if there else frames[0]


def _everywhere(frames: list[bytes]) -> bytes:
    """Of lists of 0 and 1: 1 where all have it."""
    rows = [resp.values(frame) for frame in frames]
    return b"*%d\r\n" % len(rows[0]) + b"".join(min(column) for column in zip(*rows, strict=True))


GATHERED: dict[str, Gather] = {"DBSIZE": _sum, "KEYS": _all_of, "RANDOMKEY": _any_of}
GATHERED_WITH: dict[str, dict[bytes, Gather]] = {
    "PUBSUB": {b"CHANNELS": _all_of, b"NUMPAT": _sum, b"SHARDCHANNELS": _all_of},
    "SCRIPT": {b"EXISTS": _everywhere, b"FLUSH": _first, b"LOAD": _first},
}
"""
How the answers of all servers are put together. Of scripts a server forgets any at any time, and one that is loaded
twice is loaded once: there nothing can be half done.
"""

NAMES = frozenset(("ECHO", "PING", "SCAN", *REFUSED, *REFUSED_WITH, *GATHERED, *GATHERED_WITH))


class Server(Protocol):
    """An endpoint, as far as this module asks about it."""

    @property
    def address(self) -> str: ...


class Owners(Protocol):
    """The `owner` of ICodec.split, where it can name all servers."""

    def __call__(self, key: str) -> Hashable: ...
    def everyone(self) -> Sequence[Server]: ...


def names_all(owner: Callable[[str], Hashable]) -> TypeGuard[Owners]:
    return hasattr(owner, "everyone")


def split(name: str, request: Message, owner: Owners, arguments: list[bytes], alone: bool) -> list[Part] | bytes | None:
    """
    See ICodec.split. alone: the command is on a connection of its client's own, or opens it. Raises FrameError with
    the reason for what is refused.
    """
    if name in ("ECHO", "PING"):
        return None if alone else _echo(name, arguments, owner)
    word = arguments[1].upper() if len(arguments) > 1 else b""
    why = REFUSED.get(name) or REFUSED_WITH.get(name, {}).get(word)
    shown = name if name in REFUSED or name in GATHERED or name == "SCAN" else f"{name} {word.decode('latin-1')}"
    gather = GATHERED.get(name) or GATHERED_WITH.get(name, {}).get(word)
    if why is None and gather is None and name != "SCAN":
        return None
    if why is None and alone:
        why = "its client has a connection to one of them"
    if why is not None:
        raise FrameError(f"{shown} does not work over several servers: {why}")
    everyone = owner.everyone()
    if not everyone:
        raise FrameError(f"{shown} needs all servers, and one of them is not usable now")
    if name == "SCAN":
        return _scan(request, arguments, everyone)
    return [_part(request, request.frame, None, endpoint) for endpoint in everyone]


def _echo(name: str, arguments: list[bytes], owner: Owners) -> bytes | None:
    """Asking any server would fail when that one is down. With wrong arguments it says so."""
    if owner("") is None or len(arguments) > 2 or (name == "ECHO" and len(arguments) < 2):
        return None
    return resp.bulk(arguments[1]) if len(arguments) == 2 else b"+PONG\r\n"


def _part(request: Message, frame: bytes, place: object, endpoint: Server) -> Part:
    more = reader(request.get("user") or ANYBODY)
    return Part(Message(Kind.REQUEST, frame, more=more, profile=request.profile), place, endpoint)


class _Place(NamedTuple):
    """Where a SCAN is: at which of so many servers, which have this mark."""

    server: int
    servers: int
    mark: int


def _scan(request: Message, arguments: list[bytes], everyone: Sequence[Server]) -> list[Part] | None:
    if len(arguments) < 2 or not arguments[1].isdigit() or len(arguments[1]) > 20:
        return None  # any server says what is wrong with it
    servers = sorted(everyone, key=lambda endpoint: endpoint.address)
    mark = zlib.crc32("\n".join(endpoint.address for endpoint in servers).encode()) & _MASK
    cursor, index = int(arguments[1]), 0
    if cursor:
        index, wanted, cursor = cursor & _MASK, cursor >> _BITS & _MASK, cursor >> 2 * _BITS
        if wanted != mark or index >= len(servers):
            raise FrameError("this cursor is of other servers than there are now: SCAN from 0 again")
    frame = resp.encode([arguments[0], b"%d" % cursor, *arguments[2:]])
    return [_part(request, frame, _Place(index, len(servers), mark), servers[index])]


def merge(request: Message, parts: Sequence[Part], answers: Sequence[Message]) -> bytes:
    """See ICodec.merge; none of the answers is an error. Raises ValueError for one that makes no sense."""
    place = parts[0].place
    if isinstance(place, _Place):
        return _scanned(answers[0].frame, place)
    name = request.get("command") or ""
    gather = GATHERED.get(name) or GATHERED_WITH[name][resp.arguments(request.frame, 2)[1].upper()]
    return gather([answer.frame for answer in answers])


def _scanned(frame: bytes, place: _Place) -> bytes:
    values = resp.values(frame)
    digits = values[0].partition(resp.CRLF)[2][:-2] if len(values) == 2 else b""
    if not digits.isdigit():
        raise ValueError(f"a cursor and keys expected, {frame[:20]!r} read")
    cursor, index = int(digits), place.server
    if not cursor:
        index += 1
    if not cursor and index == place.servers:
        return b"*2\r\n" + resp.bulk(b"0") + values[1]
    ours = cursor << 2 * _BITS | place.mark << _BITS | index
    if ours > _LARGEST:
        raise ValueError(f"a cursor below 2 to the power of {63 - 2 * _BITS} expected, {cursor} read")
    return b"*2\r\n" + resp.bulk(b"%d" % ours) + values[1]
