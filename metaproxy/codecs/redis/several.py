"""
Commands without a key where several servers have the keys: answered here, asked of all, or refused.

    PING, ECHO           answered here, as long as there is a server
    DBSIZE, FLUSHALL ... asked of all servers, and the answers put together; refused when one can't be asked
    CONFIG SET ...       the same, of replicas, too
    SCAN                 goes through the servers one after the other; the cursor tells where it is
    SWAPDB               refused: done twice it is not done
    all others           are about a server, not about its keys, and any will do

Which is which: the request and response policies among the tips of COMMAND, where it has some.

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

REFUSED: dict[str, str] = {"SWAPDB": "some of the servers might do it and others not, and it can't be sent again"}
"""What is refused over several servers, and why."""


Gather = Callable[[list[bytes]], bytes]
"""Makes one answer of the frames of several."""


def _number(frame: bytes) -> int:
    if frame[:1] != b":":
        raise ValueError(f"a number expected, {frame[:20]!r} read")
    return int(frame[1:-2])


def _sum(frames: list[bytes]) -> bytes:
    return b":%d\r\n" % sum(_number(frame) for frame in frames)


def _all_of(frames: list[bytes]) -> bytes:
    values = [value for frame in frames for value in resp.values(frame)]
    return frames[0][:1] + b"%d\r\n" % len(values) + b"".join(values)


def _first(frames: list[bytes]) -> bytes:
    return frames[0]


def _any_of(frames: list[bytes]) -> bytes:
    there = [frame for frame in frames if frame not in (b"$-1\r\n", b"_\r\n")]
    return random.choice(there) if there else frames[0]


def _most(frames: list[bytes]) -> bytes:
    """Of numbers of what was there to be changed, which is the same everywhere unless some of it was done before."""
    return max(frames, key=lambda frame: _number(frame))


def _distinct(frames: list[bytes]) -> bytes:
    values = dict.fromkeys(value for frame in frames for value in resp.values(frame))
    return frames[0][:1] + b"%d\r\n" % len(values) + b"".join(values)


def _listed(frames: list[bytes]) -> bytes:
    """Of a log: what all have; where it is cleared, one of the answers."""
    return frames[0] if frames[0][:1] == b"+" else _all_of(frames)


def _newest(frames: list[bytes], arguments: list[bytes]) -> bytes:
    """Of entries with a number and a time: the newest of all, as many as were asked for."""
    entries = [value for frame in frames for value in resp.values(frame)]
    entries.sort(key=_time, reverse=True)
    asked = arguments[2] if len(arguments) > 2 else b"10"
    entries = entries[: int(asked)] if asked.isdigit() else entries  # -1: all
    return b"*%d\r\n" % len(entries) + b"".join(entries)


def _time(entry: bytes) -> int:
    values = resp.values(entry)
    if len(values) < 2:
        raise ValueError(f"an entry with a time expected, {entry[:20]!r} read")
    return _number(values[1])


def _by_name(frames: list[bytes]) -> bytes:
    """Of lists, or maps, of names and numbers: the sum of each."""
    rows = [resp.values(frame) for frame in frames]
    if len({tuple(row[::2]) for row in rows}) > 1:
        raise ValueError("the same names expected of all servers")
    columns = zip(*rows, strict=True)
    values = [_sum([*column]) if place % 2 else column[0] for place, column in enumerate(columns)]
    return frames[0].partition(resp.CRLF)[0] + resp.CRLF + b"".join(values)


def _everywhere(frames: list[bytes]) -> bytes:
    """Of lists of 0 and 1: 1 where all have it."""
    rows = [resp.values(frame) for frame in frames]
    return b"*%d\r\n" % len(rows[0]) + b"".join(min(column) for column in zip(*rows, strict=True))


class Asked(NamedTuple):
    """
    join: makes one answer of all; newest: of these, the newest in the place of that. nodes: replicas are asked, too, as
    they do not get it from their masters. changes: the error of one says how many did it all the same. one: it is done
    where one of them did it.
    """

    join: Gather
    nodes: bool = False
    changes: bool = False
    one: bool = False
    newest: bool = False


_EVERY_SHARD = Asked(_first, changes=True)
_EVERY_NODE = Asked(_first, nodes=True, changes=True)
_KILLED = Asked(_first, nodes=True, one=True)
_COUNTED = Asked(_by_name, nodes=True)

ASKED: dict[str, Asked] = {
    "DBSIZE": Asked(_sum),
    "KEYS": Asked(_all_of),
    "RANDOMKEY": Asked(_any_of),
    **dict.fromkeys(("FLUSHALL", "FLUSHDB"), _EVERY_SHARD),
    **dict.fromkeys(("BGREWRITEAOF", "BGSAVE", "SAVE"), _EVERY_NODE),
}
ASKED_WITH: dict[str, dict[bytes, Asked]] = {
    "ACL": {
        b"DELUSER": Asked(_most, nodes=True, changes=True),
        b"LOG": Asked(_listed, nodes=True),
        **dict.fromkeys((b"LOAD", b"SAVE", b"SETUSER"), _EVERY_NODE),
    },
    "CONFIG": dict.fromkeys((b"RESETSTAT", b"REWRITE", b"SET"), _EVERY_NODE),
    "FUNCTION": {**dict.fromkeys((b"DELETE", b"FLUSH", b"LOAD", b"RESTORE"), _EVERY_SHARD), b"KILL": _KILLED},
    "LATENCY": {b"RESET": Asked(_sum, nodes=True, changes=True)},
    "MEMORY": {b"PURGE": _EVERY_NODE},
    "PUBSUB": {
        **dict.fromkeys((b"CHANNELS", b"SHARDCHANNELS"), Asked(_distinct, nodes=True)),
        **dict.fromkeys((b"NUMSUB", b"SHARDNUMSUB"), _COUNTED),
        b"NUMPAT": Asked(_sum, nodes=True),
    },
    "SCRIPT": {
        b"EXISTS": Asked(_everywhere),
        **dict.fromkeys((b"FLUSH", b"LOAD"), _EVERY_NODE),
        b"KILL": _KILLED,
    },
    "SLOWLOG": {
        b"GET": Asked(_all_of, nodes=True, newest=True),
        b"LEN": Asked(_sum, nodes=True),
        b"RESET": _EVERY_NODE,
    },
}
"""What all servers are asked for. Each may be sent again where only some have done it."""

NAMES = frozenset(("ECHO", "PING", "SCAN", *REFUSED, *ASKED, *ASKED_WITH))


class Server(Protocol):
    """An endpoint, as far as this module asks about it."""

    @property
    def address(self) -> str: ...


class Owners(Protocol):
    """The `owner` of ICodec.split, where it can name all servers."""

    def __call__(self, key: str) -> Hashable: ...
    def everyone(self, replicas: bool = False) -> Sequence[Server]: ...


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
    why = REFUSED.get(name)
    asked = _asked(name, word)
    shown = f"{name} {word.decode('latin-1')}" if name in ASKED_WITH else name
    if why is None and asked is None and name != "SCAN":
        return None
    if why is None and alone:
        why = "its client has a connection to one of them"
    if why is not None:
        raise FrameError(f"{shown} does not work over several servers: {why}")
    everyone = owner.everyone(replicas=asked is not None and asked.nodes)
    if not everyone:
        raise FrameError(f"{shown} needs all servers, and one of them is not usable now")
    if name == "SCAN":
        return _scan(request, arguments, everyone)
    return [_part(request, request.frame, None, endpoint) for endpoint in everyone]


def _asked(name: str, word: bytes) -> Asked | None:
    """word: the first argument, in upper case."""
    return ASKED.get(name) or ASKED_WITH.get(name, {}).get(word)


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
    """See ICodec.merge. Raises ValueError for an answer that makes no sense."""
    failed = [answer.frame for answer in answers if answer.kind is Kind.ERROR]
    place = parts[0].place
    if isinstance(place, _Place):
        return failed[0] if failed else _scanned(answers[0].frame, place)
    arguments = resp.arguments(request.frame, 3)
    asked = _asked(request.get("command") or "", arguments[min(1, len(arguments) - 1)].upper())
    assert asked is not None  # else it was not split
    if failed and not (asked.one and len(failed) < len(answers)):
        return _failure(asked, failed, len(answers))
    frames = [answer.frame for answer in answers if answer.kind is not Kind.ERROR]
    return _newest(frames, arguments) if asked.newest else asked.join(frames)


def _failure(asked: Asked, failed: list[bytes], of: int) -> bytes:
    """The error that is the answer; behind it, of a change, that some of the servers have made it."""
    error = next((one for one in failed if not one.startswith(b"-NOTBUSY ")), failed[0])  # the others run no script
    done = of - len(failed)
    if not asked.changes or not done or error[:1] != b"-":
        return error
    return b"%b (%d of %d servers did it)\r\n" % (error[:-2], done, of)


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
