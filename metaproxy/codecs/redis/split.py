"""
A command whose keys several servers own: cut in one for each, and the answers put together.

Lives here: `split`, `merge`. Does not: commands without a key (`several`), who owns a key (the cluster's balancer),
sending (the proxy).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from metaproxy.codecs.redis import commands, resp, several
from metaproxy.codecs.redis.metadata import ANYBODY, MULTI, reader, tag, text
from metaproxy.message import Hold, Kind, Message, Part


def split(request: Message, owner: Callable[[str], Hashable]) -> list[Part] | bytes | None:
    """See ICodec. [] for a command that can't be cut, or whose key is not where its client's own connection leads."""
    if request.kind is Kind.ONEWAY:
        return None
    name = request.get("command") or ""
    bound = getattr(owner, "bound", None)
    if request.kind is Kind.STREAM_OPEN:
        return _refuse_pieces(request, name, owner, bound)
    if name not in commands.MANY and name not in several.NAMES:
        key = request.get("tag") if bound is not None else None
        return [] if key is not None and owner(key) != bound else None
    opening = request.hold is Hold.OPEN and request.frame.startswith(MULTI)
    arguments = resp.arguments(request.frame, at=len(MULTI) if opening else 0)
    if name in several.NAMES and several.names_all(owner):
        found = several.split(name, request, owner, arguments, alone=opening or bound is not None)
        if found is not None or name in commands.KEYLESS:
            return found
    keys = commands.keys(name, arguments)
    owners = [owner(tag(text(key))) for key in keys]
    if bound is not None:
        return [] if any(one != bound for one in owners) else None
    if all(one == owners[0] for one in owners):
        return None
    width = commands.SPLIT.get(name)
    if width is None or opening:
        return []
    if (len(arguments) - 1) % width:
        return None  # an MSET without the last value: the first server says so, and does nothing
    places: dict[Hashable, list[int]] = {}
    for place, one in enumerate(owners):
        places.setdefault(one, []).append(place)
    return [_part(request, arguments, mine, width) for mine in places.values()]


def _refuse_pieces(
    request: Message, name: str, owner: Callable[[str], Hashable], bound: Hashable
) -> list[Part] | bytes | None:
    """As `split`, for a command that comes in pieces: it goes to one endpoint, or nowhere."""
    opening = request.frame.startswith(MULTI) and request.hold is Hold.OPEN
    keys = commands.keys(name, resp.begun(request.frame, len(MULTI) if opening else 0))
    owners = {owner(tag(text(key))) for key in keys}
    if bound is not None:
        return None if request.values("keys") and owners <= {bound} else []
    if request.values("keys") and len(owners) < 2:
        return None
    if len(owners) > 1 and name not in commands.SPLIT:
        return []
    return b"-ERR %b is too large to be divided between endpoints\r\n" % name.encode()


def _part(request: Message, arguments: Sequence[bytes], places: list[int], width: int) -> Part:
    """The piece with the keys at `places`; with metadata of its own, so that it goes where its keys belong."""
    chosen = [arguments[1 + place * width + extra] for place in places for extra in range(width)]
    frame = resp.encode([arguments[0], *chosen])
    more = reader(request.get("user") or ANYBODY)
    return Part(Message(Kind.REQUEST, frame, more=more, profile=request.profile), places)


def merge(request: Message, parts: Sequence[Part], answers: Sequence[Message]) -> bytes:
    """The answer to `request`; where keys were divided an error of a part is it, whatever the other parts did."""
    name = request.get("command")
    try:
        if name in several.NAMES:
            return several.merge(request, parts, answers)
        for answer in answers:
            if answer.kind is Kind.ERROR:
                return answer.frame
        if name == "MSET":
            return answers[0].frame
        if name == "MGET":
            return _in_place(parts, answers)
        return b":%d\r\n" % sum(_number(answer.frame) for answer in answers)
    except ValueError as error:
        return b"-ERR an endpoint's answer to a part of the command makes no sense: %b\r\n" % str(error).encode()


def _number(frame: bytes) -> int:
    if frame[:1] != b":":
        raise ValueError(f"a number expected, {frame[:20]!r} read")
    return int(frame[1:-2])


def _in_place(parts: Sequence[Part], answers: Sequence[Message]) -> bytes:
    """The values of several answers to MGET, in the order of the keys of the one request."""
    found: dict[int, bytes] = {}
    for part, answer in zip(parts, answers, strict=True):
        places = part.place
        assert isinstance(places, list)  # of numbers, see _part
        values = resp.values(answer.frame)
        if len(values) != len(places):
            raise ValueError(f"{len(places)} values expected, {len(values)} read")
        found.update(zip(places, values, strict=True))
    return b"*%d\r\n" % len(found) + b"".join(found[place] for place in range(len(found)))
