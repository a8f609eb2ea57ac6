"""
Commands with other keys, for a route with `rewrite: {key: ...}`.

Lives here: `reword`. Does not: where a command has its keys (`commands`), which keys are changed, and how
(`proxy.rewording`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from metaproxy.codecs.redis import commands, resp
from metaproxy.codecs.redis.metadata import ANYBODY, MULTI, reader, text
from metaproxy.message import FrameError, Hold, Kind, Message

_CHANNELS = frozenset(("SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE"))
"""Of commands with keys those whose keys are names of channels, which stay: messages come with them."""


class _Argument(bytes):
    """One that knows where it stands: start and end of it, with its length and its line ends, in the frame."""

    start: int
    end: int


def reword(request: Message, change: Callable[[str], str | None]) -> Message | None:
    """See ICodec.reword; the texts are keys. Raises FrameError where some are changed and others are not."""
    name = request.get("command") or ""
    if name in commands.KEYLESS or name in _CHANNELS:
        return None
    large = request.kind is Kind.STREAM_OPEN
    if large and name in commands.MANY:
        raise FrameError(f"{name} comes in pieces, and not all of its keys are known")
    skip = len(MULTI) if request.hold is Hold.OPEN and request.frame.startswith(MULTI) else 0
    arguments = list(_arguments(request.frame, skip, large))
    keys = [key for key in commands.keys(name, arguments) if isinstance(key, _Argument)]
    changed = [change(text(key)) for key in keys]
    if all(one is None for one in changed):
        return None
    frame, at, pieces = request.frame, 0, []
    for key, one in zip(keys, changed, strict=True):
        if one is None:
            raise FrameError(f"of the keys of {name} some are to be changed and others are not")
        pieces += [frame[at : key.start], resp.bulk(one.encode("utf-8", "surrogateescape"))]
        at = key.end
    other = request.with_frame(b"".join((*pieces, frame[at:])))
    other.metadata, other.more = None, reader(request.get("user") or ANYBODY, skip)
    return other


def _arguments(frame: bytes, at: int, large: bool) -> Iterator[_Argument]:
    """Those of a command; large: it is the beginning of one, of which those count that are whole."""
    given = resp.begun(frame, at) if large else resp.arguments(frame, at=at)
    place = frame.index(b"\r", at) + 2
    for one in given:
        argument = _Argument(one)
        argument.start, argument.end = place, frame.index(b"\r", place) + 4 + len(one)
        place = argument.end
        yield argument
